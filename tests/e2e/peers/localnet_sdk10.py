"""Runs unmodified bittensor 10 on a development chain.

localnet_sdk10.py      reads {"url", "netuid", "tempo", "block_seconds"} from standard input; prints the result of
                       each operation of the SDK, and of the substrate client below it
"""
import json
import os
import sys

sys.argv = sys.argv[:1]
os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

import bittensor as bt  # noqa: E402
from async_substrate_interface.sync_substrate import SubstrateInterface  # noqa: E402
from bittensor.utils.balance import Balance  # noqa: E402
from localnet_answers import Tool, print_results  # noqa: E402
from sdk10_wallet import wallet  # noqa: E402

question = json.load(sys.stdin)
URL, NETUID = question["url"], question["netuid"]
operation = Tool("bittensor")


def done(response):
    """Checks that an extrinsic succeeded, and returns the response."""
    if not response.success:
        raise RuntimeError(f"{response.message} {response.error}")
    return response.extrinsic_receipt


def events(substrate, block_hash, name):
    """SubtensorModule events with this name in a block."""
    found = [event["event"] for event in substrate.get_events(block_hash=block_hash)]
    return [list(e["attributes"]) for e in found if (e["module_id"], e["event_id"]) == ("SubtensorModule", name)]


def uid(who):
    return subtensor.get_uid_for_hotkey_on_subnet(who.hotkey.ss58_address, NETUID)


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


@operation("subnets list")
def _():
    return [subnet.netuid for subnet in subtensor.all_subnets()]


@operation("subnet")
def _():
    subnet = subtensor.subnet(NETUID)
    return {"name": subnet.subnet_name, "tempo": subnet.tempo, "price": subnet.price.tao}


@operation("hyperparameters")
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
    return [uid(who) for who in (alice, bob)]


@operation("serve axon")
def _():
    axon = bt.Axon(wallet=bob, ip="0.0.0.0", port=8099, external_ip="203.0.113.7", external_port=8099)
    done(subtensor.serve_axon(NETUID, axon, **NOW))
    neuron = subtensor.neurons_lite(NETUID)[uid(bob)]
    return f"{neuron.axon_info.ip}:{neuron.axon_info.port}"


@operation("stake add")
def _():
    global staked_in
    hotkey = alice.hotkey.ss58_address
    staked_in = done(subtensor.add_stake(alice, NETUID, hotkey, Balance.from_tao(100), **NOW)).block_hash
    block = subtensor.substrate.get_block_number(staked_in)
    return subtensor.get_stake(alice.coldkeypub.ss58_address, hotkey, NETUID, block=block).rao


@operation("stake remove")
def _():
    hotkey, coldkey = alice.hotkey.ss58_address, alice.coldkeypub.ss58_address
    before = subtensor.get_stake(coldkey, hotkey, NETUID)
    half = Balance.from_rao(before.rao // 2, NETUID)
    block_hash = done(subtensor.unstake(alice, NETUID, hotkey, half, **NOW)).block_hash
    after = subtensor.get_stake(coldkey, hotkey, NETUID, block=subtensor.substrate.get_block_number(block_hash))
    stake_events = events(subtensor.substrate, block_hash, "StakeRemoved")
    return {"requested": half.rao, "events": stake_events, "before": before.rao, "after": after.rao}


@operation("stake add multiple")
def _():
    hotkeys = [alice.hotkey.ss58_address, bob.hotkey.ss58_address]
    coldkey = alice.coldkeypub.ss58_address
    held = lambda: [subtensor.get_stake(coldkey, hotkey, NETUID).rao for hotkey in hotkeys]  # noqa: E731
    before = held()
    amounts = [Balance.from_tao(3), Balance.from_tao(4)]
    response = subtensor.add_stake_multiple(alice, [NETUID, NETUID], hotkeys, amounts, **NOW)
    if not response.success:
        raise RuntimeError(f"{response.message} {response.error}")
    return [after - was for was, after in zip(before, held())]


@operation("stake list")
def _():
    found = subtensor.get_stake_info_for_coldkey(alice.coldkeypub.ss58_address)
    return sorted({info.netuid for info in found if info.stake.rao > 0})


@operation("take")
def _():
    hotkey = alice.hotkey.ss58_address
    done(subtensor.set_delegate_take(alice, hotkey, 0.09))
    return round(subtensor.get_delegate_take(hotkey), 4)


@operation("delegates")
def _():
    block = subtensor.block
    (found,) = [one for one in subtensor.get_delegates(block=block) if one.hotkey_ss58 == alice.hotkey.ss58_address]
    coldkey = alice.coldkeypub.ss58_address
    return {
        "owner": found.owner_ss58,
        "take": round(found.take, 4),
        "registrations": found.registrations,
        "nominators": {who: stakes[NETUID].rao for who, stakes in found.nominators.items()},
        "stake": subtensor.get_stake(coldkey, found.hotkey_ss58, NETUID, block=block).rao,
    }


@operation("commitment set and get")
def _():
    signers = (bob.coldkeypub.ss58_address, bob.hotkey.ss58_address)
    before = [subtensor.get_balance(signer).rao for signer in signers]
    done(subtensor.set_commitment(bob, NETUID, "speech at 16 kHz", **NOW))
    paid = sum(before) - sum(subtensor.get_balance(signer).rao for signer in signers)
    all_of_them = subtensor.get_all_commitments(NETUID)
    return [subtensor.get_commitment(NETUID, uid(bob)), all_of_them[bob.hotkey.ss58_address], paid]


@operation("set weights")
def _():
    # Validator permits are granted at an epoch.
    subtensor.wait_for_block(subtensor.block + question["tempo"] + 2)
    uids = [uid(who) for who in (alice, bob)]
    done(subtensor.set_weights(alice, NETUID, [uids[1]], [1.0], version_key=0, **NOW))
    return dict(subtensor.weights(NETUID))[uids[0]]


@operation("metagraph")
def _():
    subtensor.wait_for_block(subtensor.block + question["tempo"] + 2)
    graph = subtensor.metagraph(NETUID, lite=False)
    miner = graph.hotkeys.index(bob.hotkey.ss58_address)
    return {
        "n": int(graph.n),
        "incentive": float(graph.I[miner]),
        "axon": graph.axons[miner].ip,
        "stake": float(graph.S.sum()),
    }


@operation("bonds")
def _():
    return dict(subtensor.bonds(NETUID))[uid(alice)]


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
    block_seconds = question["block_seconds"]
    response = subtensor.set_weights(alice, NETUID, [uid(bob)], [1.0], version_key=0, block_time=block_seconds, **NOW)
    block = subtensor.substrate.get_block_number(done(response).block_hash)
    sent = response.data
    stored = [
        [who, at, bytes.fromhex(commit.removeprefix("0x")).hex(), reveal_round]
        for who, at, commit, reveal_round in subtensor.get_timelocked_weight_commits(NETUID, block=block)
    ]
    sudo("sudo_set_commit_reveal_weights_enabled", {"netuid": NETUID, "enabled": False})
    commit = [alice.hotkey.ss58_address, block, bytes(sent["commit_for_reveal"]).hex(), sent["reveal_round"]]
    return {"sent": [commit], "stored": stored}


@operation("create subnet")
def _():
    sudo("sudo_set_network_rate_limit", {"rate_limit": 0})
    before = {subnet.netuid for subnet in subtensor.all_subnets()}
    done(subtensor.register_subnet(bob, **NOW))
    made = {subnet.netuid for subnet in subtensor.all_subnets()} - before
    for netuid in made:
        done(subtensor.start_call(bob, netuid, **NOW))
    return sorted(made)


below = Tool("async-substrate-interface")


@below("connect")
def _():
    global substrate
    substrate = SubstrateInterface(url=URL, ss58_format=42, type_registry={})
    return substrate.chain


@below("events of a block")
def _():
    return events(substrate, staked_in, "StakeAdded")


@below("constant")
def _():
    return substrate.get_constant("Aura", "SlotDuration").value


@below("storage value")
def _():
    return substrate.query("SubtensorModule", "Tempo", [NETUID]).value


@below("storage map")
def _():
    return sorted([key, value] for key, value in substrate.query_map("SubtensorModule", "Tempo"))


print_results()
