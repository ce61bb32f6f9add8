//! Softmax and norms: read, evaluated, quantised and compared.

use taonet_proof_core::network::{Layer, Network, Operation};
use taonet_proof_core::quantise::quantise;

use super::logic::booleans;
use super::operators::{options, quantised, read_small, sample, with_float};
use super::reductions::test_values;
use super::*;

/// Checks the values of the network and of the evaluation of a model from "x" to "y".
fn check(
    opset: i64,
    dims: &[i64],
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    expected: &[f64],
) {
    let input = [-1.5, -0.5, 0.0, 0.5, 1.5, 3.0];
    let names: Vec<String> = nodes.iter().map(|node| node.op_type.clone()).collect();
    let model = Model::decode(&model_of(opset, small(dims, nodes, weights))).unwrap();
    let network = model.network().unwrap().run(&input).unwrap().pop().unwrap();
    let file = model.evaluate(&input).unwrap().outputs;
    assert_eq!((network.len(), file.len()), (expected.len(), expected.len()), "{names:?}");
    for ((network, file), expected) in network.iter().zip(&file).zip(expected) {
        assert!((f64::from(*network) - expected).abs() < 1e-5, "{names:?}: {network} {expected}");
        assert!((file - expected).abs() < 1e-6, "{names:?}: {file} {expected}");
    }
}

/// Expected values are computed with Python's `math`.
#[test]
fn softmaxes_match_the_onnx_standard() {
    let rows = [0.121_951_7, 0.331_499, 0.546_549_4, 0.062_89, 0.170_952_8, 0.766_157_2];
    let columns = [0.119_202_9, 0.119_202_9, 0.047_425_9, 0.880_797_1, 0.880_797_1, 0.952_574_1];
    let all = [0.007_956, 0.021_626_6, 0.035_656_2, 0.058_787_1, 0.159_8, 0.716_174_1];
    let logarithms =
        [-2.104_130_2, -1.104_130_5, -0.604_130_6, -2.766_368_1, -1.766_367_8, -0.266_367_9];
    let softmax =
        |operator: &str, axis: i64| vec![with_int(node(operator, &["x"], "y", &[]), "axis", axis)];
    check(17, &[1, 2, 3], softmax("Softmax", -1), vec![], &rows);
    check(17, &[1, 2, 3], softmax("Softmax", 1), vec![], &columns);
    check(17, &[1, 2, 3], softmax("LogSoftmax", 2), vec![], &logarithms);
    check(17, &[1, 2, 3], vec![node("Softmax", &["x"], "y", &[])], vec![], &rows);
    // Before version 13, a softmax covers all axes from the first one on.
    check(12, &[1, 1, 2, 3], softmax("Softmax", -1), vec![], &rows);
    let opposite = |axis: i64| {
        vec![
            with_int(node("Softmax", &["x"], "s", &[]), "axis", axis),
            node("Neg", &["s"], "y", &[]),
        ]
    };
    check(12, &[1, 1, 2, 3], opposite(2), vec![], &all.map(|value: f64| -value));
    check(
        12,
        &[1, 2, 3],
        vec![node("Softmax", &["x"], "s", &[]), node("Neg", &["s"], "y", &[])],
        vec![],
        &all.map(|value: f64| -value),
    );
    // One at the end over all elements is omitted.
    let nodes = vec![node("Neg", &["x"], "n", &[]), node("Softmax", &["n"], "y", &[])];
    check(17, &[1, 6], nodes, vec![], &[1.5, 0.5, 0.0, -0.5, -1.5, -3.0]);
    // One that something else reads, too, is not.
    let nodes = vec![node("Softmax", &["x"], "s", &[]), node("Sub", &["s", "x"], "y", &[])];
    let input = [-1.5, -0.5, 0.0, 0.5, 1.5, 3.0];
    let expected: Vec<f64> = all.iter().zip(input).map(|(value, input)| value - input).collect();
    check(17, &[1, 6], nodes, vec![], &expected);
}

#[test]
fn norms_match_the_onnx_standard() {
    let rows = [-1.336_289, 0.267_257_8, 1.069_031_2, -1.135_544_6, -0.162_220_7, 1.297_765_2];
    let all = [-1.385_637_3, -0.692_818_7, -0.346_409_3, 0.0, 0.692_818_7, 1.732_046_7];
    let roots = [-1.441_153_4, -0.480_384_5, 0.0, 0.247_435_8, 0.742_307_5, 1.484_615];
    let ones = || floats("s", &[3], &[1.0; 3]);
    let weights = || vec![ones(), floats("b", &[3], &[0.0; 3])];
    check(
        17,
        &[1, 2, 3],
        vec![node("LayerNormalization", &["x", "s", "b"], "y", &[])],
        weights(),
        &rows,
    );
    check(
        17,
        &[1, 2, 3],
        vec![node("LayerNormalization", &["x", "s"], "y", &[])],
        weights(),
        &rows,
    );
    let two_axes_norm = with_int(node("LayerNormalization", &["x", "t"], "y", &[]), "axis", 1);
    check(17, &[1, 2, 3], vec![two_axes_norm], vec![floats("t", &[2, 3], &[1.0; 6])], &all);
    let root = with_float(node("RMSNormalization", &["x", "s"], "y", &[]), "epsilon", 0.25);
    check(23, &[1, 2, 3], vec![root], vec![ones()], &roots);
    // Factors and offsets of columns, of elements, and of channels.
    let affine = |values: &[f64; 6], factors: [f64; 6], offsets: [f64; 6]| {
        let scaled = values
            .iter()
            .zip(factors)
            .zip(offsets)
            .map(|((value, factor), offset)| value * factor + offset);
        scaled.collect::<Vec<f64>>()
    };
    let weights = vec![floats("s", &[3], &[2.0, -1.0, 0.5]), floats("b", &[3], &[0.0, 1.0, -1.0])];
    let expected =
        affine(&rows, [2.0, -1.0, 0.5, 2.0, -1.0, 0.5], [0.0, 1.0, -1.0, 0.0, 1.0, -1.0]);
    check(
        17,
        &[1, 2, 3],
        vec![node("LayerNormalization", &["x", "s", "b"], "y", &[])],
        weights,
        &expected,
    );
    let factors = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let two_axes_norm = with_int(node("LayerNormalization", &["x", "t"], "y", &[]), "axis", -2);
    let weights = vec![floats("t", &[2, 3], &factors.map(|factor: f64| factor as f32))];
    check(17, &[1, 2, 3], vec![two_axes_norm], weights, &affine(&all, factors, [0.0; 6]));
    let instance = || vec![node("InstanceNormalization", &["x", "s", "b"], "y", &[])];
    let weights = || vec![floats("s", &[2], &[1.0, 2.0]), floats("b", &[2], &[0.0, 3.0])];
    let expected = affine(&rows, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 3.0, 3.0, 3.0]);
    check(17, &[1, 2, 3], instance(), weights(), &expected);
    check(17, &[1, 2, 1, 3], instance(), weights(), &expected);
}

/// An attention with its softmax, between two products of rows.
fn attention(mask: Option<NodeProto>) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let softmax_of = if mask.is_some() { "masked" } else { "scaled" };
    let nodes = vec![
        node("MatMul", &["x", "q"], "queries", &[]),
        node("MatMul", &["x", "k"], "keys", &[]),
        node("MatMul", &["x", "v"], "values", &[]),
        node("Transpose", &["keys"], "turned", &[("perm", &[0, 1, 3, 2])]),
        node("MatMul", &["queries", "turned"], "scores", &[]),
        node("Mul", &["scores", "quarter"], "scaled", &[]),
    ];
    let end = vec![
        with_int(node("Softmax", &[softmax_of], "weights", &[]), "axis", -1),
        node("MatMul", &["weights", "values"], "y", &[]),
    ];
    let weights = ["q", "k", "v"].map(|name| floats(name, &[4, 4], &test_values(16))).to_vec();
    (
        nodes.into_iter().chain(mask).chain(end).collect(),
        [weights, vec![floats("quarter", &[], &[0.25])]].concat(),
    )
}

#[test]
fn softmaxes_are_quantised() {
    let (nodes, weights) = attention(None);
    let (_, network, error) = read_small(&[1, 2, 3, 4], nodes, weights);
    assert!(error < 0.02, "{error}");
    let count = |is_kind: fn(&Operation) -> bool| {
        network.layers.iter().filter(|layer: &&Layer| is_kind(&layer.operation)).count()
    };
    assert_eq!(count(|operation| matches!(operation, Operation::MaxPool { .. })), 1);
    // The factor, the powers and the reciprocals of their sums.
    assert_eq!(count(|operation| matches!(operation, Operation::Table { .. })), 3);
    for (operator, axis, bound) in
        [("Softmax", 1, 0.02), ("Softmax", -1, 0.02), ("LogSoftmax", 1, 0.02)]
    {
        let nodes = vec![
            node("Conv", &["x", "k"], "h", &[]),
            with_int(node(operator, &["h"], "s", &[]), "axis", axis),
            node("Identity", &["s"], "y", &[]),
        ];
        let weights = vec![floats("k", &[3, 2, 1, 1], &[1.0, 0.5, -0.5, 1.0, 0.25, -0.75])];
        let (float, _, error) = read_small(&[1, 2, 2, 2], nodes, weights);
        assert!(float.notes.is_empty() && error < bound, "{operator} {axis}: {error}");
    }
}

/// Returns the number of elements of each layer of products.
fn products(network: &Network) -> Vec<usize> {
    let shapes = network.shapes().unwrap();
    let layers = network.layers.iter().zip(shapes.iter().skip(1));
    layers
        .filter(|(layer, _)| layer.operation == Operation::Product)
        .map(|(_, shape)| shape.elements())
        .collect()
}

#[test]
fn softmax_is_divided_after_a_product_with_fewer_columns() {
    let heads = |positions: i64| [1, 2, positions, 4];
    let (nodes, weights) = attention(None);
    let (_, network, error) = read_small(&heads(6), nodes, weights);
    assert!(error < 0.03, "{error}");
    assert_eq!(products(&network), [2 * 6 * 4]);
    // A product with four columns has more elements than the softmax of three positions.
    let (nodes, weights) = attention(None);
    assert_eq!(products(&read_small(&heads(3), nodes, weights).1), [2 * 3 * 3]);
    // Something else reads the softmax, too.
    let (mut nodes, weights) = attention(None);
    nodes.last_mut().unwrap().output = vec!["mixed".to_owned()];
    nodes.push(node("ReduceMax", &["weights", "last"], "largest", &[]));
    nodes.push(node("Mul", &["mixed", "largest"], "y", &[]));
    let weights = [weights, vec![integers("last", &[-1])]].concat();
    assert_eq!(products(&read_small(&heads(6), nodes, weights).1), [2 * 6 * 6, 2 * 6 * 4]);
}

/// The nodes that exporters write for a causal mask give the same outputs, none of which depends on
/// a later position.
#[test]
fn causal_mask_hides_later_positions() {
    let is_kept = [true, false, false, true, true, false, true, true, true];
    let mask = || booleans("kept", &[3, 3], &is_kept);
    let added = |value: f32| {
        floats("mask", &[3, 3], &is_kept.map(|is_kept| if is_kept { 0.0 } else { value }))
    };
    let add = || node("Add", &["scaled", "mask"], "masked", &[]);
    let select = || node("Where", &["kept", "scaled", "low"], "masked", &[]);
    let low = |value: f32| floats("low", &[], &[value]);
    let mut first: Option<Vec<i64>> = None;
    for (node, weights) in [
        (select(), vec![mask(), low(f32::NEG_INFINITY)]),
        (select(), vec![mask(), low(-1e9)]),
        (add(), vec![added(f32::MIN)]),
        (add(), vec![added(-10_000.0)]),
    ] {
        let name =
            format!("{} {:?}", node.op_type, weights.last().map(|weight| weight.name.clone()));
        let (nodes, others) = attention(Some(node));
        let (_, network, error) = read_small(&[1, 2, 3, 4], nodes, [others, weights].concat());
        assert!(error < 0.02, "{name}: {error}");
        let circuit = network.lower().unwrap();
        let mut input = sample(24).remove(1);
        let outputs = circuit.execute(&input).unwrap().outputs(&circuit);
        assert_eq!(first.get_or_insert_with(|| outputs.clone()), &outputs, "{name}");
        // Changes the last position of both heads.
        for head in [0, 12] {
            input[head + 8..head + 12].fill(17);
        }
        let changed_outputs = circuit.execute(&input).unwrap().outputs(&circuit);
        for head in [0, 12] {
            assert_eq!(changed_outputs[head..head + 8], outputs[head..head + 8], "{name}");
            assert_ne!(
                changed_outputs[head + 8..head + 12],
                outputs[head + 8..head + 12],
                "{name}"
            );
        }
    }
}

/// The scores of masked elements are sums that nothing rounds or looks up.
#[test]
fn masked_scores_are_not_rescaled() {
    let (mut nodes, weights) = attention(Some(node("Add", &["scores", "mask"], "masked", &[])));
    nodes.retain(|node| node.op_type != "Mul");
    let mask = [0.0, -1e9, -1e9, 0.0, 0.0, -1e9, 0.0, 0.0, 0.0];
    let (float, network, _) =
        read_small(&[1, 2, 3, 4], nodes, [weights, vec![floats("mask", &[3, 3], &mask)]].concat());
    let is_product = |layer: &Layer| matches!(layer.operation, Operation::MatrixProduct(_));
    let scores = network.layers.iter().position(is_product).unwrap();
    let [product, moved, rescaled] = &network.layers[scores..scores + 3] else {
        panic!("three layers")
    };
    assert_eq!(product.rescale, None);
    // Six of nine elements of each head.
    assert!(
        matches!(&moved.operation, Operation::Move { indices, .. } if indices.len() == 12),
        "{moved:?}"
    );
    assert_eq!(rescaled.operation, Operation::Sum { factors: vec![1] });
    assert!(rescaled.rescale.is_some());
    let powers = float
        .nodes
        .iter()
        .find(|node| matches!(node.operation, FloatOperation::Function(_)))
        .unwrap();
    assert_eq!((powers.shape.elements(), products(&network)), (12, vec![12]));
}

#[test]
fn norms_are_quantised() {
    let weights = || {
        vec![
            floats("v", &[4, 6], &test_values(24)),
            floats("w", &[6, 4], &test_values(24)),
            floats("s", &[6], &[1.0, 0.5, 2.0, 1.5, -1.0, 0.75]),
            floats("b", &[6], &[0.5, -1.0, 0.25, 0.0, 2.0, 1.0]),
            floats("two", &[], &[2.0]),
            floats("epsilon", &[], &[1e-3]),
            integers("last", &[-1]),
        ]
    };
    let mean = |input: &str, output: &str| node("ReduceMean", &[input, "last"], output, &[]);
    let with_end_layers = |inner: Vec<NodeProto>| {
        let (start, end) =
            (node("MatMul", &["x", "v"], "h", &[]), node("MatMul", &["n", "w"], "y", &[]));
        [vec![start], inner, vec![end]].concat()
    };
    let affine = || vec![node("Mul", &["d", "s"], "m", &[]), node("Add", &["m", "b"], "n", &[])];
    let layer_pattern = vec![
        mean("h", "mean"),
        node("Sub", &["h", "mean"], "c", &[]),
        node("Pow", &["c", "two"], "squares", &[]),
        mean("squares", "variance"),
        node("Add", &["variance", "epsilon"], "a", &[]),
        node("Sqrt", &["a"], "deviation", &[]),
        node("Div", &["c", "deviation"], "d", &[]),
    ];
    let root_pattern = vec![
        node("Mul", &["h", "h"], "squares", &[]),
        mean("squares", "variance"),
        node("Add", &["variance", "epsilon"], "a", &[]),
        node("Sqrt", &["a"], "deviation", &[]),
        node("Reciprocal", &["deviation"], "r", &[]),
        node("Mul", &["h", "r"], "d", &[]),
    ];
    let layer = with_float(node("LayerNormalization", &["h", "s", "b"], "n", &[]), "epsilon", 1e-3);
    let root = with_float(node("RMSNormalization", &["h", "s"], "m", &[]), "epsilon", 1e-3);
    for (name, inner) in [
        ("pattern of a layer norm", [layer_pattern, affine()].concat()),
        ("pattern of a root mean square", [root_pattern, affine()].concat()),
        ("layer norm", vec![layer]),
        ("root mean square", vec![root, node("Add", &["m", "b"], "n", &[])]),
    ] {
        let (_, network, error) =
            quantised(23, small(&[1, 3, 4], with_end_layers(inner), weights())).unwrap();
        assert!(error < 0.02, "{name}: {error}");
        // The square, and the reciprocal of the deviation; the mean of six is a table, too, if it
        // is subtracted.
        let tables = network
            .layers
            .iter()
            .filter(|layer| matches!(layer.operation, Operation::Table { .. }))
            .count();
        assert_eq!(tables, if name.contains("layer") { 3 } else { 2 }, "{name}");
    }
    let nodes = vec![
        node("Conv", &["x", "k"], "h", &[]),
        node("InstanceNormalization", &["h", "f", "o"], "n", &[]),
        node("Relu", &["n"], "r", &[]),
        node("GlobalAveragePool", &["r"], "y", &[]),
    ];
    let weights = vec![
        floats("k", &[2, 2, 1, 1], &[1.0, 0.5, -0.5, 1.0]),
        floats("f", &[2], &[1.0, -0.5]),
        floats("o", &[2], &[0.25, 0.5]),
    ];
    let (_, _, error) = read_small(&[1, 2, 3, 3], nodes, weights);
    assert!(error < 0.03, "{error}");
}

/// Rows without any variance, and outputs far beyond the sample, have values.
#[test]
fn norms_are_finite_for_any_input() {
    let nodes =
        vec![node("LayerNormalization", &["x", "s"], "n", &[]), node("Softmax", &["n"], "y", &[])];
    let graph = small(&[1, 2, 4], nodes, vec![floats("s", &[4], &[1.0; 4])]);
    let model = Model::decode(&model_of(20, graph)).unwrap();
    let float = model.network().unwrap();
    let network = quantise(&float, &options(), &sample(8)).unwrap();
    let rows =
        vec![vec![0; 8], vec![100; 8], vec![-100; 8], vec![100, -100, 100, -100, 1, 0, 0, 0]];
    compare(&model, &float, &network, &options(), &rows).unwrap();
    let circuit = network.lower().unwrap();
    let unit = f64::from(-network.output_scale()).exp2();
    for row in &rows[..3] {
        for output in circuit.execute(row).unwrap().outputs(&circuit) {
            assert!((output as f64 * unit - 0.25).abs() < 0.01, "{row:?}: {output}");
        }
    }
}

#[test]
fn invalid_softmaxes_and_norms_are_refused() {
    let masked_softmax = |operator: &str, kept: [bool; 3]| {
        let nodes = vec![
            node("Where", &["kept", "x", "low"], "m", &[]),
            node(operator, &["m"], "s", &[]),
            node("Neg", &["s"], "y", &[]),
        ];
        (nodes, vec![booleans("kept", &[3], &kept), floats("low", &[], &[f32::NEG_INFINITY])])
    };
    let mut norm_node = node("LayerNormalization", &["x", "s"], "y", &[]);
    norm_node.output.push("mean".to_owned());
    let scale = vec![floats("s", &[3], &[1.0; 3])];
    for ((nodes, weights), expected) in [
        (
            masked_softmax("LogSoftmax", [true, false, true]),
            "the logarithm of a masked element is infinite",
        ),
        (masked_softmax("Softmax", [false; 3]), "all elements of a row are masked"),
        ((vec![norm_node], scale.clone()), "a second output is unsupported"),
        (
            (vec![node("InstanceNormalization", &["x", "s", "s"], "y", &[])], scale),
            "the input has dimensions [1, 3], expected a batch of 1",
        ),
        (
            (vec![with_int(node("Softmax", &["x"], "y", &[]), "axis", 2)], vec![]),
            "axis 2 does not exist in 2 dimensions",
        ),
    ] {
        let error = quantised(20, small(&[1, 3], nodes, weights)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
