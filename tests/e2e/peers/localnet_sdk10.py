"""bittensor 10, unmodified, uses a development chain as a subnet's people would.

localnet_sdk10.py      reads {"url", "netuid"} from standard input; says, for each operation, what came of it
"""
import json
import os
import sys
import tempfile
import traceback

sys.argv = sys.argv[:1]
os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

import bittensor as bt  # noqa: E402
from async_substrate_interface.sync_substrate import SubstrateInterface  # noqa: E402
from bittensor.utils.balance import Balance  # noqa: E402
from bittensor_wallet import Keypair, Wallet  # noqa: E402

question = json.load(sys.stdin)
URL, NETUID = question["url"], question["netuid"]
home = tempfile.mkdtemp()
answers = {}


def wallet(coldkey, hotkey):
    made = Wallet(name=coldkey.strip("/"), hotkey=hotkey.strip("/"), path=home)
    cold = Keypair.create_from_uri(coldkey)
    made.set_coldkey(cold, encrypt=False, overwrite=True)
    made.set_coldkeypub(cold, encrypt=False, overwrite=True)
    made.set_hotkey(Keypair.create_from_uri(hotkey), encrypt=False, overwrite=True)
    return made


def operation(name):
    """Carries an operation out and keeps its answer, or what went wrong."""

    def run(work):
        try:
            answers[name] = {"ok": True, "value": work()}
        except Exception as error:  # noqa: BLE001
            traceback.print_exc(file=sys.stderr)
            answers[name] = {"ok": False, "value": f"{type(error).__name__}: {error}"}
        return work

    return run


def done(response):
    """What an extrinsic did."""
    if not response.success:
        raise RuntimeError(f"{response.message} {response.error}")
    return response.message


NOW = {"mev_protection": False}
alice, bob = wallet("//Alice", "//AliceHotkey"), wallet("//Bob", "//BobHotkey")
subtensor = bt.Subtensor(network=URL)


@operation("connect")
def _():
    return subtensor.chain_endpoint


@operation("block")
def _():
    return subtensor.block


@operation("balance")
def _():
    return subtensor.get_balance(bob.coldkeypub.ss58_address).rao


@operation("existential deposit")
def _():
    return subtensor.get_existential_deposit().rao


@operation("transfer")
def _():
    before = subtensor.get_balance(bob.coldkeypub.ss58_address).rao
    done(subtensor.transfer(alice, bob.coldkeypub.ss58_address, Balance.from_tao(1.5), **NOW))
    return subtensor.get_balance(bob.coldkeypub.ss58_address).rao - before


@operation("pay the hotkeys")
def _():
    # Commitments cost a fee, which the hotkey pays.
    for who in (alice, bob):
        done(subtensor.transfer(alice, who.hotkey.ss58_address, Balance.from_tao(1), **NOW))
    return subtensor.get_balance(bob.hotkey.ss58_address).rao


@operation("subnets list")
def _():
    return [subnet.netuid for subnet in subtensor.all_subnets()]


@operation("subnet")
def _():
    subnet = subtensor.subnet(NETUID)
    return {"name": subnet.subnet_name, "tempo": subnet.tempo, "price": subnet.price.tao}


@operation("hyper-parameters")
def _():
    found = subtensor.get_subnet_hyperparameters(NETUID)
    return {"tempo": found.tempo, "kappa": found.kappa, "commit_reveal": found.commit_reveal_weights_enabled}


@operation("subnet creation cost")
def _():
    return subtensor.get_subnet_burn_cost().rao


@operation("register")
def _():
    for who in (alice, bob):
        done(subtensor.burned_register(who, NETUID, **NOW))
    return [subtensor.get_uid_for_hotkey_on_subnet(who.hotkey.ss58_address, NETUID) for who in (alice, bob)]


@operation("serve axon")
def _():
    axon = bt.Axon(wallet=bob, ip="0.0.0.0", port=8099, external_ip="203.0.113.7", external_port=8099)
    done(subtensor.serve_axon(NETUID, axon, **NOW))
    neuron = subtensor.neurons_lite(NETUID)[subtensor.get_uid_for_hotkey_on_subnet(bob.hotkey.ss58_address, NETUID)]
    return f"{neuron.axon_info.ip}:{neuron.axon_info.port}"


@operation("stake add")
def _():
    hotkey = alice.hotkey.ss58_address
    done(subtensor.add_stake(alice, NETUID, hotkey, Balance.from_tao(100), **NOW))
    return subtensor.get_stake(alice.coldkeypub.ss58_address, hotkey, NETUID).rao


@operation("stake remove")
def _():
    hotkey, coldkey = alice.hotkey.ss58_address, alice.coldkeypub.ss58_address
    before = subtensor.get_stake(coldkey, hotkey, NETUID)
    half = Balance.from_rao(before.rao // 2, NETUID)
    done(subtensor.unstake(alice, NETUID, hotkey, half, **NOW))
    return [before.rao, subtensor.get_stake(coldkey, hotkey, NETUID).rao]


@operation("stake list")
def _():
    found = subtensor.get_stake_info_for_coldkey(alice.coldkeypub.ss58_address)
    return sorted({info.netuid for info in found if info.stake.rao > 0})


@operation("delegates")
def _():
    return len(subtensor.get_delegates())


@operation("commitment set and get")
def _():
    done(subtensor.set_commitment(bob, NETUID, "speech at 16 kHz", **NOW))
    uid = subtensor.get_uid_for_hotkey_on_subnet(bob.hotkey.ss58_address, NETUID)
    all_of_them = subtensor.get_all_commitments(NETUID)
    return [subtensor.get_commitment(NETUID, uid), all_of_them[bob.hotkey.ss58_address]]


@operation("set weights")
def _():
    # The owner of a validator permit is found by an epoch.
    subtensor.wait_for_block(subtensor.block + question["tempo"] + 2)
    uids = [subtensor.get_uid_for_hotkey_on_subnet(who.hotkey.ss58_address, NETUID) for who in (alice, bob)]
    done(subtensor.set_weights(alice, NETUID, [uids[1]], [1.0], version_key=0, **NOW))
    return dict(subtensor.weights(NETUID))[uids[0]]


@operation("metagraph")
def _():
    subtensor.wait_for_block(subtensor.block + question["tempo"] + 2)
    graph = subtensor.metagraph(NETUID, lite=False)
    uid = graph.hotkeys.index(bob.hotkey.ss58_address)
    return {"n": int(graph.n), "incentive": float(graph.I[uid]), "axon": graph.axons[uid].ip, "stake": float(graph.S.sum())}


@operation("bonds")
def _():
    return len(subtensor.bonds(NETUID))


def sudo(call, parameters):
    substrate = subtensor.substrate
    inner = substrate.compose_call("AdminUtils", call, parameters)
    outer = substrate.compose_call("Sudo", "sudo", {"call": inner})
    extrinsic = substrate.create_signed_extrinsic(outer, alice.coldkey)
    receipt = substrate.submit_extrinsic(extrinsic, wait_for_inclusion=True)
    if not receipt.is_success:
        raise RuntimeError(receipt.error_message)


@operation("sudo")
def _():
    sudo("sudo_set_commit_reveal_weights_enabled", {"netuid": NETUID, "enabled": True})
    return subtensor.commit_reveal_enabled(NETUID)


@operation("timelocked commit")
def _():
    uid = subtensor.get_uid_for_hotkey_on_subnet(bob.hotkey.ss58_address, NETUID)
    done(subtensor.set_weights(alice, NETUID, [uid], [1.0], version_key=0, block_time=question["block_seconds"], **NOW))
    commits = subtensor.get_timelocked_weight_commits(NETUID)
    sudo("sudo_set_commit_reveal_weights_enabled", {"netuid": NETUID, "enabled": False})
    return [commit[0] for commit in commits]


@operation("create subnet")
def _():
    sudo("sudo_set_network_rate_limit", {"rate_limit": 0})
    before = {subnet.netuid for subnet in subtensor.all_subnets()}
    done(subtensor.register_subnet(bob, **NOW))
    made = {subnet.netuid for subnet in subtensor.all_subnets()} - before
    for netuid in made:
        done(subtensor.start_call(bob, netuid, **NOW))
    return len(made)


@operation("events and storage maps")
def _():
    # The layer below, by itself.
    substrate = SubstrateInterface(url=URL, ss58_format=42, type_registry={})
    names = {(event["module_id"], event["event_id"]) for event in (e["event"] for e in substrate.get_events())}
    tempos = {key: value for key, value in substrate.query_map("SubtensorModule", "Tempo")}
    substrate.close()
    return {"events": sorted(".".join(name) for name in names), "tempo": tempos[NETUID]}


print(json.dumps(answers, default=str))
