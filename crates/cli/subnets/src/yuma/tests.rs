//! `tao yuma` on recorded epochs, in the process of the test.

use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;
use taonet_cli_base::testing::{CommandOutput, run_command};

use super::{YumaArgs, run};

#[derive(Debug, Parser)]
#[command(name = "tao")]
struct Tao {
    #[command(flatten)]
    args: YumaArgs,
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/yuma")
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(vectors().join(name)).unwrap()).unwrap()
}

fn case(id: &str) -> Value {
    let cases = read("cases.json");
    cases["cases"].as_array().unwrap().iter().find(|case| case["id"] == id).unwrap().clone()
}

/// Runs `tao yuma` on a document with further arguments.
fn yuma(document: &Value, arguments: &[&str], json: bool) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let arguments = [&["tao", file.to_str().unwrap()][..], arguments].concat();
    run_command(&arguments, json, |command: Tao, context| run(&command.args, context))
}

#[test]
fn json_equals_the_oracle() {
    let fixed = read("fixed.json");
    for id in ["bonds_4_self_val3_no_majority", "y3_stable_miner_3", "commit_mask_inside_window"] {
        let epoch = yuma(&case(id), &[], true).document();
        assert_eq!(epoch, fixed["cases"][id], "{id}");
    }
}

#[test]
fn every_step_is_printed_in_order() {
    let text = yuma(&case("bonds_4_self_val3_no_majority"), &["--explain"], false).text();
    let steps = [
        "Stake S",
        "Consensus C",
        "Clipped weights",
        "incentive I",
        "New bonds",
        "Dividends D",
        "Result",
    ];
    let positions: Vec<usize> = steps.iter().map(|step| text.find(step).unwrap()).collect();
    assert!(positions.is_sorted());
}

#[test]
fn classic_document_has_its_quantities() {
    let options = ["--classic", "--rho", "20", "--kappa", "0.4"];
    let epoch = yuma(&case("bonds_1"), &options, true).document();
    for key in ["rank", "trust", "consensus", "incentive", "bonds", "dividends", "emission"] {
        assert_eq!(epoch[key].as_array().unwrap().len(), 8, "{key}");
    }
}

#[test]
fn invalid_document_is_refused_with_the_field() {
    let mut document = case("bonds_1");
    document["input"]["stake"][2] = Value::from("many");
    let error = yuma(&document, &[], true).refusal(1);
    assert!(error.contains("input.stake[2]"), "{error}");
}
