//! Operators that simpler ones express. Expected values are those of onnxruntime 1.32.

use super::lookup::{quantised_outputs, with_integers};
use super::matrices::{check, check_values};
use super::operators::with_float;
use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn compositions_match_the_onnx_standard() {
    for (opset, dims, nodes, weights, expected) in [
        (
            17,
            &[2, 2][..],
            vec![node("Relu", &["x"], "r", &[]), node("Mean", &["x", "r", "w"], "y", &[])],
            vec![floats("w", &[2], &[1.0, 2.0])],
            vec![0.083_333, 0.75, 0.125, 0.833_333],
        ),
        (
            17,
            &[2, 3],
            vec![node("Hardmax", &["x"], "y", &[])],
            vec![],
            vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        ),
        (
            17,
            &[2, 3],
            vec![with_int(node("Hardmax", &["x"], "y", &[]), "axis", 0)],
            vec![],
            vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0],
        ),
        (
            12,
            &[2, 2, 2],
            vec![node("Hardmax", &["x"], "y", &[])],
            vec![],
            vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        ),
        (
            17,
            &[2, 3],
            vec![node("LpNormalization", &["x"], "y", &[])],
            vec![],
            vec![-0.762_001, 0.127, -0.635_001, 0.371_391, -0.742_781, 0.557_086],
        ),
        (
            17,
            &[2, 3],
            vec![with_int(with_int(node("LpNormalization", &["x"], "y", &[]), "axis", 0), "p", 1)],
            vec![],
            vec![-0.75, 0.2, -0.625, 0.25, -0.8, 0.375],
        ),
        (
            21,
            &[1, 4, 2],
            vec![with_float(
                with_int(node("GroupNormalization", &["x", "s", "b"], "y", &[]), "num_groups", 2),
                "epsilon",
                0.125,
            )],
            vec![
                floats("s", &[4], &[1.0, 2.0, -1.0, 0.5]),
                floats("b", &[4], &[0.0, 0.5, 1.0, -1.0]),
            ],
            vec![
                -0.883_452, 0.662_589, -0.825_178, 2.266_904, 1.883_452, 0.337_411, -1.331_295,
                -0.558_274,
            ],
        ),
        (
            17,
            &[1, 2, 2],
            vec![node("PRelu", &["x", "s"], "y", &[])],
            vec![floats("s", &[2, 1], &[0.5, -2.0])],
            vec![-0.375, 0.125, 1.25, 0.25],
        ),
        (
            17,
            &[5],
            vec![with_float(
                with_float(node("Shrink", &["x"], "y", &[]), "lambd", 0.25),
                "bias",
                0.125,
            )],
            vec![],
            vec![-0.625, 0.0, -0.5, 0.0, -0.375],
        ),
        (
            17,
            &[5],
            vec![with_float(node("ThresholdedRelu", &["x"], "y", &[]), "alpha", 0.125)],
            vec![],
            vec![0.0, 0.0, 0.0, 0.25, 0.0],
        ),
        (
            17,
            &[7],
            vec![node("Mul", &["x", "w"], "m", &[]), node("Floor", &["m"], "y", &[])],
            vec![floats("w", &[], &[4.0])],
            vec![-3.0, 0.0, -3.0, 1.0, -2.0, 1.0, -2.0],
        ),
        (
            17,
            &[7],
            vec![node("Mul", &["x", "w"], "m", &[]), node("Ceil", &["m"], "y", &[])],
            vec![floats("w", &[], &[4.0])],
            vec![-3.0, 1.0, -2.0, 1.0, -2.0, 2.0, -1.0],
        ),
        (
            17,
            &[7],
            vec![node("Mul", &["x", "w"], "m", &[]), node("Round", &["m"], "y", &[])],
            vec![floats("w", &[], &[4.0])],
            vec![-3.0, 0.0, -2.0, 1.0, -2.0, 2.0, -2.0],
        ),
        (
            17,
            &[7],
            vec![node("Mul", &["x", "w"], "m", &[]), node("Sign", &["m"], "y", &[])],
            vec![floats("w", &[], &[4.0])],
            vec![-1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0],
        ),
        (
            17,
            &[5],
            vec![with_int(node("Mod", &["x", "w"], "y", &[]), "fmod", 1)],
            vec![floats("w", &[], &[0.5])],
            vec![-0.25, 0.125, -0.125, 0.25, 0.0],
        ),
    ] {
        check(opset, dims, &nodes, &weights, &expected, 0.05);
    }
}

/// A quotient of integers is rounded towards 0, and a remainder has the sign of the divisor, or
/// that of the dividend.
#[test]
fn integers_are_divided_by_constants() {
    let divided = |operator: &str| vec![node(operator, &["x", "three"], "y", &[])];
    let truncated = vec![with_int(node("Mod", &["x", "three"], "y", &[]), "fmod", 1)];
    for (nodes, expected, positive_expected) in [
        (divided("Div"), [-2.0, -1.0, 0.0, 2.0], [1.0, 1.0, 0.0, 2.0]),
        (divided("Mod"), [2.0, 0.0, 2.0, 1.0], [0.0, 2.0, 2.0, 1.0]),
        (truncated, [-1.0, 0.0, 2.0, 1.0], [0.0, 2.0, 2.0, 1.0]),
    ] {
        let graph =
            small(&[1, 4], nodes, vec![TensorProto { dims: vec![], ..integers("three", &[3]) }]);
        check_values(17, &with_integers(graph.clone()), &[-7.0, -3.0, 2.0, 7.0], &expected);
        assert_eq!(
            quantised_outputs(graph, 7, &[vec![0, 1, 6, 7]], &[3, 5, 2, 7]).unwrap(),
            positive_expected
        );
    }
}
