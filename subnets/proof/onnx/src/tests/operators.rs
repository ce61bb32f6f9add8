//! Operators on constants and tensors, and moves: read, evaluated, quantised and compared.

use taonet_proof_core::Range;
use taonet_proof_core::network::{Layer, Network, Operation};
use taonet_proof_core::quantise::{QuantiseOptions, quantise};

use super::reductions::test_values;
use super::*;

/// Inputs of -100 to 100 stand for -3.125 to 3.125.
pub(super) fn options() -> QuantiseOptions {
    QuantiseOptions {
        input_range: Range { low: -100, high: 100 },
        input_scale: 5,
        ..QuantiseOptions::default()
    }
}

pub(super) fn sample(count: usize) -> Vec<Vec<i64>> {
    let row = |seed: usize| {
        (0..count).map(move |index| ((seed * 71 + index * 37) % 201).cast_signed() as i64 - 100)
    };
    (0..9).map(|seed| row(seed).collect()).collect()
}

/// Returns the network before and after quantisation, compared with the file, and the largest error
/// of its outputs as a part of the largest value.
pub(super) fn quantised(
    opset: i64,
    graph: GraphProto,
) -> Result<(FloatNetwork, Network, f64), Box<dyn std::error::Error>> {
    let model = Model::decode(&model_of(opset, graph))?;
    let float = model.network()?;
    let sample = sample(float.input.elements());
    let network = quantise(&float, &options(), &sample)?;
    compare(&model, &float, &network, &options(), &sample)?;
    let circuit = network.lower()?;
    let (unit, mut largest, mut magnitude) =
        (f64::from(-network.output_scale()).exp2(), 0.0_f64, 0.0_f64);
    for row in &sample {
        let expected = model.evaluate(&options().dequantise_input(row))?.outputs;
        for (expected, actual) in
            expected.iter().zip(circuit.execute(row).unwrap().outputs(&circuit))
        {
            largest = largest.max((expected - actual as f64 * unit).abs());
            magnitude = magnitude.max(expected.abs());
        }
    }
    Ok((float, network, largest / magnitude))
}

pub(super) fn read_small(
    dims: &[i64],
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
) -> (FloatNetwork, Network, f64) {
    quantised(20, small(dims, nodes, weights)).unwrap_or_else(|error| panic!("{error}"))
}

/// Adds a float attribute.
pub(super) fn with_float(mut node: NodeProto, name: &str, value: f32) -> NodeProto {
    let kind = AttributeKind::Float as i32;
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        f: value,
        kind,
        ..AttributeProto::default()
    });
    node
}

/// Creates a node with one operand.
pub(super) fn unary(operator: &str) -> NodeProto {
    node(operator, &["x"], "y", &[])
}

/// Scales and offsets are part of the layer before, a function, or their own layer.
#[test]
fn constants_are_folded_or_become_layers() {
    let channels = floats("c", &[1, 2, 1, 1], &[0.5, -2.0]);
    let each = floats("c", &[2, 2], &[0.5, -1.0, 2.0, 0.25]);
    let image: &[i64] = &[1, 2, 2, 2];
    let convolution = node("Conv", &["x", "k"], "h", &[]);
    let kernel = || floats("k", &[2, 2, 1, 1], &[0.5, -0.25, 1.0, 0.75]);
    for operator in ["Mul", "Sub", "Add", "Div"] {
        for (operands, may_divide_by_zero) in [(["h", "c"], false), (["c", "h"], operator == "Div")]
        {
            if may_divide_by_zero {
                continue;
            }
            let nodes = vec![convolution.clone(), node(operator, &operands, "y", &[])];
            let (float, _, error) = read_small(image, nodes, vec![kernel(), channels.clone()]);
            assert!(float.nodes.len() == 1 && error < 0.02, "{operator}: {error}");
            let nodes = vec![convolution.clone(), node("Tanh", &["h"], "t", &[])];
            let mut nodes = [
                nodes,
                vec![node(
                    operator,
                    &operands.map(|name| if name == "h" { "t" } else { name }),
                    "y",
                    &[],
                )],
            ]
            .concat();
            let (float, _, error) =
                read_small(image, nodes.clone(), vec![kernel(), channels.clone()]);
            assert!(float.nodes.len() == 3 && error < 0.02, "{operator}: {error}");
            // Each element of a channel has its own constant: the tensor is moved to one channel
            // for each, and back.
            nodes.push(node("Relu", &["y"], "z", &[]));
            let mut graph = small(image, nodes, vec![kernel(), each.clone()]);
            graph.output = vec![value("z", &[])];
            let (float, _, error) = quantised(20, graph).unwrap();
            assert!(
                float.nodes.len() == 6 && error < 0.02,
                "{operator}: {} {error}",
                float.nodes.len()
            );
        }
    }
}

#[test]
fn elementwise_operators_combine_two_tensors() {
    let weights = || {
        vec![floats(
            "v",
            &[4, 4],
            &[
                0.5, -0.25, 1.0, 0.75, -0.5, 0.25, 0.125, -1.0, 0.5, 0.5, 0.25, 0.25, -0.75, 1.0,
                0.5, 0.125,
            ],
        )]
    };
    for operator in ["Add", "Sub", "Mul"] {
        let nodes = vec![
            node("MatMul", &["x", "v"], "h", &[]),
            node("Sigmoid", &["h"], "s", &[]),
            node(operator, &["x", "s"], "y", &[]),
        ];
        let (_, _, error) = read_small(&[1, 4], nodes, weights());
        assert!(error < 0.02, "{operator}: {error}");
        // One value for each channel, as in an attention to channels.
        let nodes = vec![
            node("GlobalAveragePool", &["x"], "p", &[]),
            node("Sigmoid", &["p"], "s", &[]),
            node(operator, &["x", "s"], "m", &[]),
            node("Relu", &["m"], "y", &[]),
        ];
        let (_, network, error) = read_small(&[1, 2, 2, 2], nodes, vec![]);
        assert!(error < 0.02, "{operator}: {error}");
        assert!(
            network.layers.iter().any(|layer| matches!(layer.operation, Operation::Move { .. })),
            "{operator}"
        );
    }
    let nodes = vec![node("MatMul", &["x", "v"], "h", &[]), node("Pow", &["x", "h"], "y", &[])];
    let error = quantised(20, small(&[1, 4], nodes, weights())).unwrap_err().to_string();
    assert!(error.contains("both operands depend on the network's input"), "{error}");
}

/// A block of a transformer without attention: each row is multiplied with matrices, whose biases
/// are folded.
#[test]
fn rows_are_multiplied_with_a_matrix() {
    let weights = || {
        vec![
            floats("v", &[4, 5], &test_values(20)),
            floats("b", &[5], &[0.5, -1.0, 0.25, 0.0, 2.0]),
            floats("w", &[5, 4], &test_values(20)),
            floats("c", &[4], &[-0.5, 1.5, 0.75, -0.25]),
        ]
    };
    let nodes = vec![
        node("MatMul", &["x", "v"], "h", &[]),
        node("Add", &["h", "b"], "i", &[]),
        node("Gelu", &["i"], "g", &[]),
        node("MatMul", &["g", "w"], "o", &[]),
        node("Add", &["c", "o"], "p", &[]),
        node("Add", &["p", "x"], "y", &[]),
    ];
    for dims in [&[1, 3, 4][..], &[1, 2, 3, 4], &[1, 1, 4]] {
        let (float, _, error) = read_small(dims, nodes.clone(), weights());
        // Each product is one layer between two moves, or a dense layer, whose vector is added to a
        // moved input.
        assert_eq!(float.nodes.len(), if dims == [1, 1, 4] { 5 } else { 8 }, "{dims:?}");
        assert!(error < 0.02, "{dims:?}: {error}");
    }
    let mismatched_nodes = vec![node("MatMul", &["x", "w"], "y", &[])];
    let error =
        quantised(20, small(&[1, 3, 4], mismatched_nodes, weights())).unwrap_err().to_string();
    assert!(error.contains("weights [5, 4] do not match an input of [1, 3, 4]"), "{error}");
}

/// The products of attention for each head: queries with keys, and a table of the scores with
/// values. Also products in which one matrix is repeated for all matrices of the other operand.
#[test]
fn computed_matrices_are_multiplied() {
    let weights = || ["q", "k", "v"].map(|name| floats(name, &[4, 4], &test_values(16))).to_vec();
    let nodes = vec![
        node("MatMul", &["x", "q"], "queries", &[]),
        node("MatMul", &["x", "k"], "keys", &[]),
        node("MatMul", &["x", "v"], "values", &[]),
        node("Transpose", &["keys"], "turned", &[("perm", &[0, 1, 3, 2])]),
        node("MatMul", &["queries", "turned"], "scores", &[]),
        node("Sigmoid", &["scores"], "table", &[]),
        node("MatMul", &["table", "values"], "y", &[]),
    ];
    let (float, network, error) = read_small(&[1, 2, 3, 4], nodes, weights());
    let is_product = |layer: &&Layer| matches!(layer.operation, Operation::MatrixProduct(_));
    assert_eq!(network.layers.iter().filter(is_product).count(), 2);
    assert_eq!(float.nodes.last().unwrap().shape, Shape::new(2, 3, 4).unwrap());
    assert!(error < 0.05, "{error}");
    // The sums of all heads multiply each head.
    let nodes = vec![
        node("Transpose", &["x"], "t", &[("perm", &[0, 1, 3, 2])]),
        with_int(node("Gather", &["t", "first"], "h", &[]), "axis", 1),
        node("MatMul", &["x", "h"], "y", &[]),
    ];
    let first = vec![integers("first", &[0])];
    let graph = small(&[1, 2, 2, 2], nodes, first);
    assert_eq!(
        outputs(graph, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        [5.0, 11.0, 11.0, 25.0, 17.0, 39.0, 23.0, 53.0]
    );
    let mismatched_nodes = vec![node("MatMul", &["x", "x"], "y", &[])];
    let error =
        quantised(20, small(&[1, 2, 3, 4], mismatched_nodes, vec![])).unwrap_err().to_string();
    assert!(error.contains("matrices of [1, 2, 3, 4] and [1, 2, 3, 4] do not fit"), "{error}");
}

/// Moved elements are those of the standard: positions count from 0.
#[test]
fn moved_elements_have_the_order_of_the_standard() {
    let image: &[i64] = &[1, 2, 2, 3];
    let integer_lists = |integer_lists: &[(&str, &[i64])]| {
        integer_lists.iter().map(|(name, values)| integers(name, values)).collect::<Vec<_>>()
    };
    let pad = |mode: &str| with_text(node("Pad", &["x", "pads", "value"], "y", &[]), "mode", mode);
    let pads = |pads: &[i64]| {
        [integer_lists(&[("pads", pads)]), vec![floats("value", &[], &[-1.0])]].concat()
    };
    let scalar = TensorProto { dims: vec![], ..integers("index", &[-1]) };
    for (node, weights, expected) in [
        (
            node("Transpose", &["x"], "y", &[("perm", &[0, 2, 3, 1])]),
            vec![],
            vec![0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11],
        ),
        (node("Transpose", &["x"], "y", &[]), vec![], vec![0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]),
        (
            node("Slice", &["x", "starts", "ends", "axes", "steps"], "y", &[]),
            integer_lists(&[
                ("starts", &[1, -1]),
                ("ends", &[2, -4]),
                ("axes", &[1, -1]),
                ("steps", &[1, -2]),
            ]),
            vec![8, 6, 11, 9],
        ),
        (
            with_int(node("Concat", &["x", "x"], "y", &[]), "axis", -1),
            vec![],
            vec![0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 6, 7, 8, 9, 10, 11, 9, 10, 11],
        ),
        (pad("constant"), pads(&[0, 0, 1, 0, 0, -1, 0, 0]), vec![-1, -1, -1, 0, 1, 2, 3, 4, 5]),
        (pad("edge"), pads(&[0, -1, 0, 1, 0, 0, 0, 0]), vec![6, 6, 7, 8, 9, 9, 10, 11]),
        (pad("reflect"), pads(&[0, -1, -1, 1, 0, 0, 0, 2]), vec![10, 9, 10, 11, 10, 9]),
        (
            with_int(node("Gather", &["x", "index"], "y", &[]), "axis", 2),
            vec![scalar],
            vec![3, 4, 5, 9, 10, 11],
        ),
        (
            with_int(node("Gather", &["x", "index"], "y", &[]), "axis", 3),
            integer_lists(&[("index", &[2, 0, 2])]),
            vec![2, 0, 2, 5, 3, 5, 8, 6, 8, 11, 9, 11],
        ),
    ] {
        let name = format!("{} {expected:?}", node.op_type);
        let input: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_eq!(
            outputs(small(image, vec![node.clone()], weights.clone()), &input),
            expected,
            "{name}"
        );
        let (_, network, error) = read_small(image, vec![node], weights);
        assert!(
            matches!(network.layers[..], [Layer { operation: Operation::Move { .. }, .. }]),
            "{name}"
        );
        assert!(error < 1e-9, "{name}: moves change no value");
    }
}

/// Limits and pads are attributes before versions 10 and 11, and inputs from these on.
#[test]
fn attributes_of_other_operator_versions_are_refused() {
    let floats_of = |node: NodeProto| with_float(with_float(node, "min", -1.0), "max", 1.0);
    let slice = || node("Slice", &["x"], "y", &[("starts", &[1]), ("ends", &[3]), ("axes", &[1])]);
    let pad = || node("Pad", &["x"], "y", &[("pads", &[0, 1, 0, 1])]);
    for (version, later, node) in
        [(10, 11, floats_of(unary("Clip"))), (9, 10, slice()), (10, 11, pad())]
    {
        let name = node.op_type.clone();
        quantised(version, small(&[1, 4], vec![node.clone()], vec![]))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = quantised(later, small(&[1, 4], vec![node], vec![])).unwrap_err().to_string();
        assert!(error.contains("misplaced for operator set"), "{name}: {error}");
    }
}

/// Tensors of different scales get a common one: coarse ones are multiplied, fine ones rounded.
#[test]
fn concatenated_tensors_have_one_scale() {
    let weights = |factor: f32| vec![floats("w", &[2, 2], &[factor, -factor, factor, factor])];
    for factor in [0.01, 0.5, 100.0, 10_000.0] {
        let nodes = vec![
            node("MatMul", &["x", "w"], "h", &[]),
            node("Tanh", &["x"], "t", &[]),
            with_int(node("Concat", &["h", "t"], "c", &[]), "axis", 1),
            node("Relu", &["c"], "y", &[]),
        ];
        let (_, _, error) = read_small(&[1, 2], nodes, weights(factor));
        assert!(error < 0.02, "{factor}: {error}");
    }
}

#[test]
fn inputs_of_any_rank_are_read() {
    let transpose = |perm: &[i64]| vec![node("Transpose", &["x"], "y", &[("perm", perm)])];
    for (dims, perm) in
        [(&[6][..], &[0][..]), (&[1, 2, 3], &[0, 2, 1]), (&[1, 2, 1, 3, 2], &[4, 0, 3, 2, 1])]
    {
        let (float, ..) = read_small(dims, transpose(perm), vec![]);
        assert_eq!(float.input.elements().cast_signed() as i64, dims.iter().product::<i64>());
    }
    // A vector is multiplied without a batch.
    let matrix = floats("w", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(
        outputs(
            small(&[3], vec![node("MatMul", &["x", "w"], "y", &[])], vec![matrix]),
            &[1.0, 1.0, 2.0]
        ),
        [14.0, 18.0]
    );
    for dims in [&[2, 3][..], &[3, 1, 2, 2], &[]] {
        let (float, ..) = read_small(dims, vec![unary("Relu")], vec![]);
        assert_eq!(float.input.elements().cast_signed() as i64, dims.iter().product::<i64>());
    }
    let error = read(&model(small(&[0], vec![unary("Relu")], vec![]))).unwrap_err();
    assert!(matches!(error, OnnxError::InputShape(_)), "{error}");
}

/// Files that describe moves of many elements, or endless pads, are refused before these are
/// listed.
#[test]
fn files_with_too_many_moved_elements_are_refused() {
    let chain = (0..300).map(|index| {
        let (source, target) = (format!("t{index}"), format!("t{}", index + 1));
        node(
            "Transpose",
            &[if index == 0 { "x" } else { &source }],
            if index == 299 { "y" } else { &target },
            &[],
        )
    });
    let error =
        read(&model(small(&[1, 64, 64, 64], chain.collect(), vec![]))).unwrap_err().to_string();
    assert!(error.contains("elements are moved by all nodes together"), "{error}");
    for pads in [
        [0, 0, i64::MAX, i64::MAX],
        [0, 0, 0, 1 << 40],
        [0, i64::MIN, 0, i64::MAX],
        [0, i64::MIN, 0, 0],
        [0, -2, 0, -2],
    ] {
        let graph = small(
            &[1, 4],
            vec![node("Pad", &["x", "pads"], "y", &[])],
            vec![integers("pads", &pads)],
        );
        let error = read(&model(graph)).unwrap_err().to_string();
        assert!(error.contains("it is empty or too large"), "{pads:?}: {error}");
    }
    let empty_slice = vec![integers("starts", &[3]), integers("ends", &[3])];
    let slice = node("Slice", &["x", "starts", "ends"], "y", &[]);
    let error = read(&model(small(&[4], vec![slice], empty_slice))).unwrap_err().to_string();
    assert!(error.contains("it is empty or too large"), "{error}");
}
