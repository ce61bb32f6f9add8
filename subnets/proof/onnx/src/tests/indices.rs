//! Elements that indices choose or replace. Expected values are those of onnxruntime 1.32.

use super::lookup::{quantised_outputs, with_integers};
use super::matrices::{check, check_values};
use super::reductions::test_values;
use super::*;

#[test]
fn constant_indices_gather_and_replace_elements() {
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
    ] {
        check(opset, dims, &nodes, &weights, &expected, 0.01);
    }
}

/// Indices that are inputs, and which also stand for numbers.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn computed_indices_gather_and_replace_elements() {
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
            vec![floats("e", &[2, 4], &test_values(8))],
            vec![0.25, -0.75, 0.125, -0.375, -0.375, -0.5],
        ),
        (
            &[1, 3],
            vec![1, 0, 1],
            vec![with_int(node("GatherElements", &["e", "x"], "y", &[]), "axis", 0)],
            vec![floats("e", &[2, 3], &test_values(6))],
            vec![0.25, 0.125, 0.375],
        ),
        (
            &[2, 2],
            vec![1, 0, 0, 2],
            vec![node("GatherND", &["e", "x"], "y", &[])],
            vec![floats("e", &[2, 3, 2], &test_values(12))],
            vec![-0.375, 0.5, -0.5, 0.375],
        ),
        (
            &[2, 1],
            vec![2, 0],
            vec![with_int(node("GatherND", &["e", "x"], "y", &[]), "batch_dims", 1)],
            vec![floats("e", &[2, 3], &test_values(6))],
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
            vec![floats("e", &[2, 3], &test_values(6))],
            vec![-0.75, 1.0, 2.0, 0.0, 1.0, 0.375],
        ),
        (
            &[1, 2],
            vec![1, 1],
            vec![with_int(node("ScatterElements", &["e", "x", "u"], "y", &[]), "axis", 0)],
            vec![floats("e", &[2, 3], &test_values(6)), floats("u", &[1, 2], &[5.0, -5.0])],
            vec![-0.75, 0.125, -0.625, 5.0, -5.0, 0.375],
        ),
        (
            &[3, 1],
            vec![0, 2, 0],
            vec![node("ScatterND", &["e", "x", "u"], "y", &[])],
            vec![
                floats("e", &[3, 2], &test_values(6)),
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
                floats("e", &[2, 2], &test_values(4)),
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
        let outputs = quantised_outputs(graph, high, std::slice::from_ref(&row), &row).unwrap();
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
fn unsupported_indices_and_moves_are_refused() {
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
