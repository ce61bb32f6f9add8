"""Recurrent cells and attention."""

import numpy

from . import example


def cells(name, operator, gates, states, opset=10, **attributes):
    """A recurrent layer whose initial states are zeros of the batch's size."""

    @example(name, opset=opset)
    def _(graph):
        row = graph.node("Unsqueeze", graph.input([1, 3]), axes=[1])
        batch = graph.node("Gather", graph.node("Shape", row), graph.constant(1, "int64"), axis=0)
        batch = graph.node("Unsqueeze", batch, axes=[0])
        dims = graph.node("Concat", graph.integers(1), batch, graph.integers(3), axis=0)
        zeros = graph.node("ConstantOfShape", dims, value=numpy.zeros(1, numpy.float32))
        weights = [graph.weights(1, 3 * gates, 3, scale=2), graph.weights(1, 3 * gates, 3, scale=2)]
        bias = graph.weights(1, 6 * gates)
        inputs = [row, *weights, bias, None, *[zeros] * states]
        steps, *last = graph.nodes(operator, *inputs, outputs=1 + states, hidden_size=3, **attributes)
        graph.output(graph.node("Squeeze", graph.node("Squeeze", steps, axes=[1]), axes=[1]))
        for state in last:
            graph.output(graph.node("Squeeze", state, axes=[1]))


cells("gru", "GRU", 3, 1, linear_before_reset=1)
cells("lstm", "LSTM", 4, 2)
cells("rnn", "RNN", 1, 1, opset=11, activations=["Tanh"])


def forecast(name, steps, layers, width):
    """Layers of LSTM, and a dense layer for the last step."""

    @example(name, opset=15, bits=12)
    def _(graph):
        tensor = graph.node("Reshape", graph.input([1, steps, 1]), graph.integers(steps, 1, 1))
        inner, axes = 1, graph.integers(1)
        for _ in range(layers):
            shapes = [(1, 4 * width, size) for size in (inner, width)]
            parts = [graph.constant(graph.random.normal(0, 0.8, dims)) for dims in shapes]
            zeros = graph.constant(numpy.zeros((1, 1, width)))
            inputs = [tensor, *parts, graph.weights(1, 8 * width), None, zeros, zeros]
            tensor, inner = graph.node("Squeeze", graph.node("LSTM", *inputs, hidden_size=width), axes), width
        last = graph.node("Slice", tensor, graph.integers(-1), graph.integers(2**31 - 1), graph.integers(0))
        row = graph.node("Squeeze", last, graph.integers(0))
        graph.output(graph.node("Gemm", row, graph.weights(width, 1, scale=0.5), graph.weights(1)))


# 8 and 6 cells in place of 50 and 100.
forecast("lstm_medium", 5, 2, 8)
forecast("lstm_large", 2, 4, 6)


# A moving average and what it leaves, each with weights of its own for all steps of the forecast.
@example("ltsf", opset=10)
def _(graph):
    series = graph.input([1, 96, 1])
    repeats = graph.node("Expand", graph.integers(1), graph.integers(3))
    repeats = graph.node("Mul", repeats, graph.integers(1, 12, 1))
    one = [graph.integers(1), graph.integers(1)]
    first = graph.node("Slice", series, graph.integers(0), graph.integers(1), *one)
    last = graph.node("Slice", series, graph.integers(-1), graph.integers(2**31 - 1), *one)
    ends = [graph.node("Tile", end, repeats) for end in (first, last)]
    padded = graph.node("Concat", ends[0], series, ends[1], axis=1)
    turned = graph.node("Transpose", padded, perm=[0, 2, 1])
    trend = graph.node("AveragePool", turned, kernel_shape=[25], strides=[1], count_include_pad=1)
    season = graph.node("Sub", series, graph.node("Transpose", trend, perm=[0, 2, 1]))
    parts = []
    for part in [graph.node("Transpose", season, perm=[0, 2, 1]), trend]:
        product = graph.node("MatMul", part, graph.weights(96, 24, scale=1))
        parts.append(graph.node("Add", product, graph.weights(24, scale=0.1)))
    graph.output(graph.node("Transpose", graph.node("Add", *parts), perm=[0, 2, 1]))


def layer_norm(graph, name, width):
    """A norm over the last axis as older exporters write it."""
    centred = graph.node("Sub", name, graph.node("ReduceMean", name, axes=[-1]))
    variance = graph.node("ReduceMean", graph.node("Pow", centred, graph.constant(2.0)), axes=[-1])
    deviation = graph.node("Sqrt", graph.node("Add", variance, graph.constant(1e-3)))
    factors = graph.constant(graph.random.uniform(0.5, 1.5, width))
    scaled = graph.node("Mul", graph.node("Div", centred, deviation), factors)
    return graph.node("Add", scaled, graph.weights(width, scale=0.1))


def rows(graph, name, inner, outer):
    """Multiplies each row of a sequence with a matrix."""
    weights = graph.constant(graph.random.normal(0, inner**-0.5, (inner, outer)))
    return graph.node("Add", graph.node("MatMul", name, weights), graph.weights(outer, scale=0.1))


def heads(graph, name, tokens, width, count):
    split = graph.node("Reshape", name, graph.integers(1, tokens, count, width // count))
    return graph.node("Transpose", split, perm=[0, 2, 1, 3])


def attention(graph, queries, keys, values, tokens, width, count, is_causal):
    queries, keys, values = (heads(graph, name, tokens, width, count) for name in (queries, keys, values))
    scores = graph.node("MatMul", queries, graph.node("Transpose", keys, perm=[0, 1, 3, 2]))
    scores = graph.node("Div", scores, graph.constant((width / count) ** 0.5))
    if is_causal:
        mask = graph.node("Equal", graph.constant(numpy.tril(numpy.ones((tokens, tokens)))), graph.constant(0.0))
        scores = graph.node("Where", mask, graph.constant(-numpy.inf), scores)
    sums = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), values)
    return graph.node("Reshape", graph.node("Transpose", sums, perm=[0, 2, 1, 3]), graph.integers(1, tokens, width))


def block(graph, name, tokens, width, count):
    """A block of a transformer with a causal mask and Gelu with its approximation by Tanh."""
    normal = rows(graph, layer_norm(graph, name, width), width, 3 * width)
    parts = graph.nodes("Split", normal, graph.integers(width, width, width), outputs=3, axis=2)
    attended = attention(graph, *parts, tokens, width, count, True)
    name = graph.node("Add", name, rows(graph, attended, width, width))
    inner = rows(graph, layer_norm(graph, name, width), width, 2 * width)
    cube = graph.node("Mul", graph.constant(0.044715), graph.node("Pow", inner, graph.constant(3.0)))
    argument = graph.node("Mul", graph.constant((2 / numpy.pi) ** 0.5), graph.node("Add", inner, cube))
    tanh = graph.node("Add", graph.constant(1.0), graph.node("Tanh", argument))
    gelu = graph.node("Mul", graph.node("Mul", graph.constant(0.5), inner), tanh)
    return graph.node("Add", name, rows(graph, gelu, 2 * width, width))


# 8 positions of 16 numbers in place of 64 of 64.
@example("self_attention", opset=13, bits=12)
def _(graph):
    graph.output(block(graph, graph.input([1, 8, 16]), 8, 16, 2))


@example("multihead_attention", opset=13, bits=12)
def _(graph):
    name = graph.node("Reshape", graph.input([1, 1, 4, 16]), graph.integers(1, 4, 16))
    for _ in range(2):
        parts = [rows(graph, name, 16, 16) for _ in range(3)]
        attended = attention(graph, *parts, 4, 16, 4, False)
        name = layer_norm(graph, graph.node("Add", name, rows(graph, attended, 16, 16)), 16)
    graph.output(graph.dense(graph.node("ReduceMean", name, axes=[1], keepdims=0), 16, 1))


# One block with 8 of 65 characters, in place of four with 64.
@example("nanoGPT", opset=13, scale=0, low=0, high=64, bits=12, is_classifier=True)
def _(graph):
    tokens = graph.input([1, 8], "int64", 65)
    embedded = graph.node("Gather", graph.constant(graph.random.normal(0, 1, (65, 16))), tokens)
    ones = graph.node("ConstantOfShape", graph.integers(8), value=numpy.ones(1, numpy.int64))
    places = graph.node("Squeeze", graph.node("Transpose", graph.node("NonZero", ones), perm=[1, 0]), graph.integers(1))
    positions = graph.node("Gather", graph.constant(graph.random.normal(0, 0.5, (8, 16))), places)
    name = block(graph, graph.node("Add", embedded, positions), 8, 16, 2)
    last = graph.node("Slice", name, graph.integers(-1), graph.integers(2**31 - 1), graph.integers(1))
    last = layer_norm(graph, last, 16)
    graph.output(graph.node("MatMul", last, graph.weights(16, 65, scale=2)))
