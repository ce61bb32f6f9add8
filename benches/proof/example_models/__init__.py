"""Models with the operators of ezkl's examples, under the names of those. Weights are random, and
dimensions are smaller where a proof would otherwise take minutes."""

import dataclasses
import zlib

import numpy

from .graph import Graph

EXAMPLES = {}


@dataclasses.dataclass
class Example:
    name: str
    graph: Graph
    # Integers of the inputs: floats are these, divided by 2^scale.
    low: int
    high: int
    scale: int
    # Bits of activations and weights.
    bits: int
    weight_bits: int
    # Whether the outputs are scores of classes.
    is_classifier: bool
    # What the error says, of a model that is refused.
    refused: str

    def rows(self, count):
        """Inputs as integers, one list for each row."""
        random = numpy.random.default_rng(zlib.crc32(self.name.encode()) + 1)
        rows = []
        for _ in range(count):
            row = []
            for _, kind, dims, limit in self.graph.inputs:
                low, high = (self.low, self.high + 1) if limit is None else (0, limit)
                row += random.integers(low, high, int(numpy.prod(dims))).tolist()
            rows.append(row)
        return rows


def example(
    name,
    opset=17,
    low=-128,
    high=127,
    scale=6,
    bits=10,
    weight_bits=10,
    is_classifier=False,
    refused="",
):
    """Registers a function that builds a model in a graph."""

    def register(build):
        def create():
            graph = Graph(zlib.crc32(name.encode()), opset)
            build(graph)
            return Example(name, graph, low, high, scale, bits, weight_bits, is_classifier, refused)

        assert name not in EXAMPLES
        EXAMPLES[name] = create
        return build

    return register


from . import layers, networks, sequences, trees  # noqa: E402, F401
