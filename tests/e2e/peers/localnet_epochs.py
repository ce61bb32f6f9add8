"""Compares the chain's epochs with the exact oracle in vectors/yuma, on inputs read from the chain.

localnet_epochs.py     reads {"url", "netuid", "epochs", "seed", "oracle"} from standard input; the chain's clock is
                       manual (dev_mine). Says how many epochs were compared, or where they first differ.
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
VALIDATORS = [Keypair.create_from_uri(f"//validator/{i}") for i in range(2)]
MINERS = [Keypair.create_from_uri(f"//miner/{i}") for i in range(4)]
ALICE = Keypair.create_from_uri("//Alice")


def plain(value):
    return getattr(value, "value", value)


def read(item, *keys, at=None):
    return plain(chain.query("SubtensorModule", item, list(keys), block_hash=at))


def mine(count):
    chain.rpc_request("dev_mine", [count])


def height():
    return chain.get_block_number(chain.get_chain_head())


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


def say(answer):
    """Prints the result and exits immediately: the client's connection would keep the process alive."""
    print(json.dumps(answer), flush=True)
    os._exit(0)


def inputs(at, block):
    """Reads the inputs of the epoch of `block` from the preceding state."""
    n = read("SubnetworkN", NETUID, at=at)
    tempo = read("Tempo", NETUID, at=at)
    tao_weight = read("TaoWeight", at=at)
    hotkeys = [read("Keys", NETUID, uid, at=at) for uid in range(n)]
    stake = []
    for hotkey in hotkeys:
        alpha = read("TotalHotkeyAlpha", hotkey, NETUID, at=at)
        root = read("TotalHotkeyAlpha", hotkey, 0, at=at)
        stake.append(alpha + root * tao_weight // 2**64)
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


# A network of two validators with stake and four miners.
admin("sudo_set_weights_set_rate_limit", netuid=NETUID, weights_set_rate_limit=0)
admin("sudo_set_commit_reveal_weights_enabled", netuid=NETUID, enabled=False)
for key in VALIDATORS + MINERS:
    submit(ALICE, "SubtensorModule", "burned_register", {"netuid": NETUID, "hotkey": key.ss58_address})
for number, key in enumerate(VALIDATORS):
    submit(
        ALICE,
        "SubtensorModule",
        "add_stake",
        {"hotkey": key.ss58_address, "netuid": NETUID, "amount_staked": (number + 2) * 10**11},
    )
    # Setting weights is free, but requires an existing account.
    submit(ALICE, "Balances", "transfer_keep_alive", {"dest": key.ss58_address, "value": 10**9})

compared, with_incentive, weights_set = 0, 0, 0
while compared < question["epochs"]:
    n = read("SubnetworkN", NETUID)
    permits = read("ValidatorPermit", NETUID)
    miners = [read("Uids", NETUID, key.ss58_address) for key in MINERS]
    for key in VALIDATORS:
        uid = read("Uids", NETUID, key.ss58_address)
        if permits[uid] and rng.random() < 0.8:
            chosen = rng.sample(miners, rng.randint(1, len(miners)))
            weights = [rng.randint(1, 65535) for _ in chosen]
            submit(
                key,
                "SubtensorModule",
                "set_mechanism_weights",
                {"netuid": NETUID, "mecid": 0, "dests": chosen, "weights": weights, "version_key": 0},
            )
            weights_set += 1
    if rng.random() < 0.1:
        admin("sudo_set_yuma3_enabled", netuid=NETUID, enabled=rng.random() < 0.5)
    before = read("SubnetEpochIndex", NETUID)
    while True:
        parent = chain.get_chain_head()
        mine(1)
        if read("SubnetEpochIndex", NETUID) != before:
            break
    at, block = chain.get_chain_head(), height()
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
        say({"epoch": compared, "block": block, "actual": actual, "expected": wanted, "input": given})
    compared += 1
    with_incentive += any(actual["incentive"])
say({"compared": compared, "with_incentive": with_incentive, "weights_set": weights_set})
