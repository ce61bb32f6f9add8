"""Encrypts to a round of drand's quicknet whose pulse is known. The SDKs choose a later round, whose pulse a test cannot
fetch."""
import hashlib

try:
    import bittensor_drand as timelock
except ImportError:
    import bittensor_core as timelock

ROUND = 1000
SIGNATURE = bytes.fromhex(
    "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"
)


def compact(length):
    """SCALE form of a length below 16 384."""
    return bytes([length << 2]) if length < 64 else (length << 2 | 1).to_bytes(2, "little")


def octets(value):
    return compact(len(value)) + value


def numbers(values):
    return compact(len(values)) + b"".join(value.to_bytes(2, "little") for value in values)


# Storage key of the pulse, and the pulse as the chain stores it.
KEY = "0xa285cdb66e8b8524ea70b1693c7b1e050d8e70fd32bfb1639703f9a23d15b15e646b8858c86fefefe34a7c69e60c9917e803000000000000"
PULSE = ROUND.to_bytes(8, "little") + octets(hashlib.sha256(SIGNATURE).digest()) + octets(SIGNATURE)


def seal(plaintext):
    """Returns the ciphertext, without the length before it and the round after it, and the round."""
    wrapped, reveal_round = timelock.encrypt_at_round(plaintext, ROUND)
    return wrapped[1 if wrapped[0] & 3 == 0 else 2:-8], reveal_round


def seal_weights(uids, weights, version_key, hotkey, **_schedule):
    """Takes the place of `get_encrypted_commit_v2`."""
    return seal(octets(bytes(hotkey)) + numbers(uids) + numbers(weights) + version_key.to_bytes(8, "little"))


def seal_text(text, _blocks_until_reveal, _block_time):
    """Takes the place of `get_encrypted_commitment`."""
    return seal(octets(text.encode()))
