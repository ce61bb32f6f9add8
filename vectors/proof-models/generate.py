"""Writes small ONNX models and onnxruntime's outputs for them.

Usage: python generate.py    (packages: scikit-learn, skl2onnx, onnxmltools, xgboost-cpu, lightgbm, onnx, onnxruntime)

Classical models are trained on the iris and diabetes data of scikit-learn and exported by skl2onnx and onnxmltools. The
others have random weights. Inputs are integers: a feature is the integer divided by 2^scale.
"""

import json
import pathlib
import warnings

import lightgbm
import numpy
import onnx
import onnxmltools
import onnxruntime
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from skl2onnx import to_onnx

HERE = pathlib.Path(__file__).parent
ROWS = 24
# Models that are trees: only the weights of their leaves are rounded, and the function after their sums.
EXACT = ["tree", "forest", "boost", "lightgbm"]
warnings.filterwarnings("ignore")
cases = []


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Otherwise pairs of quantisation are fused, and round in another way.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def add(name, model, inputs, scale, low, high, classifier=False, softmax=False):
    """Writes a model, and the outputs for integer inputs. The scores of a classifier are its last output."""
    # The file does not need the converters' documentation and versions, and the name of a graph can be random.
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = name
    del model.metadata_props[:]
    onnx.save(model, HERE / f"{name}.onnx")
    run, outputs = session(model), []
    source = run.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in source.shape]
    for row in inputs:
        values = (numpy.array(row) / 2.0**scale).astype(numpy.float32).reshape(shape)
        result = run.run(None, {source.name: values})[-1 if classifier else 0]
        if isinstance(result, list):
            result = numpy.array([list(result[0].values())])
        outputs.append([float(f"{value:.7g}") for value in numpy.asarray(result).ravel()])
    is_exact = any(word in name for word in EXACT)
    # The largest permitted difference of the integer network, as a part of the largest output.
    rounding = {"bits": 8 if is_exact else 12, "bound": 0.0005 if is_exact else 0.01}
    case = {"name": name, "scale": scale, "low": low, "high": high, "softmax": softmax, "classifier": classifier}
    case |= rounding
    cases.append({**case, "inputs": [list(map(int, row)) for row in inputs], "outputs": outputs})


def integers(features, scale):
    return numpy.rint(features * 2.0**scale).astype(int)


def classical():
    features, classes = load_iris(return_X_y=True)
    features = features.astype(numpy.float32)
    rows = integers(features[:: len(features) // ROWS][:ROWS], 5)
    binary = (classes == 2).astype(int)

    def add_sklearn(name, model, target, softmax=False):
        model.fit(features, target)
        add(name, to_onnx(model, features[:1], target_opset={"": 17, "ai.onnx.ml": 3}), rows, 5, 0, 255, True, softmax)

    def add_converted(name, model, target, convert, softmax=False, classifier=True):
        model.fit(features, target)
        exported = convert(model, initial_types=[("input", FloatTensorType([None, 4]))], target_opset=15)
        add(name, exported, rows, 5, 0, 255, classifier, softmax)

    add_sklearn("decision-tree", DecisionTreeClassifier(max_depth=4, random_state=0), classes)
    add_sklearn("random-forest", RandomForestClassifier(8, max_depth=4, random_state=0), classes)
    add_sklearn("random-forest-binary", RandomForestClassifier(8, max_depth=4, random_state=0), binary)
    add_sklearn("gradient-boosting", GradientBoostingClassifier(n_estimators=6, random_state=0), classes, True)
    add_sklearn("gradient-boosting-binary", GradientBoostingClassifier(n_estimators=8, random_state=0), binary)
    add_sklearn("logistic-regression", LogisticRegression(max_iter=1000), classes, True)
    add_sklearn("logistic-regression-binary", LogisticRegression(max_iter=1000), binary)
    add_sklearn("linear-svc", LinearSVC(random_state=0), classes)
    add_sklearn("linear-svc-binary", LinearSVC(random_state=0), binary)
    add_sklearn("svc", SVC(), classes)
    add_sklearn("svc-binary", SVC(), binary)
    add_sklearn("svc-polynomial", SVC(kernel="poly", degree=2, coef0=1.0), binary)
    add_sklearn("svc-sigmoid", SVC(kernel="sigmoid", gamma=0.01), binary)
    add_sklearn("svc-probability", SVC(probability=True, random_state=0), binary)
    mlp = MLPClassifier((8,), max_iter=1000, random_state=0)
    add_sklearn("mlp", make_pipeline(StandardScaler(), mlp), classes, True)
    add_sklearn("mlp-binary", MLPClassifier((8,), max_iter=1000, random_state=0), binary)
    for norm in ["l1", "l2", "max"]:
        model = LogisticRegression(max_iter=1000, C=100.0)
        add_sklearn(f"normalizer-{norm}", make_pipeline(Normalizer(norm), model), classes, True)
    boosted = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1}
    xgb, lgb = onnxmltools.convert_xgboost, onnxmltools.convert_lightgbm
    add_converted("xgboost", xgboost.XGBClassifier(**boosted), classes, xgb, True)
    add_converted("xgboost-binary", xgboost.XGBClassifier(**boosted), binary, xgb)
    leaves = {**boosted, "verbose": -1, "min_child_samples": 5}
    add_converted("lightgbm", lightgbm.LGBMClassifier(**leaves), classes, lgb, True)
    add_converted("lightgbm-binary", lightgbm.LGBMClassifier(**leaves), binary, lgb)

    features, targets = load_diabetes(return_X_y=True)
    features = (features[:, [2, 3, 8]] * 10).astype(numpy.float32)
    rows = integers(features[:: len(features) // ROWS][:ROWS], 8)

    def add_regressor(name, model):
        model.fit(features, targets)
        add(name, to_onnx(model, features[:1], target_opset={"": 17, "ai.onnx.ml": 3}), rows, 8, -1023, 1023)

    add_regressor("random-forest-regressor", RandomForestRegressor(8, max_depth=4, random_state=0))
    add_regressor("gradient-boosting-regressor", GradientBoostingRegressor(n_estimators=8, random_state=0))
    add_regressor("svr", SVR(C=100.0))
    add_regressor("svr-linear", SVR(kernel="linear", C=100.0))
    add_regressor("linear-regression", LinearRegression())
    for name, model, convert in [
        ("xgboost-regressor", xgboost.XGBRegressor(**boosted), xgb),
        ("lightgbm-regressor", lightgbm.LGBMRegressor(**leaves), lgb),
    ]:
        model.fit(features, targets)
        exported = convert(model, initial_types=[("input", FloatTensorType([None, 3]))], target_opset=15)
        add(name, exported, rows, 8, -1023, 1023)


def graph(name, shape, nodes, weights, output_shape=None, **rest):
    """Adds a model from `x` to `y` with random inputs between -2 and 2."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", rest.get("kind", TensorProto.FLOAT), output_shape)],
            [numpy_helper.from_array(value, key) for key, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", rest.get("opset", 17)), helper.make_opsetid("ai.onnx.ml", rest.get("learned", 3))],
    )
    model.ir_version = 9
    generator = numpy.random.default_rng(5)
    step = rest.get("step", 1)
    inputs = generator.integers(-127 // step + 1, 128 // step, (rest.get("rows", 8), int(numpy.prod(shape)))) * step
    add(name, model, inputs, 6, -127, 127)


def normal(generator, *shape, scale=0.5):
    return (generator.standard_normal(shape) * scale).astype(numpy.float32)


def trees():
    """Trees with all kinds of branches, in both forms."""
    modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_LT"]
    # A branch at every step to the right; thresholds are inputs that occur.
    values = [1.0, -1.5, 1.5, 1.25, 0.25, 0.5, 0.75]
    count = len(modes)
    nodes = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=2,
        aggregate_function="AVERAGE",
        base_values=[0.5, -1.0],
        nodes_treeids=[0] * (2 * count + 1) + [1] * 3,
        nodes_nodeids=[*range(2 * count + 1), 0, 1, 2],
        nodes_featureids=[index % 2 for index in range(count)] + [0] * (count + 1) + [2, 0, 0],
        nodes_modes=modes + ["LEAF"] * (count + 1) + ["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=values + [0.0] * (count + 1) + [0.0, 0.0, 0.0],
        nodes_truenodeids=[count + index for index in range(count)] + [0] * (count + 1) + [1, 0, 0],
        nodes_falsenodeids=[*range(1, count), 2 * count] + [0] * (count + 1) + [2, 0, 0],
        target_treeids=[0] * (2 * count + 2) + [1] * 4,
        target_nodeids=[*range(count, 2 * count + 1), *range(count, 2 * count + 1), 1, 2, 1, 2],
        # onnxruntime omits the base value of an output for which no leaf has a weight.
        target_ids=[0] * (count + 1) + [1] * (count + 1) + [0, 0, 1, 1],
        target_weights=[float(index + 1) for index in range(2 * count + 2)] + [10.0, 20.0, -30.0, 40.0],
    )
    graph("tree-branches", [1, 3], [nodes], {}, [1, 2], step=16, rows=40)
    nodes = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=2,
        aggregate_function=1,
        tree_roots=[0, 3],
        nodes_modes=numpy_helper.from_array(numpy.array([0, 1, 3, 2], numpy.uint8)),
        nodes_featureids=[0, 1, 2, 2],
        nodes_splits=numpy_helper.from_array(numpy.array([0.25, -0.5, 0.75, 0.0], numpy.float32)),
        nodes_truenodeids=[1, 0, 2, 4],
        nodes_trueleafs=[0, 1, 1, 1],
        nodes_falsenodeids=[2, 1, 3, 4],
        nodes_falseleafs=[0, 1, 1, 1],
        leaf_targetids=[0, 1, 0, 1, 1],
        leaf_weights=numpy_helper.from_array(numpy.array([1.5, -2.0, 3.0, 0.25, 7.0], numpy.float32)),
    )
    graph("tree-ensemble", [1, 3], [nodes], {}, [1, 2], learned=5, step=16, rows=16)


def recurrent():
    generator = numpy.random.default_rng(3)
    steps, inputs, hidden = 5, 3, 4

    def cell(name, operator, gates, directions=1, state=False, lengths=None, peepholes=False, output=0, **attributes):
        weights = {
            "w": normal(generator, directions, gates * hidden, inputs),
            "r": normal(generator, directions, gates * hidden, hidden),
            "b": normal(generator, directions, 2 * gates * hidden),
        }
        names = ["x", "w", "r", "b", "", "", "", ""]
        if lengths:
            weights["lengths"], names[4] = numpy.array([lengths], numpy.int32), "lengths"
        if state:
            weights["h"], names[5] = normal(generator, directions, 1, hidden), "h"
            if operator == "LSTM":
                weights["c"], names[6] = normal(generator, directions, 1, hidden), "c"
        if peepholes:
            weights["p"], names[7] = normal(generator, directions, 3 * hidden), "p"
        while not names[-1]:
            names.pop()
        turned = helper.make_node("Transpose", ["x"], ["sequence"], perm=[1, 0, 2])
        outputs = [["y", "", ""], ["", "y", ""], ["", "", "y"]][output]
        while not outputs[-1]:
            outputs.pop()
        node = helper.make_node(operator, ["sequence", *names[1:]], outputs, hidden_size=hidden, **attributes)
        graph(name, [1, steps, inputs], [turned, node], weights)

    cell("lstm", "LSTM", 4)
    cell("lstm-states", "LSTM", 4, state=True, output=2)
    both = {"directions": 2, "direction": "bidirectional"}
    cell("lstm-bidirectional", "LSTM", 4, state=True, lengths=4, peepholes=True, **both)
    cell("gru", "GRU", 3, output=1)
    cell("gru-late-reset", "GRU", 3, state=True, linear_before_reset=1, direction="reverse")
    cell("gru-bidirectional", "GRU", 3, state=True, **both)
    cell("rnn", "RNN", 1, activations=["Relu"], direction="reverse", output=1)
    cell("rnn-bidirectional", "RNN", 1, state=True, lengths=3, **both)


def others():
    generator = numpy.random.default_rng(7)
    weights = {"w": normal(generator, 4, 3, 3, 2), "b": normal(generator, 6)}
    options = {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2], "group": 2}
    nodes = [helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **options)]
    graph("conv-transpose", [1, 4, 3, 4], nodes, weights)

    def quantised(name, values):
        scale = (numpy.abs(values).reshape(values.shape[0], -1).max(1) / 127).astype(numpy.float32)
        shaped = scale.reshape(-1, *[1] * (values.ndim - 1))
        integers = numpy.rint(values / shaped).astype(numpy.int8)
        zeros = numpy.zeros(len(scale), numpy.int8)
        node = helper.make_node("DequantizeLinear", [f"{name}q", f"{name}s", f"{name}z"], [name], axis=0)
        return node, {f"{name}q": integers, f"{name}s": scale, f"{name}z": zeros}

    kernel, of_kernel = quantised("k", normal(generator, 3, 2, 3, 3))
    dense, of_dense = quantised("d", normal(generator, 5, 27))
    # No input is halfway between two integers.
    scales = {"xs": 0.0163, "hs": 0.0337, "ys": 0.0411}
    weights = {key: numpy.array(value, numpy.float32) for key, value in scales.items()}
    weights |= {"xz": numpy.array(3, numpy.int8), "hz": numpy.array(0, numpy.uint8), "yz": numpy.array(128, numpy.uint8)}
    nodes = [
        kernel,
        dense,
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xi"]),
        helper.make_node("DequantizeLinear", ["xi", "xs", "xz"], ["xf"]),
        helper.make_node("Conv", ["xf", "k"], ["c"]),
        helper.make_node("Relu", ["c"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "hs", "hz"], ["hi"]),
        helper.make_node("DequantizeLinear", ["hi", "hs", "hz"], ["hf"]),
        helper.make_node("Flatten", ["hf"], ["row"]),
        helper.make_node("Gemm", ["row", "d"], ["g"], transB=1),
        helper.make_node("QuantizeLinear", ["g", "ys", "yz"], ["yi"]),
        helper.make_node("DequantizeLinear", ["yi", "ys", "yz"], ["y"]),
    ]
    graph("quantised", [1, 2, 5, 5], nodes, {**weights, **of_kernel, **of_dense})

    count = {"k": numpy.array([3], numpy.int64)}
    for name, options in [("top-largest", {"axis": 1}), ("top-smallest", {"axis": -1, "largest": 0})]:
        graph(name, [1, 5, 4], [helper.make_node("TopK", ["x", "k"], ["y", "i"], **options)], count)
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=2),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    graph("top-positions", [1, 2, 6], nodes, count)


classical()
trees()
recurrent()
others()
(HERE / "models.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
