"""Writes ONNX files without the package onnx: graphs whose nodes are appended one by one."""

import struct

import numpy

KINDS = {"float": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "double": 11}
TYPES = {"float": numpy.float32, "double": numpy.float64, "bool": numpy.bool_}


def varint(number):
    number &= (1 << 64) - 1
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def number(field, value):
    return varint(field << 3) + varint(value)


def part(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def real(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


def attribute(name, value):
    start = part(1, name)
    if isinstance(value, bool | int | numpy.integer):
        return start + number(3, int(value)) + number(20, 2)
    if isinstance(value, float):
        return start + real(2, value) + number(20, 1)
    if isinstance(value, str):
        return start + part(4, value) + number(20, 3)
    if isinstance(value, numpy.ndarray):
        return start + part(5, tensor("", value)) + number(20, 4)
    if isinstance(value[0], str):
        return start + b"".join(part(9, text) for text in value) + number(20, 8)
    if isinstance(value[0], float):
        return start + b"".join(real(7, item) for item in value) + number(20, 6)
    return start + b"".join(number(8, int(item)) for item in value) + number(20, 7)


def kind_of(values):
    return next(kind for kind in KINDS if numpy.dtype(TYPES.get(kind, kind)) == values.dtype)


def tensor(name, values):
    dims = b"".join(number(1, extent) for extent in values.shape)
    return dims + number(2, KINDS[kind_of(values)]) + part(8, name) + part(9, values.tobytes())


def described(name, kind, dims=None):
    shape = b"" if dims is None else part(2, b"".join(part(1, number(1, extent)) for extent in dims))
    return part(1, name) + part(2, part(1, number(1, KINDS[kind]) + shape))


class Graph:
    """A graph under construction. Weights are drawn from its generator."""

    def __init__(self, seed, opset=17):
        self.opset, self.random = opset, numpy.random.default_rng(seed)
        self.inputs, self.outputs, self.parts, self.names = [], [], b"", 0

    def name(self):
        self.names += 1
        return f"t{self.names}"

    def input(self, dims, kind="float", limit=None, name=None):
        """An input; integers are from 0 on and below the limit."""
        name = name or f"input{len(self.inputs) or ''}"
        self.inputs.append((name, kind, list(dims), limit))
        return name

    def constant(self, values, kind="float"):
        name, values = self.name(), numpy.array(values, TYPES.get(kind, kind))
        self.parts += part(5, tensor(name, values))
        return name

    def integers(self, *values):
        return self.constant(values, "int64")

    def weights(self, *dims, scale=None):
        """Normal numbers whose sums over all axes but the first one have about this magnitude."""
        inner = max(1, int(numpy.prod(dims[1:])))
        return self.constant(self.random.normal(0, (scale or 1) / inner**0.5, dims))

    def nodes(self, operator, *inputs, outputs=1, domain="", **attributes):
        names = [self.name() for _ in range(outputs)]
        inputs = b"".join(part(1, name or "") for name in inputs)
        content = inputs + b"".join(part(2, name) for name in names) + part(4, operator)
        content += b"".join(part(5, attribute(name, value)) for name, value in attributes.items())
        self.parts += part(1, content + part(7, domain) if domain else content)
        return names

    def node(self, operator, *inputs, **attributes):
        return self.nodes(operator, *inputs, **attributes)[0]

    def output(self, name, kind="float"):
        self.outputs.append((name, kind))

    def dense(self, name, inputs, outputs, scale=None):
        """A linear layer as PyTorch exports it."""
        bias = self.constant(self.random.normal(0, 0.1, outputs))
        return self.node("Gemm", name, self.weights(outputs, inputs, scale=scale), bias, transB=1)

    def convolution(self, name, channels, outputs, kernel, groups=1, **attributes):
        weights = self.weights(outputs, channels // groups, *kernel)
        bias = self.constant(self.random.normal(0, 0.1, outputs))
        return self.node("Conv", name, weights, bias, group=groups, kernel_shape=list(kernel), **attributes)

    def file(self):
        content = self.parts + part(2, "example")
        content += b"".join(part(11, described(name, kind, dims)) for name, kind, dims, _ in self.inputs)
        content += b"".join(part(12, described(name, kind)) for name, kind in self.outputs)
        sets = part(8, number(2, self.opset)) + part(8, part(1, "ai.onnx.ml") + number(2, 3))
        return number(1, 9) + part(7, content) + sets
