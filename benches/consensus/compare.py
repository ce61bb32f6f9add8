"""Times epochs in Rust and in the oracle (numpy, and its exact integers), and checks that the results agree."""
import json
import os
import random
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join("vectors", "yuma"))
from oracle import run_fixed, run_float  # noqa: E402


def epoch(n, validators, weights, yuma3, liquid_alpha):
    """The first `validators` neurons each set weights on `weights` random others and have bonds in them."""
    r = random.Random(1)

    def rows():
        row = lambda: [[uid, r.randrange(1, 65536)] for uid in sorted(r.sample(range(n), weights))]
        return [row() if i < validators else [] for i in range(n)]

    return dict(
        n=n, block=100_000, tempo=360, activity_cutoff=5000, last_mechanism_step=99_640, emission=147_600_000_000,
        stake=[10**12 + r.randrange(10**12) if i < validators else 0 for i in range(n)], stake_threshold=0,
        owner_uid=None, max_validators=validators, validator_permit=[i < validators for i in range(n)],
        last_update=[99_900] * n, block_at_registration=[1000] * n, commit_blocks=None, weights=rows(), bonds=rows(),
        kappa=32767, bonds_penalty=65535, bonds_moving_average=900_000, yuma3=yuma3, liquid_alpha=liquid_alpha,
        alpha_low=45875, alpha_high=58982, alpha_sigmoid_steepness=1000)


def best(work, rounds):
    times, result = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        times.append((time.perf_counter() - start) * 1000)
    return min(times), result


def in_rust(cases):
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, case in cases.items():
            files.append(os.path.join(folder, name.replace(" ", "-") + ".json"))
            with open(files[-1], "w") as file:
                json.dump({"id": name, "input": case}, file)
        command = ["cargo", "bench", "-q", "-p", "taonet-benches", "--bench", "consensus", "--", *files]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    results = [json.loads(line) for line in lines if line.startswith("{")]
    return {result["id"]: result for result in results}


def main():
    cases = {}
    for name, yuma3, liquid_alpha in (("Yuma 2", False, False), ("Yuma 3", True, False), ("liquid alpha", True, True)):
        cases[f"256 x 64 {name}"] = epoch(256, 64, 256, yuma3, liquid_alpha)
    cases["4096 x 64 Yuma 3"] = epoch(4096, 64, 512, True, False)
    rust = in_rust(cases)
    print(f"{'epoch':24} {'here ms':>9} {'numpy ms':>9} {'ratio':>7} {'exact ms':>9} {'ratio':>7}")
    for name, case in cases.items():
        here = rust[name]["milliseconds"]
        numpy, _ = best(lambda: run_float(case), 3 if case["n"] < 1000 else 1)
        exact, result = best(lambda: run_fixed(case), 1)
        assert json.loads(json.dumps(result)) == rust[name]["output"], f"{name}: results differ"
        print(f"{name:24} {here:9.2f} {numpy:9.1f} {numpy / here:7.0f} {exact:9.1f} {exact / here:7.0f}", flush=True)
    print("the results are equal to the oracle's exact integers")


main()
