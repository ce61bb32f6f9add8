"""A Babelbit miner that repeats the speech 1 s later. To earn points, replace `interpret`."""
import argparse
import asyncio
import base64
import json
import uuid

import taonet
import uvicorn

DELAYS = {channels: 24_000 * 4 * channels for channels in range(1, 9)}  # bytes of 1 s
SESSIONS = {}  # by caller and session ID


class Session:
    def __init__(self, channels):
        self.delay, self.waiting = DELAYS[channels], b""

    def interpret(self, frame, ended):
        """Returns the speech that is ready, as float32le, and whether the reply is complete."""
        self.waiting += frame
        ready = len(self.waiting) if ended and not frame else max(0, len(self.waiting) - self.delay)
        speech, self.waiting = self.waiting[:ready], self.waiting[ready:]
        return speech, ended and not self.waiting


async def answer(caller, request):
    if request.pop("kind") == "init":
        session_id = str(uuid.uuid4())
        SESSIONS[caller, session_id] = Session(request["channels"])
        if len(SESSIONS) > 64:
            del SESSIONS[next(iter(SESSIONS))]
        return {**request, "ready": True, "session_id": session_id}
    session = SESSIONS[caller, request["session_id"]]
    frame = base64.b64decode(request["audio_b64"], validate=True)
    speech, ended = await asyncio.to_thread(session.interpret, frame, request["in_eos"])
    return {"session_id": request["session_id"], "audio_b64": base64.b64encode(speech).decode(),
            "out_eos": ended, "n_bytes": len(speech)}


async def miner(scope, receive, send):
    status, document = 200, {"status": "healthy", "model": "echo", "model_loaded": True}
    if "taonet" in scope:  # Verified; health checks are not.
        try:
            document = await answer(scope["taonet"].hotkey, json.loads((await receive())["body"]))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            status, document = 400, {"error": repr(error)}
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("port", type=int)
parser.add_argument("key", type=taonet.Keypair.from_uri, help="development key, such as //Bob")
args = parser.parse_args()
app = taonet.SignedMiddleware(
    miner, hotkey=args.key.address, scheme=taonet.BabelbitScheme(), public=["/healthz", "/health"])
uvicorn.run(app, port=args.port, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
