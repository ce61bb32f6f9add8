"""Compares the chain's epochs with the exact oracle in vectors/yuma, on inputs read from the chain.

localnet_epochs.py     reads {"url", "netuid", "epochs", "seed", "oracle"} from standard input; the chain's clock is
                       manual (dev_mine). Prints the number of compared epochs, or the first epoch that differs.
"""
from localnet_chain import (
    ALICE, NETUID, Keypair, admin, compare_epoch, enable_direct_weights, mine_to_epoch, print_and_exit, question, read,
    rng, set_weights, submit,
)

VALIDATORS = [Keypair.create_from_uri(f"//validator/{i}") for i in range(2)]
MINERS = [Keypair.create_from_uri(f"//miner/{i}") for i in range(4)]

# A network of two validators with stake and four miners.
enable_direct_weights()
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
    permits = read("ValidatorPermit", NETUID)
    miners = [read("Uids", NETUID, key.ss58_address) for key in MINERS]
    for key in VALIDATORS:
        uid = read("Uids", NETUID, key.ss58_address)
        if permits[uid] and rng.random() < 0.8:
            set_weights(key, miners)
            weights_set += 1
    if rng.random() < 0.1:
        admin("sudo_set_yuma3_enabled", netuid=NETUID, enabled=rng.random() < 0.5)
    actual = compare_epoch(*mine_to_epoch())
    compared += 1
    with_incentive += any(actual["incentive"])
print_and_exit({"compared": compared, "with_incentive": with_incentive, "weights_set": weights_set})
