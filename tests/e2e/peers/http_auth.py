"""A server and a client that sign with `bittensor.http_auth` (SDK 11), for tests.

http_auth.py serve     an echo server with //Bob's hotkey; prints its port, and exits when its standard input ends
http_auth.py call      calls {"port", "hotkey"} with //Alice's hotkey, with valid and with altered requests;
                       prints the responses
"""
import json
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bittensor import http_auth
from bittensor.keyfiles import Keypair


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hotkey = Keypair.create_from_uri("//Bob", 1).ss58_address

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            caller = http_auth.verify(
                self.headers, body, method=self.command, path=self.path, self_hotkey_ss58=self.hotkey)
            status, text = 200, json.dumps({"caller": caller.hotkey_ss58, "body": body.decode()})
        except http_auth.AuthError as error:
            status, text = 401, json.dumps({"error": type(error).__name__})
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port, "hotkey": Echo.hotkey}), flush=True)
    sys.stdin.read()
    server.shutdown()


def call(port, hotkey):
    alice = Keypair.create_from_uri("//Alice", 1)

    def send(path, body, headers, method="POST"):
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return [answer.status, answer.read().decode()]
        except urllib.error.HTTPError as error:
            return [error.code, json.loads(error.read()).get("error")]

    def signed(path="/echo", body=b'{"a": 1}', receiver=hotkey, method="POST", nonce=None):
        return http_auth.sign(
            alice, method=method, path=path, body=body, receiver_ss58=receiver, nonce_ns=nonce)

    body = b'{"a": 1}'
    results = {"good": send("/echo", body, signed())}
    results["get"] = send("/ping?x=%20", b"", signed("/ping?x=%20", b"", method="GET"), "GET")
    ed25519 = Keypair.create_from_uri("//Alice", 0)
    headers = http_auth.sign(ed25519, method="POST", path="/echo", body=body, receiver_ss58=hotkey)
    results["ed25519"] = send("/echo", body, headers)
    once = signed()
    results["replay"] = [send("/echo", body, once)[0], send("/echo", body, once)]
    results["body"] = send("/echo", b'{"a": 2}', signed())
    results["path"] = send("/echo?b=1", body, signed())
    results["receiver"] = send("/echo", body, signed(receiver=Keypair.create_from_uri("//Charlie", 1).ss58_address))
    results["no_receiver"] = send("/echo", body, signed(receiver=None))
    results["stale"] = send("/echo", body, signed(nonce=1_750_000_000_000_000_000))
    results["signature"] = send("/echo", body, {**signed(), "X-Bittensor-Signature": "0x" + "11" * 64})
    return results


if sys.argv[1] == "serve":
    serve()
else:
    question = json.load(sys.stdin)
    print(json.dumps(call(question["port"], question["hotkey"])))
