"""A miner behind its axon, and the rules of its protocol, which the arena gateway shares."""
import base64
import ipaddress
import re
import threading
import time
import uuid

import keys
import web

INIT = [
    "kind", "challenge_uid", "utterance_id", "language", "sample_rate_hz", "frame_rate_hz", "frame_samples", "dtype", "channels",
]
PREDICT = ["kind", "session_id", "audio_b64", "in_eos"]
FRAME_BYTES = 7_680
MOST_DRAINS = 8


def plain(address):
    """Normalises an address."""
    address = ipaddress.ip_address(address)
    return str(getattr(address, "ipv4_mapped", None) or address)


class Sessions:
    """Answers messages in one of a few manners, and notes what is against the protocol.

    Manners: `echo` says every frame back at once; `patient` says everything at the end; `drains` says it when it is asked
    for the rest; `endless` never ends; `refuses` fails at the second frame; `early` ends before the source does.
    """

    def __init__(self, service, manner):
        self.service, self.manner = service, manner
        self.lock = threading.Lock()
        self.sessions = {}

    def report(self):
        fields = ["utterance_id", "channels", "frames", "drains", "ended"]
        return [{field: session[field] for field in fields} for session in self.sessions.values()]

    def answer(self, payload):
        with self.lock:
            return self.init(payload) if payload.get("kind") == "init" else self.predict(payload)

    def init(self, payload):
        same = self.service.same
        same("fields of init", list(payload), INIT)
        for field, value in [("sample_rate_hz", 24_000), ("frame_rate_hz", 12.5), ("frame_samples", 1_920), ("dtype", "float32le")]:
            same(f"init {field}", payload[field], value)
        for session in self.sessions.values():
            # An utterance starts after the previous one has ended.
            self.service.check(session["over"] or self.manner in ("endless", "refuses"), f"{session['utterance_id']} was left")
        session_id = uuid.uuid4().hex
        self.sessions[session_id] = {
            "utterance_id": payload["utterance_id"], "channels": payload["channels"], "frames": 0, "drains": 0,
            "ended": False, "over": False, "kept": [],
        }
        answer = {key: payload[key] for key in INIT[1:]}
        return {**answer, "ready": True, "miner_id": "python", "session_id": session_id}

    def predict(self, payload):
        check = self.service.check
        # Messages through a gateway are numbered, since it can retry them.
        self.service.same("fields of predict", [name for name in payload if name != "frame_index"], PREDICT)
        session = self.sessions.get(payload["session_id"])
        if not check(session is not None, f"no session {payload['session_id']!r}"):
            return {"error": "no such session"}
        check(not session["over"], f"{session['utterance_id']} was over")
        audio, last = base64.b64decode(payload["audio_b64"], validate=True), payload["in_eos"]
        if session["ended"]:
            session["drains"] += 1
            check(audio == b"" and last is True, "a request for the rest has no sound and is the last of the source")
            check(session["drains"] <= MOST_DRAINS, "the rest is asked for at most eight times")
        else:
            session["frames"] += 1
            self.service.same("bytes of a frame", len(audio), FRAME_BYTES * session["channels"])
            session["ended"] = last
            session["kept"].append(payload["audio_b64"])
        if self.manner == "refuses" and session["frames"] == 2:
            session["over"] = True
            return {"error": "out of memory"}
        sound, ends = self.reply(session, payload["audio_b64"])
        session["over"] = ends
        size = len(base64.b64decode(sound))
        return {"session_id": payload["session_id"], "audio_b64": sound, "out_eos": ends, "n_bytes": size}

    def reply(self, session, frame):
        everything = base64.b64encode(b"".join(base64.b64decode(part) for part in session["kept"])).decode()
        match self.manner:
            case "patient":
                return (everything, True) if session["ended"] else ("", False)
            case "drains":
                return {0: ("", False), 1: ("", False), 2: (everything, False)}.get(session["drains"], ("", True))
            case "endless":
                return "", False
            case "early":
                return frame, session["frames"] == 10
            case _:
                return frame, session["ended"]


class Envelope:
    """Checks the signed headers of messages to one miner."""

    def __init__(self, service, hotkey, address, is_hashed):
        self.service, self.hotkey, self.address, self.is_hashed = service, hotkey, address, is_hashed
        self.seen, self.uuids, self.callers = set(), set(), set()

    def check(self, headers, payload):
        """Whether the headers, with names in lower case, match the message."""
        check, same = self.service.check, self.service.same
        get = lambda name: headers.get(f"bt_header_{name}", "")
        nonce, caller, receiver = get("dendrite_nonce"), get("dendrite_hotkey"), get("axon_hotkey")
        signature, digest = get("dendrite_signature"), headers.get("computed_body_hash")
        same("receiver", receiver, self.hotkey)
        same("version", get("dendrite_version"), "7002000")
        same("address of the axon", (plain(get("axon_ip")), get("axon_port")), self.address)
        check(plain(get("dendrite_ip")), "address of the caller")
        same("name", headers.get("name"), keys.NAMES[payload.get("kind", "text")])
        check(re.fullmatch(r"\d+\.\d+", headers.get("timeout", "")), f"timeout: {headers.get('timeout')!r}")
        same("body hash", digest, keys.body_hash(payload) if self.is_hashed else "")
        check(uuid.UUID(get("dendrite_uuid")).version == 4, f"uuid: {get('dendrite_uuid')!r}")
        check(re.fullmatch(r"\d{19}", nonce), f"nonce: {nonce!r}")
        # On a busy machine, a request can wait.
        check(abs(time.time_ns() - int(nonce)) < 60_000_000_000, f"nonce: {nonce} is not now")
        check((caller, nonce) not in self.seen, f"nonce {nonce} again")
        self.seen.add((caller, nonce))
        self.uuids.add(get("dendrite_uuid"))
        self.callers.add(caller)
        text = f"{nonce}.{caller}.{receiver}.{get('dendrite_uuid')}.{digest}"
        return check(signature.startswith("0x") and keys.verify(caller, text, signature[2:]), "the signature is false")


class Miner(web.Service):
    """Settings: `uri`, its key; `manner`, as `Sessions` has them."""

    def __init__(self, settings):
        super().__init__()
        self.hotkey = keys.keypair(settings["uri"]).ss58_address
        self.sessions = Sessions(self, settings["manner"])
        self.envelope = None

    def routes(self):
        return {("POST", "/v1/predict"): self.predict, ("GET", "/healthz"): self.health, ("GET", "/health"): self.health}

    def hello(self):
        self.envelope = Envelope(self, self.hotkey, ("127.0.0.1", str(self.port)), False)
        return {"hotkey": self.hotkey}

    def report(self):
        callers, uuids = sorted(self.envelope.callers), len(self.envelope.uuids)
        return {"callers": callers, "uuids": uuids, "sessions": self.sessions.report()}

    def health(self, _):
        return 200, {"status": "healthy", "model": "echo", "model_loaded": True}

    def predict(self, request):
        payload = request.json()
        self.same("content type", request.headers.get("content-type"), "application/json")
        if not self.envelope.check(request.headers, payload):
            return 401, {"detail": "not verified"}
        return 200, self.sessions.answer(payload)
