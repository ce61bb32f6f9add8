"""The text-prediction contest: an engine, a miner, and a client that plays validator."""
import json
import secrets

import engine
import keys
import miner
import web

FIELDS = ["index", "step", "prefix", "context", "done", "prediction", "ground_truth", "evaluation"]


def tokens(challenge):
    """The token stream of a challenge, as the reference's engine sends it: words, `EOF` after an utterance, `EOF EOF`
    after a dialogue. Words count from 1, and an `EOF` has the number of its utterance's words."""
    for dialogue_index, dialogue in enumerate(challenge["dialogues"]):
        utterances = dialogue["utterances"]
        stream = []
        for utterance_index, utterance in enumerate(utterances):
            words = utterance.split()
            stream += [(word, utterance_index, token_index) for token_index, word in enumerate(words, 1)]
            stream.append(("EOF", utterance_index, len(words)))
        for word, utterance_index, token_index in [*stream, ("EOF EOF", len(utterances), 0)]:
            yield {
                "word": word, "done": False, "challenge_uid": challenge["challenge_uid"],
                "dialogue_uid": dialogue["dialogue_uid"], "dialogue_index": dialogue_index,
                "utterance_index": utterance_index, "token_index": token_index,
            }


class Engine(engine.Engine):
    """Settings: `challenge`, the file of a text challenge; `busy`, `revoke` as the speech engine has them; `fails`: after
    so many data calls one is answered 503."""

    def __init__(self, settings):
        web.Service.__init__(self)
        self.settings = settings
        with open(settings["challenge"], encoding="utf-8") as file:
            self.stream = list(tokens(json.load(file)))
        self.busy = settings.get("busy")
        self.pending, self.tokens, self.sessions, self.hotkeys = {}, {}, {}, []
        self.data_calls = 0

    def routes(self):
        return {
            ("POST", "/auth"): self.auth, ("POST", "/auth/verify"): self.auth_verify,
            ("GET", "/start"): self.begin, ("POST", "/next"): self.advance,
        }

    def interruption(self, request):
        refusal = self.refusal(request)
        return refusal or ((503, {"detail": "busy"}) if self.data_calls == self.settings.get("fails") else None)

    def begin(self, request):
        if refusal := self.interruption(request):
            return refusal
        self.same("the body of /start", request.body, b"")
        session = secrets.token_hex(8)
        self.sessions[session] = 0
        return 200, {"session_id": session, **self.stream[0]}

    def advance(self, request):
        if refusal := self.interruption(request):
            return refusal
        body = request.json()
        self.same("fields of /next", list(body), ["session_id", "prediction"])
        self.same("prediction", body["prediction"], "")
        if not self.check(body["session_id"] in self.sessions, f"no session {body['session_id']!r}"):
            return 400, {"error": "invalid or missing session_id"}
        position = self.sessions[body["session_id"]] = self.sessions[body["session_id"]] + 1
        self.check(position <= len(self.stream), "the challenge was over")
        return 200, self.stream[position] if position < len(self.stream) else {"token": None, "done": True}


class Miner(web.Service):
    """Settings: `uri`, its key; `challenge`, the file whose utterances it knows; `fails`: it refuses everything."""

    def __init__(self, settings):
        super().__init__()
        self.hotkey = keys.keypair(settings["uri"]).ss58_address
        self.fails = settings.get("fails", False)
        with open(settings["challenge"], encoding="utf-8") as file:
            dialogues = json.load(file)["dialogues"]
        self.known = [" ".join(text.split()) for dialogue in dialogues for text in dialogue["utterances"]]
        self.asked = []
        self.envelope = None

    def routes(self):
        return {("POST", "/predict"): self.predict}

    def hello(self):
        self.envelope = miner.Envelope(self, self.hotkey, ("127.0.0.1", str(self.port)), False)
        return {"hotkey": self.hotkey}

    def report(self):
        return {"callers": sorted(self.envelope.callers), "asked": self.asked}

    def predict(self, request):
        payload = request.json()
        self.same("content type", request.headers.get("content-type"), "application/json")
        self.same("fields of a request", list(payload), FIELDS)
        self.check(isinstance(payload["index"], str) and payload["index"], "the index is the session")
        self.same("step", payload["step"], len(payload["prefix"].split(" ")) - 1)
        self.same("the rest", [payload[field] for field in FIELDS[4:]], [False, "", None, None])
        if not self.envelope.check(request.headers, payload):
            return 401, {"detail": "not verified"}
        self.asked.append([payload["prefix"], payload["context"]])
        if self.fails:
            return 503, {"detail": "not initialised"}
        found = [text for text in self.known if text.startswith(payload["prefix"])]
        return 200, {"prediction": f"{found[0] if found else ''} EOF"}


def play(client, question, headers):
    """Plays our engine's text challenge to our miner word by word, and sends requests that must be refused."""
    base, url, hotkey = question["engine"], question["url"], question["hotkey"]
    dendrite, port = keys.Dendrite("//Alice"), int(url.rsplit(":", 1)[1])

    def ask(payload, signed=True):
        sent = dendrite.headers(hotkey, payload, port=port) if signed else {"Content-Type": "application/json"}
        answer = client.post(f"{url}/predict", content=json.dumps(payload), headers=sent)
        return answer.status_code, answer.json()

    def message(session, words, context=""):
        values = [session, len(words) - 1, " ".join(words), context, False, "", None, None]
        return dict(zip(FIELDS, values, strict=True))

    token = client.get(f"{base}/start", headers=headers).raise_for_status().json()
    session, seen, words, earlier, predictions, complete = token["session_id"], [], [], [], [], []
    while not token["done"]:
        text = token.get("word") or token["token"]
        seen.append([text, token["dialogue_uid"], token["utterance_index"], token["token_index"]])
        if text == "EOF":
            complete.append(" ".join(words))
            earlier, words = [*earlier, " ".join(words)], []
        elif text == "EOF EOF":
            # As in the reference's runner, the end of a dialogue completes no utterance.
            earlier = []
        else:
            words.append(text)
            status, answer = ask(message(session, words, " EOF ".join(earlier)))
            assert status == 200 and list(answer) == ["prediction"], (status, answer)
            predictions.append([" ".join(words), answer["prediction"]])
        body = {"session_id": session, "prediction": ""}
        token = client.post(f"{base}/next", headers=headers, json=body).raise_for_status().json()
    assert token["token"] is None, token

    def refused(body):
        answer = client.post(f"{base}/next", headers=headers, json=body)
        return [answer.status_code, answer.json()["error"]]

    health = client.get(f"{url}/healthz").json()
    return {
        "seen": seen, "complete": complete, "predictions": predictions, "health": [health["status"], health["model_loaded"]],
        "sessions": [refused({"session_id": "x", "prediction": ""}), refused({"prediction": ""})],
        "refused": {
            "unsigned": ask(message(session, ["a"]), signed=False)[0],
            "index": ask({**message(session, ["a"]), "index": 1})[0],
            "prefix": ask({**message(session, ["a"]), "prefix": "a" * 100_000})[0],
            "empty": ask({})[0],
        },
    }
