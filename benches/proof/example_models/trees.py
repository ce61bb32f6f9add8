"""Trees as tensors: in the forms in which converters of scikit-learn, XGBoost and LightGBM write them
as layers. All have depth 3, four features and random branches. Thresholds lie between two inputs."""

import numpy

from . import example

FEATURES, DEPTH, CLASSES = 4, 3, 3


def branches(graph, count):
    """Features and thresholds of some branches."""
    thresholds = (2 * graph.random.integers(-96, 96, count) + 1) / 128
    return graph.random.integers(0, FEATURES, count), thresholds


def by_products(graph, name, leaves):
    """A tree whose paths are matrix products: a leaf is reached if all comparisons on its path hold or do not."""
    count = 2**DEPTH
    features, thresholds = branches(graph, count - 1)
    columns = graph.node("Cast", graph.node("Gather", name, graph.integers(*features), axis=1), to=11)
    holds = graph.node("Cast", graph.node("Less", graph.constant(thresholds, "double"), columns), to=1)
    paths = numpy.zeros((2, count - 1, count))
    for leaf in range(count):
        branch = 0
        for level in reversed(range(DEPTH)):
            side = leaf >> level & 1
            paths[side, branch, leaf] = 1
            branch = 2 * branch + 1 + side
    conditions = []
    for side in (0, 1):
        reached = graph.node("MatMul", holds, graph.constant(paths[side]))
        expected = graph.node("ReduceSum", graph.constant(paths[side] * side), graph.integers(0), keepdims=1)
        conditions.append(graph.node("Equal", reached, expected))
    leaf = graph.node("ArgMax", graph.node("Cast", graph.node("And", *conditions), to=1), axis=1, keepdims=0)
    return graph.node("Gather", leaves, leaf)


def by_indices(graph, name, trees, values, operator, one_hot=False):
    """Trees of which each level computes the indices of the next one. Returns the sums of the leaves' values."""
    features, thresholds = branches(graph, trees)
    columns = graph.node("Gather", name, graph.integers(*features), axis=1)

    def compare(columns, thresholds):
        if operator == "Less":
            condition = graph.node("Not", graph.node("Less", columns, thresholds))
        else:
            condition = graph.node("Not", graph.node("Greater", thresholds, columns))
        return graph.node("Cast", condition, to=7)

    index = graph.node("Add", compare(columns, graph.constant(thresholds)), graph.integers(*range(0, 2 * trees, 2)))
    for level in range(1, DEPTH):
        features, thresholds = branches(graph, trees * 2**level)
        index = graph.node("Reshape", index, graph.integers(-1))
        tables, row = (graph.integers(*features), graph.constant(thresholds)), graph.integers(1, trees)
        chosen, limits = (graph.node("Reshape", graph.node("Gather", table, index), row) for table in tables)
        if one_hot:
            hot = graph.node("OneHot", chosen, graph.constant(FEATURES, "int64"), graph.constant([0.0, 1.0]))
            rows = graph.node("Mul", hot, graph.node("Unsqueeze", name, graph.integers(1)))
            columns = graph.node("ReduceSum", rows, graph.integers(2), keepdims=0)
        else:
            columns = graph.node("GatherElements", name, chosen, axis=1)
        doubled = graph.node("Mul", graph.node("Reshape", index, graph.integers(1, trees)), graph.constant(2, "int64"))
        index = graph.node("Add", doubled, compare(columns, limits))
    leaves = graph.constant(graph.random.normal(0, 1, (trees * 2**DEPTH, values)))
    chosen = graph.node("Gather", leaves, graph.node("Reshape", index, graph.integers(-1)))
    chosen = graph.node("Reshape", chosen, graph.integers(1, trees, values))
    return graph.node("ReduceSum", chosen, graph.integers(1), keepdims=0)


def with_label(graph, scores):
    graph.output(graph.node("ArgMax", scores, axis=1, keepdims=0), "int64")
    graph.output(scores)


@example("decision_tree", opset=13, is_classifier=True)
def _(graph):
    shares = graph.constant(graph.random.dirichlet([1.0] * CLASSES, 2**DEPTH))
    scores = by_products(graph, graph.input([1, FEATURES]), shares)
    graph.output(graph.node("ArgMax", scores, axis=1, keepdims=0), "int64")


# 4 and 3 trees in place of 100 and 30.
@example("random_forest", opset=13)
def _(graph):
    name, sums = graph.input([1, FEATURES]), None
    for _ in range(4):
        values = graph.constant(graph.random.normal(0, 1, (2**DEPTH, 1)))
        tree = by_products(graph, name, values)
        sums = tree if sums is None else graph.node("Add", sums, tree)
    graph.output(graph.node("Reshape", graph.node("Div", sums, graph.constant(4.0)), graph.integers(-1)))


@example("gradient_boosted_trees", opset=13, is_classifier=True)
def _(graph):
    name, sums = graph.input([1, FEATURES]), []
    for _ in range(CLASSES):
        values = graph.constant(graph.random.normal(0, 1, (2**DEPTH, 1)))
        sums.append(graph.node("Reshape", by_products(graph, name, values), graph.integers(-1, 1)))
    graph.output(graph.node("Concat", *sums, axis=1))


for name in ["hummingbird_decision_tree", "oh_decision_tree"]:

    @example(name, opset=13, is_classifier=True)
    def _(graph):
        with_label(graph, by_indices(graph, graph.input([1, FEATURES]), 1, CLASSES, "Greater", one_hot=True))


for name, operator in [("lightgbm", "Greater"), ("xgboost", "Less")]:

    @example(name, opset=13, is_classifier=True)
    def _(graph, operator=operator):
        scores = by_indices(graph, graph.input([1, FEATURES]), 2 * CLASSES, CLASSES, operator)
        with_label(graph, graph.node("Softmax", scores, axis=1))


@example("xgboost_reg", opset=13)
def _(graph):
    sums = by_indices(graph, graph.input([1, FEATURES]), 3, 1, "Less")
    graph.output(graph.node("Add", sums, graph.constant([0.5])))
