//! Constants that exporters compute in the graph: shapes and masks.

use super::operators::read_small;
use super::*;

fn scalar(name: &str, value: f32) -> TensorProto {
    floats(name, &[], &[value])
}

#[test]
fn shapes_are_computed_when_the_model_is_read() {
    // [batch, -1], where the batch is the first dimension of the input.
    let nodes = vec![
        node("Shape", &["x"], "shape", &[]),
        node("Gather", &["shape", "zero"], "batch", &[]),
        node("Unsqueeze", &["batch", "axis"], "row", &[]),
        with_int(node("Concat", &["row", "open"], "target", &[]), "axis", 0),
        node("Reshape", &["x", "target"], "flat", &[]),
        node("MatMul", &["flat", "w"], "y", &[]),
    ];
    let weights = vec![
        TensorProto { dims: vec![], ..integers("zero", &[0]) },
        integers("axis", &[0]),
        integers("open", &[-1]),
        floats("w", &[6, 1], &[1.0; 6]),
    ];
    assert_eq!(outputs(small(&[1, 2, 3], nodes, weights), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [21.0]);
    // The dimensions from one axis to another, which may be none.
    for (start, end, target) in
        [(0, 3, vec![1, 2, 3]), (-2, 9, vec![2, 3]), (1, -1, vec![2]), (2, 1, vec![])]
    {
        let shape =
            with_int(with_int(node("Shape", &["x"], "shape", &[]), "start", start), "end", end);
        let nodes = vec![shape, with_int(node("Concat", &["shape", "open"], "t", &[]), "axis", 0)];
        let nodes =
            [nodes, vec![node("Reshape", &["x", "t"], "r", &[]), node("Shape", &["r"], "s", &[])]]
                .concat();
        let nodes =
            [nodes, vec![cast("s", "f", DataType::Float), node("ReduceSum", &["f"], "sum", &[])]]
                .concat();
        let nodes = [nodes, vec![node("Mul", &["x", "sum"], "y", &[])]].concat();
        let product: i64 = target.iter().product();
        let expected = (target.iter().sum::<i64>() + 6 / product) as f64;
        let values = outputs(small(&[1, 2, 3], nodes, vec![integers("open", &[-1])]), &[1.0; 6]);
        assert_eq!(values, vec![expected; 6], "{start} {end}");
    }
}

/// A mask as some exporters compute it: the integer 1 at each position to keep.
#[test]
fn masks_are_computed_when_the_model_is_read() {
    let nodes = vec![
        cast("kept", "real", DataType::Float),
        node("Sub", &["one", "real"], "masked", &[]),
        node("Mul", &["masked", "low"], "mask", &[]),
        node("Add", &["x", "mask"], "scores", &[]),
        node("Softmax", &["scores"], "weights", &[]),
        node("Neg", &["weights"], "y", &[]),
    ];
    for low in [-10_000.0, f32::MIN] {
        let weights = || vec![integers("kept", &[1, 0, 1]), scalar("one", 1.0), scalar("low", low)];
        let (float, network, error) = read_small(&[1, 3], nodes.clone(), weights());
        assert!(error < 0.01, "{low}: {error}");
        let outputs = float.run(&[0.5, 3.0, 0.5]).unwrap().pop().unwrap();
        for (output, expected) in outputs.iter().zip([-0.5, 0.0, -0.5]) {
            assert!((output - expected).abs() < 1e-6, "{low}: {outputs:?}");
        }
        let circuit = network.lower().unwrap();
        assert_eq!(circuit.execute(&[16, 96, 16]).unwrap().outputs(&circuit)[1], 0, "{low}");
    }
}

/// A large constant beside the computed values does not make the comparison with the file
/// meaningless.
#[test]
fn constants_do_not_count_as_computed_values() {
    let nodes = vec![
        node("Size", &["x"], "count", &[]),
        node("Slice", &["x", "starts", "ends"], "s", &[]),
        node("Mul", &["huge", "huge"], "product", &[]),
        node("Min", &["s", "product"], "y", &[]),
    ];
    let weights = vec![
        integers("starts", &[0, 0]),
        integers("ends", &[i64::MAX, i64::MAX]),
        scalar("huge", 1e15),
    ];
    let model = Model::decode(&model(small(&[1, 3], nodes, weights))).unwrap();
    let evaluation = model.evaluate(&[1.0, -2.0, 0.5]).unwrap();
    assert!((evaluation.magnitude - 2.0).abs() < 1e-9, "{evaluation:?}");
}

#[test]
fn constants_without_a_value_are_refused() {
    for (nodes, expected) in [
        (
            vec![node("Sqrt", &["low"], "c", &[]), node("Mul", &["x", "c"], "y", &[])],
            "a constant is not finite",
        ),
        (
            vec![node("Reciprocal", &["zero"], "c", &[]), node("Mul", &["x", "c"], "y", &[])],
            "a constant is not finite",
        ),
        // There is no third element.
        (
            vec![node("Gather", &["three", "three"], "c", &[]), node("Mul", &["x", "c"], "y", &[])],
            "a constant is not finite",
        ),
        // A division by 0.
        (
            vec![
                node("Sub", &["three", "three"], "nothing", &[]),
                node("Div", &["three", "nothing"], "c", &[]),
                node("Mul", &["x", "c"], "y", &[]),
            ],
            "exceeds its type",
        ),
    ] {
        let weights = vec![scalar("low", -1.0), scalar("zero", 0.0), integers("three", &[3])];
        let error = read(&model(small(&[1, 3], nodes, weights))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // The graph does not depend on its input.
    let nodes = vec![node("Relu", &["x"], "r", &[]), node("Max", &["zero", "zero"], "y", &[])];
    assert_eq!(
        read(&model(small(&[1, 3], nodes, vec![scalar("zero", 0.0)]))),
        Err(OnnxError::Constant("y".to_owned()))
    );
}

/// Constants are refused for the same reasons as computed tensors.
#[test]
fn constants_of_unsupported_forms_are_refused() {
    let scatter = |operator: &str| {
        let scatter = node(operator, &["square", "place", "update"], "c", &[]);
        with_text(scatter, "reduction", "add")
    };
    let blocks = |operator: &str| with_int(node(operator, &["image"], "c", &[]), "blocksize", 2);
    let dequantised = node("DequantizeLinear", &["bytes", "scales"], "c", &[]);
    for (constant, expected) in [
        (scatter("ScatterElements"), "a reduction is unsupported"),
        (scatter("ScatterND"), "a reduction is unsupported"),
        (node("GatherElements", &["square", "wide"], "c", &[]), "the indices do not fit"),
        (node("ScatterElements", &["square", "wide", "image"], "c", &[]), "the indices do not fit"),
        (blocks("SpaceToDepth"), "the blocks do not fit"),
        (blocks("DepthToSpace"), "the blocks do not fit"),
        (with_int(dequantised, "block_size", 2), "block_size is unsupported"),
    ] {
        let weights = vec![
            floats("square", &[2, 2], &[1.0; 4]),
            TensorProto { dims: vec![1, 1], ..integers("place", &[0]) },
            floats("update", &[1, 1], &[2.0]),
            TensorProto { dims: vec![1, 3], ..integers("wide", &[0; 3]) },
            floats("image", &[1, 1, 3, 2], &[1.0; 6]),
            TensorProto { dims: vec![2, 4], ..integers("bytes", &[3; 8]) },
            floats("scales", &[2, 2], &[0.5, 1.0, 2.0, 4.0]),
        ];
        let nodes = vec![constant, node("Mul", &["x", "c"], "y", &[])];
        let error = read(&model(small(&[1, 1], nodes, weights))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// Double precision would round such integers, or a conversion truncate them.
#[test]
fn integers_beyond_their_type_are_refused() {
    let multiply_by_constant = |constant: NodeProto| {
        vec![constant, cast("c", "f", DataType::Float), node("Mul", &["x", "f"], "y", &[])]
    };
    for (computed, large) in [
        (node("Add", &["large", "one"], "c", &[]), 1 << 53),
        (node("Mul", &["large", "large"], "c", &[]), 1 << 32),
        (cast("large", "c", DataType::Int32), 1 << 31),
        (cast("real", "c", DataType::Int64), 1),
    ] {
        let weights =
            || vec![integers("large", &[large]), integers("one", &[1]), scalar("real", 1e20)];
        let error = read(&model(small(&[1, 3], multiply_by_constant(computed), weights())))
            .unwrap_err()
            .to_string();
        assert!(error.contains("exceeds its type"), "{large}: {error}");
    }
    // A limit of `i64::MAX`, which means none, passes through operators that only move values.
    let nodes = vec![
        with_int(node("Concat", &["zero", "most"], "both", &[]), "axis", 0),
        node("Slice", &["both", "one", "two"], "end", &[]),
        node("Slice", &["x", "one", "end", "one"], "y", &[]),
    ];
    let weights = [("zero", 0), ("one", 1), ("two", 2), ("most", i64::MAX)];
    let weights = weights.map(|(name, value)| integers(name, &[value])).to_vec();
    assert_eq!(outputs(small(&[1, 3], nodes, weights), &[1.0, 2.0, 3.0]), [2.0, 3.0]);
}

/// Exporters write an If where a shape decides, such as whether an axis of one element is removed.
#[test]
fn branches_of_constant_conditions_are_selected() {
    let branch = |name: &str, node: Vec<NodeProto>, output: &str| {
        let (output, initializer) = (vec![value(output, &[])], vec![scalar("s", 2.0)]);
        let graph = GraphProto { node, output, initializer, ..GraphProto::default() };
        let kind = AttributeKind::Graph as i32;
        AttributeProto {
            name: name.to_owned(),
            g: Some(Box::new(graph)),
            kind,
            ..AttributeProto::default()
        }
    };
    let if_node = |condition: &str| {
        // Both branches have a weight with the name of the graph's own.
        let nodes_of_removed_axis =
            vec![node("Squeeze", &["x", "one"], "r", &[]), node("Mul", &["r", "s"], "m", &[])];
        let branches = [
            ("then_branch", nodes_of_removed_axis, "m"),
            ("else_branch", vec![node("Neg", &["x"], "r", &[])], "r"),
        ];
        let attribute = branches.map(|(name, nodes, output)| branch(name, nodes, output)).to_vec();
        NodeProto { attribute, ..node("If", &[condition], "c", &[]) }
    };
    let graph = |dims: &[i64], if_node: NodeProto| {
        let nodes = vec![
            node("Shape", &["x"], "shape", &[]),
            node("Gather", &["shape", "one"], "extent", &[]),
            node("Equal", &["extent", "one"], "is_one", &[]),
            cast("x", "computed", DataType::Bool),
            if_node,
            node("Mul", &["c", "s"], "y", &[]),
        ];
        small(dims, nodes, vec![integers("one", &[1]), scalar("s", -1.0)])
    };
    assert_eq!(outputs(graph(&[1, 1, 3], if_node("is_one")), &[1.0, -2.0, 3.0]), [-2.0, 4.0, -6.0]);
    assert_eq!(outputs(graph(&[1, 3], if_node("is_one")), &[1.0, -2.0, 3.0]), [1.0, -2.0, 3.0]);
    let mut nested = if_node("is_one");
    nested.attribute[0].g.as_mut().unwrap().node.push(if_node("is_one"));
    let mut without_else_branch = if_node("is_one");
    without_else_branch.attribute.truncate(1);
    let mut more_outputs = if_node("is_one");
    more_outputs.output.push("d".to_owned());
    for (dims, if_node, expected) in [
        (&[1, 1, 1][..], if_node("computed"), "the condition depends on the network's input"),
        (&[1, 1, 3], nested, "then_branch has a branch of its own"),
        (&[1, 3], without_else_branch, "else_branch is missing"),
        (&[1, 3], more_outputs, "else_branch does not have the outputs of the node"),
    ] {
        let error = read(&model(graph(dims, if_node))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
