//! `tao yuma` on recorded epochs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/yuma")
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(vectors().join(name)).unwrap()).unwrap()
}

fn case(id: &str) -> Value {
    let cases = read("cases.json");
    cases["cases"].as_array().unwrap().iter().find(|case| case["id"] == id).unwrap().clone()
}

/// Runs `tao yuma` on a document with further arguments.
fn yuma(document: &Value, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.json");
    std::fs::write(&file, document.to_string()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_tao")).arg("yuma").arg(&file).args(arguments).output().unwrap()
}

#[test]
fn json_equals_the_oracle() {
    let fixed = read("fixed.json");
    for id in ["bonds_4_self_val3_no_majority", "y3_stable_miner_3", "commit_mask_inside_window"] {
        let output = yuma(&case(id), &["--json"]);
        assert!(output.status.success());
        assert_eq!(
            serde_json::from_slice::<Value>(&output.stdout).unwrap(),
            fixed["cases"][id],
            "{id}"
        );
    }
}

#[test]
fn every_step_is_printed_in_order() {
    let output = yuma(&case("bonds_4_self_val3_no_majority"), &["--explain"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let steps = [
        "Stake S",
        "Consensus C",
        "Clipped weights",
        "incentive I",
        "New bonds",
        "Dividends D",
        "Result",
    ];
    let places: Vec<usize> = steps.iter().map(|step| text.find(step).unwrap()).collect();
    assert!(places.is_sorted());
}

#[test]
fn the_classic_formulation_has_its_own_quantities() {
    let output = yuma(&case("bonds_1"), &["--classic", "--json", "--rho", "20", "--kappa", "0.4"]);
    assert!(output.status.success());
    let epoch: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["rank", "trust", "consensus", "incentive", "bonds", "dividends", "emission"] {
        assert_eq!(epoch[key].as_array().unwrap().len(), 8, "{key}");
    }
}

#[test]
fn invalid_document_is_refused_with_the_field() {
    let mut document = case("bonds_1");
    document["input"]["stake"][2] = Value::from("many");
    let output = yuma(&document, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("input.stake[2]"));
}
