"""Times groth16, stark and ezkl on the shipped MLP, each in a process of its own. Started by `compare`."""

import importlib.util
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "models" / "digits-mlp"
OURS = ["cargo", "bench", "--locked", "--quiet", "-p", "taonet-proof-lm", "--bench", "proof", "--"]
COLUMNS = ["setup", "prove", "verify", "proof_bytes", "verification_key_bytes", "megabytes"]
ROUNDS = 3


def timed(step, rounds=1):
    """The shortest time of some runs, and the last result."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        result = step()
        best = min(best, time.perf_counter() - started)
    return best, result


def ezkl_case():
    """ezkl as its documentation uses it: public inputs and outputs, scales by calibration, its own reference string."""
    import ezkl

    inputs = json.loads((MODEL / "sample.json").read_text())["inputs"]
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        (pathlib.Path(place) / "input.json").write_text(json.dumps({"input_data": [[float(x) for x in inputs[0]]]}))
        run_args = ezkl.PyRunArgs()
        run_args.input_visibility, run_args.output_visibility, run_args.param_visibility = "public", "public", "fixed"

        def setup():
            assert ezkl.gen_settings(str(MODEL / "model.onnx"), "settings.json", py_run_args=run_args)
            ezkl.calibrate_settings("input.json", str(MODEL / "model.onnx"), "settings.json", "resources")
            assert ezkl.compile_circuit(str(MODEL / "model.onnx"), "model.compiled", "settings.json")
            ezkl.gen_srs("srs", json.loads(pathlib.Path("settings.json").read_text())["run_args"]["logrows"])
            assert ezkl.setup("model.compiled", "vk", "pk", "srs")

        setup_seconds, _ = timed(setup)
        ezkl.gen_witness("input.json", "model.compiled", "witness.json")
        prove = lambda: ezkl.prove("witness.json", "model.compiled", "pk", "proof.json", "srs")
        prove_seconds, proof = timed(prove, ROUNDS)
        verify_seconds, valid = timed(lambda: ezkl.verify("proof.json", "settings.json", "vk", "srs"), ROUNDS)
        assert valid
        proof = json.loads(pathlib.Path("proof.json").read_text())["proof"]
        size = len(proof) if isinstance(proof, list) else (len(proof) - 2) // 2
        values = {
            "case": "digits-mlp/ezkl",
            "setup": setup_seconds,
            "prove": prove_seconds,
            "verify": verify_seconds,
            "proof_bytes": size,
            "verification_key_bytes": os.path.getsize("vk"),
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        }
    print(json.dumps(values))


def main():
    output = subprocess.run([*OURS, "--json", "digits-mlp/groth16", "digits-mlp/stark"], check=True, capture_output=True)
    cases = [json.loads(line) for line in output.stdout.decode().splitlines() if line.startswith("{")]
    if importlib.util.find_spec("ezkl"):
        answer = subprocess.run([sys.executable, __file__, "--ezkl"], capture_output=True, text=True)
        if answer.returncode == 0:
            cases.append(json.loads(answer.stdout.splitlines()[-1]))
        else:
            print("ezkl failed:", answer.stderr.strip().splitlines()[-1:], file=sys.stderr)
    print(f"{'case':<20}" + "".join(f"{column:>24}" for column in COLUMNS))
    for case in cases:
        print(f"{case['case']:<20}" + "".join(f"{case[column]:>24.4f}" for column in COLUMNS))
    groth16, stark, *others = cases
    for above, below in [(groth16, stark)] + [(other, own) for other in others for own in (groth16, stark)]:
        names = " / ".join(case["case"].split("/")[1] for case in (above, below))
        print(f"{names:<20}" + "".join(f"{above[column] / below[column]:>23.3g}×" for column in COLUMNS))


if __name__ == "__main__":
    ezkl_case() if "--ezkl" in sys.argv else main()
