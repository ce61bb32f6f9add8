//! Runs ONNX files with onnxruntime, if its environment is installed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Returns the Python interpreter of the tools, found as in scripts/lib.sh.
pub(crate) fn python() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = || {
        let home = PathBuf::from(variable("HOME").unwrap_or_default());
        variable("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from).join("taonet/peers")
    };
    let environment = variable("TAONET_PEERS_DIR").map_or_else(cache, PathBuf::from).join("onnx");
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/peers/onnx.txt");
    let wanted = std::fs::read(pinned).unwrap();
    if std::fs::read(environment.join("installed.txt")).is_ok_and(|installed| installed == wanted) {
        return Some(environment.join("bin/python"));
    }
    let message = "NOT TESTED against onnxruntime: run scripts/peers onnx";
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(!is_ci, "{message}");
    let _ = writeln!(std::io::stderr(), "{message}");
    None
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
