//! `tao proof`: circuits from models, proofs, a miner and a validator, the market of the
//! demonstration.

mod bundles;
mod examples;
mod export;
mod external;
mod keys;
mod kills;
mod market;
mod miners;
mod precision;
mod refusals;
mod saturation;
mod users;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{document, refusal, repository, tao};

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

fn proof(arguments: &[&str]) -> Output {
    tao().arg("proof").args(arguments).arg("--json").output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Compiles a shipped model into a folder; returns the circuit's directory.
pub(crate) fn compile(folder: &Path, model: &str, backend: &str) -> PathBuf {
    let models = repository("models").join(model);
    let (onnx, sample, circuit) =
        (models.join("model.onnx"), models.join("sample.json"), folder.join("circuits/one"));
    let output = ["-o", text(&circuit), "--sample", text(&sample), "--backend", backend];
    let range: &[&str] =
        if model == "diabetes-regression" { &["--input-low", "-256"] } else { &[] };
    document(&proof(&[&["compile", text(&onnx)][..], &output, range].concat()));
    circuit
}

/// Returns the command of a miner without a chain.
pub(crate) fn miner(key: &str, circuits: &Path) -> Command {
    let mut command = tao();
    command.args([
        "proof",
        "miner",
        "--loopback",
        "--key-uri",
        key,
        "--circuit-cache-dir",
        text(circuits),
    ]);
    command
}

/// Returns the command of a validator without a chain.
pub(crate) fn validator(key: &str, circuits: &Path, state: &Path) -> Command {
    let mut command = tao();
    command.args(["proof", "validator", "--loopback", "--key-uri", key]);
    command.args(["--circuit-cache-dir", text(circuits), "--state", text(state)]);
    command
}

/// Returns the first input of a model's sample.
fn first_input(model: &str) -> Value {
    let sample = std::fs::read(repository("models").join(model).join("sample.json")).unwrap();
    serde_json::from_slice::<Value>(&sample).unwrap()["inputs"][0].clone()
}

/// Returns the document of a new proof without the tensors that saturate, which only the prover
/// knows.
fn without_saturation(mut proven: Value) -> Value {
    let saturated = proven.as_object_mut().unwrap().remove("saturated");
    assert!(saturated.is_some_and(|saturated| saturated.is_array()), "{proven}");
    proven
}

/// Compiles the shipped language model for up to 28 tokens; returns the circuit's description.
fn compile_facts(circuit: &Path) -> Value {
    let model = repository("models/facts-lm");
    let sample = model.join("facts.txt");
    let model = ["compile", "--lm", text(&model), "--tokens", "28"];
    document(&proof(&[&model[..], &["--sample", text(&sample), "-o", text(circuit)]].concat()))
}

#[test]
fn setup_transcript_lists_contributors() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "groth16");
    let before = document(&proof(&["setup", text(&circuit)]));
    let first = folder.path().join("first");
    std::fs::create_dir(&first).unwrap();
    for entry in std::fs::read_dir(&circuit).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), first.join(entry.file_name())).unwrap();
    }
    let after = document(&proof(&["setup", text(&circuit), "--contributor", "Ada"]));
    assert_ne!(after["circuit"], before["circuit"]);
    assert_eq!(after["transcript"]["contributions"][0]["contributor"], "Ada");
    document(&proof(&["inspect", text(&circuit)]));
    let verification = document(&proof(&["setup", text(&circuit), "--verify", text(&first)]));
    assert_eq!(
        (&verification["earlier"], &verification["circuit"]),
        (&before["circuit"], &after["circuit"])
    );
    assert_eq!(verification["contributors"], json!(["Ada"]));
    let error = refusal(&proof(&["setup", text(&first), "--verify", text(&circuit)]), 1);
    assert!(error.contains("does not match the transcript"), "{error}");
}

/// Returns the JSON report of a validator without a chain on one miner after some requests.
fn miner_report(validator: &mut Command, peer: &str, requests: &str) -> Value {
    let output =
        validator.args(["--peer", peer, "--requests", requests, "--json"]).output().unwrap();
    document(&output)["miners"][0].clone()
}
