"""A miner that adds numbers. It answers callers whose signature is valid, and accepts each request once.

python miner.py --port 8091 --key-uri //Bob        needs uvicorn
"""

import argparse
import json

import uvicorn

import taonet


async def add(scope, receive, send):
    """An ASGI application; any framework works in its place, such as FastAPI."""
    numbers = json.loads((await receive())["body"])["numbers"]
    body = json.dumps({"sum": sum(numbers), "asked_by": scope["taonet"].hotkey}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=8091)
parser.add_argument("--key-uri", default="//Bob", help="development key; in production, use taonet.Wallet")
arguments = parser.parse_args()

app = taonet.SignedMiddleware(
    add,
    hotkey=taonet.Keypair.from_uri(arguments.key_uri).address,
    scheme=taonet.BtauthScheme(),
    limits=taonet.Limits(body_bytes=64 * 1024, rate=10, burst=20, running=32),
)
uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", lifespan="off")
