//! Runs ONNX files with onnxruntime, if its environment is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use taonet_testing::{peer_directory, query_program};

/// Returns the Python interpreter of the peer; `None` if it is not installed.
pub(crate) fn python() -> Option<PathBuf> {
    Some(peer_directory("onnx")?.join("bin/python"))
}

/// A model, and its inputs.
pub(crate) type OnnxRun = (Vec<u8>, Vec<Vec<i64>>);

/// Returns the outputs of models, for each of their inputs. All of them are one request, because
/// Python starts slowly.
pub(crate) fn run_onnx(python: &Path, runs: &[OnnxRun]) -> Vec<Vec<Vec<f64>>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/run_onnx.py");
    let requests: Value = runs
        .iter()
        .map(|(model, inputs)| json!({ "model": BASE64_STANDARD.encode(model), "inputs": inputs }))
        .collect();
    let outputs: Vec<Vec<Vec<f64>>> =
        serde_json::from_value(query_program(Command::new(python).arg(script), &requests)).unwrap();
    assert_eq!(outputs.len(), runs.len());
    outputs
}
