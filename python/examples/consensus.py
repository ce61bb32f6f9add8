"""Computes an epoch of Yuma consensus: two validators disagree about two miners."""

import taonet

MAX, EMISSION = 65_535, 1_000_000_000
output = taonet.yuma({
    "n": 4,
    "block": 400,
    "tempo": 360,
    "activity_cutoff": 5_000,
    "emission": EMISSION,
    # Uids 0 and 1 validate, 2 and 3 mine.
    "stake": [600, 400, 0, 0],
    "stake_threshold": 0,
    "max_validators": 2,
    "validator_permit": [True, True, False, False],
    "last_update": [390, 390, 0, 0],
    "block_at_registration": [0, 0, 0, 0],
    "weights": [[(2, MAX), (3, 0)], [(2, 0), (3, MAX)], [], []],
    "bonds": [[], [], [], []],
    "kappa": MAX // 2,
    "bonds_penalty": MAX,
    "bonds_moving_average": 900_000,
    "yuma3": True,
    "liquid_alpha": False,
    "alpha_low": 45_875,
    "alpha_high": 58_982,
    "alpha_sigmoid_steepness": 1_000,
})
for uid, emission in enumerate(output["emission"]):
    print(f"uid {uid}: {emission / EMISSION:.0%} of the emission")
