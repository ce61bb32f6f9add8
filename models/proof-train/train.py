"""Trains the three networks that are shipped for proofs of inference and writes each one's ONNX file and sample.

    python models/proof-train/train.py [digits-mlp] [digits-lenet] [diabetes-regression]

Needs numpy, scipy, scikit-learn (for its data sets) and onnx. Inputs are integers, as proofs need them: pixels of 0..255,
or the ten measurements in 1/1024 of the data set's unit. The samples are rows that were not trained on.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.ndimage import zoom
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split

from network import AveragePool, Conv, Dense, Relu, run, train

MODELS = Path(__file__).resolve().parent.parent
SEED = 59
SAMPLES = 60


def digits():
    """The 8×8 digits enlarged to 24×24 by linear interpolation, in a frame of two pixels, as integers of 0..255."""
    data = load_digits()
    images = np.stack([np.pad(zoom(image, 3, order=1), 2) for image in data.images])
    pixels = np.clip(np.rint(images * 255 / 16), 0, 255).astype(int)
    return train_test_split(pixels, data.target, test_size=0.25, random_state=SEED, stratify=data.target)


def softmax_gradient(outputs, labels):
    exponents = np.exp(outputs - outputs.max(1, keepdims=True))
    gradient = exponents / exponents.sum(1, keepdims=True)
    gradient[np.arange(len(labels)), labels] -= 1
    return gradient / len(labels)


def export(name, layers, shape, scale):
    """Writes the ONNX file; the inputs' scale goes into the first layer's weights."""
    nodes, weights, tensor, first = [], [], "input", True
    for index, layer in enumerate(layers):
        inputs, output = [tensor], "output" if index == len(layers) - 1 else f"t{index}"
        attributes = {}
        if hasattr(layer, "weight"):
            factor = scale if first else 1.0
            first = False
            for part, values in (("w", layer.weight * factor), ("b", layer.bias)):
                weights.append(numpy_helper.from_array(values.astype(np.float32), f"{part}{index}"))
                inputs.append(f"{part}{index}")
        if isinstance(layer, Dense):
            operator, attributes = "Gemm", {"transB": 1}
            if index and isinstance(layers[index - 1], AveragePool):
                nodes.append(helper.make_node("Flatten", [tensor], [f"f{index}"]))
                inputs[0] = f"f{index}"
        elif isinstance(layer, Conv):
            operator, attributes = "Conv", {"kernel_shape": [layer.size] * 2}
        elif isinstance(layer, AveragePool):
            operator, attributes = "AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}
        else:
            operator = "Relu"
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        tensor = output
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, len(layers[-1].bias)])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="taonet", ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    (MODELS / name).mkdir(exist_ok=True)
    onnx.save(model, MODELS / name / "model.onnx")


def sample(name, inputs, **known):
    data = {"inputs": inputs.reshape(len(inputs), -1)[:SAMPLES].tolist()}
    data |= {key: values[:SAMPLES].tolist() for key, values in known.items()}
    (MODELS / name / "sample.json").write_text(json.dumps(data, separators=(",", ":")) + "\n")


def classifier(name, layers, shape, epochs, rng):
    images, held_out, labels, answers = digits()
    reals = images.reshape(len(images), *shape) / 255
    train(layers, reals, labels, softmax_gradient, rng, epochs)
    right = run(layers, held_out.reshape(len(held_out), *shape) / 255).argmax(1) == answers
    print(f"{name}: {right.mean():.4f} of {len(answers)} held-out digits are right")
    export(name, layers, shape, 1 / 255)
    sample(name, held_out, labels=answers)


def digits_mlp():
    rng = np.random.default_rng(SEED)
    layers = [Dense(rng, 784, 128), Relu(), Dense(rng, 128, 64), Relu(), Dense(rng, 64, 10)]
    classifier("digits-mlp", layers, (784,), 30, rng)


def digits_lenet():
    rng = np.random.default_rng(SEED)
    layers = [Conv(rng, 1, 6, 5), Relu(), AveragePool(), Conv(rng, 6, 16, 5), Relu(), AveragePool()]
    layers += [Dense(rng, 256, 120), Relu(), Dense(rng, 120, 84), Relu(), Dense(rng, 84, 10)]
    classifier("digits-lenet", layers, (1, 28, 28), 12, rng)


def diabetes_regression():
    rng = np.random.default_rng(SEED)
    data = load_diabetes()
    measured = np.rint(data.data * 1024).astype(int)
    x, held_out, y, targets = train_test_split(measured, data.target, test_size=0.25, random_state=SEED)
    layers = [Dense(rng, 10, 32), Relu(), Dense(rng, 32, 16), Relu(), Dense(rng, 16, 1)]
    # Trained on numbers of about 1; the scales go into the first and the last layer.
    mean, deviation = y.mean(), y.std()
    gradient = lambda outputs, goals: 2 * (outputs - goals[:, None]) / len(goals)
    train(layers, x / 50, (y - mean) / deviation, gradient, rng, 60, rate=1e-3, decay=1e-2)
    layers[-1].weight *= deviation
    layers[-1].bias = layers[-1].bias * deviation + mean
    error = np.sqrt(((run(layers, held_out / 50)[:, 0] - targets) ** 2).mean())
    print(f"diabetes-regression: root mean square error {error:.2f} on {len(targets)} held-out rows, deviation {targets.std():.2f}")
    export("diabetes-regression", layers, (10,), 1 / 50)
    sample("diabetes-regression", held_out, targets=targets)


NAMES = {"digits-mlp": digits_mlp, "digits-lenet": digits_lenet, "diabetes-regression": diabetes_regression}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or NAMES:
        NAMES[chosen]()
