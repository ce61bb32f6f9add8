mod compositions;
mod fold;
mod functions;
mod indices;
mod inputs;
mod limits;
mod logic;
mod lookup;
mod matrices;
mod models;
mod moves;
mod norms;
mod operators;
mod reductions;
mod refusals;
mod sequences;
mod trees;
mod windows;

use proptest::prelude::*;
use prost::Message as _;

use super::proto::{
    AttributeKind, AttributeProto, DataType, DimensionProto, DimensionValue, GraphProto,
    ModelProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use super::*;

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|&dim| DimensionProto { value: (dim > 0).then_some(DimensionValue::Size(dim)) })
        .collect();
    let tensor =
        TensorTypeProto { element: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        name: name.to_owned(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

fn node(operator: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) -> NodeProto {
    let attribute = ints.iter().map(|&(name, values)| AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        kind: AttributeKind::Ints as i32,
        ..AttributeProto::default()
    });
    NodeProto {
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        op_type: operator.to_owned(),
        attribute: attribute.collect(),
        ..NodeProto::default()
    }
}

fn model(graph: GraphProto) -> Vec<u8> {
    model_of(17, graph)
}

fn model_of(opset: i64, graph: GraphProto) -> Vec<u8> {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
    ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() }.encode_to_vec()
}

/// Adds an integer attribute.
fn with_int(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    let kind = AttributeKind::Int as i32;
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        i: value,
        kind,
        ..AttributeProto::default()
    });
    node
}

/// Adds a text attribute.
fn with_text(mut node: NodeProto, name: &str, value: &str) -> NodeProto {
    let kind = AttributeKind::String as i32;
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        s: value.into(),
        kind,
        ..AttributeProto::default()
    });
    node
}

/// A conversion of the elements' type.
fn cast(input: &str, output: &str, kind: DataType) -> NodeProto {
    with_int(node("Cast", &[input], output, &[]), "to", i64::from(kind as i32))
}

/// A weight in half precision.
fn float16_weight(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        data_type: DataType::Float16 as i32,
        raw_data: values
            .iter()
            .flat_map(|&value| half::f16::from_f32(value).to_le_bytes())
            .collect(),
        ..floats(name, dims, &[])
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        dims: vec![values.len().cast_signed() as i64],
        data_type: DataType::Int64 as i32,
        name: name.to_owned(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

/// A graph from "x" with these dimensions to "y".
fn small(dims: &[i64], node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    let (input, output) = (vec![value("x", dims)], vec![value("y", &[])]);
    GraphProto {
        node,
        name: "test".to_owned(),
        initializer,
        input,
        output,
        ..GraphProto::default()
    }
}

/// Convolution, batch norm, ReLU, maximum, flatten, dense layer as a matrix product with a bias,
/// softmax.
fn graph() -> GraphProto {
    GraphProto {
        node: vec![
            node("Conv", &["x", "w"], "c", &[("pads", &[1, 1, 1, 1]), ("kernel_shape", &[3, 3])]),
            node("BatchNormalization", &["c", "s", "b", "m", "v"], "n", &[]),
            node("Relu", &["n"], "r", &[]),
            node("MaxPool", &["r"], "p", &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]),
            node("Flatten", &["p"], "f", &[]),
            node("MatMul", &["f", "d"], "q", &[]),
            node("Add", &["q", "e"], "a", &[]),
            node("Softmax", &["a"], "y", &[]),
        ],
        name: "test".to_owned(),
        initializer: vec![
            floats("w", &[2, 1, 3, 3], &[0.5; 18]),
            floats("s", &[2], &[1.0, 2.0]),
            floats("b", &[2], &[0.25, 0.5]),
            floats("m", &[2], &[1.0, -1.0]),
            floats("v", &[2], &[4.0, 1.0]),
            floats("d", &[8, 3], &[0.125; 24]),
            floats("e", &[3], &[1.0, 2.0, 3.0]),
        ],
        input: vec![value("x", &[0, 1, 4, 4])],
        output: vec![value("y", &[1, 3])],
        ..GraphProto::default()
    }
}

#[test]
fn small_network_is_read_and_folded() {
    let network = read(&model(graph())).unwrap();
    assert_eq!(network.nodes.len(), 4, "{network:?}");
    assert_eq!(network.notes, ["the final softmax is omitted: outputs are its inputs"]);
    let FloatOperation::Convolution { weights, bias, .. } = &network.nodes[0].operation else {
        panic!("a convolution")
    };
    // First channel: scale 1 / sqrt(4), shift 0.25 - 1 / 2. Second channel: scale 2 / 1, shift 0.5 +
    // 2.
    assert!((weights[0] - 0.25).abs() < 1e-5 && (weights[9] - 1.0).abs() < 1e-4);
    assert!((bias[0] + 0.25).abs() < 1e-5 && (bias[1] - 2.5).abs() < 1e-4);
    let tensors = network.run(&[1.0; 16]).unwrap();
    // Inner positions see nine ones, so the maxima are 9 * 0.25 - 0.25 and 9 + 2.5.
    let outputs = tensors.last().unwrap();
    let sum = 0.125 * (4.0 * 2.0 + 4.0 * 11.5);
    for (output, bias) in outputs.iter().zip([1.0, 2.0, 3.0]) {
        assert!((output - sum - bias).abs() < 1e-3, "{outputs:?}");
    }
}

#[test]
fn shared_layer_keeps_its_weights() {
    let mut graph = graph();
    // The convolution is read twice: folding the batch norm into it would change the other reader.
    graph.node.truncate(2);
    graph.node.push(node("Add", &["c", "n"], "y", &[]));
    let network = read(&model(graph)).unwrap();
    assert_eq!(network.nodes.len(), 3);
    let FloatOperation::Convolution { weights, .. } = &network.nodes[0].operation else {
        panic!("a convolution")
    };
    assert!((weights[0] - 0.5).abs() < f32::EPSILON);
}

/// Returns the outputs of the network and of the evaluation, which must be equal.
fn outputs(graph: GraphProto, input: &[f32]) -> Vec<f64> {
    let model = Model::decode(&model(graph)).unwrap();
    let network: Vec<f64> = model
        .network()
        .unwrap()
        .run(input)
        .unwrap()
        .pop()
        .unwrap()
        .into_iter()
        .map(f64::from)
        .collect();
    let evaluation = model.evaluate(input).unwrap();
    assert_eq!(network, evaluation.outputs);
    network
}

#[test]
fn valid_operand_forms_are_accepted() {
    let gemm = |bias: TensorProto| {
        let weights = floats("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        small(&[1, 2], vec![node("Gemm", &["x", "w", "b"], "y", &[])], vec![weights, bias])
    };
    // A bias may be one number for all outputs.
    for dims in [&[1][..], &[], &[1, 1]] {
        assert_eq!(outputs(gemm(floats("b", dims, &[10.0])), &[1.0, 1.0]), [15.0, 17.0, 19.0]);
    }
    assert_eq!(outputs(gemm(floats("b", &[1, 3], &[1.0, 2.0, 3.0])), &[1.0, 0.0]), [2.0, 4.0, 6.0]);
    // Half precision: 1.5 is 0x3e00, 1.0 is 0x3f80 as bfloat16.
    let weights_of = |kind: DataType, raw_data: Vec<u8>, int32_data: Vec<i32>| TensorProto {
        dims: vec![2, 1],
        data_type: kind as i32,
        name: "w".to_owned(),
        raw_data,
        int32_data,
        ..TensorProto::default()
    };
    for (weights, expected) in [
        (weights_of(DataType::Float16, vec![0x00, 0x3e, 0x00, 0x3e], vec![]), 3.0),
        (weights_of(DataType::Float16, vec![], vec![0x3e00; 2]), 3.0),
        (weights_of(DataType::Bfloat16, vec![0x80, 0x3f, 0x80, 0x3f], vec![]), 2.0),
    ] {
        let graph = small(&[1, 2], vec![node("MatMul", &["x", "w"], "y", &[])], vec![weights]);
        assert_eq!(outputs(graph, &[1.0, 1.0]), [expected]);
    }
    // Constants as lists of numbers.
    let list = |name: &str, attribute: AttributeProto| NodeProto {
        output: vec![name.to_owned()],
        op_type: "Constant".to_owned(),
        attribute: vec![attribute],
        ..NodeProto::default()
    };
    let ints = AttributeProto {
        name: "value_ints".to_owned(),
        ints: vec![1, -1],
        kind: AttributeKind::Ints as i32,
        ..AttributeProto::default()
    };
    let biases = AttributeProto {
        name: "value_floats".to_owned(),
        floats: vec![0.5, 0.25],
        kind: AttributeKind::Floats as i32,
        ..AttributeProto::default()
    };
    let nodes = vec![
        list("shape", ints),
        list("b", biases),
        node("Reshape", &["x", "shape"], "r", &[]),
        node("Gemm", &["r", "w", "b"], "y", &[]),
    ];
    let weights = floats("w", &[4, 2], &[1.0; 8]);
    assert_eq!(outputs(small(&[1, 1, 2, 2], nodes, vec![weights]), &[1.0; 4]), [4.5, 4.25]);
    // Reshapes back and forth, a softmax over all outputs, and pools that ignore explicit zero
    // pads.
    let nodes = vec![
        with_text(
            node("AveragePool", &["x"], "p", &[("kernel_shape", &[2, 2]), ("pads", &[0, 0, 0, 0])]),
            "auto_pad",
            "VALID",
        ),
        node("Unsqueeze", &["p", "axes"], "u", &[]),
        node("Squeeze", &["u", "axes"], "q", &[]),
        with_int(node("Flatten", &["q"], "f", &[]), "axis", 1),
        with_int(node("Softmax", &["f"], "y", &[]), "axis", 1),
    ];
    let axes = integers("axes", &[0]);
    assert_eq!(
        outputs(small(&[1, 1, 2, 3], nodes, vec![axes]), &[1.0, 3.0, 5.0, 1.0, 3.0, 5.0]),
        [2.0, 4.0]
    );
}

/// Weights in half precision, with conversions wherever exporters put them.
#[test]
fn half_precision_with_conversions_is_read() {
    let nodes = || {
        vec![
            cast("x", "h", DataType::Float16),
            node("Conv", &["h", "w"], "c", &[("pads", &[1, 1, 1, 1])]),
            cast("c", "c32", DataType::Float),
            node("BatchNormalization", &["c32", "s", "z", "z", "s"], "n", &[]),
            cast("n", "n16", DataType::Float16),
            node("Relu", &["n16"], "r", &[]),
            node("Flatten", &["r"], "f", &[]),
            cast("d", "d16", DataType::Float16),
            node("MatMul", &["f", "d16"], "q", &[]),
            cast("q", "q32", DataType::Double),
            node("Add", &["q32", "e"], "a", &[]),
            node("Softmax", &["a"], "p", &[]),
            cast("p", "y", DataType::Float),
        ]
    };
    let weights = || {
        vec![
            float16_weight("w", &[1, 1, 3, 3], &[0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
            floats("s", &[1], &[1.0]),
            floats("z", &[1], &[0.0]),
            floats("d", &[4, 2], &[1.0, -1.0, 0.5, 0.0, 0.25, 0.0, 0.0, 3.0]),
            float16_weight("e", &[2], &[0.5, -0.5]),
        ]
    };
    let graph = small(&[1, 1, 2, 2], nodes(), weights());
    let compiled = read(&model(graph.clone())).unwrap();
    // Batch norm and addition are folded although a conversion precedes them.
    assert_eq!((compiled.nodes.len(), compiled.notes.len()), (3, 1), "{compiled:?}");
    let factor = 2.0 / f64::from(1.0_f32 + 1e-5).sqrt();
    let evaluation =
        Model::decode(&model(graph)).unwrap().evaluate(&[1.0, -2.0, 4.0, 8.0]).unwrap();
    for (output, expected) in
        evaluation.outputs.iter().zip([2.0 * factor + 0.5, 23.0 * factor - 0.5])
    {
        assert!((output - expected).abs() < 1e-6, "{evaluation:?}");
    }
    let network = compiled.run(&[1.0, -2.0, 4.0, 8.0]).unwrap().pop().unwrap();
    for (output, expected) in network.iter().zip(&evaluation.outputs) {
        assert!((f64::from(*output) - expected).abs() < 1e-4, "{network:?}");
    }
    // A tensor that is also read under its old name is not folded.
    let mut shared = small(&[1, 1, 2, 2], nodes(), weights());
    shared.node.truncate(4);
    shared.node.push(node("Add", &["c", "n"], "y", &[]));
    assert_eq!(read(&model(shared)).unwrap().nodes.len(), 3);
    // 65 504 is the largest number of half precision.
    let graph = small(
        &[1, 1],
        vec![node("Relu", &["x"], "r", &[]), cast("r", "y", DataType::Float16)],
        vec![],
    );
    let model = Model::decode(&model(graph)).unwrap();
    assert_eq!(model.evaluate(&[65_504.0]).unwrap().outputs, [65_504.0]);
    let error = model.evaluate(&[65_520.0]).unwrap_err().to_string();
    assert!(error.contains("a value exceeds the range of half precision"), "{error}");
}

/// A convolution's window may cover padding only: its output is then the bias.
#[test]
fn convolution_with_padding_as_large_as_the_kernel_is_read() {
    let graph = |kernel: i64, pads: &[i64], strides: &[i64]| {
        let weights: Vec<f32> = (1..=kernel * kernel).map(|index| index as f32).collect();
        let node = node("Conv", &["x", "w", "b"], "y", &[("pads", pads), ("strides", strides)]);
        small(
            &[1, 1, 2, 2],
            vec![node],
            vec![floats("w", &[1, 1, kernel, kernel], &weights), floats("b", &[1], &[0.5])],
        )
    };
    let input = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(
        outputs(graph(1, &[0, 1, 0, 1], &[1, 1]), &input),
        [0.5, 1.5, 2.5, 0.5, 0.5, 3.5, 4.5, 0.5]
    );
    // The window is at rows and columns -3, -1, 1 and 3 of the input; the first and the last cover
    // padding only.
    assert_eq!(
        outputs(graph(2, &[3, 3, 3, 3], &[2, 2]), &input),
        [0.5, 0.5, 0.5, 0.5, 0.5, 4.5, 6.5, 0.5, 0.5, 6.5, 4.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    );
    let huge = read(&model(graph(1, &[i64::MAX, 0, 0, 0], &[1, 1])));
    assert!(huge.is_err_and(|error| error.to_string().contains("pads is malformed")));
}

/// The evaluation and the network compute the same for a model with every kind of layer.
#[test]
fn evaluation_equals_the_network() {
    let model = Model::decode(&model(graph())).unwrap();
    let input: Vec<f32> = (0..16_u8).map(|index| f32::from(index * 7 % 16) - 5.0).collect();
    let network = model.network().unwrap().run(&input).unwrap().pop().unwrap();
    let evaluation = model.evaluate(&input).unwrap();
    for (network, evaluated) in network.iter().zip(&evaluation.outputs) {
        assert!((f64::from(*network) - evaluated).abs() < 1e-4, "{network} {evaluated}");
    }
    assert!(evaluation.magnitude >= 10.0);
}

/// A small file does not describe a network that takes much memory or time.
#[test]
fn small_file_of_a_costly_network_is_refused() {
    let pool = |dims: &[i64], kernel: &[i64], pads: &[i64]| {
        let node = node("AveragePool", &["x"], "y", &[("kernel_shape", kernel), ("pads", pads)]);
        read(&model(small(dims, vec![with_int(node, "count_include_pad", 1)], vec![])))
    };
    let extent = 1 << 19;
    let huge_window = pool(&[1, 1, 1, 1], &[extent, extent], &[extent - 1; 4]);
    assert!(
        matches!(huge_window, Err(OnnxError::Shape { .. } | OnnxError::Work(_))),
        "{huge_window:?}"
    );
    let many_positions = pool(&[1, 1, 512, 512], &[128, 128], &[0; 4]);
    assert!(matches!(many_positions, Err(OnnxError::Memory(_))), "{many_positions:?}");
    // Many nodes share one weight, of which each gets a copy.
    let weights = floats("w", &[512, 512], &vec![0.0; 512 * 512]);
    let chain = (0..800).map(|index| {
        let (source, target) = (format!("t{index}"), format!("t{}", index + 1));
        node(
            "MatMul",
            &[if index == 0 { "x" } else { &source }, "w"],
            if index == 799 { "y" } else { &target },
            &[],
        )
    });
    let shared = read(&model(small(&[1, 512], chain.collect(), vec![weights])));
    assert!(
        matches!(shared, Err(OnnxError::Parameters(count)) if count > MAX_PARAMETERS),
        "{shared:?}"
    );
    let mut parts = vec![0x3a];
    prost::encoding::encode_varint(2 * (1 << 19), &mut parts);
    parts.extend([0x0a, 0x00].repeat(1 << 19));
    assert_eq!(read(&parts), Err(OnnxError::Parts));
}

proptest! {
    #[test]
    fn broken_files_do_not_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = model(graph());
        for (index, byte) in flips {
            let offset = index.index(bytes.len());
            bytes[offset] = byte;
        }
        if let Ok(model) = Model::decode(&bytes)
            && let Ok(network) = model.network()
        {
            // A changed weight can make any value infinite, so only counts are compared.
            let input = vec![0.5; network.input.elements()];
            let outputs = network.run(&input).unwrap().pop().unwrap();
            prop_assert_eq!(model.evaluate(&input).unwrap().outputs.len(), outputs.len());
        }
    }

    #[test]
    fn arbitrary_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }
}
