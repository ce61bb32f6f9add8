//! Recurrent cells, TopK, transposed convolutions and quantised tensors: forms that are refused,
//! and ties.

use super::super::proto::AttributeProto;
use super::operators::{read_small, with_float};
use super::*;

fn lstm(steps: i64) -> (Vec<i64>, Vec<NodeProto>, Vec<TensorProto>) {
    let weights = vec![floats("w", &[1, 8, 3], &[0.25; 24]), floats("r", &[1, 8, 2], &[0.125; 16])];
    (
        vec![1, steps, 3],
        vec![with_int(node("LSTM", &["x", "w", "r"], "y", &[]), "layout", 1)],
        weights,
    )
}

#[test]
fn unsupported_recurrent_nodes_are_refused() {
    let with_input = |position: usize, name: &str| {
        let (dims, mut nodes, weights) = lstm(4);
        nodes[0].input.resize(position, String::new());
        nodes[0].input.push(name.to_owned());
        (dims, nodes, weights)
    };
    let with_node = |change: fn(NodeProto) -> NodeProto| {
        let (dims, nodes, weights) = lstm(4);
        (dims, nodes.into_iter().map(change).collect::<Vec<_>>(), weights)
    };
    let with_clip = |node: NodeProto| with_float(node, "clip", 1.0);
    let with_unknown_activation = |mut node: NodeProto| {
        let strings = vec![b"Sigmoid".to_vec(), b"Affine".to_vec(), b"Tanh".to_vec()];
        let kind = AttributeKind::Strings as i32;
        node.attribute.push(AttributeProto {
            name: "activations".to_owned(),
            strings,
            kind,
            ..AttributeProto::default()
        });
        node
    };
    for ((dims, nodes, weights), expected) in [
        (lstm(1 << 14), "a sequence of 16384 steps, expected at most 1024"),
        (with_node(with_clip), "attribute 'clip' is unsupported"),
        (with_node(with_unknown_activation), "the activation 'Affine' is unsupported"),
        (with_node(|node| with_int(node, "input_forget", 1)), "input_forget is unsupported"),
        (with_node(|node| with_text(node, "direction", "sideways")), "the direction is unknown"),
        (with_node(|node| with_text(node, "direction", "bidirectional")), "do not fit an input"),
        (with_node(|node| with_int(node, "hidden_size", 3)), "do not fit an input"),
        (with_node(|node| NodeProto { op_type: "GRU".to_owned(), ..node }), "do not fit an input"),
        (with_input(4, "x"), "input 4 must be a weight"),
        (with_input(5, "x"), "an initial state has dimensions [1, 4, 3], expected [1, 1, 2]"),
    ] {
        let error = read(&model(small(&dims, nodes, weights))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let (dims, mut nodes, mut weights) = lstm(4);
    nodes[0].input.extend([String::new(), "lengths".to_owned()]);
    weights.push(integers("lengths", &[5]));
    let error = read(&model(small(&dims, nodes, weights))).unwrap_err().to_string();
    assert!(error.contains("sequence_lens [5] are not those of one sequence"), "{error}");
}

/// Nothing is rounded.
#[test]
fn top_k_prefers_the_first_of_equal_elements() {
    for (output, expected) in [("v", [3.0, 3.0, 1.0]), ("i", [1.0, 3.0, 0.0])] {
        let mut nodes = vec![node("TopK", &["x", "k"], "v", &[]), node("Neg", &[output], "y", &[])];
        nodes[0].output.push("i".to_owned());
        let graph = small(&[1, 5], nodes.clone(), vec![integers("k", &[3])]);
        let model = Model::decode(&model(graph)).unwrap();
        let input = [1.0, 3.0, -2.0, 3.0, 0.0];
        let outputs = model.evaluate(&input).unwrap().outputs;
        let floats = model.network().unwrap().run(&input).unwrap().pop().unwrap();
        assert_eq!(outputs, expected.map(|value: f64| -value));
        assert_eq!(floats, expected.map(|value: f64| -value as f32));
        let (.., error) = read_small(&[1, 5], nodes, vec![integers("k", &[3])]);
        assert!(error < 1e-9, "{output}: {error}");
    }
    for (count, width) in [(0, 5), (6, 5), (1, 1 << 14)] {
        let graph = small(
            &[1, width],
            vec![node("TopK", &["x", "k"], "y", &[])],
            vec![integers("k", &[count])],
        );
        assert!(
            matches!(read(&model(graph)), Err(OnnxError::Unsupported { .. })),
            "{count} of {width}"
        );
    }
}

#[test]
fn unsupported_transposed_convolutions_and_quantised_tensors_are_refused() {
    let image: &[i64] = &[1, 2, 4, 4];
    let kernel = || vec![floats("w", &[2, 3, 2, 2], &[0.5; 24])];
    let convolution = |ints: &[(&str, &[i64])]| vec![node("ConvTranspose", &["x", "w"], "y", ints)];
    let scales = || {
        vec![floats("s", &[], &[0.25]), floats("n", &[], &[-1.0]), floats("m", &[2], &[0.25, 0.5])]
    };
    let byte = |value| TensorProto {
        name: "z".to_owned(),
        data_type: 2,
        int32_data: vec![value],
        ..TensorProto::default()
    };
    let quantise = |inputs: &[&str]| vec![node("QuantizeLinear", inputs, "y", &[])];
    for (nodes, weights, expected) in [
        (convolution(&[("strides", &[0, 1])]), kernel(), "strides or output_padding are malformed"),
        (convolution(&[("output_padding", &[1, 0])]), kernel(), "output_padding are malformed"),
        (convolution(&[("dilations", &[2, 1])]), kernel(), "dilations are unsupported"),
        (convolution(&[("pads", &[3, 0, 2, 0])]), kernel(), "the pads remove all elements"),
        (convolution(&[("pads", &[-1, 0, 0, 0])]), kernel(), "pads is malformed"),
        (convolution(&[("strides", &[1 << 23, 1])]), kernel(), "empty or too large"),
        (convolution(&[("strides", &[i64::MAX, 1])]), kernel(), "strides is malformed"),
        (
            convolution(&[("output_shape", &[9, 9])]),
            kernel(),
            "attribute 'output_shape' is unsupported",
        ),
        (convolution(&[]), vec![floats("w", &[3, 2, 2, 2], &[0.5; 24])], "do not match 2 channels"),
        (quantise(&["x"]), vec![], "the scale is missing"),
        (quantise(&["x", "n"]), scales(), "is not positive"),
        (quantise(&["x", "m"]), scales(), "must be one number"),
        (quantise(&["x", "s", "s"]), scales(), "the zero point is not a weight of 8 bits"),
        (quantise(&["x", "s", "z"]), vec![byte(300)], "weight 'z': 300 is no integer of 8 bits"),
    ] {
        let error = read(&model(small(image, nodes, weights))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
