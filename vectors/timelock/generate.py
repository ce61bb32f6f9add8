"""Encrypts weights and texts to published rounds of drand's quicknet with bittensor-drand 2.0.0, and prints the JSON of
timelocked.json. Ciphertexts are randomised: each run prints others. Needs the packages of tests/peers/sdk10.txt."""
import json

import bittensor_drand
from bittensor_wallet import Keypair

# The published signatures, by round.
PULSES = {
    1000: "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39",
    2000: "b6cb8f482a0b15d45936a4c4ea08e98a087e71787caee3f4d07a8a9843b1bc5423c6b3c22f446488b3137eaca799c77e",
}
FIRST, SECOND = (bytes([number, 0, 0, 0]) + bytes([0xAA]) * 28 for number in (1, 2))
OWNER = Keypair.create_from_uri("//Alice_hk").public_key


def compact(length):
    """SCALE form of a length below 16 384."""
    return bytes([length << 2]) if length < 64 else (length << 2 | 1).to_bytes(2, "little")


def numbers(values):
    return compact(len(values)) + b"".join(value.to_bytes(2, "little") for value in values)


def weights(hotkey, uids, values):
    """The plaintext of a commit with version key 3; the older form has no hotkey."""
    owner = b"" if hotkey is None else compact(len(hotkey)) + hotkey
    return owner + numbers(uids) + numbers(values) + (3).to_bytes(8, "little")


def wrapped(plaintext, reveal_round):
    return bittensor_drand.encrypt_at_round(plaintext, reveal_round)[0]


def bare(plaintext, reveal_round):
    """Removes the compact length and the round around the ciphertext."""
    data = wrapped(plaintext, reveal_round)[:-8]
    return data[{0: 1, 1: 2}[data[0] & 3]:]


print(json.dumps({
    "pulses": PULSES,
    "data": {
        "weights": bare(weights(FIRST, [0, 1], [1, 2]), 1000).hex(),
        "weights of round 2000": bare(weights(FIRST, [0, 1], [2, 1]), 2000).hex(),
        "weights without a hotkey": bare(weights(None, [0, 1], [1, 2]), 1000).hex(),
        "weights of another hotkey": bare(weights(SECOND, [0, 1], [1, 2]), 1000).hex(),
        "weights with a repeated uid": bare(weights(FIRST, [0, 0], [1, 2]), 1000).hex(),
        "weights of the owner": bare(weights(OWNER, [0], [7]), 1000).hex(),
        "text": bare(b"speech at 16 kHz", 1000).hex(),
        "text with its round": wrapped(b"speech at 8 kHz", 1000).hex(),
        "nothing": bare(b"", 1000).hex(),
    },
}, indent=2))
