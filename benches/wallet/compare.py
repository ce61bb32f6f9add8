"""Times bittensor-wallet and our keys in turn, on one core, and both wallet lists. Started by `compare`."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from bittensor_wallet import Keypair, __version__

SECONDS, ROUNDS, TURNS, LISTS, WALLETS = 1.0, 5, 3, 20, 1000
# As in our benchmark.
MESSAGE = b"m" * 200
OURS = ["cargo", "bench", "--locked", "--quiet", "-p", "taonet-benches", "--bench", "wallet", "--", "--json"]


def rate(work):
    """Calls per second in the best round, as in our benchmark."""
    best = 0
    for _ in range(ROUNDS):
        calls, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < SECONDS:
            for _ in range(16):
                work()
            calls += 16
        best = max(best, calls / elapsed)
    return best


def theirs():
    pair = Keypair.create_from_uri("//Alice")
    public = Keypair(ss58_address=pair.ss58_address)
    signature = pair.sign(MESSAGE)
    assert public.verify(MESSAGE, signature)
    return {
        "sign_per_s": rate(lambda: pair.sign(MESSAGE)),
        "verify_per_s": rate(lambda: public.verify(MESSAGE, signature)),
        # A trivial call to the same object: the overhead of a call from Python.
        "call_per_s": rate(lambda: pair.crypto_type),
    }


def ours():
    return json.loads(subprocess.run(OURS, check=True, stdout=subprocess.PIPE).stdout)


def medians(turns):
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


def make_wallets(root):
    """Wallets with a coldkey, two hotkeys and the public file each, as written by the tools."""
    for number in range(WALLETS):
        wallet = root / f"wallet{number}"
        (wallet / "hotkeys").mkdir(parents=True)
        for name in ("coldkeypub.txt", "hotkeys/default", "hotkeys/second"):
            pair = Keypair.create_from_uri(f"//{number}//{name}".replace("/default", "-1").replace("/second", "-2"))
            key = "0x" + bytes(pair.public_key).hex()
            text = json.dumps({"accountId": key, "publicKey": key, "ss58Address": pair.ss58_address, "cryptoType": 1})
            (wallet / name).write_text(text)
        (wallet / "coldkey").write_bytes(b"$NACL" + bytes(600))
        for file in wallet.rglob("*"):
            if file.is_file():
                file.chmod(0o600)


def list_milliseconds(command, count):
    times = []
    for _ in range(count):
        started = time.perf_counter()
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        times.append((time.perf_counter() - started) * 1000)
    assert output.count(b"5") >= 3 * WALLETS
    return statistics.median(times)


def main():
    # Only Linux can pin processes to cores.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(os.environ.get("CORE", "0"))})
    mine, peers = [], []
    for _ in range(TURNS):
        peers.append(theirs())
        mine.append(ours())
    mine, peers = medians(mine), medians(peers)
    call = 1 / peers["call_per_s"]
    print(f"one core, messages of {len(MESSAGE)} bytes, {TURNS} turns; operations a second")
    print(f"{'':16} {'ours':>8} {'wallet ' + __version__:>14} {'ratio':>6} {'ratio to its core':>18}")
    for name in ("sign", "verify"):
        us, them = mine[f"{name}_per_s"], peers[f"{name}_per_s"]
        # Without the overhead of the call from Python, which only its users pay.
        core = 1 / (1 / them - call)
        print(f"{name:16} {us:8.0f} {them:14.0f} {us / them:6.2f} {us / core:18.2f}")
    batch, single = mine["verify_batch_per_s"], mine["verify_per_s"]
    print(f"{'verify in batches':16} {batch:7.0f} {'':>14} {batch / single:6.2f}  to ours one by one")
    print(f"a call from Python that does next to nothing takes {call * 1e9:.0f} ns")

    tao = str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "tao")
    btcli = os.path.join(os.environ["PEERS"], "sdk11", "bin", "btcli")
    with tempfile.TemporaryDirectory() as folder:
        make_wallets(pathlib.Path(folder))
        here = list_milliseconds([tao, "wallet", "list", "--json", "--wallet-path", folder], LISTS)
        there = list_milliseconds([btcli, "--wallet-path", folder, "--json", "wallet", "list"], 3)
    print(f"list {WALLETS} wallets: tao {here:.0f} ms, btcli of bittensor 11 {there:.0f} ms, ratio {there / here:.0f}")


if __name__ == "__main__":
    sys.exit(main())
