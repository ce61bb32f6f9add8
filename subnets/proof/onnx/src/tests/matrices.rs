//! Products of matrices in all forms. Expected values are those of onnxruntime 1.32.

use super::operators::{quantised, with_float};
use super::reductions::test_values;
use super::*;

/// Checks the outputs of the network and of the evaluation for an input, and that those of the
/// integer network differ by less than a part of the largest one.
pub(super) fn check(
    opset: i64,
    dims: &[i64],
    nodes: &[NodeProto],
    weights: &[TensorProto],
    expected: &[f64],
    bound: f64,
) {
    let graph = small(dims, nodes.to_vec(), weights.to_vec());
    check_values(opset, &graph, &test_values(dims.iter().product::<i64>() as usize), expected);
    let name = &nodes.last().unwrap().op_type;
    let (.., error) =
        quantised(opset, graph).unwrap_or_else(|error| panic!("{name} {dims:?}: {error}"));
    assert!(error < bound, "{name} {dims:?}: {error}");
}

/// Checks the outputs of the network and of the evaluation for an input.
pub(super) fn check_values(opset: i64, graph: &GraphProto, input: &[f32], expected: &[f64]) {
    let name = graph.node.last().unwrap().op_type.clone();
    let model = Model::decode(&model_of(opset, graph.clone())).unwrap();
    let network = model.network().unwrap_or_else(|error| panic!("{name}: {error}"));
    let network: Vec<f64> =
        network.run(input).unwrap().pop().unwrap().into_iter().map(f64::from).collect();
    let evaluation =
        model.evaluate(input).unwrap_or_else(|error| panic!("{name}: {error}")).outputs;
    for (source, values) in [("network", network), ("evaluation", evaluation)] {
        let differs =
            |(value, expected): (&f64, &f64)| (value - expected).abs() > 1e-5 || value.is_nan();
        let is_equal = values.len() == expected.len() && !values.iter().zip(expected).any(differs);
        assert!(is_equal, "{name}, {source}: {values:?}, expected {expected:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn products_match_the_onnx_standard() {
    for (opset, dims, nodes, weights, expected) in [
        (
            17,
            &[1, 3][..],
            vec![with_int(
                with_float(
                    with_float(node("Gemm", &["x", "w", "b"], "y", &[]), "alpha", 0.5),
                    "beta",
                    2.0,
                ),
                "transB",
                1,
            )],
            vec![floats("w", &[2, 3], &test_values(6)), floats("b", &[2], &[1.0, -1.0])],
            vec![2.484_375, -2.242_188],
        ),
        (
            17,
            &[3, 2],
            vec![with_float(node("Gemm", &["x", "w", "b"], "y", &[]), "alpha", -0.5)],
            vec![floats("w", &[2, 2], &test_values(4)), floats("b", &[3, 1], &[1.0, -1.0, 0.5])],
            vec![0.757_812, 1.031_25, -1.156_25, -0.992_188, 0.429_688, 0.484_375],
        ),
        (
            17,
            &[3, 2],
            vec![with_int(with_int(node("Gemm", &["x", "w"], "y", &[]), "transA", 1), "transB", 1)],
            vec![floats("w", &[2, 3], &test_values(6))],
            vec![0.796_875, -0.062_5, -0.296_875, 0.046_875],
        ),
        // The first operand is constant.
        (
            17,
            &[2, 3],
            vec![with_float(node("Gemm", &["w", "x", "b"], "y", &[]), "beta", 0.5)],
            vec![floats("w", &[2, 2], &test_values(4)), floats("b", &[], &[1.0])],
            vec![1.093_75, 0.343_75, 1.015_625, 1.031_25, 0.296_875, 0.984_375],
        ),
        // All operands are computed.
        (
            17,
            &[2, 2],
            vec![
                node("Relu", &["x"], "r", &[]),
                with_float(
                    with_int(node("Gemm", &["x", "r", "x"], "y", &[]), "transA", 1),
                    "beta",
                    2.0,
                ),
            ],
            vec![],
            vec![-1.5, 0.0, -1.25, 0.578_125],
        ),
        // Several rows.
        (
            17,
            &[2, 3],
            vec![node("MatMul", &["x", "w"], "m", &[]), node("Add", &["m", "b"], "y", &[])],
            vec![floats("w", &[3, 2], &test_values(6)), floats("b", &[2], &[0.5, -1.0])],
            vec![1.296_875, -1.296_875, 0.437_5, -0.953_125],
        ),
        (
            17,
            &[2, 3],
            vec![node("MatMul", &["x", "w"], "y", &[])],
            vec![floats("w", &[3], &[0.5, -1.0, 2.0])],
            vec![-1.75, 1.375],
        ),
        (
            17,
            &[3],
            vec![node("MatMul", &["x", "w"], "y", &[])],
            vec![floats("w", &[3], &[0.5, -1.0, 2.0])],
            vec![-1.75],
        ),
        (
            17,
            &[3],
            vec![node("Relu", &["x"], "r", &[]), node("MatMul", &["x", "r"], "y", &[])],
            vec![],
            vec![0.015_625],
        ),
        (
            17,
            &[3],
            vec![node("MatMul", &["w", "x"], "y", &[])],
            vec![floats("w", &[2, 3], &test_values(6))],
            vec![0.968_75, -0.484_375],
        ),
        (
            17,
            &[2, 3, 2],
            vec![node("MatMul", &["w", "x"], "y", &[])],
            vec![floats("w", &[3], &test_values(3))],
            vec![0.796_875, -0.296_875, 0.328_125, -0.765_625],
        ),
        (
            17,
            &[2, 3, 2],
            vec![node("MatMul", &["w", "x"], "y", &[])],
            vec![floats("w", &[2, 3], &test_values(6))],
            vec![
                0.796_875, -0.296_875, -0.062_5, 0.046_875, 0.328_125, -0.765_625, -0.015_625,
                0.093_75,
            ],
        ),
        (
            17,
            &[2, 1, 2],
            vec![node("MatMul", &["w", "x"], "y", &[])],
            vec![floats("w", &[2, 3, 1], &test_values(6))],
            vec![
                0.562_5, -0.093_75, -0.093_75, 0.015_625, 0.468_75, -0.078_125, -0.156_25, 0.062_5,
                0.312_5, -0.125, -0.234_375, 0.093_75,
            ],
        ),
        // Each batch has its own matrix.
        (
            17,
            &[2, 2, 3],
            vec![node("MatMul", &["x", "w"], "y", &[])],
            vec![floats("w", &[2, 3, 2], &test_values(12))],
            vec![
                0.796_875, -0.296_875, -0.062_5, 0.046_875, 0.046_875, -0.062_5, -0.296_875,
                0.796_875,
            ],
        ),
        (
            17,
            &[2, 3],
            vec![node("MatMul", &["x", "w"], "y", &[])],
            vec![floats("w", &[2, 3, 1], &test_values(6))],
            vec![0.968_75, -0.484_375, -0.484_375, 0.453_125],
        ),
        (
            17,
            &[1, 2, 3],
            vec![node("MatMul", &["x", "w"], "y", &[])],
            vec![floats("w", &[1, 1, 3, 2], &test_values(6))],
            vec![0.796_875, -0.296_875, -0.062_5, 0.046_875],
        ),
        // Of [2, 1, 2] and [1, 2, 2].
        (
            17,
            &[2, 1, 2],
            vec![
                node("Transpose", &["x"], "t", &[("perm", &[1, 2, 0])]),
                node("MatMul", &["x", "t"], "y", &[]),
            ],
            vec![],
            vec![0.578_125, 0.5, 0.5, 0.453_125],
        ),
        (
            17,
            &[2, 3],
            vec![with_text(node("Einsum", &["x"], "y", &[]), "equation", "ij->j")],
            vec![],
            vec![-0.5, -0.375, -0.25],
        ),
        (
            17,
            &[2, 3],
            vec![with_text(node("Einsum", &["x"], "y", &[]), "equation", "ij->ji")],
            vec![],
            vec![-0.75, 0.25, 0.125, -0.5, -0.625, 0.375],
        ),
        (
            17,
            &[2, 3],
            vec![with_text(node("Einsum", &["x", "w"], "y", &[]), "equation", "ij,jk->ik")],
            vec![floats("w", &[3, 2], &test_values(6))],
            vec![0.796_875, -0.296_875, -0.062_5, 0.046_875],
        ),
        (
            17,
            &[2, 3],
            vec![with_text(node("Einsum", &["x", "w"], "y", &[]), "equation", "bi,bi->b")],
            vec![floats("w", &[2, 3], &test_values(6))],
            vec![0.968_75, 0.453_125],
        ),
        (
            17,
            &[2, 2, 3],
            vec![with_text(node("Einsum", &["x", "w"], "y", &[]), "equation", "bhd,ehd->be")],
            vec![floats("w", &[2, 2, 3], &test_values(12))],
            vec![1.421_875, 1.0, 1.0, 1.421_875],
        ),
        (
            17,
            &[2, 2, 2],
            vec![with_text(node("Einsum", &["w", "x"], "y", &[]), "equation", "ij,bjk->bki")],
            vec![floats("w", &[3, 2], &test_values(6))],
            vec![
                0.484_375, 0.312_5, 0.140_625, -0.062_5, -0.015_625, 0.031_25, 0.328_125, 0.218_75,
                0.109_375, -0.218_75, -0.109_375, 0.0,
            ],
        ),
        (
            17,
            &[2, 3],
            vec![
                node("Relu", &["x"], "r", &[]),
                with_text(node("Einsum", &["x", "r"], "y", &[]), "equation", "bi,bj->bij"),
            ],
            vec![],
            vec![
                0.0, -0.093_75, 0.0, 0.0, 0.015_625, 0.0, 0.0, -0.078_125, 0.0, 0.062_5, 0.0,
                0.093_75, -0.125, 0.0, -0.187_5, 0.093_75, 0.0, 0.140_625,
            ],
        ),
        // Labels of one operand that the output does not have are added first.
        (
            17,
            &[2, 3],
            vec![
                node("Relu", &["x"], "r", &[]),
                with_text(node("Einsum", &["x", "r"], "y", &[]), "equation", "ij,kl->ki"),
            ],
            vec![],
            vec![-0.156_25, 0.015_625, -0.781_25, 0.078_125],
        ),
    ] {
        check(opset, dims, &nodes, &weights, &expected, 0.03);
    }
}

#[test]
fn matrix_products_of_mismatched_shapes_are_refused() {
    let einsum =
        |equation: &str| with_text(node("Einsum", &["x", "w"], "y", &[]), "equation", equation);
    let weights = || {
        vec![
            floats("w", &[3, 2], &[0.5; 6]),
            floats("v", &[1, 3, 2], &[0.5; 6]),
            floats("k", &[2, 4], &[0.5; 8]),
        ]
    };
    for (node, expected) in [
        (node("MatMul", &["w", "w"], "y", &[]), "both operands are constant"),
        (node("MatMul", &["k", "x"], "y", &[]), "weights [4, 2] do not match an input of [3, 2]"),
        (node("Gemm", &["x", "v"], "y", &[]), "expected two matrices"),
        (einsum("ij,ik->jk"), "the axes of a label differ in their extents"),
        (einsum("...j,jk->...k"), "an ellipsis is unsupported; hint: name all axes"),
        (
            with_text(node("Einsum", &["x", "w", "x"], "y", &[]), "equation", "ij,jk,il->kl"),
            "more than two operands",
        ),
    ] {
        let error = read(&model(small(&[2, 3], vec![node], weights()))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
