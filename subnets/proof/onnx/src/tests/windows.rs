//! Convolutions, pools and batch norms over one to three axes. Expected values are those of
//! onnxruntime 1.32.

use super::matrices::check;
use super::reductions::test_values;
use super::*;

/// Scale, shift, mean and variance of a batch norm.
fn norm_of_two_channels() -> Vec<TensorProto> {
    vec![
        floats("s", &[2], &[2.0, -1.0]),
        floats("b", &[2], &[0.5, 0.25]),
        floats("m", &[2], &[0.5, -0.5]),
        floats("v", &[2], &[4.0, 1.0]),
    ]
}

/// Windows over one to three axes, with padding, strides and dilations.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn windows_match_the_onnx_standard() {
    for (opset, dims, nodes, weights, expected) in [
        (
            17,
            &[1, 2, 5][..],
            vec![node("Conv", &["x", "w", "b"], "y", &[("strides", &[2]), ("pads", &[1, 0])])],
            vec![floats("w", &[2, 2, 3], &test_values(12)), floats("b", &[2], &[0.5, -1.0])],
            vec![0.0, -0.265_625, -1.734_375, -1.906_25],
        ),
        (
            17,
            &[1, 2, 6],
            vec![with_int(
                node("Conv", &["x", "w"], "y", &[("dilations", &[2]), ("pads", &[0, 2])]),
                "group",
                2,
            )],
            vec![floats("w", &[4, 1, 2], &test_values(8))],
            vec![
                0.484_375, -0.062_5, 0.406_25, -0.140_625, 0.375, -0.281_25, 0.312_5, -0.015_625,
                0.265_625, -0.062_5, 0.312_5, -0.234_375, 0.093_75, -0.015_625, 0.078_125,
                -0.031_25, 0.062_5, -0.375, 0.015_625, 0.125, 0.031_25, 0.140_625, 0.046_875,
                -0.281_25,
            ],
        ),
        (
            17,
            &[1, 2, 5],
            vec![with_text(
                node("Conv", &["x", "w"], "y", &[("strides", &[2])]),
                "auto_pad",
                "SAME_LOWER",
            )],
            vec![floats("w", &[1, 2, 2], &test_values(4))],
            vec![0.0, 0.187_5, 0.062_5],
        ),
        (
            17,
            &[1, 1, 4, 4],
            vec![node(
                "Conv",
                &["x", "w"],
                "y",
                &[("dilations", &[2, 1]), ("pads", &[1, 0, 1, 1])],
            )],
            vec![floats("w", &[1, 1, 2, 3], &test_values(6))],
            vec![
                -0.453_125, 0.468_75, -0.343_75, 0.546_875, 0.171_875, 0.093_75, 1.078_125, -1.125,
                0.687_5, 0.343_75, -0.953_125, 0.187_5,
            ],
        ),
        (
            17,
            &[1, 1, 4, 3],
            vec![with_text(
                node("Conv", &["x", "w"], "y", &[("strides", &[2, 2])]),
                "auto_pad",
                "SAME_UPPER",
            )],
            vec![floats("w", &[2, 1, 2, 2], &test_values(8))],
            vec![
                0.296_875, 0.234_375, -0.078_125, -0.281_25, 0.078_125, 0.171_875, 0.078_125,
                -0.156_25,
            ],
        ),
        // The depth has padding before its elements, and rows after theirs.
        (
            17,
            &[1, 2, 2, 3, 2],
            vec![node(
                "Conv",
                &["x", "w", "b"],
                "y",
                &[("strides", &[1, 2, 1]), ("pads", &[1, 0, 1, 0, 1, 0])],
            )],
            vec![floats("w", &[1, 2, 2, 2, 2], &test_values(16)), floats("b", &[1], &[0.25])],
            vec![-0.421_875, 2.0, -0.125, 1.015_625, -0.765_625, 1.609_375, -0.171_875, 0.734_375],
        ),
        (
            17,
            &[1, 2, 3, 3, 3],
            vec![with_int(
                node("Conv", &["x", "w"], "y", &[("dilations", &[2, 1, 2])]),
                "group",
                2,
            )],
            vec![floats("w", &[2, 1, 2, 2, 2], &test_values(16))],
            vec![0.453_125, -0.546_875, -0.296_875, -0.343_75],
        ),
        (
            17,
            &[1, 2, 5],
            vec![with_int(
                node("MaxPool", &["x"], "y", &[("kernel_shape", &[2]), ("strides", &[2])]),
                "ceil_mode",
                1,
            )],
            vec![],
            vec![0.125, 0.25, -0.5, 0.375, 0.5, 0.625],
        ),
        (
            17,
            &[1, 1, 3, 4],
            vec![with_int(
                node(
                    "MaxPool",
                    &["x"],
                    "y",
                    &[("kernel_shape", &[2, 2]), ("strides", &[2, 3]), ("pads", &[0, 1, 1, 0])],
                ),
                "ceil_mode",
                1,
            )],
            vec![],
            vec![-0.5, 0.5, -0.25, 0.75],
        ),
        // Padding does not count.
        (
            17,
            &[1, 1, 3, 3],
            vec![node(
                "AveragePool",
                &["x"],
                "y",
                &[("kernel_shape", &[2, 2]), ("pads", &[1, 1, 1, 1])],
            )],
            vec![],
            vec![
                -0.75, -0.312_5, -0.25, -0.625, -0.25, -0.218_75, -0.156_25, -0.125, -0.062_5,
                -0.031_25, 0.031_25, 0.062_5, -0.375, 0.062_5, 0.125, -0.25,
            ],
        ),
        (
            19,
            &[1, 2, 5],
            vec![with_int(
                node(
                    "AveragePool",
                    &["x"],
                    "y",
                    &[("kernel_shape", &[3]), ("strides", &[2]), ("pads", &[1, 0])],
                ),
                "ceil_mode",
                1,
            )],
            vec![],
            vec![-0.312_5, -0.083_333, -0.125, 0.0, -0.041_667, 0.187_5],
        ),
        // What the last windows cover beyond the padding does not count.
        (
            19,
            &[1, 1, 4, 4],
            vec![with_int(
                with_int(
                    node(
                        "AveragePool",
                        &["x"],
                        "y",
                        &[("kernel_shape", &[2, 2]), ("strides", &[2, 2]), ("pads", &[1, 1, 0, 0])],
                    ),
                    "ceil_mode",
                    1,
                ),
                "count_include_pad",
                1,
            )],
            vec![],
            vec![-0.187_5, -0.125, 0.125, -0.187_5, 0.125, 0.625, 0.0, -0.312_5, -0.625],
        ),
        (
            17,
            &[1, 2, 3, 2],
            vec![with_text(
                node("AveragePool", &["x"], "y", &[("kernel_shape", &[2, 2])]),
                "auto_pad",
                "SAME_UPPER",
            )],
            vec![],
            vec![
                -0.25, 0.187_5, -0.125, 0.312_5, -0.062_5, 0.375, 0.125, 0.562_5, 0.25, 0.687_5,
                0.312_5, 0.75,
            ],
        ),
        (
            17,
            &[1, 2, 3],
            vec![node("GlobalAveragePool", &["x"], "y", &[])],
            vec![],
            vec![-0.416_667, 0.041_667],
        ),
        (
            17,
            &[1, 2, 2, 1, 3],
            vec![node("GlobalMaxPool", &["x"], "y", &[])],
            vec![],
            vec![0.375, 0.75],
        ),
        (
            17,
            &[1, 2, 1, 2, 2],
            vec![node("GlobalAveragePool", &["x"], "y", &[])],
            vec![],
            vec![-0.25, 0.0],
        ),
        (
            17,
            &[1, 2, 3],
            vec![node("BatchNormalization", &["x", "s", "b", "m", "v"], "y", &[])],
            norm_of_two_channels(),
            vec![-0.749_999, 0.125, -0.624_999, -0.499_996, 0.25, -0.624_996],
        ),
        // Of two batches, each has both channels.
        (
            17,
            &[2, 2, 2],
            vec![node("BatchNormalization", &["x", "s", "b", "m", "v"], "y", &[])],
            norm_of_two_channels(),
            vec![
                -0.749_999, 0.125, 0.374_999, -0.499_996, -0.499_999, 0.375, 0.125_001, -0.749_995,
            ],
        ),
        // [1, 4] becomes [1, 1, 1, 4]: one channel, not four.
        (
            17,
            &[1, 4],
            vec![
                node("Unsqueeze", &["x", "axes"], "u", &[]),
                node("GlobalAveragePool", &["u"], "y", &[]),
            ],
            vec![integers("axes", &[1, 2])],
            vec![-0.25],
        ),
    ] {
        check(opset, dims, &nodes, &weights, &expected, 0.02);
    }
}

#[test]
fn unsupported_convolutions_and_pools_are_refused() {
    let kernel = |dims: &[i64]| {
        let count = dims.iter().product::<i64>() as usize;
        vec![floats("w", dims, &vec![0.5; count])]
    };
    let convolution = |ints: &[(&str, &[i64])]| node("Conv", &["x", "w"], "y", ints);
    let pool = |ints: &[(&str, &[i64])]| node("MaxPool", &["x"], "y", ints);
    let image: &[i64] = &[1, 2, 4, 4];
    for (dims, node, weights, expected) in [
        (&[2, 2, 4, 4][..], convolution(&[]), kernel(&[1, 2, 2, 2]), "a batch of 2 is unsupported"),
        (&[2, 4], convolution(&[]), kernel(&[1, 2, 2, 2]), "expected batch, channels and axes"),
        (
            image,
            convolution(&[]),
            kernel(&[1, 2, 2]),
            "do not match an input of [1, 2, 4, 4] with one to three axes",
        ),
        (
            &[1, 2, 2, 2, 2, 2],
            convolution(&[]),
            kernel(&[1, 2, 1, 1, 1, 1]),
            "with one to three axes",
        ),
        (image, convolution(&[]), kernel(&[1, 3, 2, 2]), "in 1 groups do not match 2 channels"),
        (
            image,
            convolution(&[("kernel_shape", &[3, 3])]),
            kernel(&[1, 2, 2, 2]),
            "does not match the weights",
        ),
        (
            image,
            convolution(&[("dilations", &[4, 1])]),
            kernel(&[1, 2, 2, 2]),
            "a window of 5 elements does not fit",
        ),
        (image, pool(&[("kernel_shape", &[2])]), vec![], "kernel_shape is malformed"),
        (
            image,
            pool(&[("kernel_shape", &[2, 2]), ("dilations", &[2, 2])]),
            vec![],
            "dilations of a pool",
        ),
        (&[1, 2, 2, 2, 2], pool(&[("kernel_shape", &[2, 2, 2])]), vec![], "one or two axes"),
        (
            &[2, 2, 4, 4],
            node("GlobalMaxPool", &["x"], "y", &[]),
            vec![],
            "a batch of 2 is unsupported",
        ),
    ] {
        let error = read(&model(small(dims, vec![node], weights))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// A kernel of two elements can have as many zeros between them as an axis is long.
#[test]
fn zeros_of_dilated_kernels_have_a_limit() {
    let side = 1 << 12;
    let convolution = node("Conv", &["x", "w"], "y", &[("dilations", &[side - 1, side - 1])]);
    let weights = vec![floats("w", &[2, 1, 2, 2], &[1.0; 8])];
    let error = read(&model(small(&[1, 1, side, side], vec![convolution], weights)))
        .unwrap_err()
        .to_string();
    assert!(error.contains("it is empty or too large"), "{error}");
}
