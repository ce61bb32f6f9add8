"""Models of one or a few layers."""

import numpy

from . import example


def function(name, dims, operator, *, options=None, **attributes):
    """A model of one function."""

    @example(name, **(options or {}))
    def _(graph):
        graph.output(graph.node(operator, graph.input(dims), **attributes))


function("1l_elu", [1, 3, 2, 3], "Elu", alpha=1.0)
function("1l_erf", [1, 3], "Erf")
function("1l_flatten", [1, 3, 2, 3], "Flatten", axis=1)
function("1l_identity", [1, 2], "Identity")
function("1l_leakyrelu", [1, 3], "LeakyRelu", alpha=0.05)
function("1l_mean", [1, 1, 300], "ReduceMean", keepdims=0)
function("1l_relu", [1, 3], "Relu")
function("1l_sigmoid", [1, 3], "Sigmoid")
function("1l_softmax", [1, 3], "Softmax", axis=1)
function("1l_sqrt", [1, 3], "Sqrt", options={"low": 0})
function("1l_tanh", [1, 3], "Tanh")
function("celu", [1, 8], "Celu", alpha=1.0)
function("doodles", [1, 1, 64, 64], "Identity")
function("exp", [1, 8], "Exp")
function("hard_sigmoid", [1, 8], "HardSigmoid", alpha=1 / 6)
function("hard_swish", [1, 8], "HardSwish")
function("log", [1, 8], "Log", options={"low": 1})
function("log_softmax", [1, 8], "HardSigmoid", alpha=1 / 6)
function("logsumexp", [1, 2, 2, 8], "ReduceLogSumExp", axes=[1], keepdims=0)
function("max", [1, 3, 2, 2], "ReduceMax", keepdims=0)
function("min", [1, 3, 2, 2], "ReduceMin", keepdims=0)
function("reducel1", [1, 2, 2, 8], "ReduceL1", axes=[1], keepdims=0)
function("reducel2", [1, 2, 2, 8], "ReduceL2", axes=[1], keepdims=0)
function("selu", [1, 8], "Selu")
function("softplus", [1, 8], "Softplus")
function("tril", [1, 3, 3], "Trilu", upper=0)
function("triu", [1, 3, 3], "Trilu", upper=1)
del function


@example("1l_average")
def _(graph):
    padded = graph.node("Pad", graph.input([1, 3, 2, 2]), graph.integers(0, 0, 1, 1, 0, 0, 1, 1))
    pool = graph.node("AveragePool", padded, kernel_shape=[2, 2])
    graph.output(graph.node("Gather", pool, graph.constant(0, "int64")))


@example("1l_batch_norm")
def _(graph):
    parts = [graph.weights(3), graph.weights(3), graph.weights(3), graph.constant([0.5, 1.0, 2.0])]
    graph.output(graph.node("BatchNormalization", graph.input([1, 3, 2, 2]), *parts, epsilon=1e-5))


@example("1l_concat")
def _(graph):
    name = graph.input([1, 3, 2, 3, 2, 2])
    graph.output(graph.node("Concat", name, name, axis=2))


@example("1l_conv")
def _(graph):
    graph.output(graph.convolution(graph.input([1, 3, 1, 1]), 3, 1, (1, 1), pads=[1] * 4))


@example("1l_conv_transpose")
def _(graph):
    weights, bias = graph.weights(3, 3, 5, 5), graph.weights(3)
    attributes = {"output_padding": [1, 1], "pads": [2] * 4, "strides": [2, 2]}
    graph.output(graph.node("ConvTranspose", graph.input([1, 3, 5, 5]), weights, bias, **attributes))


@example("1l_div")
def _(graph):
    graph.output(graph.node("Div", graph.input([1, 1]), graph.constant(10.0)))


@example("1l_downsample")
def _(graph):
    graph.output(graph.convolution(graph.input([1, 3, 6, 6]), 3, 1, (1, 1), pads=[1] * 4, strides=[2, 2]))


# The same quotient for every input but 0.
@example("1l_eltwise_div", low=1)
def _(graph):
    name = graph.input([1, 1])
    graph.output(graph.node("Div", name, graph.node("Mul", name, graph.constant(2.0))))


@example("1l_gelu_noappx")
def _(graph):
    name = graph.input([1, 3])
    erf = graph.node("Erf", graph.node("Div", name, graph.constant(2**0.5)))
    product = graph.node("Mul", name, graph.node("Add", erf, graph.constant(1.0)))
    graph.output(graph.node("Mul", product, graph.constant(0.5)))


@example("1l_gelu_tanh_appx")
def _(graph):
    name = graph.input([1, 3])
    cube = graph.node("Mul", name, graph.node("Mul", name, name))
    sum_of = graph.node("Add", name, graph.node("Mul", graph.constant(0.044715), cube))
    tanh = graph.node("Tanh", graph.node("Mul", graph.constant((2 / numpy.pi) ** 0.5), sum_of))
    product = graph.node("Mul", name, graph.node("Add", graph.constant(1.0), tanh))
    graph.output(graph.node("Mul", graph.constant(0.5), product))


@example("1l_instance_norm", bits=12)
def _(graph):
    parts = graph.constant([1.0]), graph.constant([0.0])
    graph.output(graph.node("InstanceNormalization", graph.input([1, 1, 2, 2]), *parts, epsilon=1e-5))


@example("1l_linear")
def _(graph):
    graph.output(graph.dense(graph.input([1, 1]), 1, 1))


@example("1l_lppool")
def _(graph):
    power = graph.node("Pow", graph.input([1, 3, 2, 2]), graph.constant(2.0))
    pool = graph.node("AveragePool", power, count_include_pad=1, kernel_shape=[1, 1])
    size = graph.node("Relu", graph.node("Abs", pool))
    signed = graph.node("Mul", graph.node("Sign", pool), size)
    root = graph.node("Pow", signed, graph.constant(0.5))
    graph.output(graph.node("Gather", root, graph.constant(0, "int64")))


@example("1l_max_pool")
def _(graph):
    graph.output(graph.node("MaxPool", graph.input([1, 3, 2, 2]), kernel_shape=[2, 2], pads=[1] * 4))


@example("1l_mlp")
def _(graph):
    graph.output(graph.node("Relu", graph.dense(graph.input([1, 3]), 3, 4)))


@example("1l_pad")
def _(graph):
    graph.output(graph.node("Pad", graph.input([1, 3, 2, 2]), graph.integers(0, 0, 0, 1, 0, 0, 0, 1)))


@example("1l_powf", low=0)
def _(graph):
    graph.output(graph.node("Pow", graph.input([1, 4]), graph.constant(1.5)))


@example("1l_prelu")
def _(graph):
    graph.output(graph.node("PRelu", graph.input([1, 3, 2, 2]), graph.constant([[[0.25]], [[-0.5]], [[0.125]]])))


@example("1l_reshape")
def _(graph):
    graph.output(graph.node("Reshape", graph.input([1, 1, 3, 2]), graph.integers(-1, 6)))


@example("1l_slice")
def _(graph):
    one, two = graph.integers(1), graph.integers(2)
    graph.output(graph.node("Slice", graph.input([1, 3, 2]), one, two, one, one))


@example("1l_tiny_div")
def _(graph):
    graph.output(graph.node("Div", graph.input([1, 8]), graph.constant(1e4)))


@example("1l_topk", scale=0, low=0, high=255)
def _(graph):
    name, count = graph.input([1, 6], "int64"), graph.integers(4)
    largest, _ = graph.nodes("TopK", name, count, outputs=2, axis=-1, largest=1)
    smallest, _ = graph.nodes("TopK", name, count, outputs=2, axis=-1, largest=0)
    graph.output(graph.node("Add", largest, smallest), "int64")


@example("1l_upsample", opset=11)
def _(graph):
    scales, none = graph.constant([1.0, 1.0, 2.0, 2.0]), graph.constant(numpy.zeros(0))
    attributes = {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"}
    graph.output(graph.node("Resize", graph.input([1, 3, 5, 5]), none, scales, **attributes))


@example("1l_var")
def _(graph):
    name = graph.input([1, 1, 3, 3])
    centred = graph.node("Sub", name, graph.node("ReduceMean", name, axes=[1, 2], keepdims=1))
    graph.output(graph.node("ReduceMean", graph.node("Mul", centred, centred), axes=[1, 2], keepdims=0))


@example("1l_where", scale=0, low=0, high=20)
def _(graph):
    real = graph.node("Cast", graph.input([1, 64], "int64"), to=1)
    holds = graph.node("Not", graph.node("Less", real, graph.constant(5.0)))
    branches = graph.constant(2.0, "double"), graph.constant(0.0, "double")
    graph.output(graph.node("Where", holds, *branches), "double")


@example("arange", refused="expected at least one of each")
def _(graph):
    graph.output(graph.node("Identity", graph.integers(0, 2, 4, 6, 8)), "int64")


@example("bitshift", opset=16, scale=0, low=0, high=255)
def _(graph):
    for index in range(4):
        name, two = graph.input([1, 3], "int32"), graph.constant(2.0)
        power = graph.node("Cast", graph.node("Pow", two, graph.constant(float(index + 1))), to=6)
        graph.output(graph.node("Mul" if index % 2 else "Div", name, power), "int32")


@example("bitwise_ops", opset=16, scale=0, low=0, high=1)
def _(graph):
    names = [graph.input([1, 3], "bool") for _ in range(2)]
    graph.output(graph.node("Not", graph.node("Or", *names)), "bool")


@example("blackman_window")
def _(graph):
    graph.output(graph.node("Add", graph.constant(numpy.blackman(8)), graph.input([1, 8])))


@example("boolean", opset=15, scale=0, low=0, high=1)
def _(graph):
    a, b, c, d = (graph.input([1, 3], "bool") for _ in range(4))
    other = graph.node("And", b, graph.node("Xor", c, d))
    graph.output(graph.node("And", graph.node("And", a, b), other), "bool")


@example("boolean_identity", opset=15, scale=0, low=0, high=1)
def _(graph):
    graph.output(graph.node("Identity", graph.input([1, 3], "bool")), "bool")


@example("clip")
def _(graph):
    graph.output(graph.node("Clip", graph.input([1, 2, 2, 8]), graph.constant(-1.0), graph.constant(1.0)))


@example("eye")
def _(graph):
    graph.output(graph.node("MatMul", graph.input([1, 8]), graph.constant(numpy.eye(8))))


@example("gather_elements", opset=15)
def _(graph):
    name, index = graph.input([1, 15, 18]), graph.input([1, 15, 2], "int64", 15)
    graph.output(graph.node("GatherElements", name, index, axis=1))


@example("gather_nd", opset=12)
def _(graph):
    name, index = graph.input([1, 15, 18]), graph.input([1, 15, 1], "int32", 15)
    batch = graph.constant(numpy.zeros((1, 15, 1)), "int32")
    tuples = graph.node("Cast", graph.node("Concat", batch, index, axis=2), to=7)
    graph.output(graph.node("GatherND", name, tuples))


@example("general_exp")
def _(graph):
    graph.output(graph.node("Pow", graph.constant(2.0), graph.input([1, 8])))


@example("hard_max")
def _(graph):
    row = graph.node("Reshape", graph.input([1, 8]), graph.integers(-1))
    graph.output(graph.node("ArgMax", row, axis=0, keepdims=0), "int64")


@example("integer_div", scale=0)
def _(graph):
    quotient = graph.node("Div", graph.input([1, 2, 2, 8], "int64"), graph.constant(3, "int64"))
    graph.output(graph.node("Cast", graph.node("Cast", quotient, to=7), to=7), "int64")


@example("layernorm", bits=12)
def _(graph):
    parts = graph.constant(numpy.linspace(0.5, 1.5, 10)), graph.constant(numpy.linspace(-0.5, 0.5, 10))
    graph.output(graph.node("LayerNormalization", graph.input([1, 10, 10]), *parts, axis=-1, epsilon=1e-5))


@example("less", opset=15)
def _(graph):
    graph.output(graph.node("Less", graph.input([1, 4]), graph.input([1, 4])), "bool")


@example("mish")
def _(graph):
    name = graph.input([1, 8])
    graph.output(graph.node("Mul", name, graph.node("Tanh", graph.node("Softplus", name))))


@example("remainder")
def _(graph):
    name, divisor = graph.input([1, 8]), graph.constant(0.5)
    quotient = graph.node("Floor", graph.node("Div", name, divisor))
    graph.output(graph.node("Sub", name, graph.node("Mul", quotient, divisor)))


@example("rounding_ops", opset=16)
def _(graph):
    for operator in ["Round", "Floor", "Ceil"]:
        graph.output(graph.node(operator, graph.input([1, 3, 2, 3])))


@example("rsqrt", low=1)
def _(graph):
    graph.output(graph.node("Reciprocal", graph.node("Sqrt", graph.input([1, 8]))))


@example("scatter_elements", opset=15)
def _(graph):
    name, index = graph.input([1, 15, 18]), graph.input([1, 15, 2], "int64", 18)
    graph.output(graph.node("ScatterElements", name, index, graph.input([1, 15, 2]), axis=2))


@example("scatter_nd", opset=12, scale=0, low=0, high=100)
def _(graph):
    index = graph.node("Cast", graph.input([1, 4, 1], "int32", 8), to=7)
    zeros = graph.node("ConstantOfShape", graph.integers(8), value=numpy.zeros(1, numpy.int32))
    graph.output(graph.node("ScatterND", zeros, index, graph.input([1, 4], "int32")), "int32")


@example("softsign")
def _(graph):
    name = graph.input([1, 8])
    graph.output(graph.node("Div", name, graph.node("Add", graph.node("Abs", name), graph.constant(1.0))))


# From 0 to 0.1, where every function of the chain has a value.
@example("trig", low=0, high=12, scale=7)
def _(graph):
    name = graph.input([1, 3, 2, 3])
    for operator in "Softplus Cos Sin Tan Acos Asin Atan Tanh Neg Abs Sign".split():
        name = graph.node(operator, name)
    graph.output(name)
