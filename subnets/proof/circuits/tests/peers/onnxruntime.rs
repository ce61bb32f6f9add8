//! Runs ONNX files with onnxruntime, if its environment is installed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use taonet_testing::peer_directory;

/// Returns the Python interpreter of the peer; `None` if it is not installed.
pub(crate) fn python() -> Option<PathBuf> {
    Some(peer_directory("onnx")?.join("bin/python"))
}

/// Returns the outputs of a model for each input.
pub(crate) fn run_onnx(python: &Path, model: &[u8], inputs: &[Vec<i64>]) -> Vec<Vec<f64>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/run_onnx.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let question: Value = json!({ "model": BASE64_STANDARD.encode(model), "inputs": inputs });
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
