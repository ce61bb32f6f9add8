"""The SDK 10, configured for tests, and message classes that both sides use."""

import os
import sys
from typing import ClassVar, Optional

# The SDK parses sys.argv itself.
sys.argv = sys.argv[:1]
os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

import bittensor as bt  # noqa: E402
from bittensor.utils import networking  # noqa: E402
from bittensor_wallet import Keypair  # noqa: E402

# Otherwise the SDK queries a public service.
networking.get_external_ip = lambda: "127.0.0.1"


class EchoSynapse(bt.Synapse):
    prompt: str
    answer: Optional[str] = None
    required_hash_fields: ClassVar[tuple[str, ...]] = ("prompt",)


def keypair(uri):
    return Keypair.create_from_uri(uri)


def axon_info(hotkey, port):
    return bt.AxonInfo(version=10_005_000, ip="127.0.0.1", port=port, ip_type=4, hotkey=hotkey, coldkey=hotkey)
