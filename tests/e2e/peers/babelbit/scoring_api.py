"""The scoring API: stores results of runners, serves scores to validators."""
import email.parser
import email.policy
import io
import json
import tarfile
import time

import keys
import web

KINDS = {
    # kind: file_type
    "dialogue_logs": ["dialogue_log"],
    "dialogue_scores": ["challenge_run"],
    "challenge_scores": ["challenge_scores"],
}
SIGNED = ["challenge_id", "data", "miner_hotkey", "miner_uid", "timestamp", "vali_hotkey"]
EXTRA = {"challenge_type", "protocol", "score_is_fallback", "score_method"}
DATA = {
    "file_type", "file_name", "challenge_uid", "main_challenge_uid", "miner_uid", "miner_hotkey", "dialogue_uid", "s3_path",
    "file_size", "content",
} | EXTRA
ARTIFACT = {
    "file_type", "file_name", "challenge_uid", "main_challenge_uid", "miner_uid", "miner_hotkey", "file_size", "content_type",
} | EXTRA


class ScoringApi(web.Service):
    """Settings: `scores`, the rows that validators get, else those that follow from what was submitted; `faults`: how the
    first submissions end, each a status, or `garbage`, or `silence` (taken in, but not acknowledged)."""

    def __init__(self, settings):
        super().__init__()
        self.rows = settings.get("scores")
        self.faults = list(settings.get("faults", []))
        self.taken, self.queries = [], []

    def routes(self):
        return {
            ("POST", "/v1/submit"): self.submit,
            ("POST", "/v1/submit-artifact"): self.submit_artifact,
            ("GET", "/v1/get_scores"): self.scores,
        }

    def report(self):
        fields = ["kind", "file_type", "file_name", "challenge_uid", "challenge_type", "miner_uid", "miner_hotkey", "score"]
        return {"taken": [{field: item[field] for field in fields} for item in self.taken], "queries": self.queries}

    def submit(self, request):
        self.same("content type of /v1/submit", request.headers.get("content-type"), "application/json")
        body = request.json()
        kind, data = body.get("kind"), body["data"]
        self.signed(body)
        self.check(kind in KINDS and data["file_type"] in KINDS[kind], f"kind {kind!r} of file type {data['file_type']!r}")
        self.check(set(data) <= DATA, f"fields of data: {sorted(set(data) - DATA)}")
        content = data["content"]
        self.same("file_size", data["file_size"], len(content.encode()))
        document = json.loads(content)
        self.same("the miner of the file", (document["miner_uid"], document["miner_hotkey"]), (body["miner_uid"], body["miner_hotkey"]))
        score = document.get("challenge_mean_U") if kind == "challenge_scores" else None
        return self.take(body, kind, score)

    def submit_artifact(self, request):
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        self.same("parts of the form", sorted(parts), ["file", "metadata"])
        text = parts["metadata"].get_payload(decode=True).decode()
        body = json.loads(text)
        self.same("form of metadata", text, keys.sorted_json(body))
        self.signed(body)
        data, file = body["data"], parts["file"].get_payload(decode=True)
        self.same("kind of an artefact", (body.get("kind"), data["file_type"]), ("audio_bundle", "artifact"))
        self.check(set(data) <= ARTIFACT | {"s3_path"}, f"fields of data: {sorted(set(data) - ARTIFACT)}")
        self.same("name of the file", parts["file"].get_filename(), data["file_name"])
        types = (parts["file"].get_content_type(), data["content_type"])
        self.same("type of the file", types, ("application/x-tar", "application/x-tar"))
        self.same("file_size", data["file_size"], len(file))
        with tarfile.open(fileobj=io.BytesIO(file)) as bundle:
            names = bundle.getnames()
        self.check(names and all(name.split("/")[0] in ("source", "predicted") and name.endswith(".wav") for name in names), f"bundle: {names}")
        return self.take(body, "audio_bundle", None)

    def signed(self, body):
        signed = {key: value for key, value in body.items() if key not in ("signature", "kind")}
        self.same("what is signed", sorted(signed), SIGNED)
        self.recent(body["timestamp"])
        text = keys.sorted_json(signed)
        self.check(keys.verify(body["vali_hotkey"], text, body["signature"]), "the signature is false")
        self.same("challenge", body["data"]["challenge_uid"], body["challenge_id"])
        self.same("miner", (body["data"]["miner_uid"], body["data"]["miner_hotkey"]), (body["miner_uid"], body["miner_hotkey"]))
        self.same("protocol", body["data"].get("protocol"), "s2s_audio_v1")

    def recent(self, timestamp):
        self.check(type(timestamp) is int and abs(time.time() - timestamp) < 60, f"timestamp: {timestamp!r}")

    def take(self, body, kind, score):
        fault = self.faults.pop(0) if self.faults else None
        data = body["data"]
        item = {**data, "kind": kind, "score": score}
        if fault == 429:
            return 429, {"detail": "slow down"}, {"Retry-After": "1"}
        if fault == "garbage":
            return 502, b"<html>bad gateway</html>"
        if isinstance(fault, int):
            return fault, {"detail": "try again"}
        same = ["kind", "challenge_uid", "challenge_type", "miner_uid", "miner_hotkey"]
        before = [known for known in self.taken if all(known[field] == item[field] for field in same)]
        if not before:
            self.taken.append(item)
        else:
            # Submissions without a success response can be repeated.
            self.check(before[0].get("unsure"), f"{[item[field] for field in same]} twice")
        if fault == "silence":
            item["unsure"] = True
            return 504, b""
        return 200, {"status": "ok"}

    def scores(self, request):
        query = {name: values[0] for name, values in request.query.items()}
        arena = query.get("challenge_type") == "arena"
        self.same("body of a query", request.body, b"")
        expected = ["challenge_uid", "hotkey", "signature", "timestamp"]
        self.same("fields of a query", sorted(set(query) - {"challenge_type"}), expected)
        self.check(query.get("challenge_type") in (None, "qualifying", "arena"), f"challenge_type: {query}")
        timestamp = int(query["timestamp"])
        self.recent(timestamp)
        uid = query["challenge_uid"]
        signed = {"challenge_id": uid, "data": {"challenge_uid": uid}, "hotkey": query["hotkey"], "timestamp": timestamp}
        if arena:
            signed["challenge_type"] = signed["data"]["challenge_type"] = "arena"
        self.check(keys.verify(query["hotkey"], keys.sorted_json(signed), query["signature"]), "the signature is false")
        self.queries.append({"challenge_uid": uid, "challenge_type": query.get("challenge_type"), "hotkey": query["hotkey"]})
        wanted = "arena" if arena else "main"
        return 200, {"scores": self.given(uid, wanted) if self.rows is None else self.rows.get(wanted, [])}

    def given(self, uid, wanted):
        """The submissions as rows, in one of the supported shapes."""
        return [
            {"miner_hotkey": item["miner_hotkey"], "challenge_mean_score": item["score"], "challenge_type": wanted}
            for item in self.taken
            if item["kind"] == "challenge_scores" and (item["challenge_uid"], item["challenge_type"]) == (uid, wanted)
        ]
