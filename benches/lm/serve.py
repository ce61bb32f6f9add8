"""Drives our server of language models and those of llama.cpp with the same streamed chats. Started by `serve`."""

import argparse
import asyncio
import contextlib
import json
import math
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

STREAMS = (1, 16)
# Tokens per second, relative to the fastest server of llama.cpp with as many streams.
GOAL = 0.8
# Tokens of context of each stream, several times those of a prompt and its answer.
CONTEXT = 1024
START_SECONDS, ANSWER_SECONDS = 60, 600

QUESTIONS = (
    "Write a long story about a lighthouse keeper who finds a map.",
    "Explain in detail how a bicycle stays upright.",
    "Describe a week of travel through the mountains, day by day.",
    "Write a long letter from a sailor to his sister.",
    "Explain how bread is made, from the field to the oven.",
    "Describe the history of the printing press in detail.",
    "Write a long dialogue between a teacher and a student about rivers.",
    "Explain how a computer adds two numbers, step by step.",
    "Describe a large market in the morning, with its sounds and smells.",
    "Write a long fable about a fox, a crow and a snail.",
    "Explain why the sky is blue and sunsets are red.",
    "Describe how a town changes from spring to winter.",
    "Write a long review of a restaurant at the sea.",
    "Explain how vaccines work, for a curious child.",
    "Describe the work of a beekeeper through the year.",
    "Write a long speech for the opening of a library.",
)

# llama.cpp's own server, with continuous batching.
NATIVE_SERVER = """
import sys, threading, xllamacpp
model, port, threads, streams, context = sys.argv[1], *map(int, sys.argv[2:])
settings = xllamacpp.CommonParams()
settings.model.path = model
settings.hostnames, settings.port = ["127.0.0.1"], port
settings.n_parallel, settings.n_ctx = streams, streams * context
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(settings)
threading.Event().wait()
"""


def parsed_options():
    parser = argparse.ArgumentParser(prog="benches/lm/serve", description=(
        "Compares tokens per second of our server of language models with those of llama.cpp's servers, for the same "
        "GGUF file, prompts and threads. Exits with 1 if a goal is missed."))
    parser.add_argument("--quick", action="store_true", help="one turn with 32 tokens per answer, to try the script")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--prebuilt", action="store_true", help=(
        "without the server of llama-cpp-python, which is compiled at its installation"))
    return parser.parse_args()


def commands(options, threads):
    """The servers by name: commands that end with the port."""
    model, peers = os.environ["MODEL"], pathlib.Path(os.environ["PEERS"])
    most, limit = str(max(STREAMS)), str(threads)

    def ours(port):
        return [os.environ["TAO"], "nineteen", "model", "--model", model, "--concurrency", most,
                "--listen", f"127.0.0.1:{port}"]

    def native(port):
        python = peers / "llama-cpp/bin/python"
        return [python, "-c", NATIVE_SERVER, model, str(port), limit, most, str(CONTEXT)]

    def python(port):
        # By default, it ends an answer when another request comes, and uses half of the threads.
        return [peers / "llama-cpp-python/bin/python", "-m", "llama_cpp.server", "--model", model,
                "--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(CONTEXT), "--n_threads", limit,
                "--n_threads_batch", limit, "--logits_all", "False", "--interrupt_requests", "False"]

    servers = {"taonet": ours, "llama.cpp": native}
    return servers if options.prebuilt else {**servers, "llama-cpp-python": python}


@contextlib.contextmanager
def running(name, command, threads):
    """A server that listens: its process and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    # As many processors as threads, so that the servers' other threads add none.
    processors = sorted(os.sched_getaffinity(0))[:threads]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                   preexec_fn=lambda: os.sched_setaffinity(0, processors))
        try:
            wait_for(name, process, port, log)
            yield process, port
        finally:
            # No server has anything to save.
            process.kill()
            process.wait()


def wait_for(name, process, port, log):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            log.seek(0)
            sys.stderr.buffer.write(log.read())
            sys.exit(f"error: {name} ended with {process.returncode}")
        # A server can listen before it has loaded the model; then it refuses this request.
        with contextlib.suppress(OSError, ValueError):
            Answer(asyncio.run(response(port, "Hello.", 4)))
            return
        time.sleep(0.1)
    sys.exit(f"error: {name} answers no request within {START_SECONDS} s")


async def response(port, question, tokens):
    """The parts of a response to a chat, each with the seconds until its arrival."""
    fields = {"model": "model", "messages": [{"role": "user", "content": question}], "temperature": 0,
              "max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps(fields).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n")
    started, parts = time.perf_counter(), []
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        # Parsed after the measurement: this program shares the processors with the server.
        while part := await reader.read(1 << 16):
            parts.append((time.perf_counter() - started, part))
        writer.close()
    return parts


def events(parts):
    """The events of a response, each with the time of its arrival."""
    head, is_chunked, buffer, text = None, False, b"", b""
    for arrival, part in parts:
        buffer += part
        if head is None:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                head, buffer = None, head
                continue
            if head.split()[1] != b"200":
                raise ValueError((head + b"\n" + buffer).decode(errors="replace"))
            is_chunked = b"transfer-encoding: chunked" in head.lower()
        if is_chunked:
            while True:
                size, end, rest = buffer.partition(b"\r\n")
                if not end or len(rest) < int(size, 16) + 2:
                    break
                text, buffer = text + rest[:int(size, 16)], rest[int(size, 16) + 2:]
        else:
            text, buffer = text + buffer, b""
        *complete, text = text.replace(b"\r\n", b"\n").split(b"\n\n")
        for event in complete:
            data = event.removeprefix(b"data: ")
            if data != event and data != b"[DONE]":
                yield arrival, json.loads(data)


class Answer:
    """Seconds to the first token, and the number of tokens."""

    def __init__(self, parts):
        self.first, self.tokens = None, 0
        for arrival, event in events(parts):
            if event.get("error"):
                raise ValueError(event["error"])
            if any(choice["delta"].get("content") is not None for choice in event["choices"]):
                self.first = arrival if self.first is None else self.first
                self.tokens += 1
            # llama-cpp-python does not report the usage, but sends an event per token.
            if event.get("usage"):
                self.tokens = event["usage"]["completion_tokens"]
        if self.first is None:
            raise ValueError("an answer has no token")


async def answers(port, questions, tokens):
    """The answers to concurrent chats, and the seconds that they took together."""
    started = time.perf_counter()
    responses = await asyncio.gather(*(response(port, question, tokens) for question in questions))
    seconds = time.perf_counter() - started
    return [Answer(parts) for parts in responses], seconds


def peak_mb(process):
    """The most memory that a server has used, with the mapped pages of the model."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024


def measured(name, command, threads, turn, options):
    """Tokens per second and seconds to first tokens by number of streams, and the memory, of one server."""
    tokens, results = 32 if options.quick else 128, {}
    with running(name, command, threads) as (process, port):
        for streams in STREAMS:
            # A number comes first, so that servers that keep prompts can only reuse the beginning of the template.
            prompts = [f"Task {turn}-{streams}-{number}. {question}" for number, question in enumerate(QUESTIONS)]
            rounds = [prompts[start:start + streams] for start in range(0, len(prompts), streams)]
            # One answer after the other takes long: a quarter of the prompts is enough.
            rounds = rounds[:4 if streams == 1 else None]
            try:
                found = [asyncio.run(answers(port, questions, tokens)) for questions in rounds]
            except (OSError, ValueError) as error:
                sys.exit(f"error: {name} with {streams} streams: {error or type(error).__name__}")
            total = sum(answer.tokens for one, _ in found for answer in one)
            firsts = [answer.first for one, _ in found for answer in one]
            rate = total / sum(seconds for _, seconds in found)
            results[streams] = {"tokens": total, "rate": rate, "firsts": firsts}
        return results, peak_mb(process)


def percentile(values, share):
    """The smallest value that is not below this share of all of them."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def summary(turns):
    """Medians of the turns of one server."""
    streams = {}
    for number in STREAMS:
        firsts = [first for results, _ in turns for first in results[number]["firsts"]]
        streams[number] = {
            # Some answers end early.
            "tokens": sum(results[number]["tokens"] for results, _ in turns),
            "tokens_per_second": statistics.median(results[number]["rate"] for results, _ in turns),
            "first_token_p50_ms": percentile(firsts, 0.5) * 1e3,
            "first_token_p99_ms": percentile(firsts, 0.99) * 1e3,
        }
    return {"streams": streams, "memory_mb": max(memory for _, memory in turns)}


def judged(servers):
    """For each number of streams, our ratio to the fastest other server, and whether the goal is met."""
    goals = []
    for number in STREAMS:
        rates = {name: server["streams"][number]["tokens_per_second"] for name, server in servers.items()}
        own = rates.pop("taonet")
        fastest = max(rates, key=rates.get)
        ratio = own / rates[fastest]
        goals.append({"streams": number, "fastest": fastest, "ratio": ratio, "goal": GOAL, "met": ratio >= GOAL})
    return goals


def main():
    options = parsed_options()
    threads = int(os.environ.get("THREADS", "2"))
    servers = commands(options, threads)
    turns = {name: [] for name in servers}
    for turn in range(1 if options.quick else 3):
        for name, command in servers.items():
            turns[name].append(measured(name, command, threads, turn, options))
    results = {name: summary(turns) for name, turns in turns.items()}
    goals = judged(results)
    if options.json:
        print(json.dumps({"threads": threads, "servers": results, "goals": goals}))
    else:
        report(threads, results, goals)
    sys.exit(not all(goal["met"] for goal in goals))


def counted(streams):
    return f"{streams} stream{'' if streams == 1 else 's'}"


def report(threads, results, goals):
    print(f"{pathlib.Path(os.environ['MODEL']).name}, threads: {threads}; medians of the turns")
    for name, result in results.items():
        for number, figures in result["streams"].items():
            first = f"{figures['first_token_p50_ms']:.0f} ms (p50), {figures['first_token_p99_ms']:.0f} ms (p99)"
            rate = figures["tokens_per_second"]
            print(f"  {name:17} {counted(number):10} {rate:8.1f} tokens/s; first token after {first}")
        print(f"  {name:17} {result['memory_mb']:.0f} MB")
    for goal in goals:
        verdict = "met" if goal["met"] else "MISSED"
        print(f"{counted(goal['streams'])}: {goal['ratio']:.2f} × {goal['fastest']}, goal {GOAL} × ({verdict})")


if __name__ == "__main__":
    main()
