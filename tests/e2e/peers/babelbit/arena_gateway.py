"""The arena gateway: lists miners and forwards messages."""
import json
import re
import secrets
import time

import keys
import miner
import web

STATUSES = ["running", "warming", "idle", "unhealthy", "unavailable", "stopped"]
REQUEST_ID = re.compile(r"gw-audio:(BBAudioMiner(?:Init|Predict)Payload):(\d+):\d+:[0-9a-f]{32}")


class ArenaGateway(web.Service):
    """Settings: `miners`, each `uri`, `uid`, `manner` and `provider` (`gateway` or `managed_container`); `shape` of the
    list: `miners` or `containers`; `scope`: only the second way to authenticate works; `revoke`: after so many calls all
    tokens so far are refused; `cold`: so many calls find no pod; `host`: how containers' URLs name this machine.
    """

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.tokens, self.auths, self.request_ids = {}, [], set()
        self.calls, self.cold, self.revoke = 0, settings.get("cold", 0), settings.get("revoke")
        self.miners = {}
        for entry in settings["miners"]:
            hotkey = keys.keypair(entry["uri"]).ss58_address
            sessions = miner.Sessions(self, entry.get("manner", "echo"))
            self.miners[hotkey] = {**entry, "hotkey": hotkey, "sessions": sessions}

    def hello(self):
        for entry in self.miners.values():
            is_gateway = entry["provider"] == "gateway"
            address = ("0.0.0.0", "0") if is_gateway else ("127.0.0.1", str(self.port))
            entry["envelope"] = miner.Envelope(self, entry["hotkey"], address, True)
        return {"miners": [{"uid": entry["uid"], "hotkey": entry["hotkey"]} for entry in self.miners.values()]}

    def routes(self):
        containers = {
            ("POST", f"/container/{entry['uid']}/v1/predict"): lambda request, entry=entry: self.container(request, entry)
            for entry in self.miners.values()
        }
        return {
            ("POST", "/auth/token"): self.auth,
            ("GET", "/list_arena_miners"): self.list,
            ("POST", "/runsync"): self.runsync,
            **containers,
        }

    def report(self):
        sessions = {entry["uid"]: entry["sessions"].report() for entry in self.miners.values()}
        return {"auths": self.auths, "sessions": sessions}

    def auth(self, request):
        body = request.json()
        if scope := "miner_hotkey" not in body:
            self.same("fields of the second try", sorted(body), ["hotkey", "nonce", "signature", "timestamp_ms"])
            signed = {"scope": "gateway"}
        else:
            expected = ["hotkey", "miner_hotkey", "nonce", "signature", "timestamp_ms", "uid"]
            self.same("fields of the first try", sorted(body), expected)
            signed = {"miner_hotkey": body["miner_hotkey"], "uid": body["uid"]}
        stamp = body["timestamp_ms"]
        self.check(type(stamp) is int and abs(time.time() * 1_000 - stamp) < 60_000, f"timestamp_ms: {stamp!r}")
        self.check(re.fullmatch(r"\d{19}", body["nonce"]), f"nonce: {body['nonce']!r}")
        text = f"{stamp}|{body['nonce']}|{keys.sorted_json(signed)}"
        if not self.check(keys.verify(body["hotkey"], text, body["signature"]), "the signature is false"):
            return 401, {"detail": "false signature"}
        self.auths.append("scope" if scope else [body["miner_hotkey"], body["uid"]])
        if self.settings.get("scope") and not scope:
            return 422, {"detail": "scope?"}
        token = secrets.token_urlsafe(16)
        self.tokens[token] = body["hotkey"]
        # Both names are in use.
        return 200, {"auth_token" if len(self.tokens) % 2 else "token": token, "expires_in": 1_800}

    def is_good(self, token):
        self.calls += 1
        if self.revoke is not None and self.calls > self.revoke:
            self.revoke = None
            self.tokens.clear()
        return token in self.tokens

    def list(self, request):
        if not self.is_good(request.bearer()):
            return 401, {"detail": "invalid_auth_token"}
        query = {name: values[0] for name, values in request.query.items()}
        self.same("fields of the list's query", sorted(query), ["status", "window_seconds"])
        self.check(query["window_seconds"].isdigit(), f"window_seconds: {query}")
        self.check(query["status"] in STATUSES, f"status: {query}")
        if self.settings["shape"] == "miners":
            rows = [{"hotkey": entry["hotkey"], "uid": entry["uid"]} for entry in self.miners.values()]
            return 200, {"miners": rows, "count": len(rows)}
        if query["status"] != "running":
            gone = {"miner_hotkey": "5Gone", "endpoint_url": "http://127.0.0.1:9", "status": "terminated", "reason": "evicted"}
            return 200, {"containers": [gone, {"status": "stopped"}] if query["status"] == "stopped" else []}
        rows = [self.row(entry) for entry in self.miners.values()]
        return 200, {"containers": rows, "count": len(rows)}

    def row(self, entry):
        name = {"container_name": f"c-{entry['uid']}", "submission_id": f"s-{entry['uid']}", "status": "running"}
        base = f"http://{self.settings.get('host', '127.0.0.1')}:{self.port}"
        if entry["provider"] == "gateway":
            fields = {"provider": "Gateway", "endpoint_url": f"{base}/runsync", "uid": entry["uid"]}
            return {**name, "axon_hotkey": entry["hotkey"], "metadata": json.dumps(fields)}
        return {**name, "hotkey": entry["hotkey"], "miner_uid": entry["uid"], "url": f"{base}/container/{entry['uid']}"}

    def runsync(self, request):
        body = request.json()
        self.same("fields of runsync", sorted(body), ["auth_token", "input", "miner_hotkey", "request_id", "uid"])
        self.same("fields of its input", sorted(body["input"]), ["bt_headers", "predict_payload"])
        if not self.is_good(body["auth_token"]):
            return 401, {"detail": "invalid_auth_token"}
        entry = self.miners.get(body["miner_hotkey"])
        if not self.check(entry is not None and entry["uid"] == body["uid"], f"no miner {body['miner_hotkey']} {body['uid']}"):
            return 404, {"detail": "endpoint_not_found"}
        payload = body["input"]["predict_payload"]
        headers = {name.lower(): value for name, value in body["input"]["bt_headers"].items()}
        self.check("content-type" not in headers, "bt_headers have no content type")
        named = REQUEST_ID.fullmatch(body["request_id"])
        if self.check(named, f"request_id: {body['request_id']!r}"):
            self.same("request_id", named.groups(), (keys.NAMES[payload["kind"]], str(entry["uid"])))
        self.check(body["request_id"] not in self.request_ids, f"request_id {body['request_id']} again")
        self.request_ids.add(body["request_id"])
        if self.cold > 0:
            self.cold -= 1
            return 503, {"detail": "pod_recreating"}
        if not entry["envelope"].check(headers, payload):
            return 401, {"detail": "not verified"}
        answer = entry["sessions"].answer(payload)
        # With and without a wrapping.
        return 200, answer if payload["kind"] == "init" else {"id": "job", "status": "COMPLETED", "output": answer}

    def container(self, request, entry):
        payload = request.json()
        self.same("content type", request.headers.get("content-type"), "application/json")
        if not entry["envelope"].check(request.headers, payload):
            return 401, {"detail": "not verified"}
        return 200, entry["sessions"].answer(payload)
