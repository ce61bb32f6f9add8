"""Verification of requests, compared with the SDK's axon in one run, by CPU time: other processes may run meanwhile.

python test_speed.py     prints the figures
"""

import asyncio
import json
import statistics
import time
import unittest
from types import SimpleNamespace

import taonet
from sdk import EchoSynapse, bt, keypair
from support import ALICE, BOB, dendrite, exchange, scope

MIN_RATIO = 10
ROUNDS, OURS, THEIRS = 5, 400, 40
BODY = json.dumps({"prompt": "hello"})


def echo(synapse: EchoSynapse) -> EchoSynapse:
    return synapse


async def answer(_scope, receive, send):
    synapse = json.loads((await receive())["body"])
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(synapse).encode()})


async def seconds_per_request(app, count):
    """Sends signed requests, all prepared in advance, one after another. Returns the CPU time of each."""
    signer = taonet.Signer(ALICE, dendrite())
    peer = taonet.Peer(BOB.address, "127.0.0.1", 8_091)
    requests = [scope("/EchoSynapse", signer.headers(peer, "/EchoSynapse", BODY)) for _ in range(count)]
    started = time.process_time()
    for request in requests:
        status, _, body = await exchange(app, request, (BODY.encode(),))
        assert status == 200, body
    return (time.process_time() - started) / count


async def compare():
    axon = bt.Axon(wallet=SimpleNamespace(hotkey=keypair("//Bob")), port=8_091, ip="127.0.0.1", external_ip="127.0.0.1")
    theirs = axon.attach(forward_fn=echo).app
    ours = taonet.SignedMiddleware(answer, hotkey=BOB.address, scheme=dendrite())
    both = []
    for _ in range(ROUNDS):
        both.append((await seconds_per_request(ours, OURS), await seconds_per_request(theirs, THEIRS)))
    return both


class Speed(unittest.TestCase):
    def test_requests_are_verified_ten_times_as_fast_as_by_the_sdk(self):
        both = asyncio.run(compare())
        ratio = statistics.median(theirs / ours for ours, theirs in both)
        ours, theirs = (statistics.median(times) for times in zip(*both))
        print(f"\nours {1 / ours:.0f} requests per CPU second, SDK {1 / theirs:.0f}, ratio {ratio:.1f}")
        self.assertGreaterEqual(ratio, MIN_RATIO)


if __name__ == "__main__":
    unittest.main()
