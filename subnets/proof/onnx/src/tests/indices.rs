//! Elements that indices choose or replace, and other moves. Expected values are those of
//! onnxruntime 1.32.

use super::lookup::{chosen, with_integers};
use super::matrices::{check, check_values};
use super::operators::with_float;
use super::reductions::spread;
use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn moves_have_the_values_of_the_standard() {
    for (opset, dims, nodes, weights, expected) in [
        (
            17,
            &[2, 3][..],
            vec![with_int(node("GatherElements", &["x", "i"], "y", &[]), "axis", 1)],
            vec![TensorProto { dims: vec![2, 2], ..integers("i", &[2, 0, -1, 1]) }],
            vec![-0.625, -0.75, 0.375, -0.5],
        ),
        (
            17,
            &[2, 3],
            vec![node("GatherElements", &["x", "i"], "y", &[])],
            vec![TensorProto { dims: vec![1, 3], ..integers("i", &[1, -2, 0]) }],
            vec![0.25, 0.125, -0.625],
        ),
        (
            17,
            &[2, 2, 2],
            vec![node("GatherND", &["x", "i"], "y", &[])],
            vec![TensorProto { dims: vec![2, 2], ..integers("i", &[0, 1, 1, -2]) }],
            vec![-0.625, 0.25, -0.5, 0.375],
        ),
        (
            17,
            &[2, 2, 2],
            vec![with_int(node("GatherND", &["x", "i"], "y", &[]), "batch_dims", 1)],
            vec![TensorProto { dims: vec![2, 1], ..integers("i", &[1, -2]) }],
            vec![-0.625, 0.25, -0.5, 0.375],
        ),
        // The last of several updates counts.
        (
            17,
            &[3, 2],
            vec![with_int(node("ScatterElements", &["x", "i", "u"], "y", &[]), "axis", 0)],
            vec![
                TensorProto { dims: vec![2, 2], ..integers("i", &[2, 0, 2, -1]) },
                floats("u", &[2, 2], &[5.0, 6.0, 7.0, 8.0]),
            ],
            vec![-0.75, 6.0, -0.625, 0.25, 7.0, 8.0],
        ),
        (
            17,
            &[2, 3],
            vec![with_int(node("ScatterElements", &["w", "i", "x"], "y", &[]), "axis", 1)],
            vec![
                floats("w", &[2, 4], &[9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]),
                TensorProto { dims: vec![2, 3], ..integers("i", &[3, 0, 1, 1, -4, -1]) },
            ],
            vec![0.125, -0.625, 9.0, -0.75, -0.5, 0.25, 9.0, 0.375],
        ),
        (
            17,
            &[3, 2],
            vec![node("ScatterND", &["x", "i", "u"], "y", &[])],
            vec![
                TensorProto { dims: vec![2, 1], ..integers("i", &[2, -3]) },
                floats("u", &[2, 2], &[5.0, 6.0, 7.0, 8.0]),
            ],
            vec![7.0, 8.0, -0.625, 0.25, 5.0, 6.0],
        ),
        (
            17,
            &[2, 2],
            vec![node("Tile", &["x", "r"], "y", &[])],
            vec![integers("r", &[2, 3])],
            vec![
                -0.75, 0.125, -0.75, 0.125, -0.75, 0.125, -0.625, 0.25, -0.625, 0.25, -0.625, 0.25,
                -0.75, 0.125, -0.75, 0.125, -0.75, 0.125, -0.625, 0.25, -0.625, 0.25, -0.625, 0.25,
            ],
        ),
        (
            17,
            &[2, 3, 3],
            vec![node("Trilu", &["x"], "y", &[])],
            vec![],
            vec![
                -0.75, 0.125, -0.625, 0.0, -0.5, 0.375, 0.0, 0.0, -0.25, 0.625, -0.125, 0.75, 0.0,
                -0.75, 0.125, 0.0, 0.0, -0.5,
            ],
        ),
        (
            17,
            &[3, 4],
            vec![with_int(node("Trilu", &["x", "k"], "y", &[]), "upper", 0)],
            vec![TensorProto { dims: vec![], ..integers("k", &[1]) }],
            vec![-0.75, 0.125, 0.0, 0.0, -0.5, 0.375, -0.375, 0.0, -0.25, 0.625, -0.125, 0.75],
        ),
        (
            17,
            &[1, 1, 2, 3],
            vec![with_text(
                with_text(
                    with_text(node("Resize", &["x", "", "s"], "y", &[]), "mode", "nearest"),
                    "nearest_mode",
                    "floor",
                ),
                "coordinate_transformation_mode",
                "asymmetric",
            )],
            vec![floats("s", &[4], &[1.0, 1.0, 2.0, 1.5])],
            vec![
                -0.75, -0.75, 0.125, -0.625, -0.75, -0.75, 0.125, -0.625, 0.25, 0.25, -0.5, 0.375,
                0.25, 0.25, -0.5, 0.375,
            ],
        ),
        // Half pixels, of which the smaller one is preferred.
        (
            17,
            &[1, 1, 3, 4],
            vec![with_text(node("Resize", &["x", "", "", "s"], "y", &[]), "mode", "nearest")],
            vec![integers("s", &[1, 1, 5, 2])],
            vec![-0.75, -0.625, -0.75, -0.625, -0.5, -0.375, -0.25, -0.125, -0.25, -0.125],
        ),
        (
            18,
            &[1, 1, 3, 4],
            vec![with_text(
                with_text(
                    with_text(
                        node("Resize", &["x", "", "", "s"], "y", &[("axes", &[3, 2])]),
                        "mode",
                        "nearest",
                    ),
                    "nearest_mode",
                    "ceil",
                ),
                "coordinate_transformation_mode",
                "align_corners",
            )],
            vec![integers("s", &[7, 2])],
            vec![
                -0.75, 0.125, 0.125, -0.625, -0.625, 0.25, 0.25, -0.25, 0.625, 0.625, -0.125,
                -0.125, 0.75, 0.75,
            ],
        ),
        (
            17,
            &[1, 1, 3, 2],
            vec![with_text(
                with_text(
                    with_text(node("Resize", &["x", "", "", "s"], "y", &[]), "mode", "nearest"),
                    "nearest_mode",
                    "round_prefer_ceil",
                ),
                "coordinate_transformation_mode",
                "pytorch_half_pixel",
            )],
            vec![integers("s", &[1, 1, 6, 1])],
            vec![-0.75, -0.75, -0.625, -0.625, -0.5, -0.5],
        ),
        // In single precision, 10 times 0.7 is 7, and 1 divided by a third is 3.
        (
            17,
            &[10],
            vec![with_text(
                with_text(node("Resize", &["x", "", "s"], "y", &[]), "nearest_mode", "floor"),
                "coordinate_transformation_mode",
                "asymmetric",
            )],
            vec![floats("s", &[1], &[0.7])],
            vec![-0.75, 0.125, -0.625, -0.5, 0.375, 0.5, -0.25],
        ),
        (
            17,
            &[6],
            vec![with_text(
                with_text(node("Resize", &["x", "", "s"], "y", &[]), "nearest_mode", "floor"),
                "coordinate_transformation_mode",
                "asymmetric",
            )],
            vec![floats("s", &[1], &[1.0 / 3.0])],
            vec![-0.75, 0.25],
        ),
        (
            9,
            &[1, 1, 2, 2],
            vec![with_text(node("Upsample", &["x", "s"], "y", &[]), "mode", "nearest")],
            vec![floats("s", &[4], &[1.0, 1.0, 2.0, 3.0])],
            vec![
                -0.75, -0.75, -0.75, 0.125, 0.125, 0.125, -0.75, -0.75, -0.75, 0.125, 0.125, 0.125,
                -0.625, -0.625, -0.625, 0.25, 0.25, 0.25, -0.625, -0.625, -0.625, 0.25, 0.25, 0.25,
            ],
        ),
        (
            10,
            &[1, 2, 2, 1],
            vec![with_text(node("Resize", &["x", "s"], "y", &[]), "mode", "nearest")],
            vec![floats("s", &[4], &[1.0, 1.0, 2.5, 2.0])],
            vec![
                -0.75, -0.75, -0.75, -0.75, -0.75, -0.75, 0.125, 0.125, 0.125, 0.125, -0.625,
                -0.625, -0.625, -0.625, -0.625, -0.625, 0.25, 0.25, 0.25, 0.25,
            ],
        ),
        (
            17,
            &[1, 8, 1, 2],
            vec![with_int(node("DepthToSpace", &["x"], "y", &[]), "blocksize", 2)],
            vec![],
            vec![
                -0.75, -0.5, 0.125, 0.375, -0.25, 0.0, 0.625, -0.75, -0.625, -0.375, 0.25, 0.5,
                -0.125, 0.125, 0.75, -0.625,
            ],
        ),
        (
            17,
            &[1, 8, 1, 2],
            vec![with_text(
                with_int(node("DepthToSpace", &["x"], "y", &[]), "blocksize", 2),
                "mode",
                "CRD",
            )],
            vec![],
            vec![
                -0.75, -0.625, 0.125, 0.25, -0.5, -0.375, 0.375, 0.5, -0.25, -0.125, 0.625, 0.75,
                0.0, 0.125, -0.75, -0.625,
            ],
        ),
        (
            17,
            &[1, 2, 2, 4],
            vec![with_int(node("SpaceToDepth", &["x"], "y", &[]), "blocksize", 2)],
            vec![],
            vec![
                -0.75, -0.625, -0.25, -0.125, 0.125, 0.25, 0.625, 0.75, -0.5, -0.375, 0.0, 0.125,
                0.375, 0.5, -0.75, -0.625,
            ],
        ),
        (
            17,
            &[2, 3],
            vec![node("CumSum", &["x", "a"], "y", &[])],
            vec![TensorProto { dims: vec![], ..integers("a", &[1]) }],
            vec![-0.75, -0.625, -1.25, 0.25, -0.25, 0.125],
        ),
        (
            17,
            &[3, 2],
            vec![with_int(
                with_int(node("CumSum", &["x", "a"], "y", &[]), "exclusive", 1),
                "reverse",
                1,
            )],
            vec![TensorProto { dims: vec![], ..integers("a", &[-2]) }],
            vec![-1.125, 0.625, -0.5, 0.375, 0.0, 0.0],
        ),
        // With a constant.
        (
            17,
            &[2, 3],
            vec![with_int(node("Concat", &["x", "w"], "y", &[]), "axis", 1)],
            vec![floats("w", &[2, 1], &[5.0, -5.0])],
            vec![-0.75, 0.125, -0.625, 5.0, 0.25, -0.5, 0.375, -5.0],
        ),
        (
            17,
            &[3],
            vec![node("Max", &["x", "w"], "y", &[])],
            vec![floats("w", &[3], &[0.25, -1.0, 0.5])],
            vec![0.25, 0.125, 0.5],
        ),
        // The constant has more dimensions, or other ones.
        (
            17,
            &[1, 2],
            vec![node("Add", &["x", "w"], "y", &[])],
            vec![floats("w", &[2, 1], &[1.0, -1.0])],
            vec![0.25, 1.125, -1.75, -0.875],
        ),
        (
            17,
            &[2],
            vec![node("Mul", &["w", "x"], "y", &[])],
            vec![floats("w", &[1, 2, 1], &[1.0, -1.0])],
            vec![-0.75, 0.125, 0.75, -0.125],
        ),
        (
            17,
            &[2, 1],
            vec![node("Transpose", &["x"], "t", &[]), node("Sub", &["x", "t"], "y", &[])],
            vec![],
            vec![0.0, -0.875, 0.875, 0.0],
        ),
    ] {
        check(opset, dims, &nodes, &weights, &expected, 0.01);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn compositions_have_the_values_of_the_standard() {
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
            vec![node("ReduceL1", &["x"], "y", &[("axes", &[1])])],
            vec![],
            vec![1.5, 1.125],
        ),
        (
            18,
            &[2, 3, 2],
            vec![with_int(node("ReduceL1", &["x", "a"], "y", &[]), "keepdims", 0)],
            vec![integers("a", &[0, -1])],
            vec![1.75, 1.75, 1.75],
        ),
        (
            17,
            &[2, 3],
            vec![node("ReduceL2", &["x"], "y", &[("axes", &[1])])],
            vec![],
            vec![0.984_251, 0.673_146],
        ),
        (
            18,
            &[2, 3, 2],
            vec![with_int(node("ReduceL2", &["x", "a"], "y", &[]), "keepdims", 0)],
            vec![integers("a", &[0, -1])],
            vec![0.984_251, 0.951_972, 0.984_251],
        ),
        (
            17,
            &[2, 3],
            vec![node("ReduceLogSumExp", &["x"], "y", &[("axes", &[1])])],
            vec![],
            vec![0.761_169, 1.207_63],
        ),
        (
            18,
            &[2, 3, 2],
            vec![with_int(node("ReduceLogSumExp", &["x", "a"], "y", &[]), "keepdims", 0)],
            vec![integers("a", &[0, -1])],
            vec![1.371_568, 1.496_568, 1.621_568],
        ),
        (
            17,
            &[2, 3],
            vec![node("ReduceSumSquare", &["x"], "y", &[("axes", &[1])])],
            vec![],
            vec![0.968_75, 0.453_125],
        ),
        (
            18,
            &[2, 3, 2],
            vec![with_int(node("ReduceSumSquare", &["x", "a"], "y", &[]), "keepdims", 0)],
            vec![integers("a", &[0, -1])],
            vec![0.968_75, 0.906_25, 0.968_75],
        ),
        (
            17,
            &[2, 3],
            vec![node("ReduceProd", &["x"], "y", &[("axes", &[1])])],
            vec![],
            vec![0.058_594, -0.046_875],
        ),
        (
            18,
            &[2, 3, 2],
            vec![with_int(node("ReduceProd", &["x", "a"], "y", &[]), "keepdims", 0)],
            vec![integers("a", &[0, -1])],
            vec![0.017_578, 0.024_414, 0.017_578],
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
        (
            17,
            &[4],
            vec![
                node("Less", &["x", "w"], "c", &[]),
                with_int(node("Cast", &["c"], "y", &[]), "to", 1),
            ],
            vec![floats("w", &[4], &[-0.75, 0.5, 0.0, 0.125])],
            vec![0.0, 1.0, 1.0, 0.0],
        ),
        (
            17,
            &[4],
            vec![
                node("Less", &["w", "x"], "c", &[]),
                with_int(node("Cast", &["c"], "y", &[]), "to", 1),
            ],
            vec![floats("w", &[4], &[-0.75, 0.5, 0.0, 0.125])],
            vec![0.0, 0.0, 0.0, 1.0],
        ),
        (
            17,
            &[4],
            vec![
                node("LessOrEqual", &["x", "w"], "c", &[]),
                with_int(node("Cast", &["c"], "y", &[]), "to", 1),
            ],
            vec![floats("w", &[4], &[-0.75, 0.5, 0.0, 0.125])],
            vec![1.0, 1.0, 1.0, 0.0],
        ),
        (
            17,
            &[4],
            vec![
                node("Greater", &["x", "w"], "c", &[]),
                with_int(node("Cast", &["c"], "y", &[]), "to", 1),
            ],
            vec![floats("w", &[4], &[-0.75, 0.5, 0.0, 0.125])],
            vec![0.0, 0.0, 0.0, 1.0],
        ),
        (
            17,
            &[4],
            vec![
                node("GreaterOrEqual", &["x", "w"], "c", &[]),
                with_int(node("Cast", &["c"], "y", &[]), "to", 1),
            ],
            vec![floats("w", &[4], &[-0.75, 0.5, 0.0, 0.125])],
            vec![1.0, 0.0, 0.0, 1.0],
        ),
        (
            17,
            &[4],
            vec![
                node("Equal", &["x", "w"], "c", &[]),
                with_int(node("Cast", &["c"], "y", &[]), "to", 1),
            ],
            vec![floats("w", &[4], &[-3.125, 0.125, 0.0, 0.5])],
            vec![0.0, 1.0, 0.0, 0.0],
        ),
    ] {
        check(opset, dims, &nodes, &weights, &expected, 0.05);
    }
    // The integer sum could be 0, which has no logarithm.
    let nodes = vec![node("Exp", &["x"], "e", &[]), node("ReduceLogSum", &["e"], "y", &[])];
    check_values(18, &small(&[2, 3], nodes, vec![]), &spread(6), &[1.702_259]);
}

/// Indices that are inputs, and which also stand for numbers.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn computed_indices_choose_and_replace_elements() {
    for (dims, row, nodes, weights, expected) in [
        (
            &[1, 3][..],
            vec![2, 0, 3],
            vec![node("OneHot", &["x", "d", "v"], "y", &[])],
            vec![integers("d", &[4]), floats("v", &[2], &[0.0, 1.0])],
            vec![0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ),
        (
            &[1, 3],
            vec![2, 0, 3],
            vec![with_int(node("OneHot", &["x", "d", "v"], "y", &[]), "axis", 1)],
            vec![integers("d", &[4]), floats("v", &[2], &[-1.0, 2.5])],
            vec![-1.0, 2.5, -1.0, -1.0, -1.0, -1.0, 2.5, -1.0, -1.0, -1.0, -1.0, 2.5],
        ),
        (
            &[3],
            vec![1, 2, 1],
            vec![with_int(node("OneHot", &["x", "d", "v"], "y", &[]), "axis", 0)],
            vec![
                TensorProto { dims: vec![], ..integers("d", &[3]) },
                floats("v", &[2], &[0.0, 1.0]),
            ],
            vec![0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
        ),
        // Positions are sums of a mask.
        (
            &[2, 3],
            vec![0, 1, 1, 1, 0, 1],
            vec![node("CumSum", &["x", "axis"], "s", &[]), node("Gather", &["e", "s"], "y", &[])],
            vec![
                TensorProto { dims: vec![], ..integers("axis", &[-1]) },
                floats("e", &[4], &[-1.0, 0.5, 3.0, 2.0]),
            ],
            vec![-1.0, 0.5, 3.0, 0.5, 0.5, 3.0],
        ),
        (
            &[3, 2],
            vec![0, 1, 1, 1, 1, 0],
            vec![
                with_int(node("CumSum", &["x", "axis"], "s", &[]), "exclusive", 1),
                node("Gather", &["e", "s"], "y", &[]),
            ],
            vec![
                TensorProto { dims: vec![], ..integers("axis", &[0]) },
                floats("e", &[4], &[-1.0, 0.5, 3.0, 2.0]),
            ],
            vec![-1.0, -1.0, -1.0, 0.5, 0.5, 3.0],
        ),
        // A tensor is its own index.
        (
            &[1, 4],
            vec![3, 1, 0, 1],
            vec![
                with_int(node("Cast", &["x"], "f", &[]), "to", 1),
                with_int(node("Gather", &["f", "x"], "y", &[]), "axis", 1),
            ],
            vec![],
            vec![1.0, 1.0, 3.0, 1.0],
        ),
        // The rows of a table are chosen, and then columns of these.
        (
            &[2, 2],
            vec![1, 0, 1, 1],
            vec![
                node("Gather", &["e", "x"], "g", &[]),
                with_int(node("Gather", &["g", "x"], "y", &[]), "axis", 1),
            ],
            vec![floats("e", &[2, 2], &[0.5, 1.0, -1.0, 2.0])],
            vec![
                0.5, 1.0, -1.0, 2.0, 0.5, 1.0, 0.5, 1.0, -1.0, 2.0, -1.0, 2.0, -1.0, 2.0, -1.0, 2.0,
            ],
        ),
        (
            &[2, 3],
            vec![3, 0, 1, 2, 2, 0],
            vec![with_int(node("GatherElements", &["e", "x"], "y", &[]), "axis", 1)],
            vec![floats("e", &[2, 4], &spread(8))],
            vec![0.25, -0.75, 0.125, -0.375, -0.375, -0.5],
        ),
        (
            &[1, 3],
            vec![1, 0, 1],
            vec![with_int(node("GatherElements", &["e", "x"], "y", &[]), "axis", 0)],
            vec![floats("e", &[2, 3], &spread(6))],
            vec![0.25, 0.125, 0.375],
        ),
        (
            &[2, 2],
            vec![1, 0, 0, 2],
            vec![node("GatherND", &["e", "x"], "y", &[])],
            vec![floats("e", &[2, 3, 2], &spread(12))],
            vec![-0.375, 0.5, -0.5, 0.375],
        ),
        (
            &[2, 1],
            vec![2, 0],
            vec![with_int(node("GatherND", &["e", "x"], "y", &[]), "batch_dims", 1)],
            vec![floats("e", &[2, 3], &spread(6))],
            vec![-0.625, 0.25],
        ),
        // The last of several updates counts.
        (
            &[2, 2],
            vec![1, 2, 1, 0],
            vec![
                with_int(node("Cast", &["x"], "f", &[]), "to", 1),
                with_int(node("ScatterElements", &["e", "x", "f"], "y", &[]), "axis", 1),
            ],
            vec![floats("e", &[2, 3], &spread(6))],
            vec![-0.75, 1.0, 2.0, 0.0, 1.0, 0.375],
        ),
        (
            &[1, 2],
            vec![1, 1],
            vec![with_int(node("ScatterElements", &["e", "x", "u"], "y", &[]), "axis", 0)],
            vec![floats("e", &[2, 3], &spread(6)), floats("u", &[1, 2], &[5.0, -5.0])],
            vec![-0.75, 0.125, -0.625, 5.0, -5.0, 0.375],
        ),
        (
            &[3, 1],
            vec![0, 2, 0],
            vec![node("ScatterND", &["e", "x", "u"], "y", &[])],
            vec![
                floats("e", &[3, 2], &spread(6)),
                floats("u", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ],
            vec![5.0, 6.0, -0.625, 0.25, 3.0, 4.0],
        ),
        (
            &[2, 2],
            vec![0, 1, 1, 0],
            vec![
                with_int(node("Cast", &["x"], "f", &[]), "to", 1),
                node("Slice", &["f", "zero", "one", "last"], "u", &[]),
                node("Squeeze", &["u", "last"], "s", &[]),
                node("ScatterND", &["e", "x", "s"], "y", &[]),
            ],
            vec![
                floats("e", &[2, 2], &spread(4)),
                integers("zero", &[0]),
                integers("one", &[1]),
                integers("last", &[1]),
            ],
            vec![-0.75, 0.0, 1.0, 0.25],
        ),
    ] {
        let graph = small(dims, nodes, weights);
        let name = graph.node.last().unwrap().op_type.clone();
        let input: Vec<f32> = row.iter().map(|&index: &i64| index as f32).collect();
        check_values(17, &with_integers(graph.clone()), &input, &expected);
        let high = row.iter().copied().max().unwrap_or_default();
        let outputs = chosen(graph, high, std::slice::from_ref(&row), &row).unwrap();
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        for (output, expected) in outputs.iter().zip(&expected) {
            assert!(
                (output - expected).abs() < 0.02 * largest,
                "{name}: {outputs:?}, expected {expected:?}"
            );
        }
    }
    // Negative ones count from the end.
    let nodes = vec![node("OneHot", &["x", "d", "v"], "y", &[])];
    let weights = vec![integers("d", &[3]), floats("v", &[2], &[0.0, 1.0])];
    let graph = with_integers(small(&[3], nodes, weights));
    check_values(17, &graph, &[-1.0, -3.0, 4.0], &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

/// A quotient of integers is rounded towards 0, and a remainder has the sign of the divisor, or
/// that of the dividend.
#[test]
fn integers_are_divided_by_constants() {
    let divided = |operator: &str| vec![node(operator, &["x", "three"], "y", &[])];
    let truncated = vec![with_int(node("Mod", &["x", "three"], "y", &[]), "fmod", 1)];
    for (nodes, expected, of_positive) in [
        (divided("Div"), [-2.0, -1.0, 0.0, 2.0], [1.0, 1.0, 0.0, 2.0]),
        (divided("Mod"), [2.0, 0.0, 2.0, 1.0], [0.0, 2.0, 2.0, 1.0]),
        (truncated, [-1.0, 0.0, 2.0, 1.0], [0.0, 2.0, 2.0, 1.0]),
    ] {
        let graph =
            small(&[1, 4], nodes, vec![TensorProto { dims: vec![], ..integers("three", &[3]) }]);
        check_values(17, &with_integers(graph.clone()), &[-7.0, -3.0, 2.0, 7.0], &expected);
        let chosen = chosen(graph, 7, &[vec![0, 1, 6, 7]], &[3, 5, 2, 7]).unwrap();
        // Fixed-point numbers end just below a power of two.
        for (value, expected) in chosen.iter().zip(of_positive) {
            assert!((value - expected).abs() < 1e-4, "{chosen:?}, expected {of_positive:?}");
        }
    }
}

/// Numbers of elements, ranges and positions are known when the model is read.
#[test]
fn sizes_ranges_and_positions_are_computed_when_the_model_is_read() {
    let nodes = vec![
        node("Size", &["x"], "size", &[]),
        node("Range", &["zero", "size", "two"], "even", &[]),
        node("NonZero", &["even"], "places", &[]),
        node("Squeeze", &["places", "first"], "row", &[]),
        with_int(node("Gather", &["x", "row"], "y", &[]), "axis", 1),
    ];
    let scalar = |name: &str, value| TensorProto { dims: vec![], ..integers(name, &[value]) };
    let weights = || vec![scalar("zero", 0), scalar("two", 2), integers("first", &[0])];
    // 0, 2 and 4, of which the last two are not 0.
    assert_eq!(outputs(small(&[1, 5], nodes, weights()), &[1.0, 2.0, 3.0, 4.0, 5.0]), [2.0, 3.0]);
    for node in [node("NonZero", &["x"], "y", &[]), node("Range", &["zero", "x", "two"], "y", &[])]
    {
        let error = read(&model(small(&[1, 1], vec![node], weights()))).unwrap_err().to_string();
        assert!(error.contains("the number of outputs would, too"), "{error}");
    }
}

#[test]
fn indices_and_moves_with_another_meaning_are_refused() {
    let weights = || {
        vec![
            integers("two", &[2]),
            TensorProto { dims: vec![1, 1], ..integers("i", &[0]) },
            floats("u", &[1, 1], &[1.0]),
            floats("s", &[2], &[1.0, 0.5]),
            floats("v", &[2], &[0.0, 1.0]),
        ]
    };
    let scatter = || node("ScatterElements", &["x", "i", "u"], "y", &[]);
    let resize = || node("Resize", &["x", "", "s"], "y", &[]);
    for (opset, node, expected) in [
        (17, node("GatherElements", &["x", "x"], "y", &[]), "the indices are not integers"),
        (
            17,
            node("GatherElements", &["x", "two"], "y", &[]),
            "indices of [1] do not fit an input of [1, 2]",
        ),
        (17, node("GatherND", &["x", "s"], "y", &[]), "the indices are not integers"),
        (
            17,
            with_int(node("GatherND", &["x", "i"], "y", &[]), "batch_dims", 2),
            "do not fit an input of [1, 2]",
        ),
        (17, node("GatherND", &["x", "two"], "y", &[]), "index 2 does not exist in 1 elements"),
        (17, node("OneHot", &["x", "two", "v"], "y", &[]), "the indices are not integers"),
        (
            17,
            with_text(scatter(), "reduction", "add"),
            "a reduction is unsupported; hint: add the updates with Add",
        ),
        (
            17,
            node("ScatterElements", &["x", "i", "s"], "y", &[]),
            "the updates do not have the dimensions",
        ),
        (
            17,
            node("ScatterND", &["x", "i", "s"], "y", &[]),
            "indices of [1, 1] do not fit an input of [1, 2]",
        ),
        (17, node("Tile", &["x", "two"], "y", &[]), "repeats [2] do not fit [1, 2]"),
        (
            17,
            with_int(node("DepthToSpace", &["x"], "y", &[]), "blocksize", 2),
            "blocks of 2 do not fit an input",
        ),
        (17, with_text(resize(), "mode", "linear"), "a mode other than nearest is unsupported"),
        (
            17,
            with_text(resize(), "coordinate_transformation_mode", "tf_crop_and_resize"),
            "is unsupported",
        ),
        (17, node("Resize", &["x"], "y", &[]), "the scales or sizes are missing"),
        (9, node("Upsample", &["x", "s"], "y", &[]), "an axis of 2 elements cannot get 1"),
        (17, node("CumSum", &["x", "s"], "y", &[]), "input 1 is not a list of integers"),
        (
            17,
            with_int(node("LpNormalization", &["x"], "y", &[]), "p", 3),
            "p = 3 is neither 1 nor 2",
        ),
        (
            17,
            with_int(node("ReduceL1", &["x"], "y", &[]), "noop_with_empty_axes", 1),
            "noop_with_empty_axes without",
        ),
    ] {
        let error =
            read(&model_of(opset, small(&[1, 2], vec![node], weights()))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // Each product of a pair is rounded.
    let error = read(&model(small(&[1, 257], vec![node("ReduceProd", &["x"], "y", &[])], vec![])));
    assert!(error.is_err_and(|error| {
        error.to_string().contains("a product of 257 elements is unsupported")
    }));
}
