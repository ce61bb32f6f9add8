"""Compares the numbers of 16 neurons in the chain's storage, in the metagraph of SDK 10, and in `tao metagraph`.

localnet_numbers.py    reads {"url", "netuid", "epochs", "seed", "oracle", "tao"} from standard input; the chain's clock
                       is manual (dev_mine). Four validators have takes, root stake and children; one of them sets no
                       weights, and earns through its child. Each epoch is also compared with the oracle. Prints
                       counts of what was compared, and the block and numbers of each epoch; or the first numbers that
                       differ.
"""
import json
import subprocess

import bittensor
from bittensor.core.settings import ROOT_TAO_STAKE_WEIGHT
from localnet_chain import (
    ALICE, NETUID, Keypair, chain, compare_epoch, enable_direct_weights, inherited, mine, mine_to_epoch,
    print_and_exit, question, read, set_weights, stake_of, submit,
)

TAO = 10**9
COLDKEYS = [Keypair.create_from_uri(f"//cold/{i}") for i in range(4)]
VALIDATORS = [Keypair.create_from_uri(f"//validator/{i}") for i in range(4)]
MINERS = [Keypair.create_from_uri(f"//miner/{i}") for i in range(11)]
# The parent that sets no weights.
SILENT = VALIDATORS[1]
BOB = Keypair.create_from_uri("//Bob")
subtensor = bittensor.Subtensor(network=question["url"])


def stake(coldkey, hotkey, netuid, tao):
    parameters = {"hotkey": hotkey.ss58_address, "netuid": netuid, "amount_staked": tao * TAO}
    submit(coldkey, "SubtensorModule", "add_stake", parameters)


def call(coldkey, function, **parameters):
    submit(coldkey, "SubtensorModule", function, parameters)


def set_storage(item, value):
    key = chain.create_storage_key("SubtensorModule", item, [NETUID])
    chain.rpc_request("dev_setStorage", [[[key.to_hex(), "0x" + value.hex()]]])


def set_up():
    enable_direct_weights()
    for coldkey, hotkey in zip(COLDKEYS, VALIDATORS):
        submit(ALICE, "Balances", "transfer_keep_alive", {"dest": coldkey.ss58_address, "value": 2_000 * TAO})
        # Setting weights is free, but requires an existing account.
        submit(ALICE, "Balances", "transfer_keep_alive", {"dest": hotkey.ss58_address, "value": TAO})
        call(coldkey, "burned_register", netuid=NETUID, hotkey=hotkey.ss58_address)
    for hotkey in MINERS:
        call(ALICE, "burned_register", netuid=NETUID, hotkey=hotkey.ss58_address)
    for number, (coldkey, hotkey) in enumerate(zip(COLDKEYS, VALIDATORS)):
        stake(coldkey, hotkey, NETUID, 200 + 100 * number)
        if number < 3:
            # Otherwise, the owner of the subnet becomes the validator's child.
            call(coldkey, "set_auto_parent_delegation_enabled", hotkey=hotkey.ss58_address, enabled=False)
            call(coldkey, "root_register", hotkey=hotkey.ss58_address)
            stake(coldkey, hotkey, 0, 1_000 - 200 * number)
    for hotkey in VALIDATORS[:2]:
        stake(BOB, hotkey, NETUID, 150)
        stake(BOB, hotkey, 0, 500)
    call(COLDKEYS[0], "decrease_take", hotkey=VALIDATORS[0].ss58_address, take=6_000)
    call(COLDKEYS[2], "set_childkey_take", hotkey=VALIDATORS[2].ss58_address, netuid=NETUID, take=7_000)
    first, silent, third, fourth = (hotkey.ss58_address for hotkey in VALIDATORS)
    call(COLDKEYS[0], "set_children", hotkey=first, netuid=NETUID, children=[(2**62, third), (2**61, fourth)])
    call(COLDKEYS[1], "set_children", hotkey=silent, netuid=NETUID, children=[(2**63, third)])
    while not read("ChildKeys", silent, NETUID):
        mine(1)
    # Root stake receives dividends while the prices of all subnets add up to more than one TAO.
    set_storage("SubnetMovingPrice", (4 << 32).to_bytes(16, "little"))


def stored(at):
    """Reads the neurons' numbers from the chain's storage."""
    n = read("SubnetworkN", NETUID, at=at)
    hotkeys = [read("Keys", NETUID, uid, at=at) for uid in range(n)]
    weight = read("TaoWeight", at=at)
    stakes = [stake_of(hotkey, weight, at) for hotkey in hotkeys]
    return {
        "hotkey": hotkeys,
        "coldkey": [read("Owner", hotkey, at=at) for hotkey in hotkeys],
        "alpha_stake": [alpha for alpha, _ in stakes],
        "tao_stake": [inherited(hotkey, 0, at) for hotkey in hotkeys],
        "total_stake": [alpha + root for alpha, root in stakes],
        "incentive": read("Incentive", NETUID, at=at),
        "dividends": read("Dividends", NETUID, at=at),
        "consensus": read("Consensus", NETUID, at=at),
        "emission": read("Emission", NETUID, at=at),
        "validator_permit": read("ValidatorPermit", NETUID, at=at),
        "last_update": read("LastUpdate", NETUID, at=at),
    }


def of_sdk(block):
    """Reads the same numbers with the SDK, from the document of all fields and from the metagraph."""
    info = subtensor.get_metagraph_info(NETUID, block=block)
    graph = subtensor.metagraph(NETUID, lite=False, block=block)
    numbers = {
        "hotkey": list(info.hotkeys),
        "coldkey": list(info.coldkeys),
        "alpha_stake": [amount.rao for amount in info.alpha_stake],
        "tao_stake": [amount.rao for amount in info.tao_stake],
        "total_stake": [amount.rao for amount in info.total_stake],
        "incentive": [round(share * 65_535) for share in info.incentives],
        "dividends": [round(share * 65_535) for share in info.dividends],
        "consensus": [round(share * 65_535) for share in info.consensus],
        "emission": [amount.rao for amount in info.emission],
        "validator_permit": list(info.validator_permit),
        "last_update": list(info.last_update),
    }
    # The metagraph has floating-point numbers of 32 bits.
    for field, values in {"incentive": graph.I, "dividends": graph.D, "consensus": graph.C}.items():
        shares = [round(float(value) * 65_535) for value in values]
        differ("SDK's metagraph", field, shares, numbers[field])
    for field, values in {"total_stake": graph.S, "alpha_stake": graph.AS, "emission": graph.E}.items():
        whole = numbers[field]
        # The emission is that of a tempo in TAO.
        near = [abs(float(value) * TAO - rao) <= 1e-6 * rao + 1 for value, rao in zip(values, whole, strict=True)]
        differ("SDK's metagraph", field, near, [True] * len(whole))
    return numbers


def of_tao(block):
    """Reads the same numbers with `tao metagraph`."""
    command = [question["tao"], "metagraph", str(NETUID), "--block", str(block), "--network", question["url"], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        print_and_exit({"tao": done.stderr})
    return json.loads(done.stdout)["neurons"]


def differ(who, field, actual, wanted):
    if list(actual) != list(wanted):
        print_and_exit({"who": who, "field": field, "actual": list(actual), "wanted": list(wanted)})


def growth_of(parent, at):
    """Compares the growth of each validator's alpha stake with its dividends; returns the root dividends."""
    paid = 0
    for hotkey in VALIDATORS:
        key = hotkey.ss58_address
        grown = read("TotalHotkeyAlpha", key, NETUID, at=at) - read("TotalHotkeyAlpha", key, NETUID, at=parent)
        alpha = read("AlphaDividendsPerSubnet", NETUID, key, at=at)
        root = read("RootAlphaDividendsPerSubnet", NETUID, key, at=at)
        take = read("Delegates", key, at=at) / 65_535
        # The root dividends after the take go to the nominators' basket; the take is staked.
        if abs(grown - alpha - root * take / (1 - take)) > 3:
            print_and_exit({"who": key, "field": "growth", "actual": grown, "wanted": [alpha, root, take]})
        paid += root
    return paid


set_up()
seen = {"compared": 0, "neurons": 0, "with_incentive": 0, "with_root_dividends": 0, "silent_earned": 0}
epochs = []
for _ in range(question["epochs"]):
    permits = read("ValidatorPermit", NETUID)
    miners = [read("Uids", NETUID, key.ss58_address) for key in MINERS]
    for key in VALIDATORS:
        if key is not SILENT and permits[read("Uids", NETUID, key.ss58_address)]:
            set_weights(key, miners)
    parent, at = mine_to_epoch()
    epoch = compare_epoch(parent, at)
    block = chain.get_block_number(at)
    sdk, tao = of_sdk(block), of_tao(block)
    numbers = stored(at)
    epochs.append({"block": block, "numbers": numbers})
    for field, values in numbers.items():
        differ("tao", field, [neuron[field] for neuron in tao], values)
        if field == "tao_stake":
            # The SDK weights it with a constant of its own.
            values = [int(rao * ROOT_TAO_STAKE_WEIGHT) for rao in values]
        differ("SDK", field, sdk[field], values)
    seen["compared"] += 1
    seen["neurons"] = len(tao)
    seen["with_incentive"] += any(epoch["incentive"])
    seen["with_root_dividends"] += growth_of(parent, at) > 0
    seen["silent_earned"] += read("AlphaDividendsPerSubnet", NETUID, SILENT.ss58_address, at=at) > 0
print_and_exit({**seen, "epochs": epochs})
