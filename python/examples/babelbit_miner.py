"""A Babelbit miner that repeats the speech, 1 s later. To earn points, replace `Session.interpret`.
Needs the packages taonet and uvicorn. Arguments: port and development key, such as 8092 //Bob."""
import base64
import json
import sys
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


def answer(caller, request):
    if dict.pop(request, "kind") == "init":  # TypeError if the request is not an object
        SESSIONS[caller, session_id := str(uuid.uuid4())] = Session(request["channels"])
        if len(SESSIONS) > 64:
            del SESSIONS[next(iter(SESSIONS))]
        return {"ready": True, "session_id": session_id, **request}
    frame = base64.b64decode(request["audio_b64"], validate=True)
    speech, ended = SESSIONS[caller, request["session_id"]].interpret(frame, request["in_eos"])
    return {"session_id": request["session_id"], "audio_b64": base64.b64encode(speech).decode(),
            "out_eos": ended, "n_bytes": len(speech)}


async def miner(scope, receive, send):
    status, document = 200, {"status": "healthy", "model": "echo", "model_loaded": True}
    if "taonet" in scope:  # The request is signed, so it is none of a health check.
        try:
            document = answer(scope["taonet"].hotkey, json.loads((await receive())["body"]))
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            status, document = 400, {"error": repr(error)}
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if len(sys.argv) != 3:
    sys.exit(__doc__)
hotkey = taonet.Keypair.from_uri(sys.argv[2]).address
app = taonet.SignedMiddleware(
    miner, hotkey=hotkey, scheme=taonet.BabelbitScheme(), public=["/healthz", "/health"])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, lifespan="off")
