"""Times signed echoes over loopback: bittensor 10's axon and dendrite in this process, and ours in `cargo bench`."""
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import ClassVar, Optional

os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

import bittensor as bt  # noqa: E402
from bittensor.core.axon import Axon  # noqa: E402
from bittensor.core.dendrite import Dendrite  # noqa: E402
from bittensor.utils import networking  # noqa: E402
from bittensor_wallet import Keypair  # noqa: E402

# Otherwise the SDK queries a service on the internet.
networking.get_external_ip = lambda: "127.0.0.1"

BODY_BYTES = 1024
SECONDS = 5.0


class EchoSynapse(bt.Synapse):
    prompt: str
    answer: Optional[str] = None
    required_hash_fields: ClassVar[tuple[str, ...]] = ("prompt",)


def echo(synapse: EchoSynapse) -> EchoSynapse:
    synapse.answer = synapse.prompt
    return synapse


def serve():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wallet = SimpleNamespace(hotkey=Keypair.create_from_uri("//Bob"))
    axon = Axon(wallet=wallet, port=port, ip="127.0.0.1", external_ip="127.0.0.1").attach(forward_fn=echo).start()
    while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
        time.sleep(0.05)
    return axon, bt.AxonInfo(
        version=10_005_000, ip="127.0.0.1", port=port, ip_type=4,
        hotkey=wallet.hotkey.ss58_address, coldkey=wallet.hotkey.ss58_address)


async def rate(target, callers):
    """Requests per second and the median latency in milliseconds, with this many concurrent dendrites."""
    latencies = []
    end = time.perf_counter() + SECONDS

    async def loop():
        # One dendrite each: an axon requires increasing nonces of each process.
        async with Dendrite(wallet=Keypair.create_from_uri("//Alice")) as dendrite:
            while (began := time.perf_counter()) < end:
                answer = await dendrite.call(target, EchoSynapse(prompt="x" * BODY_BYTES), deserialize=False)
                assert answer.dendrite.status_code == 200, answer.dendrite
                latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(callers)))
    took = time.perf_counter() - began
    return len(latencies) / took, sorted(latencies)[len(latencies) // 2] * 1000


def in_python():
    axon, target = serve()
    results = {callers: asyncio.run(rate(target, callers)) for callers in (1, 64)}
    axon.stop()
    return results


def in_rust():
    command = ["cargo", "bench", "-q", "-p", "taonet-benches", "--bench", "wire", "--", "--json"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(next(line for line in lines if line.startswith("[")))


def main():
    rust = in_rust()
    python = in_python()
    for callers, (per_second, median) in python.items():
        print(f"bittensor 10, callers at once: {callers:3}  {per_second:8.0f} requests/s  p50 {median:7.2f} ms")
    best = max(per_second for per_second, _ in python.values())
    for result in rust:
        ratio = result["per_second"] / best
        print(
            f"here, {result['scheme']:9} 64 at once       {result['per_second']:8.0f} requests/s"
            f"  {ratio:5.0f} times as many  p50 {result['p50_ms']:5.2f} ms and p99 {result['p99_ms']:5.2f} ms at 6 000 a second")


if __name__ == "__main__":
    sys.exit(main())
