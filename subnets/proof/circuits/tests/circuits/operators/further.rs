//! Blocks of models with windows, products of matrices, functions and indices of all forms.

use super::file::{Attribute, Graph};
use super::{TestModel, test_weights};

/// Windows over one to three axes with dilations, padding and cut ends, and moves between them.
pub(crate) fn windows() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[0.031_25])
        .floats("k", &[4, 2, 3], &test_weights(24, 0.125))
        .floats("slopes", &[4, 1], &[0.25, -0.5, 0.0, 1.5])
        .integers("volume", &[5], &[1, 4, 3, 2, 2])
        .floats("w", &[4, 4, 2, 2, 2], &test_weights(128, 0.062_5))
        .floats("b", &[4], &[0.5, -0.25, 0.0, 1.0])
        .integers("plane", &[4], &[1, 4, 2, 3])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .floats("d", &[6, 3], &test_weights(18, 0.125))
        .floats("c", &[3], &[0.5, -0.5, 0.25])
        .node("Mul", "x unit", "s")
        .node_with(
            "Conv",
            "s k",
            "line",
            &[("dilations", Attribute::Ints(&[2])), ("pads", Attribute::Ints(&[2, 2]))],
        )
        .node_with(
            "AveragePool",
            "line",
            "smooth",
            &[("kernel_shape", Attribute::Ints(&[3])), ("pads", Attribute::Ints(&[1, 1]))],
        )
        .node("PRelu", "smooth slopes", "bent")
        .node("Reshape", "bent volume", "v")
        .node_with(
            "Conv",
            "v w b",
            "deep",
            &[
                ("pads", Attribute::Ints(&[0, 1, 0, 1, 0, 0])),
                ("strides", Attribute::Ints(&[1, 1, 2])),
            ],
        )
        .node("Reshape", "deep plane", "p")
        .node_with(
            "MaxPool",
            "p",
            "most",
            &[
                ("kernel_shape", Attribute::Ints(&[2, 2])),
                ("strides", Attribute::Ints(&[2, 2])),
                ("ceil_mode", Attribute::Int(1)),
            ],
        )
        .node_with(
            "Resize",
            "most  scales",
            "large",
            &[
                ("mode", Attribute::String("nearest")),
                ("nearest_mode", Attribute::String("floor")),
                ("coordinate_transformation_mode", Attribute::String("asymmetric")),
            ],
        )
        .node_with("DepthToSpace", "large", "image", &[("blocksize", Attribute::Int(2))])
        .node_with(
            "AveragePool",
            "image",
            "mean",
            &[
                ("kernel_shape", Attribute::Ints(&[2, 2])),
                ("strides", Attribute::Ints(&[3, 3])),
                ("auto_pad", Attribute::String("SAME_UPPER")),
            ],
        )
        .node("Flatten", "mean", "row")
        .node_with(
            "Gemm",
            "row d c",
            "y",
            &[("alpha", Attribute::Float(0.5)), ("beta", Attribute::Float(2.0))],
        );
    TestModel::new("windows", &[1, 2, 12], &graph)
}

/// Products of matrices in both orders, norms, and functions of sums.
pub(crate) fn products() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[0.031_25])
        .floats("w", &[5, 3], &test_weights(15, 0.125))
        .floats("t", &[4, 3], &test_weights(12, 0.25))
        .integers("last", &[1], &[-1])
        .integers("one", &[], &[1])
        .floats("v", &[3, 2], &test_weights(6, 0.25))
        .node("Mul", "x unit", "s")
        .node("MatMul", "w s", "h")
        .node_with("Einsum", "h t", "e", &[("equation", Attribute::String("bij,jk->bki"))])
        .node_with("LpNormalization", "e", "n", &[("axis", Attribute::Int(1))])
        .node("ReduceLogSumExp", "n last", "l")
        .node("Sub", "n l", "d")
        .node("CumSum", "d one", "sums")
        .node_with("ReduceL2", "sums last", "length", &[("keepdims", Attribute::Int(0))])
        .node("MatMul", "length v", "y");
    TestModel::new("products", &[2, 3, 4], &graph)
}

/// Functions of numbers below 1, and of larger ones.
pub(crate) fn angles() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[0.031_25])
        .floats("half", &[], &[0.5])
        .floats("v", &[6, 4], &test_weights(24, 0.125))
        .floats("w", &[24, 3], &test_weights(72, 0.062_5))
        .node("Mul", "x unit", "s")
        .node("MatMul", "s v", "h")
        .node("Tanh", "h", "t")
        .node("Mul", "t half", "r")
        .node("Acos", "r", "a")
        .node("Asin", "r", "b")
        .node("Atanh", "r", "c")
        .node("Tan", "r", "d")
        .node("Cosh", "t", "e")
        .node("Sinh", "t", "g")
        .node_with("Concat", "a b c d e g", "j", &[("axis", Attribute::Int(1))])
        .node("MatMul", "j w", "y");
    TestModel::new("angles", &[1, 6], &graph)
}

/// Positions that are inputs choose and replace elements.
pub(crate) fn computed_indices() -> TestModel {
    let graph = Graph::default()
        .integers("depth", &[1], &[4])
        .floats("values", &[2], &[0.0, 1.0])
        .floats("e", &[2, 4], &test_weights(8, 0.25))
        .integers("last", &[1], &[-1])
        .integers("one", &[1], &[1])
        .floats("w", &[3, 2], &test_weights(6, 0.25))
        .node("OneHot", "x depth values", "hot")
        .node_with("GatherElements", "e x", "g", &[("axis", Attribute::Int(1))])
        .node_with("Cast", "x", "f", &[("to", Attribute::Int(1))])
        .node_with("ScatterElements", "e x f", "scattered", &[("axis", Attribute::Int(1))])
        .node("Unsqueeze", "f last", "column")
        .node("Mul", "hot column", "weighted")
        .node_with("ReduceSum", "weighted one", "sums", &[("keepdims", Attribute::Int(0))])
        .node("Add", "sums scattered", "a")
        .node("MatMul", "g w", "m")
        .node_with("Concat", "a m", "j", &[("axis", Attribute::Int(1))])
        .node("Trilu", "j", "y");
    TestModel::with_tokens("chosen", &[2, 3], &graph, 3)
}
