//! Several inputs and outputs, symbolic dimensions, and models that only rename their input.

use taonet_proof_core::Range;
use taonet_proof_core::metadata::TensorPart;
use taonet_proof_core::quantise::{QuantiseError, QuantiseOptions, quantise};

use super::operators::{quantised, read_small};
use super::*;

fn value_of_type(name: &str, dims: &[i64], kind: DataType) -> ValueInfoProto {
    let mut input = value(name, dims);
    input.kind.as_mut().unwrap().tensor.as_mut().unwrap().element = kind as i32;
    input
}

/// Gives a dimension of an input a name in place of an extent.
fn with_dimension_name(mut input: ValueInfoProto, index: usize, name: &str) -> ValueInfoProto {
    let shape = input.kind.as_mut().unwrap().tensor.as_mut().unwrap().shape.as_mut().unwrap();
    shape.dim[index].value = Some(DimensionValue::Name(name.to_owned()));
    input
}

/// Rows of a table that integers choose, plus a row; and the squares of that row.
fn mixed_inputs_graph() -> GraphProto {
    let nodes = vec![
        node("Gather", &["e", "k"], "rows", &[]),
        node("Add", &["rows", "x"], "sum", &[]),
        node("Mul", &["x", "x"], "square", &[]),
    ];
    let table: Vec<f32> = (0..10_u8).map(f32::from).collect();
    let mut graph = small(&[1, 2], nodes, vec![floats("e", &[5, 2], &table)]);
    graph.input.push(value_of_type("k", &[3], DataType::Int64));
    graph.output = vec![value("sum", &[]), value("square", &[])];
    graph
}

#[test]
fn multiple_inputs_and_outputs_are_concatenated() {
    let part = |name: &str, dims: &[usize], offset| TensorPart {
        name: name.to_owned(),
        dims: dims.to_vec(),
        offset,
    };
    let expected = [1.5, -1.0, 9.5, 7.0, 5.5, 3.0, 2.25, 4.0];
    assert_eq!(outputs(mixed_inputs_graph(), &[1.5, -2.0, 0.0, 4.0, 2.0]), expected);
    let model = Model::decode(&model(mixed_inputs_graph())).unwrap();
    let float = model.network().unwrap();
    assert_eq!(float.inputs, [part("x", &[1, 2], 0), part("k", &[3], 2)]);
    assert_eq!(float.outputs, [part("sum", &[3, 2], 0), part("square", &[1, 2], 6)]);
    assert!(matches!(model.evaluate(&[0.0; 4]), Err(OnnxError::Inputs { expected: 5, actual: 4 })));
    // The scale is that of the floats: the integers choose their rows.
    let options = QuantiseOptions {
        input_range: Range { low: -5, high: 4 },
        input_scale: 1,
        ..QuantiseOptions::default()
    };
    let sample = vec![vec![3, -4, 0, 4, 2], vec![-5, 4, 1, -1, 3]];
    let network = quantise(&float, &options, &sample).unwrap();
    compare(&model, &float, &network, &options, &sample).unwrap();
    let circuit = network.lower().unwrap();
    let unit = f64::from(-network.output_scale()).exp2();
    for (output, expected) in
        circuit.execute(&sample[0]).unwrap().outputs(&circuit).iter().zip(expected)
    {
        assert!((*output as f64 * unit - expected).abs() < 0.1, "{output} {expected}");
    }
}

#[test]
fn inputs_follow_the_rules_of_their_type() {
    let graph = |kind: DataType, operator: &str| {
        let mut graph = small(&[1, 2], vec![node(operator, &["x", "z"], "y", &[])], vec![]);
        graph.input = vec![value_of_type("x", &[1, 2], kind), value_of_type("z", &[1, 2], kind)];
        graph
    };
    let booleans = read(&model(graph(DataType::Bool, "And"))).unwrap();
    let options = |high, input_scale| QuantiseOptions {
        input_range: Range { low: 0, high },
        input_scale,
        ..QuantiseOptions::default()
    };
    let sample = vec![vec![0, 1, 1, 1]];
    let result = quantise(&booleans, &options(2, 0), &sample);
    assert_eq!(result, Err(QuantiseError::BooleanInput(Range { low: 0, high: 2 })));
    let circuit = quantise(&booleans, &options(1, 0), &sample).unwrap().lower().unwrap();
    assert_eq!(circuit.execute(&[0, 1, 1, 1]).unwrap().outputs(&circuit), [0, 1]);
    let integers = read(&model(graph(DataType::Uint8, "Add"))).unwrap();
    assert_eq!(quantise(&integers, &options(9, 1), &sample), Err(QuantiseError::IntegerInput(1)));
}

/// An output that is an input, and one that only changes its dimensions, are moves.
#[test]
fn models_without_arithmetic_are_read() {
    let shape = || vec![integers("shape", &[-1])];
    for (nodes, weights) in [
        (vec![node("Identity", &["x"], "y", &[])], vec![]),
        (vec![node("Flatten", &["x"], "y", &[])], vec![]),
        (vec![node("Reshape", &["x", "shape"], "y", &[])], shape()),
        (
            vec![node("Reshape", &["x", "shape"], "r", &[]), node("Identity", &["r"], "y", &[])],
            shape(),
        ),
    ] {
        let name = nodes[0].op_type.clone();
        let input = [1.0, -2.0, 3.0, 4.0, 0.5, 2.0];
        assert_eq!(
            outputs(small(&[1, 2, 3], nodes.clone(), weights.clone()), &input),
            input.map(f64::from),
            "{name}"
        );
        let (float, network, error) = read_small(&[1, 2, 3], nodes, weights);
        assert_eq!((float.nodes.len(), network.layers.len()), (1, 1), "{name}");
        assert!(error < 1e-9, "{name}: {error}");
    }
    // A softmax over all elements is omitted.
    let softmax = small(&[1, 3], vec![node("Softmax", &["x"], "y", &[])], vec![]);
    assert_eq!(outputs(softmax, &[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    // With a second output, it is computed.
    let mut graph = small(&[1, 2], vec![node("Softmax", &["x"], "y", &[])], vec![]);
    graph.output.push(value("x", &[]));
    let (_, _, error) = quantised(17, graph).unwrap();
    assert!(error < 0.01, "{error}");
}

#[test]
fn symbolic_dimensions_have_the_given_extents() {
    let graph = || {
        let mut graph = small(&[1, 2, 3], vec![node("Relu", &["x"], "y", &[])], vec![]);
        let input = graph.input.remove(0);
        graph.input.push(with_dimension_name(
            with_dimension_name(input, 0, "batch"),
            1,
            "sequence",
        ));
        graph
    };
    let decode = |fixed_dimensions: &[(&str, usize)]| {
        let dimensions =
            fixed_dimensions.iter().map(|&(name, extent)| (name.to_owned(), extent)).collect();
        let options = ReadOptions { dimensions, ..ReadOptions::default() };
        Model::decode_with(&model(graph()), &options).and_then(|model| model.network())
    };
    let elements =
        |fixed_dimensions: &[(&str, usize)]| decode(fixed_dimensions).unwrap().input.elements();
    assert_eq!(
        (elements(&[("sequence", 4)]), elements(&[("sequence", 4), ("batch", 2)])),
        (12, 24)
    );
    let missing_error = decode(&[]).unwrap_err().to_string();
    assert!(missing_error.contains("dimension 1 of input 'x' is 'sequence'"), "{missing_error}");
    assert!(missing_error.contains("--dimension sequence=N"), "{missing_error}");
    let unknown_error = decode(&[("sequence", 4), ("length", 2)]).unwrap_err().to_string();
    assert!(
        unknown_error.contains("'length'") && unknown_error.contains("batch, sequence"),
        "{unknown_error}"
    );
}

/// Integers are an output like others, unless they are the position of the largest score and the
/// scores are an output, too.
#[test]
fn integer_output_is_computed_unless_scores_determine_it() {
    let graph = |ranked: &str| {
        let nodes = vec![
            node("Mul", &["x", "x"], "squares", &[]),
            node("Flatten", &["squares"], "y", &[]),
            with_int(node("ArgMax", &[ranked], "position", &[]), "axis", 1),
        ];
        let mut graph = small(&[1, 3], nodes, vec![]);
        graph.output.push(value_of_type("position", &[1, 1], DataType::Int64));
        graph
    };
    let (network, _, error) = quantised(17, graph("x")).unwrap();
    assert_eq!((network.notes.len(), network.outputs.len()), (0, 2));
    assert!(error < 0.01, "{error}");
    for ranked in ["squares", "y"] {
        let network = read(&model(graph(ranked))).unwrap();
        assert_eq!(network.notes, ["the label 'position' is omitted: the scores determine it"]);
        assert_eq!(
            (network.outputs.len(), network.shape(network.nodes.len())),
            (0, Shape::vector(3).ok())
        );
    }
}

#[test]
fn named_outputs_are_computed_in_the_order_of_the_file() {
    let mut graph = small(
        &[1, 3],
        vec![
            node("Relu", &["x"], "y", &[]),
            with_int(node("ArgMax", &["y"], "position", &[]), "axis", 1),
            node("Unknown", &["x"], "unsupported", &[]),
        ],
        vec![],
    );
    graph.output.push(value_of_type("position", &[1, 1], DataType::Int64));
    graph.output.push(value("unsupported", &[1, 3]));
    let read_outputs = |names: &[&str]| {
        let outputs = names.iter().map(|&name| name.to_owned()).collect();
        let options = ReadOptions { outputs, ..ReadOptions::default() };
        Model::decode_with(&model(graph.clone()), &options).and_then(|model| model.network())
    };
    let both_outputs = read_outputs(&["position", "y"]).unwrap();
    let names: Vec<&str> = both_outputs.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["y", "position"]);
    assert_eq!(both_outputs.notes, ["the output 'unsupported' is omitted"]);
    let one_output = read_outputs(&["position"]).unwrap();
    assert_eq!((one_output.notes.len(), one_output.outputs.len()), (2, 0));
    assert!(matches!(read_outputs(&["unsupported"]), Err(OnnxError::Operator { .. })));
    let unknown_error = read_outputs(&["y", "z"]).unwrap_err().to_string();
    assert!(
        unknown_error.contains("'z'") && unknown_error.contains("y, position, unsupported"),
        "{unknown_error}"
    );
}

#[test]
fn constant_outputs_are_refused() {
    let mut graph =
        small(&[1, 2], vec![node("Relu", &["x"], "y", &[])], vec![floats("c", &[2], &[1.0, 2.0])]);
    graph.output.push(value("c", &[]));
    assert_eq!(read(&model(graph.clone())), Err(OnnxError::Constant("c".to_owned())));
    graph.input.clear();
    assert!(matches!(read(&model(graph)), Err(OnnxError::Interface { inputs: 0, outputs: 2 })));
}
