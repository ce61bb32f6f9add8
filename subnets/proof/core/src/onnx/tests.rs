use proptest::prelude::*;
use prost::Message as _;

use super::proto::{
    AttributeKind, AttributeProto, DataType, DimensionProto, DimensionValue, NodeProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
};
use super::*;

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim =
        dims.iter().map(|&dim| DimensionProto { value: (dim > 0).then_some(DimensionValue::Size(dim)) }).collect();
    let tensor = TensorTypeProto { element: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
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
        i: values.first().copied().unwrap_or_default(),
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
    ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

/// Convolution, batch norm, ReLU, maximum, flatten, dense layer as a matrix product with a bias, softmax.
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
    }
}

fn refuse(change: impl FnOnce(&mut GraphProto)) -> OnnxError {
    let mut graph = graph();
    change(&mut graph);
    read(&model(graph)).unwrap_err()
}

#[test]
fn a_small_network_is_read_and_folded() {
    let network = read(&model(graph())).unwrap();
    assert_eq!(network.nodes.len(), 4, "{network:?}");
    assert_eq!(network.notes, ["the final softmax is omitted: outputs are its inputs"]);
    let FloatOperation::Convolution { weights, bias, .. } = &network.nodes[0].operation else {
        panic!("a convolution")
    };
    // First channel: scale 1 / sqrt(4), shift 0.25 - 1 / 2. Second channel: scale 2 / 1, shift 0.5 + 2.
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
fn a_shared_layer_keeps_its_weights() {
    let mut graph = graph();
    // The convolution is read twice: folding the batch norm into it would change the other reader.
    graph.node.truncate(2);
    graph.node.push(node("Add", &["c", "n"], "y", &[]));
    let network = read(&model(graph)).unwrap();
    assert_eq!(network.nodes.len(), 3);
    let FloatOperation::Convolution { weights, .. } = &network.nodes[0].operation else { panic!("a convolution") };
    assert!((weights[0] - 0.5).abs() < f32::EPSILON);
}

#[test]
fn cycles_and_missing_tensors_are_named() {
    let cycle = refuse(|graph| graph.node[0].input[0] = "a".to_owned());
    assert!(matches!(&cycle, OnnxError::Cycle { tensor, .. } if tensor == "a"), "{cycle}");
    let itself = refuse(|graph| graph.node[2].input[0] = "r".to_owned());
    assert!(matches!(itself, OnnxError::Cycle { .. }), "{itself}");
    let missing = refuse(|graph| graph.node[2].input[0] = "nowhere".to_owned());
    assert!(matches!(&missing, OnnxError::Missing { tensor, .. } if tensor == "nowhere"), "{missing}");
    let weight = refuse(|graph| drop(graph.initializer.remove(5)));
    assert!(matches!(weight, OnnxError::Interface { .. } | OnnxError::Missing { .. }), "{weight}");
    let output = refuse(|graph| graph.output[0].name = "nowhere".to_owned());
    assert!(matches!(output, OnnxError::Missing { .. }), "{output}");
}

#[test]
fn weights_that_lie_about_their_size_are_refused() {
    for dims in [vec![i64::MAX, i64::MAX], vec![1 << 40], vec![-1, 8], vec![2, 1, 3, 4], vec![]] {
        let error = refuse(|graph| graph.initializer[0].dims.clone_from(&dims));
        assert!(matches!(error, OnnxError::Weight { .. } | OnnxError::Unsupported { .. }), "{dims:?}: {error}");
    }
    let truncated = refuse(|graph| graph.initializer[0].raw_data.truncate(71));
    assert!(matches!(truncated, OnnxError::Weight { .. }), "{truncated}");
    let infinite = refuse(|graph| graph.initializer[0] = floats("w", &[2, 1, 3, 3], &[f32::NAN; 18]));
    assert!(matches!(infinite, OnnxError::Weight { .. }), "{infinite}");
    let halves = refuse(|graph| graph.initializer[0].data_type = 10);
    assert!(matches!(halves, OnnxError::Weight { .. }), "{halves}");
}

#[test]
fn weights_in_other_files_are_refused() {
    let external = refuse(|graph| graph.initializer[0].data_location = 1);
    assert_eq!(external, OnnxError::External("w".to_owned()));
    let path = StringStringEntryProto { key: "location".to_owned() };
    let external = refuse(|graph| graph.initializer[1].external_data.push(path));
    assert_eq!(external, OnnxError::External("s".to_owned()));
}

#[test]
fn unsupported_graphs_are_refused() {
    let operator = refuse(|graph| graph.node[2].op_type = "Sigmoid".to_owned());
    assert!(matches!(operator, OnnxError::Operator(_)), "{operator}");
    let domain = refuse(|graph| graph.node[2].domain = "com.example".to_owned());
    assert!(matches!(domain, OnnxError::Operator(_)), "{domain}");
    let batch = refuse(|graph| graph.input[0] = value("x", &[32, 1, 4, 4]));
    assert!(matches!(batch, OnnxError::InputShape(_)), "{batch}");
    let huge = refuse(|graph| graph.input[0] = value("x", &[1, 1 << 40, 1 << 40, 4]));
    assert!(matches!(huge, OnnxError::Shape { .. }), "{huge}");
    let softmax = refuse(|graph| graph.node[2].op_type = "Softmax".to_owned());
    assert!(matches!(softmax, OnnxError::Unsupported { .. }), "{softmax}");
    let stride = refuse(|graph| graph.node[3].attribute[1].ints = vec![0, 0]);
    assert!(matches!(stride, OnnxError::Shape { .. }), "{stride}");
    let twice = refuse(|graph| graph.node[1].output[0] = "c".to_owned());
    assert!(matches!(twice, OnnxError::Duplicate(_) | OnnxError::Cycle { .. }), "{twice}");
    assert!(matches!(read(b"not a model"), Err(OnnxError::Malformed(_))));
    assert!(matches!(read(&[]), Err(OnnxError::Malformed(_))));
}

proptest! {
    #[test]
    fn broken_files_are_errors_and_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = model(graph());
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(network) = read(&bytes) {
            let _ = network.run(&vec![0.5; network.input.elements()]);
        }
    }

    #[test]
    fn arbitrary_bytes_are_errors_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }
}
