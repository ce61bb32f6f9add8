//! Moves, joins and sums of elements: read, evaluated and refused.

use super::matrices::check;
use super::operators::quantised;
use super::*;

/// Positions count from 0.
#[test]
fn tensors_are_split_and_expanded() {
    let split = |inputs: &[&str], ints: &[(&str, &[i64])], attributes: &[(&str, i64)]| {
        let mut split = node("Split", inputs, "a", ints);
        split.output.extend(["b", "c"].map(str::to_owned));
        let split =
            attributes.iter().fold(split, |split, &(name, value)| with_int(split, name, value));
        // The parts in another order.
        vec![split, with_int(node("Concat", &["c", "a", "b"], "y", &[]), "axis", 1)]
    };
    // For parts of two rows each, and of one, three and two.
    let expected_outputs: Vec<u8> = vec![8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7];
    let parts = || vec![integers("parts", &[1, 3, 2])];
    for (opset, dims, nodes, weights, expected) in [
        (17, [1, 6, 2], split(&["x"], &[], &[("axis", 1)]), vec![], expected_outputs.clone()),
        (
            12,
            [1, 6, 2],
            split(&["x"], &[("split", &[1, 3, 2])], &[("axis", -2)]),
            vec![],
            expected_outputs.clone(),
        ),
        (13, [1, 6, 2], split(&["x", "parts"], &[], &[("axis", 1)]), parts(), expected_outputs),
        (
            17,
            [1, 4, 3],
            split(&["x"], &[], &[("axis", 2)]),
            vec![],
            vec![2, 5, 8, 11, 0, 3, 6, 9, 1, 4, 7, 10],
        ),
        // The last part is smaller.
        (
            18,
            [1, 5, 2],
            split(&["x"], &[], &[("axis", 1), ("num_outputs", 3)]),
            vec![],
            vec![8, 9, 0, 1, 2, 3, 4, 5, 6, 7],
        ),
    ] {
        let input: Vec<f32> = (0..12_u8).map(f32::from).take(expected.len()).collect();
        let model = Model::decode(&model_of(opset, small(&dims, nodes, weights))).unwrap();
        let network = model.network().unwrap().run(&input).unwrap().pop().unwrap();
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_eq!(
            network.into_iter().map(f64::from).collect::<Vec<f64>>(),
            expected,
            "{opset} {dims:?}"
        );
        assert_eq!(model.evaluate(&input).unwrap().outputs, expected, "{opset} {dims:?}");
    }
    let nodes = vec![node("Expand", &["x", "target"], "y", &[])];
    let weights = vec![integers("target", &[2, 1, 3])];
    assert_eq!(
        outputs(small(&[1, 2, 1], nodes, weights), &[4.0, 5.0]),
        [4.0, 4.0, 4.0, 5.0, 5.0, 5.0].repeat(2)
    );
}

/// Expected values are those of onnxruntime 1.32.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn moves_match_the_onnx_standard() {
    for (opset, dims, nodes, weights, expected) in [
        (
            17,
            &[2, 2][..],
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
fn invalid_splits_and_expansions_are_refused() {
    let nodes = vec![node("Expand", &["x", "target"], "y", &[])];
    let error = quantised(20, small(&[1, 2], nodes, vec![integers("target", &[3, 3])]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("[1, 2] cannot be repeated to [3, 3]"), "{error}");
    let split = |inputs: &[&str], attributes: &[(&str, &[i64])]| {
        let mut split = node("Split", inputs, "y", attributes);
        split.output.extend(["b", "c"].map(str::to_owned));
        vec![with_int(split, "axis", 1)]
    };
    let parts = || vec![integers("parts", &[1, 3, 3])];
    for (opset, extent, nodes, weights, expected) in [
        (17, 4, split(&["x"], &[]), vec![], "4 elements cannot be split into 3 parts"),
        (13, 6, split(&["x", "parts"], &[]), parts(), "6 elements cannot be split into 3 parts"),
        (12, 6, split(&["x", "parts"], &[]), parts(), "parts are misplaced for operator set 12"),
        (
            13,
            6,
            split(&["x"], &[("split", &[1, 3, 2])]),
            vec![],
            "parts are misplaced for operator set 13",
        ),
        // The third part would be empty.
        (18, 2, split(&["x"], &[]), vec![], "it is empty or too large"),
    ] {
        let error = quantised(opset, small(&[1, extent], nodes, weights)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
