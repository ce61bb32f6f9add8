//! Runs ONNX files with onnxruntime, if its environment is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use taonet_testing::{ask, peer_directory};

/// Returns the Python interpreter of the peer; `None` if it is not installed.
pub(crate) fn python() -> Option<PathBuf> {
    Some(peer_directory("onnx")?.join("bin/python"))
}

/// Returns the outputs of a model for each input.
pub(crate) fn run_onnx(python: &Path, model: &[u8], inputs: &[Vec<i64>]) -> Vec<Vec<f64>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/run_onnx.py");
    let questions = json!([{ "model": BASE64_STANDARD.encode(model), "inputs": inputs }]);
    let answers = ask(Command::new(python).arg(script), &questions);
    let [outputs]: [Vec<Vec<f64>>; 1] = serde_json::from_value(answers).unwrap();
    outputs
}
