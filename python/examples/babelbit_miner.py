"""A Babelbit miner that repeats the speech, 1 s later. To earn points, replace `Session.interpret`.
Needs the package taonet only. Arguments: port and development key, such as 8092 //Bob."""
import base64, hashlib, json, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import taonet

HOTKEY, STARTED = taonet.Keypair.from_uri(sys.argv[2]).address, time.time_ns()
SESSIONS, SEEN, LOCK = {}, {}, threading.Lock()  # by caller and session ID; by caller and nonce
DELAYS = {channels: 24_000 * 4 * channels for channels in range(1, 9)}  # bytes of 1 s

class Session:
    def __init__(self, channels):
        self.delay, self.waiting = DELAYS[channels], b""

    def interpret(self, frame, ended):
        """Returns the speech that is ready, as float32le, and whether the reply is complete."""
        self.waiting += frame
        ready = len(self.waiting) if ended and not frame else max(0, len(self.waiting) - self.delay)
        speech, self.waiting = self.waiting[:ready], self.waiting[ready:]
        return speech, ended and not self.waiting

def verify(headers, body):
    """Returns the hotkey that signed the request, or raises PermissionError."""
    caller, request_id, nonce, signature = (headers.get(f"bt_header_dendrite_{name}", "")
                                            for name in ("hotkey", "uuid", "nonce", "signature"))
    body_hash = headers.get("computed_body_hash", "")
    text = f"{nonce}.{caller}.{HOTKEY}.{request_id}.{body_hash}"
    if headers.get("bt_header_axon_hotkey") != HOTKEY or not taonet.verify(caller, text, signature):
        raise PermissionError("not signed for this hotkey")
    compact = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
    if body_hash not in ("", hashlib.sha256(compact).hexdigest()):
        raise PermissionError("the body is not the signed one")
    if not 0 <= (timeout := float(headers.get("timeout") or 0)) < 1 << 64:  # also refuses NaN
        raise ValueError("the timeout is not a number of seconds")
    now, oldest_sec = time.time_ns(), 4 + min(60, timeout)
    with LOCK:  # An earlier process may have accepted what was signed before the start.
        is_fresh = max(STARTED, now - 1e9 * oldest_sec) <= int(nonce) <= now + 3e9
        if not is_fresh or (caller, int(nonce)) in SEEN:
            raise PermissionError("too old, too new, or sent twice")
        SEEN[caller, int(nonce)] = now
        while SEEN[first := next(iter(SEEN))] < now - 120e9:
            del SEEN[first]
    return caller

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

class Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm, timeout = "HTTP/1.1", True, 60

    def do_GET(self):  # /healthz and /health
        self.respond(200, {"status": "healthy", "model": "echo", "model_loaded": True})

    def do_POST(self):  # /v1/predict
        try:
            body = self.rfile.read(max(0, min(int(self.headers["content-length"]), 1 << 20)))
            self.respond(200, answer(verify(self.headers, body), json.loads(body)))
        except (PermissionError, LookupError, RecursionError, TypeError, ValueError) as error:
            self.respond(401 if isinstance(error, PermissionError) else 400, {"error": repr(error)})

    def respond(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr)
server.serve_forever()
