"""Requests to an ASGI application without sockets, and a web server on a thread."""

import asyncio
import json
import threading
import time

import taonet

ALICE, BOB = taonet.Keypair.from_uri("//Alice"), taonet.Keypair.from_uri("//Bob")
ECHO = taonet.SynapseClass("EchoSynapse", hash_fields=["prompt"], required={"prompt": ""})


def dendrite():
    return taonet.DendriteScheme([ECHO])


class Recorder:
    """An application that responds with caller and body, and counts its requests. It waits before it responds."""

    def __init__(self):
        self.requests, self.seconds, self.released = 0, 0.0, None

    async def __call__(self, scope, receive, send):
        self.requests += 1
        message = await receive()
        await asyncio.sleep(self.seconds)
        if self.released is not None:
            await self.released.wait()
        caller = scope.get("taonet")
        answer = {"caller": caller and caller.hotkey, "body": message["body"].decode()}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def scope(path, headers, method="POST", query=b""):
    headers = [(name.encode().lower(), value.encode()) for name, value in headers]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8_091),
    }


async def exchange(app, scope, chunks=(b"",)):
    """Sends a request, and returns status, headers and body of the response. After `None`, the body does not end."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": number + 1 < len(chunks)}
        for number, chunk in enumerate(chunks)
    ]
    sent = []

    async def receive():
        if messages and messages[0]["body"] is not None:
            return messages.pop(0)
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, b"".join(message.get("body", b"") for message in rest)


class Server:
    """A web server for an ASGI application, on a thread."""

    def __init__(self, app):
        import uvicorn

        self.server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        until = time.monotonic() + 30
        while not self.server.started:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        return self.server.servers[0].sockets[0].getsockname()[1]

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()
