//! Each supported operator is part of a model that is compiled, proven and tampered with.

use std::path::Path;

use taonet_proof_core::Range;
use taonet_proof_onnx as onnx;
use taonet_testing::is_exhaustive;

use super::blocks::{choices, extrema, positions, tokens, transformer};
use super::further::{angles, computed_indices, products, windows};
use super::remaining::{folded, groups, layout, logic, recurrent, reductions, steps, upsampled};
use super::{TestModel, attention, check_proofs, check_proofs_of, functions, heads, transposed};
use crate::onnxruntime::{OnnxRun, python, run_onnx};

/// A model of `vectors/proof-models`, whose inputs are small integers.
fn vector_model(name: &str, elements: usize) -> TestModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../../vectors/proof-models/{name}.onnx"));
    TestModel {
        name: name.to_owned(),
        file: std::fs::read(path).unwrap(),
        elements,
        range: Range { low: 0, high: 7 },
    }
}

/// Trees and others that need no tables, so both backends prove them.
fn models_without_tables() -> [TestModel; 6] {
    [
        vector_model("decision-tree", 4),
        vector_model("random-forest-binary", 4),
        vector_model("linear-regression", 3),
        vector_model("tree-branches", 3),
        transposed(),
        extrema(),
    ]
}

/// Classical and recurrent models; boosted trees have a softmax at the end or a sigmoid.
fn classical_models() -> [TestModel; 13] {
    [
        ("xgboost", 4),
        ("lightgbm-binary", 4),
        ("svc", 4),
        ("lstm-bidirectional", 15),
        ("gru", 15),
        ("rnn", 15),
        ("top-largest", 20),
        ("top-positions", 12),
        ("quantised", 50),
        ("mlp", 4),
        ("normalizer-l2", 4),
        ("svr-linear", 3),
        ("tree-ensemble", 3),
    ]
    .map(|(name, elements)| vector_model(name, elements))
}

/// Transformers, and operators that choose elements.
fn selection_models() -> [TestModel; 7] {
    [transformer(), choices(), positions(), tokens(), computed_indices(), products(), windows()]
}

/// Models with the operators of no other model.
fn remaining_models() -> [TestModel; 8] {
    [angles(), logic(), steps(), reductions(), layout(), upsampled(), groups(), folded()]
}

/// Proves a model for one input of its sample, and with `TAONET_TEST_ALL` for both ends of the
/// range, too.
fn check_sample(model: &TestModel) {
    if is_exhaustive() {
        check_proofs(model, "stark");
    } else {
        check_proofs_of(model, "stark", &model.sample().inputs[..1]);
    }
}

#[test]
fn every_function_is_proven() {
    functions().iter().for_each(check_sample);
}

#[test]
fn models_without_tables_are_proven_by_both_backends() {
    for model in models_without_tables() {
        check_proofs(&model, "stark");
        check_proofs(&model, "groth16");
    }
}

#[test]
fn trees_and_recurrent_cells_are_proven() {
    for model in classical_models() {
        check_proofs(&model, "stark");
    }
}

#[test]
fn transformer_and_selection_operators_are_proven() {
    for model in selection_models() {
        check_proofs(&model, "stark");
    }
}

#[test]
fn remaining_operators_are_proven() {
    remaining_models().iter().for_each(check_sample);
}

/// Returns the operators that docs/proof.md lists as supported, or as computed when the model is
/// read.
fn supported_operators() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/proof.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("<!-- operators -->").unwrap();
    let (table, _) = table.split_once("<!-- end of operators -->").unwrap();
    let mut operators = Vec::new();
    for row in table.lines() {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        if let ["", names, "supported" | "folded", ..] = columns[..] {
            let names = names.split(", ").map(|name| name.trim_start_matches("ai.onnx.ml: "));
            operators.extend(names.map(str::to_owned));
        }
    }
    assert!(operators.len() > 130, "{operators:?}");
    operators
}

/// Returns whether a model file has a node of an operator: field 4 of the node, a text.
fn has_node(file: &[u8], operator: &str) -> bool {
    let field = [&[4 << 3 | 2, operator.len() as u8][..], operator.as_bytes()].concat();
    file.windows(field.len()).any(|window| window == field)
}

#[test]
fn every_supported_operator_is_in_a_proven_model() {
    let models = functions()
        .into_iter()
        .chain(models_without_tables())
        .chain(classical_models())
        .chain(selection_models())
        .chain(remaining_models())
        .chain([attention(), heads()]);
    let files: Vec<Vec<u8>> = models.map(|model| model.file).collect();
    let mut missing = supported_operators();
    missing.retain(|operator| !files.iter().any(|file| has_node(file, operator)));
    assert!(missing.is_empty(), "in no model that is proven: {missing:?}");
}

/// The exported networks of models that the comparison with their own files does not cover.
#[test]
fn exported_networks_of_remaining_operators_match_onnxruntime() {
    let Some(python) = python() else { return };
    let cells = [("RNN", 1), ("GRU", 3), ("LSTM", 4)];
    let cells = cells.map(|(operator, gates)| recurrent(operator, gates));
    let models: Vec<TestModel> = remaining_models()
        .into_iter()
        .chain(classical_models())
        .chain(models_without_tables())
        .chain(cells)
        .collect();
    let circuits: Vec<_> = models.iter().map(|model| model.circuit().0).collect();
    let runs: Vec<OnnxRun> = models
        .iter()
        .zip(&circuits)
        .map(|(model, circuit)| (onnx::export(circuit), model.sample().inputs))
        .collect();
    let onnx_outputs = run_onnx(&python, &runs);
    for (((model, circuit), (_, inputs)), expected) in
        models.iter().zip(&circuits).zip(&runs).zip(onnx_outputs)
    {
        let execute = |row: &Vec<i64>| {
            let outputs = circuit.execute(row).unwrap().outputs(circuit);
            outputs.into_iter().map(|value| value as f64).collect()
        };
        let integer_outputs: Vec<Vec<f64>> = inputs.iter().map(execute).collect();
        assert_eq!(expected, integer_outputs, "{}", model.name);
    }
}
