//! Files that the reader refuses.

use super::super::proto::StringStringEntryProto;
use super::*;

fn read_error_after(change: impl FnOnce(&mut GraphProto)) -> OnnxError {
    let mut graph = graph();
    change(&mut graph);
    read(&model(graph)).unwrap_err()
}

#[test]
fn cycles_and_missing_tensors_are_reported() {
    let cycle = read_error_after(|graph| graph.node[0].input[0] = "a".to_owned());
    assert!(matches!(&cycle, OnnxError::Cycle { tensor, .. } if tensor == "a"), "{cycle}");
    let self_cycle_error = read_error_after(|graph| graph.node[2].input[0] = "r".to_owned());
    assert!(matches!(self_cycle_error, OnnxError::Cycle { .. }), "{self_cycle_error}");
    let missing = read_error_after(|graph| graph.node[2].input[0] = "nowhere".to_owned());
    assert!(
        matches!(&missing, OnnxError::Missing { tensor, .. } if tensor == "nowhere"),
        "{missing}"
    );
    let weight = read_error_after(|graph| drop(graph.initializer.remove(5)));
    assert!(matches!(weight, OnnxError::Interface { .. } | OnnxError::Missing { .. }), "{weight}");
    let output = read_error_after(|graph| graph.output[0].name = "nowhere".to_owned());
    assert!(matches!(output, OnnxError::Missing { .. }), "{output}");
}

#[test]
fn weights_with_a_false_size_are_refused() {
    for dims in [vec![i64::MAX, i64::MAX], vec![1 << 40], vec![-1, 8], vec![2, 1, 3, 4], vec![]] {
        let error = read_error_after(|graph| graph.initializer[0].dims.clone_from(&dims));
        assert!(
            matches!(error, OnnxError::Weight { .. } | OnnxError::Unsupported { .. }),
            "{dims:?}: {error}"
        );
    }
    let truncated_error = read_error_after(|graph| graph.initializer[0].raw_data.truncate(71));
    assert!(matches!(truncated_error, OnnxError::Weight { .. }), "{truncated_error}");
    let not_finite = read_error_after(|graph| {
        graph.initializer[0] = floats("w", &[2, 1, 3, 3], &[f32::NAN; 18]);
    });
    assert!(matches!(not_finite, OnnxError::Weight { .. }), "{not_finite}");
    let halves = read_error_after(|graph| graph.initializer[0].data_type = 10);
    assert!(halves.to_string().contains("72 bytes do not match"), "{halves}");
    assert!(matches!(halves, OnnxError::Weight { .. }), "{halves}");
}

#[test]
fn weights_in_other_files_are_refused() {
    let external_error = read_error_after(|graph| graph.initializer[0].data_location = 1);
    assert_eq!(external_error, OnnxError::External("w".to_owned()));
    let path = StringStringEntryProto { key: "location".to_owned() };
    let external_error = read_error_after(|graph| graph.initializer[1].external_data.push(path));
    assert_eq!(external_error, OnnxError::External("s".to_owned()));
}

#[test]
fn unsupported_graphs_are_refused() {
    let operator = read_error_after(|graph| graph.node[2].op_type = "Loop".to_owned());
    assert!(matches!(operator, OnnxError::Operator { .. }), "{operator}");
    let text = operator.to_string();
    assert!(
        text.starts_with(
            "Loop 'r': unsupported operator; hint: unroll it when the model is exported"
        ),
        "{text}"
    );
    let text = read_error_after(|graph| graph.node[2].op_type = "Surprise".to_owned()).to_string();
    assert!(
        text.starts_with("Surprise 'r': unsupported operator; hint: supported are Abs, Acos"),
        "{text}"
    );
    let domain = read_error_after(|graph| graph.node[2].domain = "com.example".to_owned());
    assert!(matches!(domain, OnnxError::Operator { .. }), "{domain}");
    let batch = read_error_after(|graph| graph.input[0] = value("x", &[32, 1, 4, 4])).to_string();
    assert!(
        batch.contains("a batch of 32 is unsupported; hint: export the model with a batch of 1"),
        "{batch}"
    );
    let huge_error =
        read_error_after(|graph| graph.input[0] = value("x", &[1, 1 << 40, 1 << 40, 4]));
    assert!(matches!(huge_error, OnnxError::Shape { .. }), "{huge_error}");
    let stride = read_error_after(|graph| graph.node[3].attribute[1].ints = vec![0, 0]);
    assert!(stride.to_string().contains("kernel, strides or dilations are 0"), "{stride}");
    let duplicate_error = read_error_after(|graph| graph.node[1].output[0] = "c".to_owned());
    assert!(
        matches!(duplicate_error, OnnxError::Duplicate(_) | OnnxError::Cycle { .. }),
        "{duplicate_error}"
    );
    assert!(matches!(read(b"not a model"), Err(OnnxError::Malformed(_))));
    assert!(matches!(read(&[]), Err(OnnxError::Malformed(_))));
}

/// By the standard, the file has another meaning than the reader would compile.
#[test]
fn nodes_with_unsupported_form_are_refused() {
    let pool =
        || node("MaxPool", &["x"], "y", &[("kernel_shape", &[2, 2]), ("pads", &[1, 1, 1, 1])]);
    let norm = || node("BatchNormalization", &["x", "s", "s", "s", "s"], "y", &[]);
    let more_outputs = |mut node: NodeProto| {
        node.output.push("mean".to_owned());
        node
    };
    let with_input = |mut node: NodeProto, name: &str| {
        node.input.push(name.to_owned());
        node
    };
    let image: &[i64] = &[1, 2, 4, 4];
    let s = || floats("s", &[2], &[1.0; 2]);
    let dense = || floats("w", &[3, 4], &[0.5; 12]);
    for (dims, nodes, weights, expected) in [
        (image, vec![with_text(pool(), "auto_pad", "VALID")], vec![], "auto_pad VALID and pads"),
        (
            image,
            vec![with_int(pool(), "surprise", 1)],
            vec![],
            "attribute 'surprise' is unsupported",
        ),
        (image, vec![with_int(pool(), "strides", 2)], vec![], "not of the kind Ints"),
        (
            image,
            vec![with_int(with_int(pool(), "ceil_mode", 0), "ceil_mode", 0)],
            vec![],
            "repeated",
        ),
        (image, vec![with_int(norm(), "training_mode", 1)], vec![s()], "training mode"),
        (image, vec![more_outputs(norm())], vec![s()], "training mode"),
        (
            image,
            vec![with_input(node("Relu", &["x"], "y", &[]), "s")],
            vec![s()],
            "2 inputs, expected at most 1",
        ),
        // [1, 3] + [1, 4] has no dimensions.
        (
            &[1, 3],
            vec![node("Gemm", &["x", "w"], "g", &[]), node("Add", &["g", "x"], "y", &[])],
            vec![dense()],
            "the operands differ in dimensions",
        ),
        (
            &[1, 3],
            vec![node("MatMul", &["x", "w"], "g", &[]), node("Add", &["g", "b"], "y", &[])],
            vec![dense(), floats("b", &[1, 1, 3], &[1.0; 3])],
            "cannot be repeated",
        ),
        (
            &[1, 2, 4, 4],
            vec![
                with_int(node("Flatten", &["x"], "f", &[]), "axis", 2),
                node("MatMul", &["f", "k"], "y", &[]),
            ],
            vec![floats("k", &[15, 1], &[1.0; 15])],
            "do not match an input of [2, 16]",
        ),
        (
            image,
            vec![node(
                "MaxPool",
                &["x"],
                "y",
                &[("kernel_shape", &[2, 2]), ("pads", &[2, 2, 2, 2])],
            )],
            vec![],
            "is not smaller than the [2, 2] kernel: a pool over padding only has no value",
        ),
        (
            image,
            vec![cast("x", "y", DataType::Undefined)],
            vec![],
            "a conversion to element type 0 is unsupported",
        ),
    ] {
        let error = read(&model(small(dims, nodes, weights))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let graph = || small(image, vec![node("Relu", &["x"], "y", &[])], vec![]);
    let mut sparse = graph();
    sparse.sparse_initializer.push(vec![]);
    assert!(matches!(read(&model(sparse)), Err(OnnxError::Feature(_))));
    // 8 is a string tensor.
    for element in [DataType::Undefined as i32, 8] {
        let mut other = graph();
        other.input[0].kind.as_mut().unwrap().tensor.as_mut().unwrap().element = element;
        assert!(matches!(read(&model(other)), Err(OnnxError::InputShape(_))));
    }
    let functions =
        ModelProto { functions: vec![vec![]], ..ModelProto::decode(&*model(graph())).unwrap() };
    assert!(matches!(read(&functions.encode_to_vec()), Err(OnnxError::Feature(_))));
}

/// The nodes of this graph mean the same in every operator set.
#[test]
fn operator_sets_7_to_25_are_read() {
    let expected = read(&model(graph()));
    assert!(expected.is_ok(), "{expected:?}");
    for opset in 7..=25 {
        assert_eq!(read(&model_of(opset, graph())), expected, "operator set {opset}");
    }
    for opset in (0..=6).chain([26]) {
        assert_eq!(read(&model_of(opset, graph())), Err(OnnxError::Opset(opset)));
    }
}

#[test]
fn non_numeric_attributes_are_refused() {
    for (operator, attribute) in
        [("HardSigmoid", "alpha"), ("Elu", "alpha"), ("LayerNormalization", "epsilon")]
    {
        let mut node = node(operator, &["x"], "y", &[]);
        node.attribute.push(AttributeProto {
            name: attribute.to_owned(),
            f: f32::NAN,
            kind: AttributeKind::Float as i32,
            ..AttributeProto::default()
        });
        let error = read(&model(small(&[1, 3], vec![node], vec![]))).unwrap_err().to_string();
        assert!(error.contains(&format!("attribute '{attribute}' is not a number")), "{error}");
    }
}
