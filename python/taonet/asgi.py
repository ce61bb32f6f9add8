"""ASGI middleware that passes only verified requests on. All checks are in Rust; this module receives and sends."""

import asyncio
import sys
from collections.abc import Awaitable, Collection, Coroutine, MutableMapping
from os import PathLike
from typing import Any, Callable, Optional, TypeVar, Union
from urllib.parse import quote

from ._native import BabelbitScheme, BtauthScheme, DendriteScheme, Limits, Policy, Request, Verifier

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Refusal = tuple[int, list[tuple[bytes, bytes]], bytes]
T = TypeVar("T")

# The size of a body in bytes from which its hash is computed on another thread, so that other requests need not wait.
_HEAVY = 256 * 1024
# The status by which a WebSocket is closed for a violated policy.
_POLICY_VIOLATION = 1008


class _Disconnected(Exception):
    """The client disconnected before its request was complete."""


class SignedMiddleware:
    """Passes requests on to `app` only if they are signed for `hotkey`, fresh, not replayed, and within the limits.

    The body is read only after the head has been verified, and parsed only by `app`. Handlers find the caller in
    `scope["taonet"]`. Paths in `public`, such as a health check, are passed on unverified.
    """

    def __init__(
        self,
        app: App,
        *,
        hotkey: str,
        scheme: Union[DendriteScheme, BtauthScheme, BabelbitScheme],
        policy: Optional[Policy] = None,
        limits: Optional[Limits] = None,
        replay_log: Union[str, "PathLike[str]", None] = None,
        public: Collection[str] = (),
    ) -> None:
        self._app = app
        self._verifier = Verifier(hotkey, scheme, policy=policy, limits=limits, replay_log=replay_log)
        self._public = frozenset(public)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._public):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # A WebSocket carries messages that no signature covers.
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        headers = [(name, value) for name, value in scope["headers"]]
        request = self._verifier.request(scope["method"], _target(scope), headers)
        if request is None:
            await _respond(send, (400, [], b""))
            return
        try:
            refusal = request.begin() or await self._body(request, receive) or await _enter(request)
            if refusal is not None:
                await _respond(send, refusal)
                return
            scope = {**scope, "taonet": request.caller}
            await self._answer(request, scope, receive, send)
        except _Disconnected:
            pass
        finally:
            request.close()

    async def _body(self, request: Request, receive: Receive) -> Optional[Refusal]:
        try:
            refusal, size = await _within(self._verifier.body_timeout, _read(request, receive))
        except asyncio.TimeoutError:
            return request.timed_out("body")
        if refusal is not None:
            return refusal
        if size < _HEAVY:
            return request.finish()
        return await asyncio.get_running_loop().run_in_executor(None, request.finish)

    async def _answer(
        self, request: Request, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        body: Optional[bytes] = request.take_body()
        started = False
        error: Optional[BaseException] = None

        async def replay() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        async def complete(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = [*message.get("headers", ()), *request.complete(message["status"])]
                message = {**message, "headers": headers}
            await send(message)

        async def run() -> None:
            nonlocal error
            try:
                await self._app(scope, replay, complete)
            except BaseException as raised:
                error = raised
                raise

        try:
            await _within(self._verifier.answer_timeout, run())
        except asyncio.TimeoutError:
            # After a response has started, the error makes the server close the connection, so that the client does not
            # take the response for complete. A timeout of the handler's own is not ours.
            if started or not isinstance(error, asyncio.CancelledError):
                raise
            await _respond(send, request.timed_out("answer"))


if sys.version_info >= (3, 11):

    async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
        # Unlike `wait_for` of earlier versions, it needs no task of its own.
        async with asyncio.timeout(seconds):
            return await work

else:

    async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wait_for(work, seconds)


async def _read(request: Request, receive: Receive) -> tuple[Optional[Refusal], int]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        refusal = request.feed(chunk)
        if refusal is not None or not message.get("more_body", False):
            return refusal, size


async def _enter(request: Request) -> Optional[Refusal]:
    loop = asyncio.get_running_loop()
    entered = asyncio.Event()
    if not request.enter(lambda: loop.call_soon_threadsafe(entered.set)):
        await entered.wait()
    return request.entered()


def _target(scope: MutableMapping[str, Any]) -> bytes:
    path: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


async def _respond(send: Send, refusal: Refusal) -> None:
    status, headers, body = refusal
    if not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
