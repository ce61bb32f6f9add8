"""Compiles, proves and verifies models with the operators of ezkl's examples, and compares their
outputs with those of onnxruntime. Started by `examples`."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import onnxruntime

from example_models import EXAMPLES
from example_models.graph import TYPES

# The largest difference of an output, as a part of the largest one.
BOUND = 0.01
# Rows that determine the scales are every second one.
SAMPLE_ROWS = 64
MINER = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"
WIDTHS = {"model": "<28", "state": "<12", "difference": ">11", "others": ">9", "compile": ">10", "prove": ">9"}
COLUMNS = "".join(f"{name:{width}}" for name, width in {**WIDTHS, "verify": ">9", "proof": ">9"}.items())


class Failure(Exception):
    """Why a model does not pass."""


def run(tao, *arguments):
    """Runs a command; returns its document and how long it took."""
    started = time.perf_counter()
    result = subprocess.run([tao, "proof", *arguments, "--json"], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if result.returncode:
        raise Failure(json.loads(result.stderr.splitlines()[-1])["error"])
    return json.loads(result.stdout), seconds


def expected(example, rows, computed):
    """Outputs of onnxruntime: those of a circuit by their names, or without names the only ones that are no labels."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(example.graph.file(), options, ["CPUExecutionProvider"])
    names = [name for name, _ in example.graph.outputs]
    scores = [name for name, kind in example.graph.outputs if kind not in ("int32", "int64")]
    answers = []
    for row in rows:
        values, inputs = iter(row), {}
        for name, kind, dims, _ in example.graph.inputs:
            integers = numpy.array([next(values) for _ in range(int(numpy.prod(dims)))])
            numbers = integers / 2.0**example.scale if kind in ("float", "double") else integers
            inputs[name] = numbers.astype(TYPES.get(kind, kind)).reshape(dims)
        outputs = session.run(computed or scores or names, inputs)
        answers.append(numpy.concatenate([output.astype(float).ravel() for output in outputs]))
    return answers


def softmax(values):
    powers = numpy.exp(values - values.max())
    return powers / powers.sum()


def check(tao, example, place, proofs):
    """Compiles and proves a model; returns the columns of the table."""
    (place / "model.onnx").write_bytes(example.graph.file())
    rows = example.rows(SAMPLE_ROWS)
    (place / "sample.json").write_text(json.dumps({"inputs": rows}))
    circuit, given = str(place / "circuit"), str(place / "input.json")
    arguments = ["--sample", str(place / "sample.json"), "-o", circuit, "--name", example.name]
    arguments += ["--input-low", example.low, "--input-high", example.high, "--input-scale", example.scale]
    arguments += ["--scale", example.bits, "--weight-bits", example.weight_bits]
    document, compile_seconds = run(tao, "compile", str(place / "model.onnx"), *map(str, arguments))
    if example.refused:
        raise Failure(f"compiled, but expected an error with '{example.refused}'")
    is_softmax = any("softmax is omitted" in note for note in document["metadata"].get("notes", []))
    computed = [part["name"] for part in document["metadata"].get("outputs", [])]
    theirs, ours, prove_seconds, verify_seconds = expected(example, rows[::2][:proofs], computed), [], [], []
    for index, row in enumerate(rows[::2][:proofs]):
        bundle = str(place / f"bundle-{index}.json")
        pathlib.Path(given).write_text(json.dumps(row))
        # The row is not among those that determined the scales. What saturates shows in the difference.
        request = ["--input", given, "--miner", MINER, "-o", bundle, "--allow-saturated"]
        proof, seconds = run(tao, "prove", circuit, *request)
        prove_seconds.append(seconds)
        verified, seconds = run(tao, "verify", bundle, "--input", given, "--circuit", circuit)
        verify_seconds.append(seconds)
        outputs = numpy.array(verified["real_outputs"], float)
        ours.append(softmax(outputs) if is_softmax else outputs)
    largest = max(float(abs(row).max()) for row in theirs) or 1.0
    differences, others = [], 0
    for mine, other in zip(ours, theirs):
        if mine.shape != other.shape:
            raise Failure(f"{mine.size} outputs, expected {other.size}")
        differences.append(float(abs(mine - other).max()) / largest)
        is_same = mine.size > 1 and mine.argmax() == other.argmax()
        others += differences[-1] > BOUND and not (example.is_classifier and is_same)
    if others > (1 if example.is_classifier else 0):
        raise Failure(f"differs from onnxruntime by {max(differences):.2%} of the largest output")
    return max(differences), others, compile_seconds, min(prove_seconds), min(verify_seconds), proof["proof_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tao", required=True, help="the program")
    parser.add_argument("--proofs", type=int, default=4, help="proofs of each model")
    parser.add_argument("names", nargs="*", help="models; all without names")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in EXAMPLES]
    if unknown:
        parser.error(f"unknown models {', '.join(unknown)}; known are {', '.join(sorted(EXAMPLES))}")
    print(COLUMNS)
    counts = {"proven": 0, "refused": 0, "failed": 0}
    for name in options.names or sorted(EXAMPLES):
        example = EXAMPLES[name]()
        try:
            with tempfile.TemporaryDirectory() as place:
                columns = check(options.tao, example, pathlib.Path(place), options.proofs)
            difference, others, compiled, prove, verify, size = columns
            state = "proven"
            text = f"{difference:>11.3%}{others:>9}{compiled:>8.2f} s{prove:>7.2f} s{verify:>7.3f} s{size / 1e3:>6.0f} kB"
        except Failure as failure:
            is_expected = example.refused and example.refused in str(failure)
            state, text = "refused" if is_expected else "failed", f"  {failure}"
        counts[state] += 1
        print(f"{name:<28}{state:<12}{text}", flush=True)
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
