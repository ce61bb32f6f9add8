"""Signatures and signed texts."""
import hashlib
import json
import re
import time
import uuid

from bittensor_wallet import Keypair

BARE_HEX = re.compile(r"[0-9a-f]{128}")


def keypair(uri):
    return Keypair.create_from_uri(uri)


def verify(hotkey, text, signature):
    """Whether a hex signature without `0x` over a text is by a hotkey."""
    return bool(BARE_HEX.fullmatch(signature)) and Keypair(ss58_address=hotkey).verify(text.encode(), bytes.fromhex(signature))


def sign(pair, text):
    return pair.sign(text.encode()).hex()


def sorted_json(value):
    """Canonical JSON (sorted keys, no spaces, ASCII) that callers of scoring API and arena gateway sign."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def body_hash(payload):
    """The hash of a message to a managed miner: over compact JSON, which is not what is sent."""
    return hashlib.sha256(json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


NAMES = {
    "init": "BBAudioMinerInitPayload", "predict": "BBAudioMinerPredictPayload", "text": "BBPredictedUtterance",
}


class Dendrite:
    """Signs messages to miners."""

    def __init__(self, uri):
        self.pair = keypair(uri)
        self.uuid = str(uuid.uuid4())
        self.last = 0

    def headers(self, miner, payload, *, ip="127.0.0.1", port=0, timeout=10.0, hashed=False):
        # Two calls can have the same clock value.
        self.last = max(time.time_ns(), self.last + 1)
        digest = body_hash(payload) if hashed else ""
        text = f"{self.last}.{self.pair.ss58_address}.{miner}.{self.uuid}.{digest}"
        # Requests of the text contest have no kind.
        name = NAMES[payload.get("kind", "text")]
        return {
            "Content-Type": "application/json",
            "bt_header_dendrite_nonce": str(self.last),
            "bt_header_dendrite_hotkey": self.pair.ss58_address,
            "bt_header_dendrite_signature": "0x" + sign(self.pair, text),
            "bt_header_dendrite_uuid": self.uuid,
            "bt_header_dendrite_ip": "127.0.0.1",
            "bt_header_dendrite_version": "7002000",
            "bt_header_axon_hotkey": miner,
            "bt_header_axon_ip": ip,
            "bt_header_axon_port": str(port),
            "timeout": str(timeout),
            "name": name,
            "computed_body_hash": digest,
        }
