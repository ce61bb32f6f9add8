"""Starts nginx and LiteLLM's proxy before the miner of `cargo bench --bench gateway`, runs that, and prints ratios."""
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "chat-llama-3-2-3b"
KEY = "sk-litellm"
# Goals: streamed requests/s, added milliseconds to the first token (p50, p99), MB with 10 000 streams, ratios to nginx
# and LiteLLM.
GOALS = {"per_second": 3000, "p50": 0.4, "p99": 2.0, "memory": 600, "nginx": 0.4, "litellm": 120.0}

NGINX = """
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream miner {{ server 127.0.0.1:{miner}; keepalive 128; }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://miner;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{miner}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false, set_verbose: false}}
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port, process, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"error: {process.args[0]} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"error: {process.args[0]} does not listen")


def start_nginx(folder, miner):
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, miner=miner, port=port))
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    command = [program, "-e", folder / "error.log", "-p", folder, "-c", config]
    process = subprocess.Popen(command, start_new_session=True)
    wait_for(port, process)
    return process, f"nginx=http://127.0.0.1:{port}@none"


def start_litellm(folder, miner):
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(LITELLM.format(model=MODEL, miner=miner, key=KEY))
    program = Path(sys.executable).with_name("litellm")
    # Otherwise it fetches a table of prices, and a tokenizer for the model's name.
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **offline, "LITELLM_LOG": "ERROR"}
    command = [program, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "2"]
    with open(folder / "litellm.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    wait_for(port, process)
    return process, f"litellm=http://127.0.0.1:{port}@{KEY}"


def main():
    miner = free_port()
    with tempfile.TemporaryDirectory() as folder:
        servers = [start(Path(folder), miner) for start in (start_nginx, start_litellm)]
        try:
            command = ["cargo", "bench", "-q", "--profile", "packaged", "-p", "taonet-nineteen-entry", "--bench", "gateway", "--", "--json"]
            command += ["--port", str(miner), *sys.argv[1:], *(proxy for _, proxy in servers)]
            lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        finally:
            # LiteLLM's workers do not end with their parent, nor the parent with SIGTERM.
            for process, _ in servers:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    sys.exit(report(json.loads(next(line for line in lines if line.startswith("{")))))


def ratio(ours, theirs):
    """Returns the median of the ratios of requests/s in each round, in which both were measured."""
    return statistics.median(mine / other for mine, other in zip(ours["rounds"], theirs["rounds"], strict=True))


def report(results):
    """Prints the results; returns the exit status: 1 if a goal is missed."""
    ours, direct, idle = results["gateway"], results["direct"]["open"], results["idle"]
    rate = ours["per_second"]
    memory = GOALS["memory"] * idle["streams"] / 10_000
    rows = [
        ("streamed requests/s", rate, GOALS["per_second"], True),
        ("added to the first token, p50, ms", ours["open"]["p50_ms"] - direct["p50_ms"], GOALS["p50"], False),
        ("added to the first token, p99, ms", ours["open"]["p99_ms"] - direct["p99_ms"], GOALS["p99"], False),
        (f"memory with {idle['streams']} streams, MB", idle["peak_mb"], memory, False),
        ("requests/s to nginx's", ratio(ours, results["nginx"]), GOALS["nginx"], True),
        ("requests/s to LiteLLM's", ratio(ours, results["litellm"]), GOALS["litellm"], True),
    ]
    missed = 0
    for name, value, goal, is_floor in rows:
        met = value >= goal if is_floor else value <= goal
        missed += not met
        print(f"{name:40} {value:10.2f}  goal {goal:7}  {'met' if met else 'missed'}")
    for name, result in results.items():
        if name != "idle":
            open_loop = result.get("open", {})
            first = ", ".join(f"{part} {open_loop[part]:.2f}" for part in ("p50_ms", "p99_ms") if open_loop.get(part))
            print(f"{name:10} {result['per_second']:8.0f} requests/s, {result['failed']} failed; {first or 'no open loop'}")
            print(f"{'':10} per round: {', '.join(f'{rate:.0f}' for rate in result['rounds'])}")
    each = (idle["peak_mb"] - idle["before_mb"]) * 1000 / max(idle["streams"], 1)
    print(f"memory     {idle['before_mb']} MB without streams, {each:.0f} kB for each stream")
    failed = sum(result.get("failed", 0) + result.get("open", {}).get("failed", 0)
                 for name, result in results.items() if name in ("direct", "gateway"))
    if failed:
        print(f"{failed} requests failed")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    main()
