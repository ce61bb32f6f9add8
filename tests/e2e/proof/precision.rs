//! The bits of activations for a maximum error, and the outputs of a model that are computed.

use std::path::Path;
use std::process::Output;

use serde_json::json;
use tempfile::TempDir;

use super::{proof, text};
use crate::support::{document, refusal, repository, tao};

/// Compiles diabetes-regression into a directory of a folder.
fn compile(folder: &Path, name: &str, extra_args: &[&str]) -> Output {
    let model = repository("models/diabetes-regression");
    let (onnx, sample, circuit) =
        (model.join("model.onnx"), model.join("sample.json"), folder.join(name));
    let compile = ["compile", text(&onnx), "--sample", text(&sample), "-o", text(&circuit)];
    let options = ["--input-low", "-256", "--weight-bits", "14"];
    proof(&[&compile[..], &options, extra_args].concat())
}

#[test]
fn maximum_error_is_respected_and_worst_node_reported() {
    let folder = TempDir::new().unwrap();
    let default_report = document(&compile(folder.path(), "usual", &[]));
    let default_report = &default_report["metadata"]["quantisation"];
    assert_eq!(default_report.get("precision"), None, "{default_report}");
    let maximum = default_report["largest_error"].as_f64().unwrap();
    let within = compile(folder.path(), "within", &["--max-error", &maximum.to_string()]);
    let within = document(&within);
    let report = &within["metadata"]["quantisation"];
    assert!(report["largest_error"].as_f64().unwrap() <= maximum, "{report}");
    let precision = &report["precision"];
    assert_eq!(precision["max_error"], json!(maximum), "{precision}");
    assert!(precision["bits"][0].as_u64() >= Some(8), "{precision}");
    let node = precision["worst"]["node"].as_str().unwrap();
    assert!(node.starts_with("Relu '") || node.starts_with("Gemm '"), "{precision}");

    // Of slices, the first one has the report of the whole model.
    let limit = maximum.to_string();
    let slices = ["--max-error", limit.as_str(), "--slices", "2"];
    let sliced = document(&compile(folder.path(), "sliced", &slices));
    assert_eq!(sliced["quantisation"], *report);
    let error = precision["worst"]["error"].as_f64().unwrap();
    let expected = format!("{node} loses most: {error:.5}");
    for name in ["within", "sliced"] {
        let printed =
            tao().args(["proof", "inspect", "--wide", text(&folder.path().join(name))]).output();
        let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
        assert!(printed.contains(&expected), "{printed}");
    }

    let refused = refusal(&compile(folder.path(), "refused", &["--max-error", "1e-12"]), 1);
    assert!(refused.contains("more than the maximum error of"), "{refused}");
    assert!(refused.contains("use more bits per weight"), "{refused}");
    assert!(!folder.path().join("refused").exists());
    let refused = refusal(&compile(folder.path(), "refused", &["--max-error", "0"]), 2);
    assert!(refused.contains("expected a positive number"), "{refused}");
}

#[test]
fn model_output_is_selected_by_name() {
    let folder = TempDir::new().unwrap();
    let named_outputs = compile(folder.path(), "named", &["--model-output", "output"]);
    assert_eq!(document(&named_outputs)["metadata"].get("notes"), None);
    let refused = refusal(&compile(folder.path(), "refused", &["--model-output", "label"]), 1);
    assert!(refused.contains("the model has no output 'label'"), "{refused}");
    assert!(refused.contains("its outputs are output"), "{refused}");
}
