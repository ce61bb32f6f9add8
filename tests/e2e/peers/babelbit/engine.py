"""The utterance engine."""
import json
import secrets

import keys
import speech
import web

# Forms of utterances, in rotation.
FORMS = ["wav", "raw", "stereo", "wide"]
# Forms of references in solo utterances, in rotation.
SCHEMAS = ["target", "flat", "translations"]


class Engine(web.Service):
    """Serves one challenge file as `main` and as `solo`.

    Settings: `challenge`, the file; `done`: the last utterance says that it is the last, otherwise an empty one follows;
    `busy`: the first call is refused for so many seconds; `revoke`: after so many data calls all tokens so far are
    refused.
    """

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        with open(settings["challenge"], encoding="utf-8") as file:
            self.challenge = json.load(file)
        spoken = [speech.say(utterance["source"]) for utterance in self.challenge["utterances"]]
        self.audio = [speech.encoded(samples, rate, FORMS[index % 4]) for index, (samples, rate) in enumerate(spoken)]
        self.busy = settings.get("busy")
        self.pending, self.tokens, self.sessions, self.hotkeys = {}, {}, {}, []
        self.data_calls = 0

    def routes(self):
        return {
            ("POST", "/auth"): self.auth,
            ("POST", "/auth/verify"): self.auth_verify,
            ("POST", "/source-audio/start"): lambda request: self.start(request, "main"),
            ("POST", "/source-audio/next"): lambda request: self.next(request, "main"),
            ("GET", "/solo/start"): lambda request: self.start(request, "solo"),
            ("POST", "/solo/next"): lambda request: self.next(request, "solo"),
            ("GET", "/transcription"): self.transcription,
        }

    def report(self):
        return {"hotkeys": self.hotkeys}

    def uid(self, kind):
        return self.challenge["challenge_uid"] + ("-solo" if kind == "solo" else "")

    def auth(self, request):
        self.same("the body of /auth", request.body, b"")
        self.check("authorization" not in request.headers, "/auth needs no token")
        if self.busy:
            wait, self.busy = self.busy, None
            return 429, {"detail": {"message": "slow down", "window_sec": wait}}
        # Both are arbitrary: the text is signed verbatim, the timestamp returned verbatim.
        text = f"sign « {secrets.token_hex(8)} »\n"
        self.pending[text] = {"issued": [1_700_000_000.25, None, "é"]}
        return 200, {"challenge": text, "timestamp": self.pending[text]}

    def auth_verify(self, request):
        answer = request.json()
        self.same("fields of /auth/verify", sorted(answer), ["hotkey", "message", "signature", "timestamp"])
        self.same("content type of /auth/verify", request.headers.get("content-type"), "application/json")
        self.check("authorization" not in request.headers, "/auth/verify needs no token")
        known = self.pending.pop(answer["message"], None)
        if not self.check(known is not None, f"{answer['message']!r} was not to be signed"):
            return 401, {"detail": "unknown challenge"}
        self.same("timestamp", answer["timestamp"], known)
        if not self.check(keys.verify(answer["hotkey"], answer["message"], answer["signature"]), "the signature is false"):
            return 401, {"detail": "false signature"}
        token = secrets.token_urlsafe(24)
        self.tokens[token] = answer["hotkey"]
        self.hotkeys.append(answer["hotkey"])
        return 200, {"access_token": token, "expires_in": 86_400, "validator_uid": 7}

    def refusal(self, request):
        """Reason to reject a data call, if any."""
        self.same(f"content type of {request.path}", request.headers.get("content-type"), "application/json")
        if not self.check(request.bearer() is not None, f"{request.path} without a token"):
            return 401, {"detail": "token?"}
        self.data_calls += 1
        if self.data_calls == self.settings.get("revoke"):
            self.tokens.clear()
        # A token that was valid before is not a protocol violation.
        return None if request.bearer() in self.tokens else (401, {"detail": "invalid token"})

    def start(self, request, kind):
        if refusal := self.refusal(request):
            return refusal
        self.same(f"the body of {request.path}", request.body, b"")
        session = secrets.token_hex(8)
        self.sessions[session] = [kind, 0]
        return 200, self.utterance(session, kind, 0)

    def next(self, request, kind):
        if refusal := self.refusal(request):
            return refusal
        body = request.json()
        self.same(f"fields of {request.path}", list(body), ["session_id"])
        session = self.sessions.get(body["session_id"])
        if not self.check(session is not None and session[0] == kind, f"{body} names no {kind} session"):
            return 404, {"detail": "no such session"}
        self.check(session[1] < len(self.audio), "the challenge was over")
        session[1] += 1
        return 200, self.utterance(body["session_id"], kind, session[1])

    def utterance(self, session, kind, index):
        uid, done = self.uid(kind), self.settings.get("done", False)
        fields = {
            "challenge_uid": uid, "session_id": session, "utterance_id": f"{uid}:{index}", "utterance_index": index,
            "language": self.challenge["language"], "end_of_utterance": True, "a_field_of_later": {"x": 1},
        }
        if index == len(self.audio):
            empty = {"sample_rate_hz": 0, "channels": 0, "sample_width_bytes": 0, "utterance_frames": 0}
            return {**fields, **empty, "audio_b64": "", "done": True}
        if done and index + 1 == len(self.audio):
            fields["done"] = True
            self.sessions[session][1] = index + 1
        if kind == "solo":
            fields.update(self.reference(index))
        return {**fields, **self.audio[index]}

    def reference(self, index):
        target = self.challenge["utterances"][index]["target"]
        schema = SCHEMAS[index % 3]
        if schema == "target":
            return {"target": target}
        if schema == "flat":
            return {"reference_text": target["text"], "reference_wps": target["wps"], "reference_words": []}
        translations = [{"language": "fr", "text": "Bonjour."}, {"language": "EN", "text": target["text"], "reference_wps": target["wps"]}]
        return {"utterance_translations": translations}

    def transcription(self, request):
        if refusal := self.refusal(request):
            return refusal
        utterances = [{"utterance_index": index, "target": utterance["target"]} for index, utterance in enumerate(self.challenge["utterances"])]
        return 200, {"challenge_uid": self.uid("main"), "metadata": {"utterances": utterances}}
