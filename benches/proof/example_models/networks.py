"""Networks of layers with weights."""

import numpy

from . import example


@example("1d_conv", scale=8)
def _(graph):
    name = graph.input([1, 1, 64])
    name = graph.node("Relu", graph.convolution(name, 1, 4, (5,), strides=[2], pads=[2, 2]))
    name = graph.node("MaxPool", name, kernel_shape=[2], strides=[2])
    name = graph.node("Relu", graph.convolution(name, 4, 8, (3,), pads=[1, 1]))
    graph.output(graph.dense(graph.node("Flatten", name), 128, 3))


@example("2l_relu_fc")
def _(graph):
    graph.output(graph.node("Relu", graph.dense(graph.input([1, 3]), 3, 1)))


def chain(name, dims, operators):
    """A model of functions, one after the other."""

    @example(name)
    def _(graph):
        tensor = graph.input(dims)
        for operator in operators:
            tensor = graph.node(operator, tensor)
        graph.output(tensor)


chain("2l_relu_sigmoid", [1, 3, 8, 8], ["Relu", "Sigmoid"])
chain("2l_relu_sigmoid_small", [1, 3], ["Relu", "Sigmoid"])
chain("2l_relu_small", [1, 3], ["Relu", "Relu"])
chain("2l_sigmoid_small", [1, 1], ["Sigmoid", "Sigmoid"])


@example("2l_relu_sigmoid_conv")
def _(graph):
    name = graph.node("Relu", graph.convolution(graph.input([1, 3, 8, 8]), 3, 3, (5, 5), pads=[2] * 4))
    name = graph.node("Relu", graph.convolution(name, 3, 1, (1, 1), pads=[1] * 4))
    graph.output(graph.node("Sigmoid", name))


def digits(graph, sizes):
    """Two convolutions and dense layers with these sizes."""
    name = graph.input([1, 1, 28, 28])
    name = graph.node("Relu", graph.convolution(name, 1, 4, (5, 5), strides=[2, 2]))
    name = graph.node("Relu", graph.convolution(name, 4, 4, (5, 5), strides=[2, 2]))
    name = graph.node("Reshape", name, graph.integers(-1, 64))
    for index, (inner, outer) in enumerate(zip([64, *sizes], sizes)):
        name = graph.dense(graph.node("Relu", name) if index else name, inner, outer)
    graph.output(name)


@example("3l_relu_conv_fc", is_classifier=True)
def _(graph):
    digits(graph, [10])


@example("4l_relu_conv_fc", is_classifier=True)
def _(graph):
    digits(graph, [32, 10])


@example("variable_cnn", is_classifier=True)
def _(graph):
    name = graph.convolution(graph.input([1, 1, 28, 28]), 1, 2, (3, 3), pads=[1] * 4)
    flat = graph.node("Reshape", graph.node("Relu", name), graph.integers(-1, 1568))
    graph.output(graph.dense(flat, 1568, 100))


@example("lenet_5", is_classifier=True)
def _(graph):
    name, channels = graph.input([1, 1, 32, 32]), 1
    for outputs in [6, 16]:
        name = graph.convolution(name, channels, outputs, (5, 5), pads=[0] * 4)
        name, channels = graph.node("Add", graph.node("Mul", name, name), name), outputs
        name = graph.node("AveragePool", name, kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1)
    name = graph.node("Flatten", name)
    for inner, outer in [(400, 120), (120, 84), (84, 10)]:
        name = graph.dense(name, inner, outer)
    graph.output(name)


def layers(graph, between):
    """Three dense layers of 41 features."""
    name = graph.input([1, 41])
    for inner, outer in [(41, 64), (64, 64)]:
        name = between(graph.dense(name, inner, outer), outer)
    graph.output(graph.dense(name, 64, 1))


@example("accuracy", opset=14)
def _(graph):
    layers(graph, lambda name, _: graph.node("Relu", name))


@example("prelu_gmm", opset=14)
def _(graph):
    layers(graph, lambda name, width: graph.node("PRelu", name, graph.constant(graph.random.uniform(0.1, 0.4, width))))


@example("quantize_dequantize", opset=14)
def _(graph):
    graph.output(graph.dense(graph.input([1, 41]), 41, 1))


@example("sklearn_mlp", opset=16)
def _(graph):
    name = graph.node("Cast", graph.input([1, 3]), to=1)
    name = graph.node("Relu", graph.node("Add", graph.node("MatMul", name, graph.weights(3, 10)), graph.weights(1, 10)))
    name = graph.node("Add", graph.node("MatMul", name, graph.weights(10, 1)), graph.weights(1, 1))
    graph.output(graph.node("Reshape", name, graph.integers(-1, 1)))


@example("linear_regression", opset=10)
def _(graph):
    name = graph.node("Cast", graph.input([1, 2]), to=1)
    graph.output(graph.node("Gemm", name, graph.weights(2, 1), graph.weights(1), alpha=1.0, beta=1.0))


# Pixels of an image of 16×16 in place of 32×32.
@example("linear_svc", opset=10, is_classifier=True)
def _(graph):
    weights = graph.constant(graph.random.normal(0, 0.05, (768, 1)), "double")
    sums = graph.node("MatMul", graph.input([1, 768], "double"), weights)
    scores = graph.node("Reshape", graph.node("Add", sums, graph.constant([0.1], "double")), graph.integers(-1))
    is_second = graph.node("Cast", graph.node("Greater", scores, graph.constant(0.0, "double")), to=7)
    graph.output(graph.node("Gather", graph.constant([3, 7], "uint8"), is_second), "uint8")


@example("large_mlp", opset=12)
def _(graph):
    repeats = graph.node("Expand", graph.integers(1), graph.integers(2))
    repeats = graph.node("Mul", repeats, graph.integers(10, 1))
    name = graph.node("Tile", graph.input([1, 100]), repeats)
    for index in range(9):
        name = graph.dense(graph.node("Relu", name) if index else name, 100, 100)
    graph.output(name)


@example("large_op_graph", opset=10)
def _(graph):
    name = graph.input([1, 3, 2, 2])
    both = graph.node("Add", graph.node("Relu", name), graph.node("Sigmoid", name))
    first = graph.convolution(both, 3, 3, (5, 5), pads=[2] * 4)
    difference = graph.node("Sub", graph.node("Add", name, graph.node("Add", name, first)), name)
    square = graph.node("Pow", name, graph.constant(2.0))
    positive = graph.node("Relu", graph.node("Add", square, graph.node("MatMul", name, name)))
    joined = graph.node("Add", difference, positive)
    graph.output(graph.node("Relu", graph.convolution(joined, 3, 3, (2, 2), pads=[2] * 4)))


@example("tutorial", opset=10)
def _(graph):
    x, y, z = (graph.input([1, 3, 2, 2]) for _ in range(3))
    product = graph.node("MatMul", y, graph.node("Pow", x, graph.constant(2.0)))
    positive = graph.node("Relu", z)
    difference = graph.node("Sub", graph.node("Add", product, x), positive)
    sigmoid = graph.node("Sigmoid", graph.convolution(difference, 3, 3, (2, 2), pads=[2] * 4))
    graph.output(graph.node("Add", sigmoid, graph.constant(0.5)))
    graph.output(graph.node("Div", positive, graph.constant(3.0)))


@example("idolmodel", opset=10)
def _(graph):
    known, name = graph.input([1, 1]), graph.input([1, 1, 32, 34])
    name = graph.node("Flatten", graph.node("Relu", graph.convolution(name, 1, 2, (5, 5), strides=[4, 4])))
    graph.output(graph.node("Identity", known))
    graph.output(graph.node("Sigmoid", graph.dense(name, 112, 1)))


@example("mnist_gan", opset=12)
def _(graph):
    name = graph.dense(graph.input([1, 100]), 100, 392)
    scaled = graph.node("Mul", name, graph.constant(graph.random.uniform(0.5, 1.5, 392)))
    name = graph.node("Elu", graph.node("Add", scaled, graph.weights(392, scale=0.1)), alpha=1.0)
    name = graph.node("Transpose", graph.node("Reshape", name, graph.integers(-1, 7, 7, 8)), perm=[0, 3, 1, 2])
    attributes = {"strides": [2, 2], "kernel_shape": [5, 5], "pads": [1, 1, 2, 2], "auto_pad": "NOTSET"}
    name = graph.node("ConvTranspose", name, graph.weights(8, 4, 5, 5), graph.weights(4, scale=0.1), **attributes)
    norm = [graph.constant(graph.random.uniform(0.5, 1.5, 4)) for _ in range(4)]
    name = graph.node("Elu", graph.node("BatchNormalization", name, *norm, epsilon=0.001), alpha=1.0)
    name = graph.node("ConvTranspose", name, graph.weights(4, 1, 5, 5), graph.weights(1), **attributes)
    graph.output(graph.node("Reshape", graph.node("Sigmoid", name), graph.integers(-1, 28, 28)))


def norm(graph, name, channels):
    parts = [graph.constant(graph.random.uniform(0.5, 1.5, channels)), graph.weights(channels, scale=0.1)]
    parts += [graph.weights(channels, scale=0.1), graph.constant(graph.random.uniform(0.5, 1.5, channels))]
    return graph.node("BatchNormalization", name, *parts, epsilon=1e-5)


def mobile(graph, side, blocks):
    """Inverted residuals: 1×1, depthwise 3×3 and 1×1, added to the input where its size remains."""

    def clipped(name):
        return graph.node("Clip", name, graph.constant(0.0), graph.constant(6.0))

    name, channels = graph.input([1, 3, side, side]), 8
    name = clipped(norm(graph, graph.convolution(name, 3, channels, (3, 3), strides=[2, 2], pads=[1] * 4), channels))
    for outputs, stride in blocks:
        before, wide = name, 2 * channels
        name = clipped(norm(graph, graph.convolution(name, channels, wide, (1, 1)), wide))
        depthwise = {"groups": wide, "strides": [stride] * 2, "pads": [1] * 4}
        name = clipped(norm(graph, graph.convolution(name, wide, wide, (3, 3), **depthwise), wide))
        name = norm(graph, graph.convolution(name, wide, outputs, (1, 1)), outputs)
        if (outputs, stride) == (channels, 1):
            name = graph.node("Add", before, name)
        channels = outputs
    name = graph.node("Flatten", graph.node("GlobalAveragePool", name))
    graph.output(graph.dense(name, channels, 10))


@example("mobilenet", is_classifier=True)
def _(graph):
    mobile(graph, 16, [(8, 1), (12, 2)])


@example("mobilenet_large", is_classifier=True)
def _(graph):
    mobile(graph, 32, [(8, 1), (12, 2), (12, 1), (16, 2), (16, 1)])


# Two streams with different functions and pools, whose products at three depths are the outputs: distributions, offsets
# and scales. Images of 16×16 in place of 64×64.
@example("fr_age", opset=9, bits=9)
def _(graph):
    image, streams = graph.input([1, 3, 16, 16]), []
    for function, pool in [("Relu", "AveragePool"), ("Tanh", "MaxPool")]:
        name, channels, of_stream = image, 3, []
        for _ in range(3):
            name = norm(graph, graph.convolution(name, channels, 4, (3, 3), pads=[1] * 4), 4)
            name = graph.node(pool, graph.node(function, name), kernel_shape=[2, 2], strides=[2, 2])
            channels = 4
            of_stream.append(name)
        streams.append(of_stream)
    for size in [3, 1, 3]:
        for side, (one, other) in zip([8, 4, 2], zip(*streams)):
            both = [graph.node("Relu", graph.convolution(name, 4, 2, (1, 1))) for name in (one, other)]
            shape = graph.node("Shape", both[0])
            batch = graph.node("Unsqueeze", graph.node("Gather", shape, graph.constant(0, "int64")), axes=[0])
            target = graph.node("Concat", batch, graph.integers(-1), axis=0)
            rows = [graph.node("Reshape", name, target) for name in both]
            graph.output(graph.node("Tanh", graph.dense(graph.node("Mul", *rows), 2 * side**2, size)))


# An encoder and a decoder of convolutions over time: neurons are channels.
@example("smallworm", bits=12)
def _(graph):
    name = graph.input([1, 12, 32])
    for inner, outer in [(12, 8), (8, 4)]:
        convolved = graph.convolution(name, inner, outer, (3,), strides=[2], pads=[1, 1])
        name = graph.node("LeakyRelu", convolved, alpha=0.1)
    mean, deviation = (graph.convolution(name, 4, 4, (1,)) for _ in range(2))
    spread = graph.node("Exp", graph.node("Mul", graph.node("Tanh", deviation), graph.constant(0.5)))
    name = graph.node("Add", mean, graph.node("Mul", spread, graph.constant(graph.random.normal(0, 1, (1, 4, 8)))))
    scales = graph.constant([1.0, 1.0, 4.0])
    attributes = {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"}
    name = graph.node("Resize", name, None, scales, **attributes)
    graph.output(graph.node("Sigmoid", graph.convolution(name, 4, 12, (3,), pads=[1, 1])))


# Weights of four assets by the inverse of their variances, in two clusters, of 16 returns in place of 100.
@example("hierarchical_risk", opset=11, bits=14, weight_bits=14)
def _(graph):
    returns = graph.input([16, 4])
    centred = graph.node("Sub", returns, graph.node("ReduceMean", returns, axes=[0], keepdims=1))
    products = graph.node("MatMul", graph.node("Transpose", centred, perm=[1, 0]), centred)
    covariance = graph.node("Div", products, graph.constant(15.0))
    mask = graph.node("Equal", graph.constant(numpy.eye(4), "int64"), graph.constant(1, "int64"))
    places = graph.node("Transpose", graph.node("NonZero", mask), perm=[1, 0])
    # Rounded, a variance could be negative.
    diagonal = graph.node("Relu", graph.node("GatherND", covariance, places))
    variances = graph.node("Add", diagonal, graph.constant(0.25))
    inverse = graph.node("Div", graph.constant(1.0), variances)
    clusters = graph.node("Reshape", inverse, graph.integers(2, 2))
    within = graph.node("Div", clusters, graph.node("ReduceSum", clusters, axes=[1], keepdims=1))
    zeros = graph.node("ConstantOfShape", graph.integers(4))
    order = graph.constant([[2], [0], [3], [1]], "int64")
    flat = graph.node("Reshape", within, graph.integers(-1))
    graph.output(graph.node("ScatterND", zeros, order, flat))
