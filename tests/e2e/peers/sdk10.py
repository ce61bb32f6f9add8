"""An axon and a dendrite of bittensor 10, for tests.

sdk10.py serve         an axon with //Bob's hotkey; prints its port, and exits when its standard input ends
sdk10.py call          a dendrite with //Alice's hotkey that calls {"port", "hotkey"}; prints the responses
"""
import asyncio
import contextlib
import json
import os
import random
import socket
import sys
import time
from types import SimpleNamespace
from typing import ClassVar, Optional

# The SDK parses sys.argv itself.
MODE, sys.argv = sys.argv[1], sys.argv[:1]
os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

import bittensor as bt  # noqa: E402
from bittensor.core.axon import Axon  # noqa: E402
from bittensor.core.dendrite import Dendrite  # noqa: E402
from bittensor.utils import networking  # noqa: E402
from bittensor_wallet import Keypair  # noqa: E402
from starlette.responses import StreamingResponse  # noqa: E402

# Otherwise the SDK queries a public service.
networking.get_external_ip = lambda: "127.0.0.1"


class EchoSynapse(bt.Synapse):
    prompt: str
    answer: Optional[str] = None
    required_hash_fields: ClassVar[tuple[str, ...]] = ("prompt",)


class StreamSynapse(bt.StreamingSynapse):
    prompt: str
    completion: str = ""
    required_hash_fields: ClassVar[tuple[str, ...]] = ("prompt",)

    async def process_streaming_response(self, response):
        async for chunk in response.content.iter_any():
            self.completion += chunk.decode()
            yield chunk.decode()

    def deserialize(self):
        return self.completion

    def extract_response_json(self, response):
        return {"prompt": self.prompt, "completion": self.completion}


def echo(synapse: EchoSynapse) -> EchoSynapse:
    synapse.answer = synapse.prompt
    return synapse


def stream(synapse: StreamSynapse) -> StreamSynapse:
    async def words(send):
        for word in synapse.prompt.split(" "):
            await send({"type": "http.response.body", "body": f"{word} ".encode(), "more_body": True})

    return synapse.create_streaming_response(words)


def free_port():
    """A free port, below those that the system chooses: no connection gets it before the axon listens."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def serve():
    port = free_port()
    wallet = SimpleNamespace(hotkey=Keypair.create_from_uri("//Bob"))
    axon = Axon(wallet=wallet, port=port, ip="127.0.0.1", external_ip="127.0.0.1")
    axon.attach(forward_fn=echo).attach(forward_fn=stream).start()
    while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
        time.sleep(0.05)
    print(json.dumps({"port": port, "hotkey": wallet.hotkey.ss58_address}), flush=True)
    sys.stdin.read()
    axon.stop()


class Forger(Dendrite):
    """Modifies a signed field."""

    change = None

    def preprocess_synapse_for_request(self, *args, **kwargs):
        synapse = super().preprocess_synapse_for_request(*args, **kwargs)
        if self.change is not None:
            self.change(synapse)
        return synapse


def forged_prompt(synapse):
    synapse.prompt = "something else"


def forged_nonce(synapse):
    synapse.dendrite.nonce += 1


def forged_uuid(synapse):
    synapse.dendrite.uuid = "11111111-1111-1111-1111-111111111111"


def forged_signature(synapse):
    synapse.dendrite.signature = "0x" + "11" * 64


def no_signature(synapse):
    synapse.dendrite.signature = ""


async def call(port, hotkey):
    def axon(hotkey):
        return bt.AxonInfo(
            version=10_005_000, ip="127.0.0.1", port=port, ip_type=4, hotkey=hotkey, coldkey=hotkey)

    async def ask(dendrite, synapse, target=hotkey):
        answer = await dendrite.call(axon(target), synapse, timeout=10, deserialize=False)
        return answer, [answer.dendrite.status_code, answer.dendrite.status_message]

    results = {}
    dendrite = Forger(wallet=Keypair.create_from_uri("//Alice"))
    _, results["ping"] = await ask(dendrite, bt.Synapse())
    answer, results["echo"] = await ask(dendrite, EchoSynapse(prompt="hello τ"))
    results["answer"], results["seen"] = answer.answer, answer.axon.process_time is not None
    chunks = []
    async for chunk in dendrite.call_stream(axon(hotkey), StreamSynapse(prompt="a b c"), timeout=10, deserialize=False):
        chunks.append(chunk)
    results["stream"] = ["".join(chunk for chunk in chunks if isinstance(chunk, str)), chunks[-1].dendrite.status_code]
    _, results["unknown"] = await ask(dendrite, type("Unknown", (bt.Synapse,), {})())
    _, results["receiver"] = await ask(
        dendrite, EchoSynapse(prompt="x"), Keypair.create_from_uri("//Charlie").ss58_address)
    for change in (forged_prompt, forged_nonce, forged_uuid, forged_signature, no_signature):
        dendrite.change = change
        _, results[change.__name__] = await ask(dendrite, EchoSynapse(prompt="x"))
    await dendrite.aclose_session()
    return results


if MODE == "serve":
    serve()
else:
    question = json.load(sys.stdin)
    print(json.dumps(asyncio.run(call(question["port"], question["hotkey"]))))
