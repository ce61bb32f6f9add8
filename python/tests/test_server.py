"""The ASGI middleware: its checks, their order and its limits; and calls of the SDK's dendrite."""

import asyncio
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import taonet
from sdk import EchoSynapse, axon_info, bt, keypair
from support import ALICE, BOB, Recorder, Server, dendrite, exchange, scope

BODY = json.dumps({"prompt": "hello"})


class Checks(unittest.IsolatedAsyncioTestCase):
    """Requests of Alice to Bob, without sockets."""

    def setUp(self):
        self.app = Recorder()
        self.bob = taonet.Peer(BOB.address, "127.0.0.1", 8_091)

    def server(self, scheme=None, **options):
        return taonet.SignedMiddleware(self.app, hotkey=BOB.address, scheme=scheme or dendrite(), **options)

    def signed(self, body=BODY, *, signer=ALICE, scheme=None, path="/EchoSynapse", peer=None, timeout=12.0):
        headers = taonet.Signer(signer, scheme or dendrite()).headers(peer or self.bob, path, body, timeout=timeout)
        return scope(path, headers)

    async def status(self, server, request, body=BODY):
        status, headers, text = await exchange(server, request, (body.encode(),))
        return status, text.decode()

    async def test_signed_request_is_passed_on_with_its_caller(self):
        for scheme in (dendrite(), taonet.BtauthScheme(), taonet.BabelbitScheme()):
            status, headers, text = await exchange(
                self.server(scheme), self.signed(scheme=scheme), (BODY[:5].encode(), BODY[5:].encode()))
            self.assertEqual((status, json.loads(text)), (200, {"caller": ALICE.address, "body": BODY}))
            if isinstance(scheme, taonet.DendriteScheme):
                self.assertEqual(headers["bt_header_axon_status_code"], "200")
                self.assertEqual(headers["bt_header_dendrite_hotkey"], ALICE.address)

    async def test_replayed_request_is_refused(self):
        for scheme in (dendrite(), taonet.BtauthScheme(), taonet.BabelbitScheme()):
            server, request = self.server(scheme), self.signed(scheme=scheme)
            self.assertEqual((await self.status(server, request))[0], 200)
            self.assertEqual((await self.status(server, request))[0], 401)
        self.assertEqual(self.app.requests, 3)

    async def test_concurrent_replays_are_accepted_once(self):
        server, request = self.server(), self.signed()
        results = await asyncio.gather(*[self.status(server, request) for _ in range(50)])
        self.assertEqual(sorted(status for status, _ in results), [200] + 49 * [401])

    async def test_replay_log_survives_a_restart(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "replay"
            server = self.server(replay_log=log)
            request = self.signed()
            self.assertEqual((await self.status(server, request))[0], 200)
            with self.assertRaisesRegex(taonet.ReplayLogError, "replay"):
                self.server(replay_log=log)
            del server
            self.assertEqual((await self.status(self.server(replay_log=log), request))[0], 401)

    async def test_forged_requests_are_refused_before_the_body_is_read(self):
        server = self.server()
        unread = (None,)
        other = taonet.Peer(ALICE.address, "127.0.0.1", 8_091)
        forged = self.signed()
        forged["headers"] = [
            (name, b"0x" + b"11" * 64 if name == b"bt_header_dendrite_signature" else value)
            for name, value in forged["headers"]
        ]
        twice = self.signed()
        twice["headers"].append(next(pair for pair in twice["headers"] if pair[0] == b"bt_header_dendrite_nonce"))
        large = self.signed()
        large["headers"].append((b"content-length", b"2000000"))
        many = self.signed()
        many["headers"].append((b"x", 20_000 * b"x"))
        for name, request, expected in [
            ("unsigned", scope("/EchoSynapse", []), 500), ("receiver", self.signed(peer=other), 401),
            ("signature", forged, 401), ("duplicate", twice, 400), ("large", large, 413), ("headers", many, 431),
            ("class", self.signed_as("/Other"), 404), ("target", {**self.signed(), "raw_path": b"/\xff"}, 400),
        ]:
            with self.subTest(name):
                # The body never arrives: reading it would end in a timeout.
                status, _, text = await asyncio.wait_for(exchange(server, request, unread), 5)
                self.assertEqual(status, expected, text)
        self.assertEqual(self.app.requests, 0)

    def signed_as(self, path):
        return {**self.signed(), "path": path, "raw_path": path.encode()}

    async def test_tampered_body_is_refused(self):
        forged = json.dumps({"prompt": "something else"})
        babelbit = taonet.BabelbitScheme(sign_body=True)
        for scheme, expected in ((dendrite(), 500), (taonet.BtauthScheme(), 401), (babelbit, 401)):
            status, text = await self.status(self.server(scheme), self.signed(scheme=scheme), forged)
            self.assertEqual(status, expected, text)
        status, text = await self.status(self.server(), self.signed(), "not JSON")
        self.assertEqual(status, 422, text)
        self.assertEqual(self.app.requests, 0)

    async def test_large_body_is_checked_on_another_thread(self):
        body = json.dumps({"prompt": 500_000 * "x"})
        for scheme in (dendrite(), taonet.BtauthScheme()):
            self.assertEqual((await self.status(self.server(scheme), self.signed(body, scheme=scheme), body))[0], 200)

    async def test_body_limits_are_enforced(self):
        server = self.server(limits=taonet.Limits(body_bytes=10, body_timeout=0.05))
        self.assertEqual((await exchange(server, self.signed(), (b"123456", b"789012")))[0], 413)
        status, headers, _ = await exchange(server, self.signed(), (b"1", None))
        self.assertEqual((status, headers["connection"]), (408, "close"))
        with self.assertRaisesRegex(ValueError, "hint: set large_bodies_bytes"):
            taonet.Limits(body_bytes=67_108_865)

    async def test_large_bodies_share_a_memory_limit(self):
        body = json.dumps({"prompt": 250_000 * "x"})
        server = self.server(limits=taonet.Limits(body_bytes=300_000, large_bodies_bytes=300_000))
        waiting = asyncio.ensure_future(exchange(server, self.signed(body), (body.encode(), None)))
        await asyncio.sleep(0)
        self.assertEqual((await self.status(server, self.signed(body), body))[0], 503)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        self.assertEqual((await self.status(server, self.signed(body), body))[0], 200, "the memory was released")

    async def test_slow_handler_is_cancelled(self):
        self.app.seconds = 60
        server = self.server(limits=taonet.Limits(answer_timeout=0.05))
        status, _, text = await exchange(server, self.signed(), (BODY.encode(),))
        self.assertEqual(status, 408, text)

    async def test_handler_errors_are_raised(self):
        async def fail(*_):
            raise TimeoutError("from the handler")

        self.app = fail
        with self.assertRaisesRegex(TimeoutError, "from the handler"):
            await self.status(self.server(), self.signed())

    async def test_policy_decides_by_list_stake_and_permit(self):
        standings = taonet.Standings()
        policies = {
            "allowed": taonet.Policy(allowed=[BOB.address]),
            "blocked": taonet.Policy(blocked=[ALICE.address]),
            "stake": taonet.Policy(standings=standings, min_stake=1_000),
            "permit": taonet.Policy(standings=standings, validators_only=True),
            "registered": taonet.Policy(standings=standings, registered_only=True),
        }
        for name, policy in policies.items():
            status, text = await self.status(self.server(policy=policy), self.signed())
            self.assertEqual(status, 403, f"{name}: {text}")
        standings.replace({ALICE.address: (1_000, True)})
        for name in ("stake", "permit", "registered"):
            self.assertEqual((await self.status(self.server(policy=policies[name]), self.signed()))[0], 200, name)

    def test_malformed_hotkeys_are_named(self):
        for make, name in [
            (lambda: taonet.Policy(allowed=["bad"]), "allowed"), (lambda: taonet.Policy(blocked=["bad"]), "blocked"),
            (lambda: taonet.Standings().replace({"bad": (1, True)}), "standings"),
        ]:
            with self.assertRaisesRegex(ValueError, f'{name}: "bad": address has 3 bytes'):
                make()

    async def test_rate_limit_is_per_hotkey(self):
        server = self.server(limits=taonet.Limits(rate=1, burst=2))
        statuses = [(await self.status(server, self.signed()))[0] for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 429])
        charlie = taonet.Keypair.from_uri("//Charlie")
        self.assertEqual((await self.status(server, self.signed(signer=charlie)))[0], 200)

    async def test_queue_serves_more_stake_first_and_refuses_the_least(self):
        keys = [taonet.Keypair.from_uri(f"//{number}") for number in range(4)]
        standings = taonet.Standings()
        standings.replace({key.address: (stake, False) for key, stake in zip(keys, (1, 5, 3, 9))})
        self.app.released = asyncio.Event()
        server = self.server(
            policy=taonet.Policy(standings=standings), limits=taonet.Limits(running=1, waiting=2))
        order = []

        async def call(key):
            status, _ = await self.status(server, self.signed(signer=key))
            order.append((keys.index(key), status))

        calls = asyncio.gather(*map(call, keys))
        while not order:
            await asyncio.sleep(0.001)
        self.app.released.set()
        await calls
        self.assertEqual(order, [(2, 503), (0, 200), (3, 200), (1, 200)])

    async def test_queued_request_times_out(self):
        self.app.released = asyncio.Event()
        server = self.server(limits=taonet.Limits(running=1, patience=0.05))
        first = asyncio.ensure_future(self.status(server, self.signed()))
        while self.app.requests == 0:
            await asyncio.sleep(0)
        self.assertEqual((await self.status(server, self.signed()))[0], 408)
        self.app.released.set()
        self.assertEqual((await first)[0], 200)
        self.assertEqual((await self.status(server, self.signed()))[0], 200, "the permit was released")

    async def test_public_path_needs_no_signature_and_websocket_is_closed(self):
        server = self.server(public=["/healthz"])
        status, text = await self.status(server, scope("/healthz", [], "GET"), "")
        self.assertEqual((status, json.loads(text)["caller"]), (200, None))
        sent = []

        async def send(message):
            sent.append(message)

        await server({"type": "websocket", "path": "/EchoSynapse"}, None, send)
        self.assertEqual(sent, [{"type": "websocket.close", "code": 1008}])

    def test_forked_child_gets_an_error(self):
        code = """
import os, support, taonet
verifier = taonet._native.Verifier(support.BOB.address, support.dendrite())
client = taonet.SignedClient(support.ALICE, support.dendrite())
peer, call = taonet.Peer(support.BOB.address, "127.0.0.1", 1), taonet.Call("/EchoSynapse", '{"prompt": ""}')
child = os.fork()
if child == 0:
    failed = 0
    for use in (lambda: verifier.request("POST", b"/", []), lambda: client.call(peer, call)):
        try:
            use()
        except RuntimeError as error:
            failed += "create it in the child process" in str(error)
    # A new client works: nothing listens there.
    try:
        taonet.SignedClient(support.ALICE, support.dendrite()).call(peer, call)
    except taonet.CallError as error:
        failed += error.status == 503
    os._exit(failed)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        python = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(python, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.stdout, done.stderr), ("3\n", ""))


class Sdk(unittest.TestCase):
    def test_dendrite_of_the_sdk_calls_our_server(self):
        async def answer(scope, receive, send):
            synapse = json.loads((await receive())["body"])
            body = json.dumps({**synapse, "answer": synapse["prompt"] + "!"}).encode()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        async def call(port):
            client = bt.Dendrite(wallet=keypair("//Alice"))
            results = []
            for hotkey in (BOB.address, ALICE.address):
                synapse = EchoSynapse(prompt="hello τ")
                reply = await client.call(axon_info(hotkey, port), synapse, timeout=10, deserialize=False)
                results.append((reply.dendrite.status_code, reply.answer))
            await client.aclose_session()
            return results

        with Server(taonet.SignedMiddleware(answer, hotkey=BOB.address, scheme=dendrite())) as port:
            self.assertEqual(asyncio.run(call(port)), [(200, "hello τ!"), (401, None)])


if __name__ == "__main__":
    unittest.main()
