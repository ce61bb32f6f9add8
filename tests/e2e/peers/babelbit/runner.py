"""Clients of each service, as in the reference's runner and validator."""
import array
import base64
import io
import json
import math
import tarfile
import time
import uuid

import httpx
import keys
import speech
import text_contest


def play(question):
    # A connection can be closed by an early rejection, so each request has its own.
    with httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        return AGAINST[question["against"]](client, question)


def text(payload):
    """JSON as the reference's client sends it, with spaces."""
    return {"content": json.dumps(payload), "headers": {"Content-Type": "application/json"}}


# The utterance engine


def authenticate(client, base, pair, change=lambda body: None):
    challenge = client.post(f"{base.rstrip('/')}/auth").raise_for_status().json()
    body = {
        "hotkey": pair.ss58_address, "signature": keys.sign(pair, challenge["challenge"]),
        "timestamp": challenge["timestamp"], "message": challenge["challenge"],
    }
    change(body)
    return client.post(f"{base.rstrip('/')}/auth/verify", json=body)


def bearer(token):
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def fetch(client, base, headers, kind):
    """Fetches a complete challenge. The base URL is used verbatim."""
    if kind == "main":
        payload = client.post(f"{base}/source-audio/start", headers=headers).raise_for_status().json()
    else:
        payload = client.get(f"{base}/solo/start", headers=headers).raise_for_status().json()
    path = "source-audio" if kind == "main" else "solo"
    utterances = []
    while payload.get("audio_b64"):
        utterances.append(payload)
        if payload.get("done"):
            return utterances
        answer = client.post(f"{base}/{path}/next", headers=headers, json={"session_id": payload["session_id"]})
        payload = answer.raise_for_status().json()
    assert payload.get("done"), payload
    return utterances


def engine(client, question):
    base, pair = question["url"], keys.keypair("//Alice")
    answer = authenticate(client, base, pair)
    token = answer.json()
    headers = bearer(token["access_token"])
    found = {"expires_in": token["expires_in"], "token_fields": sorted(token)}
    for kind in ["main", "solo"]:
        utterances = fetch(client, base, headers, kind)
        found[kind] = [
            {
                "utterance_id": utterance["utterance_id"], "challenge_uid": utterance["challenge_uid"],
                "language": utterance["language"], "index": utterance["utterance_index"],
                "seconds": len(speech.samples(utterance)) / utterance["channels"] / utterance["sample_rate_hz"],
                "reference": any(name in utterance for name in ["target", "reference_text", "utterance_translations"]),
            }
            for utterance in utterances
        ]
    # A trailing slash in the setting gives a double slash.
    found["slashes"] = len(fetch(client, f"{base}/", headers, "main"))
    document = client.get(f"{base}/transcription", headers=headers).raise_for_status().json()
    found["transcription"] = {"challenge_uid": document["challenge_uid"], "texts": [
        utterance["target"]["text"] for utterance in document["metadata"]["utterances"]
    ]}
    start = client.post(f"{base}/source-audio/start", headers=headers).json()
    session = {"session_id": start["session_id"]}
    other = bearer(authenticate(client, base, keys.keypair("//Bob")).json()["access_token"])
    post = lambda path, headers, body: client.post(f"{base}{path}", headers=headers, json=body).status_code
    found["refused"] = {
        "signature": authenticate(client, base, pair, lambda body: body.update(signature="00" * 64)).status_code,
        "hotkey": authenticate(client, base, pair, lambda body: body.update(hotkey=keys.keypair("//Bob").ss58_address)).status_code,
        "message": authenticate(client, base, pair, lambda body: body.update(message="mine")).status_code,
        "timestamp": authenticate(client, base, pair, lambda body: body.update(timestamp=1)).status_code,
        "no_token": client.get(f"{base}/transcription").status_code,
        "token": client.get(f"{base}/transcription", headers=bearer("x")).status_code,
        "session": post("/source-audio/next", headers, {"session_id": "x"}),
        "other_session": post("/source-audio/next", other, session),
        "other_kind": post("/solo/next", headers, session),
        "no_session": post("/source-audio/next", headers, {}),
    }
    return found


# Miners


class Miner:
    """Plays utterances according to the protocol; `send` takes a message and returns status and JSON."""

    def __init__(self, send):
        self.send = send

    def play(self, challenge_uid, utterance):
        channels = speech.floats(utterance)
        frames, heard, said, drains = speech.frames(channels), 0, b"", 0
        init = {
            "kind": "init", "challenge_uid": challenge_uid, "utterance_id": utterance["utterance_id"],
            "language": utterance["language"], "sample_rate_hz": 24_000, "frame_rate_hz": 12.5, "frame_samples": 1_920,
            "dtype": "float32le", "channels": len(channels),
        }
        status, opened = self.send(init)
        assert status == 200 and opened["ready"] is True and opened["session_id"], (status, opened)
        same = ["challenge_uid", "utterance_id", "sample_rate_hz", "dtype", "channels"]
        assert all(opened[field] == init[field] for field in same), opened
        ended = False
        for heard, frame in enumerate(frames, 1):
            part, ended = self.predict(opened["session_id"], frame, heard == len(frames))
            said += part
            if ended:
                break
        while not ended and drains < 8:
            drains += 1
            part, ended = self.predict(opened["session_id"], "", True)
            said += part
        assert len(said) % (4 * len(channels)) == 0, len(said)
        sound = array.array("f", said)
        assert all(math.isfinite(sample) for sample in sound)
        return {
            "frames": len(frames), "heard": heard, "drains": drains, "ended": ended,
            "seconds": len(sound) / len(channels) / 24_000, "loudest": max(map(abs, sound), default=0.0),
        }

    def predict(self, session, audio, last):
        payload = {"kind": "predict", "session_id": session, "audio_b64": audio, "in_eos": last}
        status, answer = self.send(payload)
        assert status == 200 and "error" not in answer, (status, answer)
        assert answer["session_id"] == session
        return base64.b64decode(answer.get("audio_b64", ""), validate=True), answer.get("out_eos", False)


def miner(client, question):
    """Plays two utterances to a miner, one with each form of the headers, and sends requests that must be rejected."""
    headers = bearer(authenticate(client, question["engine"], keys.keypair("//Alice")).json()["access_token"])
    utterances = fetch(client, question["engine"], headers, "main")
    url, hotkey = question["url"], question["hotkey"]
    dendrite, port = keys.Dendrite("//Alice"), httpx.URL(url).port

    def send(payload, hashed=False, receiver=hotkey, change=lambda headers: None):
        headers = dendrite.headers(receiver, payload, port=port, hashed=hashed)
        change(headers)
        answer = client.post(f"{url}/v1/predict", content=json.dumps(payload), headers=headers)
        return answer.status_code, answer.json()

    uid = utterances[0]["challenge_uid"]
    played = {
        "plain": Miner(send).play(uid, utterances[0]),
        "hashed": Miner(lambda payload: send(payload, hashed=True)).play(uid, utterances[1]),
    }
    init = {
        "kind": "init", "challenge_uid": "c", "utterance_id": "c:0", "language": "fr", "sample_rate_hz": 24_000,
        "frame_rate_hz": 12.5, "frame_samples": 1_920, "dtype": "float32le", "channels": 1,
    }
    once = dendrite.headers(hotkey, init, port=port)
    again = [client.post(f"{url}/v1/predict", content=json.dumps(init), headers=once).status_code for _ in range(2)]
    old = lambda headers: headers.update(bt_header_dendrite_nonce=str(time.time_ns() - 60_000_000_000))
    refused = {
        "unsigned": client.post(f"{url}/v1/predict", json=init).status_code,
        "receiver": send(init, receiver=keys.keypair("//Dave").ss58_address)[0],
        "signature": send(init, change=lambda headers: headers.update(bt_header_dendrite_signature="0x" + "00" * 64))[0],
        "nonce": send(init, change=old)[0],
        "uuid": send(init, change=lambda headers: headers.update(bt_header_dendrite_uuid=str(uuid.uuid4())))[0],
        "body_hash": send(init, change=lambda headers: headers.update(computed_body_hash="0" * 64))[0],
        "replay": again,
    }
    health = [client.get(f"{url}{path}").json() for path in ["/healthz", "/health"]]
    return {**played, "refused": refused, "health": health}


# The scoring API


def results(uid, kind, miner_uid, hotkey, score):
    """Result files of a miner with one utterance in submission order: type, kind, name, document."""
    head = {"challenge_uid": uid, "challenge_type": kind, "miner_uid": miner_uid, "miner_hotkey": hotkey}
    tail = {"protocol": "s2s_audio_v1", "score_is_fallback": False, "score_method": "semantic_audio_v1", "completed": True}
    summary = {
        "average_U_best_early": score, "accuracy": score, "effective_completion_sec": 1.0, "completed_utterances": 1,
        "total_utterances": 1,
    }
    name = f"{uid}_type_{kind}_miner_{miner_uid}"
    run = f"challenge_run_{name}_run_20260102_030405.json"
    log = {**head, **tail, "score": score, "utterances": []}
    scores = {
        "run_file": run, **head, "utterances": [{"utterance_uid": f"{uid}:0", "utterance_score": score, "utterance_index": 0}],
        "challenge_mean_U": score, "challenge_summary": summary, **tail,
    }
    return [
        ("dialogue_log", "dialogue_logs", "run.json", log),
        ("challenge_run", "dialogue_scores", run, {"log_file": "run.json", **head, "utterances": [], "challenge_summary": summary, **tail}),
        ("challenge_scores", "challenge_scores", f"challenge_score_{name}_score_20260102_030405.json", scores),
    ]


class Submitter:
    def __init__(self, client, base, uri):
        self.client, self.base, self.pair = client, base, keys.keypair(uri)

    def body(self, uid, kind, miner_uid, hotkey, data):
        signed = {
            "vali_hotkey": self.pair.ss58_address, "miner_hotkey": hotkey, "miner_uid": miner_uid,
            "timestamp": int(time.time()), "challenge_id": uid,
            "data": {
                "challenge_uid": uid, "main_challenge_uid": None, "miner_uid": miner_uid, "miner_hotkey": hotkey,
                "challenge_type": kind, "protocol": "s2s_audio_v1", "score_is_fallback": False,
                "score_method": "semantic_audio_v1", **data,
            },
        }
        return {**signed, "signature": keys.sign(self.pair, keys.sorted_json(signed))}

    def submit(self, uid, kind, miner_uid, hotkey, file, change=lambda body: None):
        file_type, label, name, document = file
        content = json.dumps(document, indent=2)
        data = {
            "file_type": file_type, "file_name": name, "dialogue_uid": None, "s3_path": None,
            "file_size": len(content.encode()), "content": content,
        }
        body = {**self.body(uid, kind, miner_uid, hotkey, data), "kind": label}
        change(body)
        return self.client.post(f"{self.base}/v1/submit", json=body).status_code

    def submit_artifact(self, uid, kind, miner_uid, hotkey, change=lambda body: None):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as bundle:
            for folder in ["source", "predicted"]:
                wav = speech.wav(b"\0\0" * 2_400, 24_000, 1, 2)
                member = tarfile.TarInfo(f"{folder}/utt_0000.wav")
                member.size = len(wav)
                bundle.addfile(member, io.BytesIO(wav))
        tar = file.getvalue()
        data = {"file_type": "artifact", "file_name": "audio.tar", "file_size": len(tar), "content_type": "application/x-tar"}
        body = {**self.body(uid, kind, miner_uid, hotkey, data), "kind": "audio_bundle"}
        change(body)
        form = {"metadata": keys.sorted_json(body)}
        files = {"file": ("audio.tar", tar, "application/x-tar")}
        return self.client.post(f"{self.base}/v1/submit-artifact", data=form, files=files).status_code

    def scores(self, uid, contest=None, change=lambda query: None):
        query = {"hotkey": self.pair.ss58_address, "timestamp": int(time.time()), "challenge_uid": uid}
        signed = {"challenge_id": uid, "data": {"challenge_uid": uid}, "hotkey": query["hotkey"], "timestamp": query["timestamp"]}
        if contest == "arena":
            signed["challenge_type"] = signed["data"]["challenge_type"] = "arena"
        query["signature"] = keys.sign(self.pair, keys.sorted_json(signed))
        if contest:
            query["challenge_type"] = contest
        change(query)
        answer = self.client.get(f"{self.base}/v1/get_scores", params=query)
        return {"status": answer.status_code, "rows": answer.json().get("scores") if answer.status_code == 200 else None}


def scoring_api(client, question):
    """Submits what each validator found for each miner; `scores` has a list of them, each `validator`, `type`, `uid`,
    `hotkey` and `score`."""
    base, uid, found = question["url"], question["challenge_uid"], {"submitted": []}
    for score in question["scores"]:
        submitter = Submitter(client, base, score["validator"])
        miner = [score["type"], score["uid"], score["hotkey"]]
        log, *rest = results(uid, *miner, score["score"])
        statuses = [submitter.submit(uid, *miner, log), submitter.submit_artifact(uid, *miner)]
        statuses += [submitter.submit(uid, *miner, file) for file in rest]
        found["submitted"].append(statuses)
    submitter = Submitter(client, base, question["scores"][0]["validator"])
    # A client retries after a lost response.
    found["again"] = [submitter.submit(uid, *miner, file) for file in rest]
    for contest in ["qualifying", "arena", None]:
        found[contest or "all"] = submitter.scores(uid, contest)
    found["unknown"] = submitter.scores("no-such-challenge", "qualifying")
    stranger = Submitter(client, base, "//Stranger")
    alter = lambda body: body["data"].update(content="{}")
    found["refused"] = {
        "signature": submitter.submit(uid, *miner, log, lambda body: body.update(signature="00" * 64)),
        "content": submitter.submit(uid, *miner, log, alter),
        "kind": submitter.submit(uid, *miner, log, lambda body: body.update(kind="audio_bundle")),
        "artifact": submitter.submit_artifact(uid, *miner, lambda body: body.update(signature="00" * 64)),
        "stranger": stranger.submit(uid, *miner, log),
        "query": submitter.scores(uid, None, lambda query: query.update(challenge_uid="x"))["status"],
        "strangers_query": stranger.scores(uid, "qualifying")["status"],
        # The arena's name is part of the signed text.
        "contest": submitter.scores(uid, None, lambda query: query.update(challenge_type="arena"))["status"],
    }
    return found


# The arena's gateway


class Gateway:
    def __init__(self, client, base, uri):
        self.client, self.base, self.dendrite, self.attempts = client, base, keys.Dendrite(uri), 0

    def authenticate(self, signed, further, change=lambda body: None):
        stamp, nonce = int(time.time() * 1_000), str(time.time_ns())
        message = f"{stamp}|{nonce}|{keys.sorted_json(signed)}"
        pair = self.dendrite.pair
        body = {"hotkey": pair.ss58_address, **further, "timestamp_ms": stamp, "nonce": nonce, "signature": keys.sign(pair, message)}
        change(body)
        return self.client.post(f"{self.base}/auth/token", json=body)

    def of_miner(self, hotkey, uid, change=lambda body: None):
        named = {"miner_hotkey": hotkey, "uid": uid}
        return self.authenticate(named, named, change)

    def list(self, token, status):
        query = {"window_seconds": 86_000, "status": status}
        return self.client.get(f"{self.base}/list_arena_miners", params=query, headers={"Authorization": f"Bearer {token}"})

    def runsync(self, token, hotkey, uid, payload, change=lambda body: None):
        headers = self.dendrite.headers(hotkey, payload, ip="0.0.0.0", timeout=10.0, hashed=True)
        del headers["Content-Type"]
        self.attempts += 1
        body = {
            "input": {"predict_payload": payload, "bt_headers": headers}, "auth_token": token, "uid": uid, "miner_hotkey": hotkey,
            "request_id": f"gw-audio:{headers['name']}:{uid}:{self.attempts}:{uuid.uuid4().hex}",
        }
        change(body)
        answer = self.client.post(f"{self.base}/runsync", **text(body))
        value = answer.json()
        return answer.status_code, value.get("output") if isinstance(value.get("output"), dict) else value


def token_of(answer):
    body = answer.raise_for_status().json()
    assert body.get("expires_in", 1_800) > 0, body
    return body.get("auth_token") or body["token"]


def arena_gateway(client, question):
    """Plays an engine's first utterance to every miner that the gateway lists."""
    headers = bearer(authenticate(client, question["engine"], keys.keypair("//Alice")).json()["access_token"])
    utterance = fetch(client, question["engine"], headers, "main")[0]
    gateway = Gateway(client, question["url"], "//Alice")
    named = gateway.of_miner("discovery", 0)
    scope = gateway.authenticate({"scope": "gateway"}, {})
    found = {"named": named.status_code, "scope": scope.status_code, "played": {}}
    token = token_of(named if named.status_code == 200 else scope)
    statuses = ["running", "warming", "idle", "unhealthy", "unavailable", "stopped"]
    lists = {status: gateway.list(token, status).raise_for_status().json() for status in statuses}
    found["lists"] = lists
    rows = lists["running"].get("miners") or lists["running"].get("containers") or []
    for row in rows:
        hotkey, uid = row.get("hotkey") or row["miner_hotkey"], row.get("uid", row.get("miner_uid"))
        own = token_of(gateway.of_miner(hotkey, uid))
        send = lambda payload: gateway.runsync(own, hotkey, uid, payload)
        found["played"][str(uid)] = Miner(send).play(utterance["challenge_uid"], utterance)
    init = {
        "kind": "init", "challenge_uid": "c", "utterance_id": "c:0", "language": "fr", "sample_rate_hz": 24_000,
        "frame_rate_hz": 12.5, "frame_samples": 1_920, "dtype": "float32le", "channels": 1,
    }
    found["refused"] = {
        "signature": gateway.of_miner("discovery", 0, lambda body: body.update(signature="00" * 64)).status_code,
        "altered": gateway.of_miner("discovery", 0, lambda body: body.update(uid=1)).status_code,
        "old": gateway.of_miner("discovery", 0, lambda body: body.update(timestamp_ms=1)).status_code,
        "no_token": client.get(f"{question['url']}/list_arena_miners").status_code,
        "list_token": gateway.list("x", "running").status_code,
        "token": gateway.runsync("x", hotkey, uid, init)[0],
        "miner": gateway.runsync(own, keys.keypair("//Nobody").ss58_address, 999, init)[0],
    }
    return found


# Signer and subtensor gateway


def operator(client, question):
    signer, gateway = question["signer"], question["gateway"]
    hotkey, netuid, weights = question["hotkey"], question["netuid"], question["weights"]
    client.headers["Authorization"] = f"Bearer {question['token']}"
    post = lambda url, body: client.post(url, json=body)
    query = {"challenge_id": "c", "data": {"challenge_uid": "c"}, "hotkey": hotkey, "timestamp": int(time.time())}
    payload = keys.sorted_json(query)
    signed = {}
    for name, body in [("payloads", {"payloads": [payload, payload]}), ("text", {"data": payload}), ("list", {"data": [payload]})]:
        answer = post(f"{signer}/sign", body).raise_for_status().json()
        assert answer["success"] is True and answer["hotkey"] == hotkey, answer
        signed[name] = [keys.verify(hotkey, payload, signature) for signature in answer["signatures"]]
    block = post(f"{gateway}/v1/block/current", {}).raise_for_status().json()["block"]
    waited = post(f"{gateway}/v1/block/wait", {"timeout_s": 30}).raise_for_status().json()["block"]
    forever = post(f"{gateway}/v1/block/wait", {"timeout_s": None}).raise_for_status().json()["block"]
    snapshot = post(f"{gateway}/v1/metagraph/snapshot", {"netuid": netuid, "lite": True}).raise_for_status().json()
    context = post(f"{gateway}/v1/registry/context", {"netuid": netuid}).raise_for_status().json()
    answers = lambda answer: [answer.status_code, answer.json()]

    def no_wait():
        """Status of a wait of 0 s. If a block comes in the middle of the request, it asks again."""
        for _ in range(5):
            known = post(f"{gateway}/v1/block/current", {}).raise_for_status().json()["block"]
            answer = post(f"{gateway}/v1/block/wait", {"timeout_s": 0.0})
            if answer.status_code != 200 or answer.json()["block"] <= known:
                break
        return answer.status_code

    further = {"netuid": netuid, **weights, "wait_for_inclusion": False}
    return {
        "health": [client.get(f"{url}/healthz").json() for url in [signer, gateway]],
        "signed": signed,
        "blocks": [block, waited, forever],
        "snapshot": snapshot,
        "context": {"commitments": context["commitments"], "same": context["metagraph"]["hotkeys"] == snapshot["hotkeys"]},
        "set": answers(post(f"{signer}/set_weights", further)),
        "confirm": answers(post(f"{gateway}/v1/weights/set_and_confirm", {**further, "retries": 3, "delay_s": 1})),
        "mismatch": [
            answers(post(url, {"netuid": netuid, "uids": [1, 2], "weights": [1.0]}))
            for url in [f"{signer}/set_weights", f"{gateway}/v1/weights/set_and_confirm"]
        ],
        "too_large": post(f"{signer}/sign", {"data": "x" * (1 << 20)}).status_code,
        "no_wait": no_wait(),
        "no_token": [
            httpx.post(f"{signer}/sign", json={"data": payload}).status_code,
            httpx.post(f"{gateway}/v1/block/current", json={}).status_code,
        ],
    }


def text_miner(client, question):
    token = authenticate(client, question["engine"], keys.keypair("//Alice")).json()["access_token"]
    return text_contest.play(client, question, bearer(token))


AGAINST = {
    "text-miner": text_miner,
    "engine": engine, "miner": miner, "scoring-api": scoring_api, "arena-gateway": arena_gateway, "operator": operator,
}
