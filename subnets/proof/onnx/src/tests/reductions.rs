//! Reductions over axes, and maxima and minima of tensors: read, evaluated, quantised and compared.

use taonet_proof_core::Range;
use taonet_proof_core::network::Operation;
use taonet_proof_core::quantise::{QuantiseOptions, quantise};

use super::matrices::{check, check_values};
use super::operators::{options, quantised, read_small};
use super::*;

pub(super) fn test_values(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7 % 13) as f32 - 6.0) / 8.0).collect()
}

#[test]
fn reductions_match_the_onnx_standard() {
    let attribute = |operator: &str, axes: &[i64]| {
        (node(operator, &["x"], "y", &[("axes", axes)]), Vec::<TensorProto>::new())
    };
    let input =
        |axes: &[i64]| (node("ReduceSum", &["x", "axes"], "y", &[]), vec![integers("axes", axes)]);
    let without_axes =
        |operator: &str| (node(operator, &["x"], "y", &[]), Vec::<TensorProto>::new());
    for ((node, weights), expected) in [
        (attribute("ReduceMax", &[1, 3]), vec![8.0, 11.0]),
        (attribute("ReduceMax", &[-1]), vec![2.0, 5.0, 8.0, 11.0]),
        (attribute("ReduceMin", &[-1]), vec![0.0, 3.0, 6.0, 9.0]),
        (attribute("ReduceMin", &[1, 2]), vec![0.0, 1.0, 2.0]),
        // The mean of rows and columns is a pool, one of two elements a sum, and one of three also
        // a function.
        (attribute("ReduceMean", &[2, 3]), vec![2.5, 8.5]),
        (attribute("ReduceMean", &[1]), vec![3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        (attribute("ReduceMean", &[3]), vec![1.0, 4.0, 7.0, 10.0]),
        (input(&[2]), vec![3.0, 5.0, 7.0, 15.0, 17.0, 19.0]),
        (input(&[-1, 1]), vec![24.0, 42.0]),
        (without_axes("ReduceSum"), vec![66.0]),
        (without_axes("ReduceMax"), vec![11.0]),
        (without_axes("GlobalMaxPool"), vec![5.0, 11.0]),
    ] {
        let name = format!("{} {expected:?}", node.op_type);
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        assert_eq!(outputs(small(&[1, 2, 2, 3], vec![node], weights), &values), expected, "{name}");
    }
    // Without axes, this attribute turns a reduction off.
    let nodes = vec![
        node("Relu", &["x"], "r", &[]),
        with_int(node("ReduceSum", &["r"], "y", &[]), "noop_with_empty_axes", 1),
    ];
    assert_eq!(outputs(small(&[1, 3], nodes, vec![]), &[-1.0, 2.0, 3.0]), [0.0, 2.0, 3.0]);
    // Without `keepdims`, the axis is removed: the rows of [1, 2] have two elements.
    let nodes = vec![
        with_int(node("ReduceSum", &["x", "axes"], "s", &[]), "keepdims", 0),
        node("MatMul", &["s", "w"], "y", &[]),
    ];
    let weights = vec![integers("axes", &[2]), floats("w", &[2, 1], &[1.0, 10.0])];
    assert_eq!(
        outputs(small(&[1, 2, 3], nodes, weights), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        [156.0]
    );
}

/// Before version 18, the axes are an attribute. Expected values are those of onnxruntime 1.32.
#[test]
fn reductions_of_functions_match_the_onnx_standard() {
    for (operator, by_row, by_column) in [
        ("ReduceL1", [1.5, 1.125], [1.75, 1.75, 1.75]),
        ("ReduceL2", [0.984_251, 0.673_146], [0.984_251, 0.951_972, 0.984_251]),
        ("ReduceLogSumExp", [0.761_169, 1.207_63], [1.371_568, 1.496_568, 1.621_568]),
        ("ReduceSumSquare", [0.968_75, 0.453_125], [0.968_75, 0.906_25, 0.968_75]),
        ("ReduceProd", [0.058_594, -0.046_875], [0.017_578, 0.024_414, 0.017_578]),
    ] {
        let with_attribute = node(operator, &["x"], "y", &[("axes", &[1])]);
        check(17, &[2, 3], &[with_attribute], &[], &by_row, 0.05);
        let with_input = with_int(node(operator, &["x", "a"], "y", &[]), "keepdims", 0);
        let axes = integers("a", &[0, -1]);
        check(18, &[2, 3, 2], &[with_input], &[axes], &by_column, 0.05);
    }
    // The integer sum could be 0, which has no logarithm.
    let nodes = vec![node("Exp", &["x"], "e", &[]), node("ReduceLogSum", &["e"], "y", &[])];
    check_values(18, &small(&[2, 3], nodes, vec![]), &test_values(6), &[1.702_259]);
}

#[test]
fn reductions_are_quantised() {
    let weights = |axes: &[i64]| {
        vec![
            floats("v", &[4, 5], &test_values(20)),
            floats("w", &[5, 4], &test_values(20)),
            integers("axes", axes),
        ]
    };
    for operator in ["ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"] {
        for axes in [&[1][..], &[2], &[1, 2]] {
            // Between two products of rows.
            let nodes = vec![
                node("MatMul", &["x", "v"], "h", &[]),
                node(operator, &["h", "axes"], "r", &[]),
                node("Sub", &["h", "r"], "d", &[]),
                node("MatMul", &["d", "w"], "y", &[]),
            ];
            let (_, network, error) = read_small(&[1, 3, 4], nodes, weights(axes));
            assert!(error < 0.03, "{operator} {axes:?}: {error}");
            let has_max = network
                .layers
                .iter()
                .any(|layer| matches!(layer.operation, Operation::MaxPool { .. }));
            assert_eq!(has_max, ["ReduceMax", "ReduceMin"].contains(&operator), "{operator}");
        }
    }
}

/// A mean of positive numbers has a root, although an activation with a sign could be negative.
#[test]
fn sum_of_positive_numbers_is_not_negative() {
    let nodes = |operator| {
        vec![
            node("Exp", &["x"], "e", &[]),
            node(operator, &["e", "axes"], "m", &[]),
            node("Sqrt", &["m"], "y", &[]),
        ]
    };
    for (operator, count) in [("ReduceMean", 4), ("ReduceMean", 6), ("ReduceSum", 5)] {
        let (_, network, error) =
            read_small(&[1, 2, count], nodes(operator), vec![integers("axes", &[2])]);
        assert!(error < 0.01, "{operator}: {error}");
        let clamps =
            network.layers.iter().filter_map(|layer| layer.rescale.map(|rescale| rescale.clamp));
        assert_eq!(
            clamps.collect::<Vec<_>>(),
            [taonet_proof_core::Clamp::Unsigned(14)],
            "{operator}"
        );
    }
}

/// A sum of numbers that are all positive has a logarithm, also with the lowest input.
#[test]
fn logarithm_of_sum_of_positive_numbers_is_quantised() {
    let nodes = vec![
        node("Abs", &["x"], "a", &[]),
        node("Add", &["a", "half"], "p", &[]),
        node("ReduceLogSum", &["p", "axes"], "y", &[]),
    ];
    let weights = vec![floats("half", &[], &[0.5]), integers("axes", &[2])];
    let (_, network, error) = read_small(&[1, 2, 4], nodes, weights);
    assert!(error < 0.01, "{error}");
    let circuit = network.lower().unwrap();
    let outputs = circuit.execute(&[0; 8]).unwrap().outputs(&circuit);
    let unit = f64::from(-network.output_scale()).exp2();
    for output in outputs {
        assert!((output as f64 * unit - 2.0_f64.ln()).abs() < 0.02, "{output}");
    }
}

/// Weights of two bits can be rounded to 1. The layer then only adds, but its sum is not exact.
#[test]
fn weights_rounded_to_one_have_an_error() {
    let weights = vec![floats("k", &[1, 2, 1, 1], &[0.9, 0.6])];
    let graph = small(&[1, 2, 1, 1], vec![node("Conv", &["x", "k"], "y", &[])], weights);
    let model = Model::decode(&model(graph)).unwrap();
    let (float, sample) = (model.network().unwrap(), vec![vec![100, -50], vec![-30, 90]]);
    let options = QuantiseOptions { weight_bits: 2, ..options() };
    let network = quantise(&float, &options, &sample).unwrap();
    assert!(network.layers[0].operation.only_adds(), "{network:?}");
    compare(&model, &float, &network, &options, &sample).unwrap();
}

/// Expected positions are those of the standard: the first maximum or minimum, unless the last one
/// is asked for.
#[test]
fn positions_of_extrema_are_exact() {
    let position =
        |operator: &str, axis: i64| with_int(node(operator, &["x"], "y", &[]), "axis", axis);
    let with_last_index = |node: NodeProto| with_int(node, "select_last_index", 1);
    let input = [3.0, -1.0, 3.0, 3.0, 0.0, -1.0];
    for (node, expected) in [
        (position("ArgMax", -1), vec![0.0, 0.0]),
        (with_last_index(position("ArgMax", -1)), vec![2.0, 0.0]),
        (position("ArgMin", 2), vec![1.0, 2.0]),
        (position("ArgMax", 1), vec![0.0, 1.0, 0.0]),
        (with_last_index(position("ArgMax", 1)), vec![1.0, 1.0, 0.0]),
        (position("ArgMin", 1), vec![0.0, 0.0, 1.0]),
        (with_int(position("ArgMin", 1), "keepdims", 0), vec![0.0, 0.0, 1.0]),
        (position("ArgMin", 0), vec![0.0; 6]),
    ] {
        let name = format!("{} {expected:?}", node.op_type);
        assert_eq!(outputs(small(&[1, 2, 3], vec![node], vec![]), &input), expected, "{name}");
    }
    // Integers, of which the last bit decides: 300 elements are more than a weight of 8 bits has
    // values. A Relu yields activations of 8 bits; the input has more.
    for (tensor, max_value) in [("h", 255), ("x", 40_000)] {
        let nodes = vec![
            node("Relu", &["x"], "h", &[]),
            with_int(node("ArgMax", &[tensor], "y", &[]), "axis", 1),
        ];
        let model = Model::decode(&model(small(&[1, 300], nodes, vec![]))).unwrap();
        let options = QuantiseOptions {
            input_range: Range { low: 0, high: max_value },
            ..QuantiseOptions::default()
        };
        let sample =
            vec![(0..300).map(|index| index * 7 % 256 * (max_value / 255)).collect::<Vec<i64>>()];
        let circuit =
            quantise(&model.network().unwrap(), &options, &sample).unwrap().lower().unwrap();
        let peak_positions = [0, 1, 150, 298, 299].into_iter();
        let inputs = peak_positions.flat_map(|peak| {
            [(0, 1), (0, max_value), (max_value - 1, max_value), (max_value, max_value)]
                .map(|pair| (peak, pair))
        });
        for (peak, (others, value)) in inputs {
            let mut input = vec![others; 300];
            input[peak] = value;
            let expected = if others == value { 0 } else { peak.cast_signed() as i64 };
            assert_eq!(
                circuit.execute(&input).unwrap().outputs(&circuit),
                [expected],
                "{peak}: {value} of {others}"
            );
        }
    }
}

#[test]
fn misplaced_and_invalid_axes_are_refused() {
    let attribute = |operator: &str| node(operator, &["x"], "y", &[("axes", &[1])]);
    for (version, node, expected) in [
        (18, attribute("ReduceMax"), "axes are misplaced for operator set 18"),
        (13, attribute("ReduceSum"), "axes are misplaced for operator set 13"),
        (
            17,
            node("ReduceMean", &["x", "axes"], "y", &[]),
            "axes are misplaced for operator set 17",
        ),
        (
            17,
            node("ReduceMin", &["x"], "y", &[("axes", &[2])]),
            "axis 2 does not exist in 2 dimensions",
        ),
        (17, node("ReduceMin", &["x"], "y", &[("axes", &[1, -1])]), "axes [1, -1] are not unique"),
    ] {
        let graph = small(&[1, 4], vec![node], vec![integers("axes", &[1])]);
        let error = quantised(version, graph).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn extrema_of_tensors_match_the_onnx_standard() {
    let doubled = || node("Mul", &["x", "two"], "h", &[]);
    let weights = || {
        vec![floats("two", &[], &[2.0]), floats("low", &[], &[-0.75]), floats("high", &[1], &[1.5])]
    };
    for (operator, operands, expected) in [
        ("Max", &["x", "t"][..], [-1.0, -0.5, 2.0, 6.0]),
        ("Min", &["x", "t"], [-2.0, -1.0, 1.0, 3.0]),
        ("Max", &["x", "low"], [-0.75, -0.5, 1.0, 3.0]),
        ("Min", &["high", "t", "x"], [-2.0, -1.0, 1.0, 1.5]),
        ("Max", &["x"], [-1.0, -0.5, 1.0, 3.0]),
    ] {
        let nodes =
            vec![doubled(), node("Identity", &["h"], "t", &[]), node(operator, operands, "m", &[])];
        let nodes = [nodes, vec![node("Add", &["m", "zero"], "y", &[])]].concat();
        let weights = [weights(), vec![floats("zero", &[], &[0.0])]].concat();
        let graph = small(&[1, 4], nodes, weights);
        assert_eq!(outputs(graph, &[-1.0, -0.5, 1.0, 3.0]), expected, "{operator} {operands:?}");
    }
    let nodes = [
        node("MatMul", &["x", "w"], "h", &[]),
        node("Max", &["h", "x"], "m", &[]),
        node("GlobalAveragePool", &["i"], "p", &[]),
        node("Min", &["p", "i"], "y", &[]),
    ];
    let image = node("Reshape", &["m", "shape"], "r", &[]);
    let convolution = node("Conv", &["c", "k"], "i", &[]);
    let transpose = node("Transpose", &["r"], "c", &[("perm", &[0, 1, 2, 3])]);
    let nodes = [&nodes[..2], &[image, transpose, convolution], &nodes[2..]].concat();
    let weights = vec![
        floats("w", &[8, 8], &test_values(64)),
        floats("k", &[2, 2, 1, 1], &[1.0, 0.5, -0.5, 1.0]),
        integers("shape", &[1, 2, 2, 2]),
    ];
    let (_, _, error) = read_small(&[1, 8], nodes, weights);
    assert!(error < 0.03, "{error}");
    let wide = floats("wide", &[3, 4], &[1.0; 12]);
    let graph = small(&[1, 4], vec![node("Max", &["x", "wide"], "y", &[])], vec![wide]);
    let error = quantised(17, graph).unwrap_err().to_string();
    assert!(error.contains("a constant has other dimensions than [1, 4]"), "{error}");
}
