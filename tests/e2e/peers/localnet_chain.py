"""A development chain on a manual clock (dev_mine), its epochs, and the exact oracle in vectors/yuma.

Reads {"url", "netuid", "seed", "oracle", ...} from standard input.
"""
import importlib.util
import json
import os
import random
import sys

from async_substrate_interface.sync_substrate import SubstrateInterface
from bittensor_wallet import Keypair

question = json.load(sys.stdin)
NETUID = question["netuid"]
spec = importlib.util.spec_from_file_location("oracle", question["oracle"])
oracle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)

chain = SubstrateInterface(url=question["url"], ss58_format=42)
rng = random.Random(question["seed"])
ALICE = Keypair.create_from_uri("//Alice")


def plain(value):
    return getattr(value, "value", value)


def read(item, *keys, at=None):
    return plain(chain.query("SubtensorModule", item, list(keys), block_hash=at))


def mine(count):
    chain.rpc_request("dev_mine", [count])


def submit(signer, module, function, parameters, sudo=False):
    """Sends a call, mines a block, and checks for success."""
    call = chain.compose_call(module, function, parameters)
    if sudo:
        call = chain.compose_call("Sudo", "sudo", {"call": call})
    extrinsic = chain.create_signed_extrinsic(call, signer)
    chain.rpc_request("author_submitExtrinsic", [str(extrinsic.data)])
    mine(1)
    head = chain.get_chain_head()
    outcome = [plain(e)["event"] for e in chain.get_events(head)]
    failed = [e for e in outcome if e["event_id"] == "ExtrinsicFailed"]
    if failed:
        raise RuntimeError(f"{module}.{function}{parameters}: {failed}")
    for event in outcome:
        if event["event_id"] == "Sudid" and "Ok" not in json.dumps(event["attributes"]):
            raise RuntimeError(f"{module}.{function}{parameters}: {event}")


def admin(function, **parameters):
    submit(ALICE, "AdminUtils", function, parameters, sudo=True)


def print_and_exit(answer):
    """Prints the result and exits immediately: the client's connection would keep the process alive."""
    print(json.dumps(answer), flush=True)
    os._exit(0)


def part(stake, parts):
    """Returns the part of a stake, with 32 fraction bits, truncated after each operation as on the chain."""
    return (stake << 32) * ((parts << 64) // ((2**64 - 1) << 32)) >> 32


def inherited(hotkey, netuid, at):
    """Returns the stake with which a hotkey validates: minus its children's part, plus its parents' parts."""
    def own(key):
        return read("TotalHotkeyAlpha", key, netuid, at=at)

    stake = own(hotkey) << 32
    stake -= sum(part(own(hotkey), parts) for parts, _ in read("ChildKeys", hotkey, NETUID, at=at))
    stake += sum(part(own(parent), parts) for parts, parent in read("ParentKeys", hotkey, NETUID, at=at))
    return stake >> 32


def stake_of(hotkey, tao_weight, at):
    """Returns the stake of a hotkey in alpha, and its weighted TAO on root."""
    return inherited(hotkey, NETUID, at), inherited(hotkey, 0, at) * tao_weight // 2**64


def inputs(at, block):
    """Reads the inputs of the epoch of `block` from the preceding state."""
    n = read("SubnetworkN", NETUID, at=at)
    tempo = read("Tempo", NETUID, at=at)
    tao_weight = read("TaoWeight", at=at)
    hotkeys = [read("Keys", NETUID, uid, at=at) for uid in range(n)]
    stake = [sum(stake_of(hotkey, tao_weight, at)) for hotkey in hotkeys]
    owner = read("SubnetOwnerHotkey", NETUID, at=at)
    low, high = read("AlphaValues", NETUID, at=at)
    return {
        "n": n,
        "block": block,
        "tempo": tempo,
        "activity_cutoff": max(1, read("ActivityCutoffFactorMilli", NETUID, at=at) * tempo // 1000),
        "last_mechanism_step": read("LastMechansimStepBlock", NETUID, at=at),
        "emission": 0,
        "stake": stake,
        "stake_threshold": read("StakeThreshold", at=at),
        "owner_uid": hotkeys.index(owner) if owner in hotkeys else None,
        "max_validators": read("MaxAllowedValidators", NETUID, at=at),
        "validator_permit": read("ValidatorPermit", NETUID, at=at),
        "last_update": read("LastUpdate", NETUID, at=at),
        "block_at_registration": [read("BlockAtRegistration", NETUID, uid, at=at) for uid in range(n)],
        "commit_blocks": None,
        "weights": [[list(w) for w in read("Weights", NETUID, uid, at=at)] for uid in range(n)],
        "bonds": [[list(b) for b in read("Bonds", NETUID, uid, at=at)] for uid in range(n)],
        "kappa": read("Kappa", NETUID, at=at),
        "bonds_penalty": read("BondsPenalty", NETUID, at=at),
        "bonds_moving_average": read("BondsMovingAverage", NETUID, at=at),
        "yuma3": read("Yuma3On", NETUID, at=at),
        "liquid_alpha": read("LiquidAlphaOn", NETUID, at=at),
        "alpha_low": low,
        "alpha_high": high,
        "alpha_sigmoid_steepness": read("AlphaSigmoidSteepness", NETUID, at=at),
    }


def set_weights(hotkey, uids):
    """Sets random weights on some of the uids."""
    chosen = rng.sample(uids, rng.randint(1, len(uids)))
    weights = [rng.randint(1, 65535) for _ in chosen]
    parameters = {"netuid": NETUID, "mecid": 0, "dests": chosen, "weights": weights, "version_key": 0}
    submit(hotkey, "SubtensorModule", "set_mechanism_weights", parameters)


def mine_to_epoch():
    """Mines blocks up to the next epoch; returns its parent's hash and its own."""
    before = read("SubnetEpochIndex", NETUID)
    while True:
        parent = chain.get_chain_head()
        mine(1)
        if read("SubnetEpochIndex", NETUID) != before:
            return parent, chain.get_chain_head()


def compare_epoch(parent, at):
    """Compares an epoch with the oracle's, and returns it. If the two differ, prints both and exits."""
    block = chain.get_block_number(at)
    given = inputs(parent, block)
    expected = oracle.run_fixed(given)
    actual = {
        "incentive": read("Incentive", NETUID, at=at),
        "dividends": read("Dividends", NETUID, at=at),
        "consensus": read("Consensus", NETUID, at=at),
        "validator_permit": read("ValidatorPermit", NETUID, at=at),
        "bonds": [[list(b) for b in read("Bonds", NETUID, uid, at=at)] for uid in range(given["n"])],
    }
    # Only hotkeys with a permit have stored rows.
    wanted = {
        "incentive": list(expected["incentive"]),
        "dividends": list(expected["dividends"]),
        "consensus": list(expected["consensus"]),
        "validator_permit": list(expected["new_validator_permit"]),
        "bonds": [
            [list(b) for b in row] if permit else []
            for row, permit in zip(expected["bonds"], expected["new_validator_permit"])
        ],
    }
    if actual != wanted:
        print_and_exit({"block": block, "actual": actual, "expected": wanted, "input": given})
    return actual


def enable_direct_weights():
    """Lets validators set weights at any time, without commitments."""
    admin("sudo_set_weights_set_rate_limit", netuid=NETUID, weights_set_rate_limit=0)
    admin("sudo_set_commit_reveal_weights_enabled", netuid=NETUID, enabled=False)
