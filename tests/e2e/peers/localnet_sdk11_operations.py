"""Runs reads, writes and commands of bittensor 11 on a development chain, and checks the effects.

localnet_sdk11_operations.py  reads {"url", "netuid"} from standard input; prints the result of each operation
                       of the SDK and of its command line
"""
import json
import os
import sys
import tempfile
import threading
import time
from unittest import mock

# The SDK caches metadata in the user's home directory, and the command line keeps its settings there.
home = tempfile.mkdtemp()
os.environ.update(HOME=home, BITTENSOR_RUNTIME_CACHE_DIR=os.path.join(home, "cache"), NO_COLOR="1", COLUMNS="240")

import bittensor as bt  # noqa: E402
import known_round  # noqa: E402
import websockets.sync.client  # noqa: E402
from bittensor import calls, intents, storage  # noqa: E402
from bittensor.cli.main import app  # noqa: E402
from bittensor.keyfiles import Keypair  # noqa: E402
from localnet_answers import Tool, expect, expect_equal, print_results  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

question = json.load(sys.stdin)
URL, NETUID = question["url"], question["netuid"]
sdk, command_line = Tool("bittensor"), Tool("bittensor", "btcli of bittensor")
subtensor = bt.Subtensor(URL)


def wallet(name, coldkey, hotkey):
    made = bt.Wallet(name, path=os.path.join(home, "wallets"))
    for file, uri in ((made.coldkey_file, coldkey), (made.coldkeypub_file, coldkey), (made.hotkey_file, hotkey)):
        file.set_keypair(Keypair.create_from_uri(uri), encrypt=False, overwrite=True)
    return made


def rpc(method, *parameters):
    """Sends a request that controls the chain."""
    with websockets.sync.client.connect(URL) as connection:
        connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}))
        return json.loads(connection.recv())["result"]


def mine():
    """Produces a block as soon as an extrinsic is pending."""
    while True:
        if rpc("author_pendingExtrinsics"):
            rpc("dev_mine", 1)
        time.sleep(0.02)


def successful(submit):
    """Submits a transaction, and returns its result if it succeeded. Submits it again if its nonce is outdated: of the
    two nonces that a shielded transaction uses, the SDK remembers one, until a transaction is refused."""
    try:
        return submit().raise_for_failure()
    except Exception as error:  # noqa: BLE001
        if "nonce" not in str(error):
            raise
        return submit().raise_for_failure()


def done(intent, who):
    """Carries out an intent, and returns its result if it succeeded."""
    return successful(lambda: subtensor.execute(intent, who))


def free(address):
    return subtensor.balances.get(address).rao


def stake(who, hotkey, netuid=NETUID):
    return subtensor.staking.get(who, hotkey, netuid).rao


def sudo(module, function, **parameters):
    """Makes a call as root."""
    call = subtensor.compose(getattr(getattr(calls, module), function)(**parameters))
    successful(lambda: subtensor.submit_call(calls.Sudo.sudo(call=call), alice))


alice, bob = wallet("alice", "//Alice", "//AliceHotkey"), wallet("bob", "//Bob", "//BobHotkey")
charlie = wallet("charlie", "//Charlie", "//CharlieHotkey")
ALICE, BOB = (who.coldkeypub.ss58_address for who in (alice, bob))
HOTKEY, OTHER = (who.hotkey.ss58_address for who in (alice, bob))
DAVE = Keypair.create_from_uri("//Dave").ss58_address
threading.Thread(target=mine, daemon=True).start()


@sdk("connect, block number")
def _():
    expect(subtensor.block > 0 and subtensor.spec_version > 0, subtensor.block)


@sdk("balance")
def _():
    expect_equal(free(BOB), 1_000_000_000_000_000)


@sdk("transfer")
def _():
    before = free(DAVE)
    done(bt.Transfer(dest_ss58=DAVE, amount_tao=1.5), alice)
    expect_equal(free(DAVE) - before, 1_500_000_000)


@sdk("burned register, with the MEV shield")
def _():
    for who in (alice, bob):
        done(bt.BurnedRegister(netuid=NETUID), who)
    expect_equal([subtensor.neurons.uid(hotkey, NETUID) for hotkey in (HOTKEY, OTHER)], [1, 2])


@sdk("root register")
def _():
    # Otherwise, the owner of the subnet becomes the child of Alice's hotkey, which then validates without stake.
    call = calls.SubtensorModule.set_auto_parent_delegation_enabled(hotkey=HOTKEY, enabled=False)
    successful(lambda: subtensor.submit_call(call, alice))
    done(bt.RootRegister(), alice)
    expect_equal(subtensor.neurons.uid(HOTKEY, 0), 0)


@sdk("neurons, metagraph")
def _():
    expect_equal([neuron.hotkey for neuron in subtensor.neurons.all(NETUID)][1:], [HOTKEY, OTHER])
    expect_equal([neuron.hotkey for neuron in subtensor.subnets.metagraph(NETUID).neurons][1:], [HOTKEY, OTHER])


@sdk("subnets, hyperparameters")
def _():
    expect_equal([subnet.netuid for subnet in subtensor.subnets.all()], list(range(60)))
    expect_equal(subtensor.subnets.subnet_hyperparameters(NETUID)["kappa"], 32_767)


@sdk("serve axon")
def _():
    done(bt.ServeAxon(netuid=NETUID, ip="203.0.113.7", port=8099), bob)
    axon = subtensor.query(storage.SubtensorModule.Axons, [NETUID, OTHER])
    expect_equal((axon["ip"], axon["port"]), (0xCB007107, 8099))


@sdk("commitment set, get, all")
def _():
    info = {"fields": [[{"Raw5": b"hello"}]]}
    call = calls.Commitments.set_commitment(netuid=NETUID, info=info)
    subtensor.submit_call(call, bob, signer="hotkey").raise_for_failure()
    expect_equal(subtensor.identity.commitment(NETUID, OTHER).data, "hello")
    expect_equal([row["hotkey"] for row in subtensor.identity.commitments(NETUID)], [OTHER])


@sdk("stake add, remove")
def _():
    # The next epoch, which pays stake, is then ten blocks away.
    rpc("dev_epoch", NETUID)
    done(bt.AddStake(hotkey_ss58=HOTKEY, netuid=NETUID, amount_tao=20), alice)
    held = stake(ALICE, HOTKEY)
    expect(held > 100_000_000_000, held)
    done(bt.RemoveStake(hotkey_ss58=HOTKEY, netuid=NETUID, amount_alpha=50), alice)
    expect(held - stake(ALICE, HOTKEY) > 49_000_000_000, held)


@sdk("stake move")
def _():
    move = {"origin_hotkey_ss58": HOTKEY, "origin_netuid": NETUID, "dest_hotkey_ss58": OTHER, "dest_netuid": NETUID}
    done(bt.MoveStake(**move, amount_alpha=10), alice)
    expect(stake(ALICE, OTHER) > 9_900_000_000, stake(ALICE, OTHER))


@sdk("stake value of a coldkey")
def _():
    value = subtensor.staking.stake_value_for_coldkey(ALICE)
    expect(value.stake_value.tao > 1, value)


@sdk("delegate take")
def _():
    done(bt.SetTake(hotkey_ss58=HOTKEY, take=0.09), alice)
    expect_equal(round(subtensor.delegation.delegate_take(HOTKEY)["take"], 4), 0.09)


@sdk("weights")
def _():
    # Validator permits are granted at an epoch.
    rpc("dev_epoch", NETUID)
    sudo("AdminUtils", "sudo_set_weights_set_rate_limit", netuid=NETUID, weights_set_rate_limit=0)
    rpc("dev_mine", 1)
    done(bt.SetWeights(netuid=NETUID, uids=[2], weights=[1.0]), alice)
    expect_equal(subtensor.query(storage.SubtensorModule.Weights, [NETUID, 1]), [(2, 65_535)])


@sdk("weights with commit-reveal")
def _():
    sudo("AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=NETUID, enabled=True)
    rpc("dev_mine", 1)
    done(bt.SetWeights(netuid=NETUID, uids=[2], weights=[1.0]), alice)
    commits = subtensor.query_map(storage.SubtensorModule.TimelockedWeightCommits, [NETUID])
    expect(HOTKEY in str(commits), commits)
    # To a round whose pulse is known. The chain reveals the weights in the next epoch.
    rpc("dev_setStorage", [[known_round.KEY, "0x" + known_round.PULSE.hex()]])
    with mock.patch.object(intents.weights._core, "get_encrypted_commit_v2", known_round.seal_weights):
        done(bt.SetWeights(netuid=NETUID, uids=[0], weights=[1.0]), alice)
    rpc("dev_epoch", NETUID)
    expect_equal(subtensor.query(storage.SubtensorModule.Weights, [NETUID, 1]), [(0, 65_535)])
    sudo("AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=NETUID, enabled=False)


@sdk("subnet registration")
def _():
    sudo("AdminUtils", "sudo_set_network_rate_limit", rate_limit=0)
    done(bt.RegisterSubnet(), bob)
    expect_equal(subtensor.subnets.all()[-1].netuid, 60)


@sdk("all reads")
def _():
    arguments = {
        "account_ss58": ALICE, "amount_alpha": 1.0, "amount_tao": 1.0, "block": subtensor.block,
        "call_hash": "0x" + "00" * 32, "coldkey_ss58": ALICE, "coldkey_ss58s": [ALICE], "crowdloan_id": 0,
        "hotkey_ss58": HOTKEY, "hotkey_ss58s": [HOTKEY], "lease_id": 0, "lite": True, "mechid": 0, "netuid": NETUID,
        "netuids": [NETUID], "uid": 1,
    }
    reads = subtensor.reads()
    expect(len(reads) > 100, reads)
    for read in reads:
        subtensor.read(read["name"], **{name: arguments[name] for name in read["params"]})
    expect_equal(subtensor.read("total_alpha_staked", netuid=0).rao, 0)
    staked = [stake(who, hotkey) for who in (ALICE, BOB) for hotkey in (HOTKEY, OTHER)]
    expect(subtensor.read("total_alpha_staked", netuid=NETUID).rao >= sum(staked), staked)


def btcli(*arguments, who="alice"):
    """Runs a command and returns the JSON document that it prints."""
    options = ["--network", URL, "--wallet", who, "--wallet-path", os.path.join(home, "wallets"), "--json"]
    ran = CliRunner().invoke(app, [*arguments[0].split(), *map(str, arguments[1:]), *options])
    if ran.exit_code != 0:
        raise RuntimeError(f"{ran.exit_code}: {ran.output} {ran.exception!r}"[-600:])
    return json.loads(ran.stdout)


@command_line("wallet balance, overview, inspect")
def _():
    expect_equal(btcli("wallet balance", who="bob")["coldkey"], BOB)
    (overview,) = btcli("wallet overview", who="bob")
    expect_equal(overview["coldkey"], BOB)
    expect_equal(btcli("wallet inspect", who="bob")["balance"]["coldkey"], BOB)


@command_line("wallet registrations")
def _():
    ((found,),) = (one["hotkeys"] for one in btcli("wallet registrations", who="bob"))
    expect_equal((found["hotkey"], found["registrations"][0]), (OTHER, {"netuid": NETUID, "uid": 2}))


@command_line("wallet transfer")
def _():
    before = free(DAVE)
    btcli("wallet transfer", "--dest", DAVE, "--amount-tao", 2, "--yes", who="bob")
    expect_equal(free(DAVE) - before, 2_000_000_000)


@command_line("subnets list, show")
def _():
    expect_equal([row["netuid"] for row in btcli("subnets list")], list(range(61)))
    expect_equal(btcli("subnets show", NETUID)["owner_coldkey"], ALICE)


@command_line("subnets register")
def _():
    btcli("subnets register", "--netuid", NETUID, "--yes", who="charlie")
    expect_equal(subtensor.neurons.uid(charlie.hotkey.ss58_address, NETUID), 3)


@command_line("subnets hyperparameters, sudo get")
def _():
    shown = btcli("subnets hyperparameters", NETUID), btcli("sudo get", "--netuid", NETUID)
    expect(all("kappa" in str(one) for one in shown), shown)


@command_line("sudo set")
def _():
    # The window before an epoch, in which such changes are refused, is as long as the tempo.
    sudo("AdminUtils", "sudo_set_admin_freeze_window", window=0)
    btcli("sudo set", "--netuid", NETUID, "--name", "tempo", "--value", 400, "--yes", who="alice")
    expect_equal(subtensor.subnets.subnet_hyperparameters(NETUID)["tempo"], 400)


@command_line("query metagraph, delegates, block-time")
def _():
    expect_equal(btcli("query metagraph", "--netuid", NETUID)["hotkeys"][1:3], [HOTKEY, OTHER])
    expect(HOTKEY in [one["hotkey"] for one in btcli("query delegates")], "no delegate")
    expect_equal(btcli("query block-time"), 12.0)


@command_line("root list")
def _():
    expect_equal(btcli("root list")["funds"], [])


@command_line("axon set")
def _():
    btcli("axon set", "--netuid", NETUID, "--ip", "203.0.113.8", "--port", 8098, "--yes", who="charlie")
    axon = subtensor.query(storage.SubtensorModule.Axons, [NETUID, charlie.hotkey.ss58_address])
    expect_equal((axon["ip"], axon["port"]), (0xCB007108, 8098))


@command_line("stake add, list, remove")
def _():
    position = ["--hotkey", OTHER, "--netuid", NETUID]
    before = stake(BOB, OTHER)
    btcli("stake add", *position, "--amount-tao", 10, "--yes", who="bob")
    held = stake(BOB, OTHER)
    expect(held - before > 50_000_000_000, held)
    expect(OTHER in str(btcli("stake list", who="bob")), "no stake")
    btcli("stake remove", *position, "--amount-alpha", 30, "--yes", who="bob")
    expect(held - stake(BOB, OTHER) > 25_000_000_000, held)


@command_line("weights set")
def _():
    rpc("dev_mine", 1)
    btcli("weights set", "--netuid", NETUID, "--uids", "2,3", "--weights", "0.5,0.5", "--yes", who="alice")
    expect_equal(subtensor.query(storage.SubtensorModule.Weights, [NETUID, 1]), [(2, 65_535), (3, 65_535)])


print_results()
# The SDK's connection would keep the process alive.
os._exit(0)
