"""Runs ONNX files of 64-bit integers or floats with onnxruntime.

Standard input: a list of questions {"model": base64, "inputs": [[…], …]}. Standard output: the outputs of each input,
for each question.
"""

import base64
import json
import sys

import numpy
import onnxruntime

TYPES = {"tensor(int64)": numpy.int64, "tensor(float)": numpy.float32}


def answer(question):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = base64.b64decode(question["model"])
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    described = session.get_inputs()[0]
    inputs = [numpy.array(values, TYPES[described.type]).reshape(described.shape) for values in question["inputs"]]
    return [session.run(None, {described.name: values})[0].ravel().tolist() for values in inputs]


print(json.dumps([answer(question) for question in json.load(sys.stdin)]))
