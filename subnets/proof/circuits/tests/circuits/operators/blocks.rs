//! Blocks of models with norms, softmaxes, reductions and choices, as exporters write them.

use super::file::{Attribute, Graph};
use super::{TestModel, test_weights};

/// A block of a transformer for four positions of six numbers: layer norm, attention of two heads
/// with a causal mask, root mean square norm, and two products of rows with Gelu, all but the
/// softmax in parts. Its output is the mean of all positions.
pub(crate) fn transformer() -> TestModel {
    let causal: Vec<bool> = (0..16).map(|index| index % 4 <= index / 4).collect();
    let order = || [("perm", Attribute::Ints(&[0, 2, 1, 3]))];
    let graph = Graph::default()
        .floats("unit", &[], &[1.0 / 32.0])
        .floats("epsilon", &[], &[1e-3])
        .floats("two", &[], &[2.0])
        .floats("one", &[], &[1.0])
        .floats("half", &[], &[0.5])
        .floats("root", &[], &[std::f32::consts::SQRT_2])
        .floats("third", &[], &[0.577_350_3])
        .floats("g", &[6], &[1.0, 0.5, 1.5, 1.25, -1.0, 0.75])
        .floats("b", &[6], &[0.5, -0.5, 0.25, 0.0, 0.125, 1.0])
        .floats("q", &[6, 6], &test_weights(36, 0.125))
        .floats("k", &[6, 6], &test_weights(36, -0.125))
        .floats("v", &[6, 6], &test_weights(36, 0.0625))
        .floats("o", &[6, 6], &test_weights(36, 0.125))
        .floats("up", &[6, 8], &test_weights(48, 0.125))
        .floats("down", &[8, 6], &test_weights(48, 0.0625))
        .floats("low", &[], &[f32::NEG_INFINITY])
        .booleans("causal", &[4, 4], &causal)
        .integers("last", &[1], &[-1])
        .integers("positions", &[1], &[1])
        .integers("split", &[4], &[0, 4, 2, 3])
        .integers("joined", &[3], &[1, 4, 6])
        .node("Mul", "x unit", "s")
        .node("ReduceMean", "s last", "mean")
        .node("Sub", "s mean", "centred")
        .node("Pow", "centred two", "squares")
        .node("ReduceMean", "squares last", "variance")
        .node("Add", "variance epsilon", "positive")
        .node("Sqrt", "positive", "deviation")
        .node("Div", "centred deviation", "normal")
        .node("Mul", "normal g", "scaled")
        .node("Add", "scaled b", "n");
    let graph = ["q", "k", "v"].iter().fold(graph, |graph, name| {
        graph
            .node("MatMul", &format!("n {name}"), &format!("{name}-rows"))
            .node("Reshape", &format!("{name}-rows split"), &format!("{name}-split"))
            .node_with("Transpose", &format!("{name}-split"), &format!("{name}-heads"), &order())
    });
    let graph = graph
        .node_with("Transpose", "k-heads", "turned", &[("perm", Attribute::Ints(&[0, 1, 3, 2]))])
        .node("MatMul", "q-heads turned", "products")
        .node("Mul", "products third", "scores")
        .node("Where", "causal scores low", "masked")
        .node_with("Softmax", "masked", "weights", &[("axis", Attribute::Int(-1))])
        .node("MatMul", "weights v-heads", "heads")
        .node_with("Transpose", "heads", "back", &order())
        .node("Reshape", "back joined", "rows")
        .node("MatMul", "rows o", "attended")
        .node("Add", "s attended", "residual")
        .node("Mul", "residual residual", "powers")
        .node("ReduceMean", "powers last", "power")
        .node("Add", "power epsilon", "energy")
        .node("Sqrt", "energy", "length")
        .node("Reciprocal", "length", "factor")
        .node("Mul", "residual factor", "unscaled")
        .node("Mul", "unscaled g", "m")
        .node("MatMul", "m up", "h")
        .node("Div", "h root", "d")
        .node("Erf", "d", "e")
        .node("Add", "e one", "a")
        .node("Mul", "h a", "p")
        .node("Mul", "p half", "gelu")
        .node("MatMul", "gelu down", "out")
        .node("Add", "residual out", "sum")
        .node_with("ReduceMean", "sum positions", "y", &[("keepdims", Attribute::Int(0))]);
    TestModel::new("transformer", &[1, 4, 6], &graph)
}

/// Comparisons, choices, limits, reductions, a logarithmic softmax, an instance norm and a
/// quotient.
pub(crate) fn choices() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[1.0 / 32.0])
        .floats("two", &[], &[2.0])
        .floats("half", &[], &[0.5])
        .floats("v", &[4, 4], &test_weights(16, 0.125))
        .floats("g", &[3], &[1.0, -0.5, 0.75])
        .floats("b", &[3], &[0.5, -0.25, 0.0])
        .integers("rows", &[1], &[1])
        .integers("columns", &[1], &[2])
        .node("Mul", "x unit", "s")
        .node("MatMul", "s v", "h")
        .node("Greater", "h s", "larger")
        .node("Where", "larger h s", "chosen")
        .node("Min", "chosen two", "limited")
        .node("ReduceMax", "limited rows", "top")
        .node("ReduceMin", "h columns", "bottom")
        .node("Sub", "limited top", "below")
        .node("Max", "below bottom", "kept")
        .node_with("LogSoftmax", "kept", "logarithms", &[("axis", Attribute::Int(1))])
        .node("InstanceNormalization", "logarithms g b", "normal")
        .node("Sigmoid", "h", "gate")
        .node("Add", "gate half", "divisor")
        .node("Div", "normal divisor", "quotient")
        .node_with("ReduceSum", "quotient columns", "y", &[("keepdims", Attribute::Int(0))]);
    TestModel::new("choices", &[1, 3, 4], &graph)
}

/// A model without tables, which `groth16` proves, too.
pub(crate) fn extrema() -> TestModel {
    let graph = Graph::default()
        .floats("v", &[4, 4], &test_weights(16, 0.125))
        .floats("w", &[4, 2], &test_weights(8, 0.125))
        .integers("rows", &[1], &[1])
        .node("MatMul", "x v", "h")
        .node("Max", "h x", "larger")
        .node("Min", "h larger", "smaller")
        .node("ReduceMax", "smaller rows", "top")
        .node("ReduceSum", "larger rows", "sum")
        .node("ReduceMin", "h rows", "bottom")
        .node("Sub", "sum top", "difference")
        .node("Add", "difference bottom", "row")
        .node("MatMul", "row w", "y");
    TestModel::new("extrema", &[1, 2, 4], &graph)
}

/// Tokens with an embedding and positions, of which those after the second one are averaged.
pub(crate) fn tokens() -> TestModel {
    let graph = Graph::default()
        .floats("e", &[9, 4], &test_weights(36, 0.125))
        .floats("p", &[5, 4], &test_weights(20, 0.0625))
        .floats("g", &[4], &[1.0, 0.5, -1.0, 2.0])
        .floats("b", &[4], &[0.5, 0.0, 0.25, -0.5])
        .floats("w", &[4, 3], &test_weights(12, 0.125))
        .integers("second", &[], &[2])
        .integers("positions", &[1], &[1])
        .integers("last", &[1], &[-1])
        .node("Gather", "e x", "embedded")
        .node("Add", "embedded p", "placed")
        .node("LayerNormalization", "placed g b", "n")
        .node("MatMul", "n w", "h")
        .node("Greater", "x second", "counts")
        .node_with("Cast", "counts", "ones", &[("to", Attribute::Int(1))])
        .node("Unsqueeze", "ones last", "column")
        .node("Mul", "h column", "kept")
        .node_with("ReduceMean", "kept positions", "y", &[("keepdims", Attribute::Int(0))]);
    TestModel::with_tokens("tokens", &[1, 5], &graph, 8)
}

/// The first position of the maximum of each row.
pub(crate) fn positions() -> TestModel {
    let graph = Graph::default()
        .node("Relu", "x", "positive")
        .node_with(
            "ArgMax",
            "positive",
            "index",
            &[("axis", Attribute::Int(-1)), ("keepdims", Attribute::Int(0))],
        )
        .node_with("Cast", "index", "y", &[("to", Attribute::Int(1))]);
    TestModel::new("positions", &[1, 3, 4], &graph)
}
