#!/usr/bin/python3
"""An external proof system in one file: its verifier runs the network again.

    tao proof compile MODEL.onnx --sample SAMPLE.json --backend external --prover rerun.py -o DIR

The verification key is the network, and a proof is the digest of its public values. This system therefore needs no
setup and no assumptions, but verification costs as much as running the network, and nothing is hidden. A different
proof system serves the same three requests with its own `setup`, `prove` and `verify`. docs/proof.md documents the
protocol. Requires Python 3.10 only.
"""

import hashlib
import json
import math
import struct
import sys

# Field numbers of onnx.proto.
GRAPH, NODES, INITIALIZERS = 7, 1, 5
NODE_INPUTS, NODE_OUTPUTS, NODE_OPERATOR = 1, 2, 4
TENSOR_DIMS, TENSOR_NAME, TENSOR_DATA = 1, 8, 9


def varint(data, at):
    """Returns the number at a position of a protobuf message, and the position after it."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def fields(data):
    """Parses a protobuf message into its fields: lists of numbers and byte strings."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"unexpected wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def numbers(values):
    """Yields the numbers of a repeated field, packed or not."""
    for value in values:
        if isinstance(value, int):
            yield value
        else:
            at = 0
            while at < len(value):
                number, at = varint(value, at)
                yield number


def tensor(message):
    """Returns name, shape and elements of an initializer of 64-bit integers."""
    data = message[TENSOR_DATA][0] if TENSOR_DATA in message else b""
    elements = list(struct.unpack(f"<{len(data) // 8}q", data))
    return message[TENSOR_NAME][0], (tuple(numbers(message.get(TENSOR_DIMS, []))), elements)


def elementwise(function):
    """Creates an operator on two tensors of the same shape, or on a tensor and a scalar."""

    def apply(left, right):
        (shape, first), (_, second) = left, right
        second = second * len(first) if len(second) == 1 else second
        return shape, [function(a, b) for a, b in zip(first, second, strict=True)]

    return apply


def matrix_product(left, right):
    """Multiplies matrices, or several in pairs."""
    ((*count, rows, inner), first), ((*_, columns), second) = left, right
    products = []
    for pair in range(math.prod(count)):
        lines = [first[row * inner : (row + 1) * inner] for row in range(pair * rows, (pair + 1) * rows)]
        matrix = second[pair * inner * columns : (pair + 1) * inner * columns]
        vectors = [matrix[column::columns] for column in range(columns)]
        products += [sum(map(int.__mul__, line, vector)) for line in lines for vector in vectors]
    return (*count, rows, columns), products


def largest(left):
    (rows, width), elements = left
    return (rows, 1), [max(elements[row * width : (row + 1) * width]) for row in range(rows)]


# The operators that `tao proof` exports: integers, Gather and Concat along axis 0, ReduceMax along axis 1.
OPERATORS = {
    "Add": elementwise(lambda a, b: a + b),
    "Sub": elementwise(lambda a, b: a - b),
    "Mul": elementwise(lambda a, b: a * b),
    # Dividends are never negative, so rounding down equals rounding towards zero.
    "Div": elementwise(lambda a, b: a // b),
    "MatMul": matrix_product,
    "ReduceMax": largest,
    "Gather": lambda data, indices: (indices[0], [data[1][index] for index in indices[1]]),
    "Reshape": lambda data, _: ((len(data[1]),), data[1]),
    "Clip": lambda data, low, high: (data[0], [min(max(value, low[1][0]), high[1][0]) for value in data[1]]),
    "Concat": lambda *parts: ((sum(len(part[1]) for part in parts),), [value for part in parts for value in part[1]]),
}


def run(model, inputs):
    """Runs the network and returns its outputs."""
    graph = fields(fields(bytes.fromhex(model))[GRAPH][0])
    values = dict(tensor(fields(message)) for message in graph[INITIALIZERS])
    values[b"cells"] = ((len(inputs),), inputs)
    for message in graph[NODES]:
        node = fields(message)
        operands = [values[name] for name in node[NODE_INPUTS]]
        values[node[NODE_OUTPUTS][0]] = OPERATORS[node[NODE_OPERATOR][0].decode()](*operands)
    return values[b"outputs"][1]


def proof_of(request):
    """Returns the digest of a proof's public values: binding, inputs and outputs."""
    public = json.dumps([request["binding"], request["inputs"], request["outputs"]])
    return hashlib.sha256(b"rerun 1 " + public.encode()).hexdigest()


def setup(request):
    return {"proving_key": "", "verification_key": request["model"]}


def prove(request):
    if run(request["model"], request["inputs"]) != request["outputs"]:
        sys.exit("the network computes other outputs")
    return {"proof": proof_of(request)}


def verify(request):
    outputs = run(request["verification_key"], request["inputs"])
    return {"valid": outputs == request["outputs"] and request["proof"] == proof_of(request)}


if __name__ == "__main__":
    question = json.load(sys.stdin)
    if question["version"] != 1:
        sys.exit("unknown version of the protocol")
    json.dump({"setup": setup, "prove": prove, "verify": verify}[question["command"]](question), sys.stdout)
