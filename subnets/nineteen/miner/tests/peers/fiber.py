"""Test implementation of fiber 1.0's protocol, miner and validator, with `cryptography` and `substrate-interface`.

fiber.py serve     runs a miner with //Bob's hotkey, which streams chats, or answers 429 for the model "busy"; prints its
                   port, and exits when standard input closes
fiber.py call      calls the miner {"port", "hotkey", "model"} with //Alice's hotkey; prints the responses
"""
import base64
import json
import secrets
import string
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from substrateinterface import Keypair

OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
# Seconds between two words of a streamed chat.
PAUSE = 1
HEADERS = ["validator-hotkey", "miner-hotkey", "symmetric-key-uuid", "nonce", "signature"]


def nonce():
    suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(10))
    return f"{time.time_ns()}_{suffix}"


def fernet(key):
    return Fernet(base64.urlsafe_b64encode(key))


class Miner(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keypair = Keypair.create_from_uri("//Bob")
    rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys, nonces = {}, set()

    def respond(self, status, text, kind="application/json"):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        pem = self.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        self.respond(200, json.dumps({"public_key": pem, "timestamp": time.time()}))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if any(self.headers[name] is None for name in HEADERS):
            return self.respond(422, '{"detail": "header missing"}')
        validator, miner, key_id, once, signature = (self.headers[name] for name in HEADERS)
        stated = int(once.split("_")[0]) / 1e9
        if once in self.nonces or abs(time.time() - stated) > 120:
            return self.respond(401, '{"detail": "nonce"}')
        self.nonces.add(once)
        text = f"{once}:{miner}:{key_id}"
        if not Keypair(ss58_address=validator).verify(text.encode(), signature):
            return self.respond(401, '{"detail": "signature"}')
        if self.path == "/exchange-symmetric-key":
            encrypted = base64.b64decode(json.loads(body)["encrypted_symmetric_key"], validate=True)
            key = self.rsa.decrypt(encrypted, OAEP)
            assert len(key) == 32
            self.keys[validator, key_id] = key
            return self.respond(200, '{"status": "Symmetric key exchanged successfully"}')
        try:
            payload = fernet(self.keys[validator, key_id]).decrypt(body)
        except (KeyError, InvalidToken):
            return self.respond(400, '{"detail": "key"}')
        if self.path == "/chat/completions":
            return self.chat(json.loads(payload))
        seen = {"miner": miner, "uuid": key_id, "type": self.headers["content-type"], "plain": payload.decode()}
        self.respond(200, json.dumps(seen))

    def chat(self, payload):
        if payload["model"] == "busy":
            return self.respond(429, '{"detail": "busy"}')
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for word in payload["messages"][0]["content"].split(" "):
            self.event(json.dumps({"choices": [{"delta": {"content": word}, "logprobs": {"content": []}}]}))
            time.sleep(PAUSE)
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data):
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()

    def log_message(self, *_):
        pass


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Miner)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port, "hotkey": Miner.keypair.ss58_address}), flush=True)
    sys.stdin.read()
    server.shutdown()


def call(port, hotkey, model):
    alice = Keypair.create_from_uri("//Alice")
    base = f"http://127.0.0.1:{port}"
    key, key_id = secrets.token_bytes(32), secrets.token_hex(32)

    def headers(kind, miner=hotkey, uuid=key_id, once=None, signer=alice):
        once = once or nonce()
        signature = "0x" + signer.sign(f"{once}:{miner}:{uuid}".encode()).hex()
        return {"content-type": kind, "symmetric-key-uuid": uuid, "validator-hotkey": alice.ss58_address,
                "miner-hotkey": miner, "nonce": once, "signature": signature}

    def send(path, body, head):
        try:
            with urllib.request.urlopen(urllib.request.Request(base + path, body, head), timeout=30) as answer:
                return [answer.status, answer.read().decode()]
        except urllib.error.HTTPError as error:
            return [error.code, json.loads(error.read())["detail"]]

    def sealed(path, payload, key=key, **further):
        body = fernet(key).encrypt(json.dumps({**payload, "nonce": nonce()}).encode())
        return send(path, body, headers("application/octet-stream", **further))

    with urllib.request.urlopen(base + "/public-encryption-key", timeout=30) as answer:
        message = json.load(answer)
    public = serialization.load_pem_public_key(message["public_key"].encode())
    exchange = {"encrypted_symmetric_key": base64.b64encode(public.encrypt(key, OAEP)).decode()}
    results = {"bits": public.key_size, "fresh": abs(time.time() - message["timestamp"]) < 60}
    results["before"] = sealed("/capacity", {})[0]
    results["exchange"] = send("/exchange-symmetric-key", json.dumps(exchange).encode(), headers("application/json"))
    offered = {"task_configs": [{"task": model, "max_capacity": 120000.0, "weight": 0.5, "é": "☃"}]}
    results["capacity"] = sealed("/capacity", offered)
    chat = {"model": model, "messages": [{"role": "user", "content": "é"}], "stream": True, "logprobs": True}
    results["chat"] = sealed("/chat/completions", chat)
    once = nonce()
    results["replay"] = [sealed("/capacity", offered, once=once)[0], sealed("/capacity", offered, once=once)]
    results["stale"] = sealed("/capacity", offered, once=f"{time.time_ns() - 121 * 10**9}_abcDEF0123")[0]
    results["other_signer"] = sealed("/capacity", offered, signer=Keypair.create_from_uri("//Eve"))[0]
    results["other_miner"] = sealed("/capacity", offered, miner=Keypair.create_from_uri("//Dave").ss58_address)[0]
    results["other_key"] = sealed("/capacity", offered, key=secrets.token_bytes(32))[0]
    results["unknown_key"] = sealed("/capacity", offered, uuid="0" * 64)[0]
    return results


if sys.argv[1] == "serve":
    serve()
else:
    print(json.dumps(call(**json.load(sys.stdin))))
