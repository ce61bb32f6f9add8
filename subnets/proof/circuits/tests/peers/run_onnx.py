"""Runs an ONNX file of 64-bit integers with onnxruntime.

Standard input: {"model": base64, "inputs": [[…], …]}. Standard output: the outputs of each input.
"""

import base64
import json
import sys

import numpy
import onnxruntime

question = json.load(sys.stdin)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(base64.b64decode(question["model"]), options, ["CPUExecutionProvider"])
name, kind = session.get_inputs()[0].name, session.get_inputs()[0].type
types = {"tensor(int64)": numpy.int64, "tensor(float)": numpy.float32}
shape = session.get_inputs()[0].shape
answers = [
    session.run(None, {name: numpy.array(values, types[kind]).reshape(shape)})[0].ravel().tolist()
    for values in question["inputs"]
]
print(json.dumps(answers))
