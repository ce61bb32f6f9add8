//! Trees: exact for every input, and within limits for every file.

use taonet_proof_core::Range;
use taonet_proof_core::quantise::{QuantiseOptions, quantise};

use super::super::proto::AttributeProto;
use super::super::rules::ML_DOMAIN;
use super::*;
use crate::compare;

fn list(name: &str, values: &[i64]) -> AttributeProto {
    let kind = AttributeKind::Ints as i32;
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        kind,
        ..AttributeProto::default()
    }
}

fn numbers(name: &str, values: &[f32]) -> AttributeProto {
    let kind = AttributeKind::Floats as i32;
    AttributeProto {
        name: name.to_owned(),
        floats: values.to_vec(),
        kind,
        ..AttributeProto::default()
    }
}

fn string_list(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    AttributeProto {
        name: name.to_owned(),
        strings,
        kind: AttributeKind::Strings as i32,
        ..AttributeProto::default()
    }
}

const MODES: [&str; 6] =
    ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];

/// A regression by one complete tree of depth 3: its eight leaves have the weights 0 to 7.
fn tree(modes: &[usize], features: &[i64], values: &[f32]) -> NodeProto {
    let leaf = |index: i64| index >= 7;
    let (mut node_modes, mut node_features, mut node_values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut true_children, mut false_children) = (Vec::new(), Vec::new());
    for index in 0..15_usize {
        node_modes.push(modes.get(index).map_or("LEAF", |&mode| MODES[mode]));
        node_features.push(features.get(index).copied().unwrap_or(0));
        node_values.push(values.get(index).copied().unwrap_or(0.0));
        let index = index.cast_signed() as i64;
        true_children.push(if leaf(index) { 0 } else { 2 * index + 1 });
        false_children.push(if leaf(index) { 0 } else { 2 * index + 2 });
    }
    let leaves: Vec<i64> = (7..15).collect();
    let weights: Vec<f32> = (0..8_u8).map(f32::from).collect();
    let attribute = vec![
        string_list("nodes_modes", &node_modes),
        list("nodes_treeids", &[0; 15]),
        list("nodes_nodeids", &(0..15).collect::<Vec<i64>>()),
        list("nodes_featureids", &node_features),
        numbers("nodes_values", &node_values),
        list("nodes_truenodeids", &true_children),
        list("nodes_falsenodeids", &false_children),
        list("target_treeids", &[0; 8]),
        list("target_nodeids", &leaves),
        list("target_ids", &[0; 8]),
        numbers("target_weights", &weights),
    ];
    let node = node("TreeEnsembleRegressor", &["x"], "y", &[]);
    NodeProto { attribute, domain: ML_DOMAIN.to_owned(), ..node }
}

fn file(node: NodeProto) -> Vec<u8> {
    model(small(&[1, 3], vec![node], vec![]))
}

/// Changes one attribute of a tree.
fn with_changed_attribute(name: &str, change: impl FnOnce(&mut AttributeProto)) -> NodeProto {
    let mut node = tree(&[0; 7], &[0; 7], &[0.5; 7]);
    change(node.attribute.iter_mut().find(|attribute| attribute.name == name).unwrap());
    node
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Limits are integers of the input, or between two of them.
    #[test]
    fn tree_ensembles_are_evaluated_exactly(
        modes in prop::collection::vec(0..6_usize, 7),
        features in prop::collection::vec(0..3_i64, 7),
        limits in prop::collection::vec(-9..=9_i8, 7),
        rows in prop::collection::vec(prop::collection::vec(-4..=4_i64, 3), 1..12),
    ) {
        let limits: Vec<f32> = limits.iter().map(|&limit| f32::from(limit) / 8.0).collect();
        let model = Model::decode(&file(tree(&modes, &features, &limits))).unwrap();
        let float = model.network().unwrap();
        let input_range = Range { low: -4, high: 4 };
        let options = QuantiseOptions { input_range, input_scale: 2, ..QuantiseOptions::default() };
        let network = quantise(&float, &options, &rows).unwrap();
        compare(&model, &float, &network, &options, &rows).unwrap();
        let (circuit, unit) = (network.lower().unwrap(), f64::from(-network.output_scale()).exp2());
        for row in &rows {
            let input: Vec<f32> = row.iter().map(|&value| value as f32 / 4.0).collect();
            let leaf = model.evaluate(&input).unwrap().outputs[0];
            prop_assert!((float.run(&input).unwrap().pop().unwrap()[0] - leaf as f32).abs() < 1e-6);
            let actual = circuit.execute(row).unwrap().outputs(&circuit)[0] as f64 * unit;
            prop_assert!((actual - leaf).abs() < 1e-9, "{row:?}: {actual} {leaf}");
        }
    }
}

/// A comparison that the executor would decide otherwise is a difference from the file.
#[test]
fn network_with_another_threshold_is_refused() {
    let model = Model::decode(&file(tree(&[0; 7], &[0; 7], &[0.5; 7]))).unwrap();
    let float = model.network().unwrap();
    let rows: Vec<Vec<i64>> = (-4..=4).map(|value| vec![value, 0, 0]).collect();
    let input_range = Range { low: -4, high: 4 };
    let options = QuantiseOptions { input_range, input_scale: 2, ..QuantiseOptions::default() };
    let mut network = quantise(&float, &options, &rows).unwrap();
    let bias = network.layers.iter_mut().find_map(|layer| match &mut layer.operation {
        taonet_proof_core::network::Operation::Convolution { bias, .. } => Some(bias),
        _ => None,
    });
    bias.unwrap().iter_mut().for_each(|bias| *bias += 1);
    let error = compare(&model, &float, &network, &options, &rows).unwrap_err();
    assert!(
        matches!(error, crate::CompareError::Difference { representation: "integer", .. }),
        "{error}"
    );
}

#[test]
fn malformed_trees_are_refused() {
    type Change = fn(&mut AttributeProto);
    let table: [(&str, Change, &str); 16] = [
        ("nodes_truenodeids", |list| list.ints[6] = 0, "is reached twice"),
        ("nodes_truenodeids", |list| list.ints[2] = 2, "is reached twice"),
        ("nodes_truenodeids", |list| list.ints[6] = 12, "is reached twice"),
        ("nodes_falsenodeids", |list| list.ints[0] = 99, "tree 0 has no node 99"),
        ("nodes_modes", |list| list.strings[6] = b"LEAF".to_vec(), "is not reached from a root"),
        (
            "nodes_treeids",
            |list| list.ints.resize((1 << 20) + 1, 0),
            "'nodes_treeids' has 1048577 integers",
        ),
        ("nodes_featureids", |list| list.ints[0] = 3, "feature 3 of 3"),
        ("nodes_featureids", |list| list.ints[0] = -1, "compares feature"),
        ("nodes_values", |list| list.floats[0] = f32::NAN, "is not a number"),
        (
            "nodes_values",
            |list| list.floats.truncate(14),
            "'nodes_values' has 14 elements, expected 15",
        ),
        ("nodes_nodeids", |list| list.ints[3] = 2, "the same number"),
        (
            "nodes_modes",
            |list| list.strings[0] = b"BRANCH_MEMBER".to_vec(),
            "unknown kind of branch 'BRANCH_MEMBER'",
        ),
        ("target_ids", |list| list.ints[0] = 1, "has weights"),
        ("target_ids", |list| list.ints[0] = -1, "is misplaced"),
        ("target_nodeids", |list| list.ints[0] = 8, "two weights for output 0"),
        ("target_weights", |list| list.floats[0] = f32::INFINITY, "has weights"),
    ];
    for (name, change, expected) in table {
        let error = read(&file(with_changed_attribute(name, change))).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let mut oversized_tree = tree(&[0; 7], &[0; 7], &[0.5; 7]);
    oversized_tree.attribute.push(AttributeProto {
        name: "n_targets".to_owned(),
        i: 1 << 40,
        kind: AttributeKind::Int as i32,
        ..AttributeProto::default()
    });
    let error = read(&file(oversized_tree)).unwrap_err().to_string();
    assert!(error.contains("classes or targets"), "{error}");
    let standard_domain = NodeProto { domain: String::new(), ..tree(&[0; 7], &[0; 7], &[0.5; 7]) };
    assert!(matches!(read(&file(standard_domain)), Err(OnnxError::Operator { .. })));
}

/// A tree compares sums of integers beyond the bits of an activation, which differ by one.
#[test]
fn computed_integers_are_compared_exactly() {
    let mut split = with_int(node("Split", &["x"], "a", &[]), "axis", 1);
    split.output.push("b".to_owned());
    let limits = [17_000.0, 0.0, 17_001.0, 0.0, 0.0, 0.0, 0.0];
    let NodeProto { attribute, domain, .. } = tree(&[0; 7], &[0; 7], &limits);
    let trees = NodeProto { attribute, domain, ..node("TreeEnsembleRegressor", &["i"], "y", &[]) };
    let graph = small(&[1, 2], vec![split, node("Add", &["a", "b"], "i", &[]), trees], vec![]);
    for (row, leaf) in [([9000, 8000], 3.0), ([9000, 8001], 5.0), ([9001, 8001], 7.0)] {
        let outputs =
            lookup::quantised_outputs(graph.clone(), 10_000, &[vec![0, 1], vec![1, 3]], &row)
                .unwrap();
        assert_eq!(outputs, [leaf], "{row:?}");
    }
}

/// Converters write trees as layers, too: conditions plus constants are the rows of leaves, or sums
/// of conditions name the leaf whose path holds.
#[test]
fn trees_converted_to_layers_select_the_rows_of_their_leaves() {
    let by_index = vec![
        node("Greater", &["limits", "x"], "is_below", &[]),
        node("Not", &["is_below"], "condition", &[]),
        cast("condition", "side", DataType::Int64),
        node("Add", &["side", "first"], "row", &[]),
        node("Gather", &["leaves", "row"], "y", &[]),
    ];
    let position = with_int(node("ArgMax", &["reached"], "row", &[]), "axis", 1);
    let by_product = vec![
        node("Less", &["limits", "x"], "condition", &[]),
        cast("condition", "holds", DataType::Float),
        node("MatMul", &["holds", "paths"], "sums", &[]),
        node("Equal", &["sums", "lengths"], "is_reached", &[]),
        cast("is_reached", "reached", DataType::Float),
        with_int(position, "keepdims", 0),
        node("Gather", &["leaves_of_paths", "row"], "y", &[]),
    ];
    let rows: Vec<Vec<i64>> = (-4..=4).flat_map(|a| [-3, 0, 2].map(|b| vec![a, b, -a])).collect();
    let input_range = Range { low: -4, high: 4 };
    let options = QuantiseOptions { input_range, input_scale: 2, ..QuantiseOptions::default() };
    for nodes in [by_index, by_product] {
        let weights = vec![
            floats("limits", &[1, 3], &[-0.375, 0.125, 0.625]),
            integers("first", &[0, 2, 4]),
            floats("leaves", &[6, 1], &[1.0, -2.0, 3.0, -4.0, 5.0, -6.0]),
            floats("paths", &[3, 2], &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
            floats("lengths", &[2], &[2.0, 1.0]),
            // A position of 2 would have no row.
            floats("leaves_of_paths", &[2, 1], &[1.0, -2.0]),
        ];
        let model = Model::decode(&model(small(&[1, 3], nodes, weights))).unwrap();
        let float = model.network().unwrap();
        let network = quantise(&float, &options, &rows).unwrap();
        compare(&model, &float, &network, &options, &rows).unwrap();
        let (circuit, unit) = (network.lower().unwrap(), f64::from(-network.output_scale()).exp2());
        for row in &rows {
            let input: Vec<f32> = row.iter().map(|&value| value as f32 / 4.0).collect();
            let expected = model.evaluate(&input).unwrap().outputs;
            let outputs = circuit.execute(row).unwrap().outputs(&circuit);
            assert_eq!(outputs.len(), expected.len());
            for (&output, expected) in outputs.iter().zip(&expected) {
                let output = output as f64 * unit;
                assert!((output - expected).abs() < 0.01, "{row:?}: {output} {expected}");
            }
        }
    }
}

/// The sum of a softmax over another axis than the last one of a row is not 1.
#[test]
fn normalizer_after_softmax_of_several_rows_divides() {
    let normalizer = |input: &str| NodeProto {
        domain: ML_DOMAIN.to_owned(),
        ..with_text(node("Normalizer", &[input], "y", &[]), "norm", "L1")
    };
    let shape = || vec![integers("shape", &[1, 2, 3])];
    let reshaped = vec![
        node("Reshape", &["x", "shape"], "r", &[]),
        node("Softmax", &["r"], "s", &[]),
        node("Flatten", &["s"], "f", &[]),
        normalizer("f"),
    ];
    let column_nodes =
        vec![with_int(node("Softmax", &["x"], "s", &[]), "axis", 0), normalizer("s")];
    // A network needs a node besides the softmax, which is omitted.
    let row_nodes =
        vec![node("Relu", &["x"], "r", &[]), node("Softmax", &["r"], "s", &[]), normalizer("s")];
    let input = [0.0, 1.0, 2.0, 0.5, 0.25, 1.0];
    for (nodes, expected) in
        [(reshaped, 1.0), (column_nodes, 1.0), (row_nodes, input.iter().sum::<f32>())]
    {
        let model = Model::decode(&model(small(&[1, 6], nodes, shape()))).unwrap();
        let outputs = model.evaluate(&input).unwrap().outputs;
        let floats = model.network().unwrap().run(&input).unwrap().pop().unwrap();
        let difference =
            outputs.iter().zip(&floats).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
        assert!(difference < 1e-6, "{outputs:?} {floats:?}");
        assert!((floats.iter().sum::<f32>() - expected).abs() < 1e-5, "{floats:?}");
    }
}

/// A degenerate tree needs several nodes of the network for each of its levels.
#[test]
fn deep_trees_are_refused_before_memory_is_spent() {
    let levels = 10_000_i64;
    let nodes: Vec<i64> = (0..=2 * levels).collect();
    let is_branch = |node: i64| node < levels;
    let modes: Vec<&str> =
        nodes.iter().map(|&node| if is_branch(node) { "BRANCH_LEQ" } else { "LEAF" }).collect();
    let true_child = |node: i64| if is_branch(node) { node + 1 } else { 0 };
    let false_child = |node: i64| if is_branch(node) { levels + 1 + node } else { 0 };
    let attribute = vec![
        string_list("nodes_modes", &modes),
        list("nodes_treeids", &vec![0; nodes.len()]),
        list("nodes_nodeids", &nodes),
        list("nodes_featureids", &vec![0; nodes.len()]),
        numbers("nodes_values", &nodes.iter().map(|&node| node as f32).collect::<Vec<f32>>()),
        list(
            "nodes_truenodeids",
            &nodes.iter().map(|&node| true_child(node)).collect::<Vec<i64>>(),
        ),
        list(
            "nodes_falsenodeids",
            &nodes.iter().map(|&node| false_child(node)).collect::<Vec<i64>>(),
        ),
        list("target_treeids", &[0]),
        list("target_nodeids", &[levels]),
        list("target_ids", &[0]),
        numbers("target_weights", &[1.0]),
    ];
    let node = node("TreeEnsembleRegressor", &["x"], "y", &[]);
    let error =
        read(&file(NodeProto { attribute, domain: ML_DOMAIN.to_owned(), ..node })).unwrap_err();
    assert!(matches!(error, OnnxError::Nodes(_)), "{error}");
}

/// Labels are omitted with the nodes that compute them, and so is the map at the end.
#[test]
fn labels_and_maps_are_omitted() {
    let ml_node = |operator: &str, inputs: &[&str], output: &str| NodeProto {
        domain: ML_DOMAIN.to_owned(),
        ..node(operator, inputs, output, &[])
    };
    let mut graph = small(
        &[1, 2],
        vec![
            node("Mul", &["x", "x"], "scores", &[]),
            with_int(node("ArgMax", &["scores"], "position", &[]), "axis", 1),
            ml_node("LabelEncoder", &["position"], "label"),
            ml_node("ZipMap", &["scores"], "y"),
        ],
        vec![],
    );
    graph.output[0].kind = Some(TypeProto { tensor: None });
    let mut label = value("label", &[1]);
    label.kind.as_mut().unwrap().tensor.as_mut().unwrap().element = DataType::Int64 as i32;
    graph.output.insert(0, label.clone());
    let network = read(&model(graph.clone())).unwrap();
    assert_eq!(network.notes.len(), 2, "{:?}", network.notes);
    // The map has the scores, which are an output, too.
    graph.output.push(value("scores", &[1, 2]));
    let network = read(&model(graph.clone())).unwrap();
    assert_eq!((network.notes.len(), network.outputs.len()), (2, 0), "{:?}", network.notes);
    // Only a label.
    graph.output = vec![label];
    assert!(matches!(read(&model(graph)), Err(OnnxError::Operator { .. })));
}
