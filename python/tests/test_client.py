"""Signed requests to the SDK's axon and to our own server."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
import unittest
from types import SimpleNamespace

import taonet
from sdk import EchoSynapse, bt, keypair
from support import ALICE, BOB, Recorder, Server, dendrite

BODY = json.dumps({"prompt": "hello τ"})


def echo(synapse: EchoSynapse) -> EchoSynapse:
    synapse.answer = synapse.prompt
    return synapse


class Silent:
    """A listener that accepts connections and never responds."""

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        return self.socket.getsockname()[1]

    def __exit__(self, *_):
        self.socket.close()


def listens(port):
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def peer(port, key=BOB):
    return taonet.Peer(key.address, "127.0.0.1", port)


class SdkAxon(unittest.TestCase):
    def test_sdk_axon_responds_to_our_client(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        wallet = SimpleNamespace(hotkey=keypair("//Bob"))
        axon = bt.Axon(wallet=wallet, port=port, ip="127.0.0.1", external_ip="127.0.0.1")
        axon.attach(forward_fn=echo).start()
        self.addCleanup(axon.stop)
        client = taonet.SignedClient(ALICE, dendrite(), external_ip="127.0.0.1")
        until = time.monotonic() + 30
        while not listens(port) and time.monotonic() < until:
            time.sleep(0.05)
        response = client.call(peer(port), taonet.Call("/EchoSynapse", BODY))
        self.assertEqual((response.status, response.json()["answer"]), (200, "hello τ"), response.body)
        self.assertEqual(response.header("bt_header_axon_status_code"), "200")
        wrong = client.call(peer(port, taonet.Keypair.from_uri("//Charlie")), taonet.Call("/EchoSynapse", BODY))
        self.assertEqual(wrong.status, 401)


class OurServer(unittest.TestCase):
    def setUp(self):
        self.app, self.scheme = Recorder(), taonet.BtauthScheme()
        server = Server(taonet.SignedMiddleware(self.app, hotkey=BOB.address, scheme=self.scheme))
        self.port = server.__enter__()
        self.addCleanup(server.__exit__)
        self.client = taonet.SignedClient(ALICE, self.scheme)

    def test_calls_to_many_peers_keep_their_order(self):
        with Silent() as silent:
            calls = [
                (peer(self.port), taonet.Call(f"/{number}", f"body {number}", timeout=10.0)) for number in range(20)
            ]
            calls.insert(5, (peer(1), taonet.Call("/", timeout=10.0)))
            calls.insert(9, (peer(silent), taonet.Call("/", timeout=0.3)))
            replies = self.client.call_all(calls)
        self.assertEqual([reply.code for reply in replies].count("Success"), 20)
        bodies = [reply.response.json()["body"] for reply in replies if reply.response]
        self.assertEqual(bodies, [f"body {number}" for number in range(20)])
        refused, late = replies[5], replies[9]
        self.assertEqual((refused.code, refused.error.status), ("Unavailable", 503))
        self.assertIn("cannot connect to 127.0.0.1:1", str(refused.error))
        self.assertEqual((late.code, late.error.status, late.peer), ("Timeout", 408, calls[9][0]))
        self.assertGreaterEqual(late.seconds, 0.3)

    def test_response_is_limited_in_size(self):
        with self.assertRaisesRegex(taonet.CallError, "larger than 10 bytes") as raised:
            self.client.call(peer(self.port), taonet.Call("/", "x", max_response_bytes=10))
        self.assertEqual(raised.exception.status, 422)

    def test_response_chunks_are_streamed_until_timeout(self):
        async def words(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for word in (b"a", b"b"):
                await send({"type": "http.response.body", "body": word, "more_body": True})
                await asyncio.sleep(0.2)
            await send({"type": "http.response.body"})

        with Server(taonet.SignedMiddleware(words, hotkey=BOB.address, scheme=self.scheme)) as port:
            stream = self.client.stream(peer(port), taonet.Call("/"))
            self.assertEqual((stream.status, list(stream)), (200, [b"a", b"b"]))
            with self.assertRaisesRegex(taonet.CallError, "timeout"):
                list(self.client.stream(peer(port), taonet.Call("/", timeout=0.1)))

    def test_calls_release_the_gil(self):
        """The server, which runs in this process too, responds only while two calls wait at the same time."""
        waiting, both, statuses = 0, asyncio.Event(), []

        async def meet(scope, receive, send):
            nonlocal waiting
            waiting += 1
            if waiting == 2:
                both.set()
            await both.wait()
            await self.app(scope, receive, send)

        with Server(taonet.SignedMiddleware(meet, hotkey=BOB.address, scheme=self.scheme)) as port:
            call = lambda: statuses.append(self.client.call(peer(port), taonet.Call("/")).status)  # noqa: E731
            threads = [threading.Thread(target=call) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(statuses, [200, 200])

    def test_signal_interrupts_call(self):
        # Jobs in the background ignore the signal, and Python then has no handler for it.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, handler)
        with Silent() as silent:
            timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            started = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                self.client.call(peer(silent), taonet.Call("/", timeout=30.0))
            self.assertLess(time.monotonic() - started, 10)

    def test_signed_headers_are_valid_with_other_http_clients(self):
        import http.client

        signer = taonet.Signer(ALICE, self.scheme)
        for body, expected in ((BODY, 200), ("another", 401)):
            headers = dict(signer.headers(peer(self.port), "/x?y=1", BODY))
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("POST", "/x?y=1", body.encode(), headers)
            self.assertEqual(connection.getresponse().status, expected)
            connection.close()

    def test_private_addresses_can_be_excluded(self):
        client = taonet.SignedClient(ALICE, self.scheme, public_only=True)
        with self.assertRaisesRegex(ValueError, "127.0.0.1 is not a public address"):
            client.call(peer(self.port), taonet.Call("/"))
        local = taonet.Peer(BOB.address, "localhost", self.port)
        with self.assertRaisesRegex(taonet.CallError, "resolves to no allowed address"):
            client.call(local, taonet.Call("/"))
        self.assertEqual(self.app.requests, 0)

    def test_malformed_arguments_are_errors(self):
        headers = taonet.Signer(ALICE, dendrite()).headers
        circular, deep = [], []
        circular.append(circular)
        for _ in range(200):
            deep = [deep]
        for make, error, message in [
            (lambda: taonet.Peer(BOB.address, "a/b", 1), ValueError, "neither an IP address nor a host name"),
            (lambda: taonet.Peer(BOB.address, "a", 70_000), OverflowError, ""),
            (lambda: taonet.Call("/", timeout=-1.0), ValueError, "timeout"),
            (lambda: taonet.Call("/", retry="often"), ValueError, "expected never, unsent or idempotent"),
            (lambda: taonet.Call("/", headers=[("a b", "")]), ValueError, "invalid header"),
            (lambda: taonet.Call("/", method="G T"), ValueError, "method"),
            (lambda: self.client.call_all([], at_once=0), ValueError, "at_once is 0"),
            (lambda: headers(peer(1), "/Other"), taonet.SigningError, "unknown message"),
            (lambda: headers(peer(1), "/EchoSynapse", "{}"), taonet.SigningError, "field"),
            (lambda: taonet.SynapseClass("X", required={"a": circular}), ValueError, "Circular reference"),
            (lambda: taonet.SynapseClass("X", required={"a": deep}), ValueError, "required: recursion limit"),
            (lambda: taonet.SynapseClass("X", required={"a": object()}), TypeError, "object"),
        ]:
            with self.assertRaisesRegex(error, message):
                make()


if __name__ == "__main__":
    unittest.main()
