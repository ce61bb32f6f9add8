"""Timelock encryption by bittensor_drand (SDK 10) or bittensor_core (SDK 11), for tests.

Takes {"open": [{data, signature}], "seal": [{data, round}], "schedules": [arguments of get_encrypted_commit_v2]} on
standard input; bytes are hex. Answers with lists of the same lengths; a schedule's answer has the round and between
which times, in Unix seconds, it was computed.
"""
import json
import sys
import time

try:
    import bittensor_drand as timelock
except ImportError:
    import bittensor_core as timelock


def schedule(arguments):
    before = time.time()
    commit, reveal_round = timelock.get_encrypted_commit_v2(**{**arguments, "hotkey": bytes.fromhex(arguments["hotkey"])})
    return {"commit": commit.hex(), "round": reveal_round, "before": before, "after": time.time()}


question = json.load(sys.stdin)
print(json.dumps({
    "open": [
        timelock.decrypt_with_signature(bytes.fromhex(case["data"]), case["signature"]).hex() for case in question["open"]
    ],
    "seal": [
        timelock.encrypt_at_round(bytes.fromhex(case["data"]), case["round"])[0].hex() for case in question["seal"]
    ],
    "schedules": [schedule(arguments) for arguments in question["schedules"]],
}))
