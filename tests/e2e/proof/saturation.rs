//! Values beyond the range of the sample that a model was compiled with.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BOB, compile_facts, first_input, proof, text};
use crate::support::{document, refusal, repository, stderr};

/// Compiles digits-mlp into a folder with a sample of pictures that have a sixteenth of the
/// brightness.
fn compile_for_dim_pictures(folder: &Path, extra_args: &[&str]) {
    let model = repository("models/digits-mlp");
    let sample: Value =
        serde_json::from_slice(&fs::read(model.join("sample.json")).unwrap()).unwrap();
    let dim = |picture: &Value| -> Vec<i64> {
        picture.as_array().unwrap().iter().map(|pixel| pixel.as_i64().unwrap() / 16).collect()
    };
    let pictures: Vec<Vec<i64>> = sample["inputs"].as_array().unwrap().iter().map(dim).collect();
    let (path, onnx) = (folder.join("dim.json"), model.join("model.onnx"));
    fs::write(&path, json!({ "inputs": pictures }).to_string()).unwrap();
    let circuit = folder.join("circuit");
    let compile = ["compile", text(&onnx), "--sample", text(&path), "-o", text(&circuit)];
    document(&proof(&[&compile[..], extra_args].concat()));
}

fn prove(folder: &Path, input: &Value, extra_args: &[&str]) -> Output {
    let [circuit, path, bundle] =
        ["circuit", "input.json", "proof.json"].map(|name| folder.join(name));
    fs::write(&path, input.to_string()).unwrap();
    let prove =
        ["prove", text(&circuit), "--input", text(&path), "--miner", BOB, "-o", text(&bundle)];
    proof(&[&prove[..], extra_args].concat())
}

/// A bright picture is rejected with an error that names the tensors. With `--allow-saturated`, its
/// outputs are proven as the integer network computes them, with a warning.
#[test]
fn saturating_values_are_rejected_unless_allowed() {
    for extra_args in [&[][..], &["--slices", "2"]] {
        let folder = TempDir::new().unwrap();
        compile_for_dim_pictures(folder.path(), extra_args);
        let bright = first_input("digits-mlp");
        let error = refusal(&prove(folder.path(), &bright, &[]), 1);
        let expected = "values are beyond the range of the model's sample and saturate: Relu '";
        assert!(error.contains(expected) && error.contains("pass --allow-saturated"), "{error}");
        assert!(!folder.path().join("proof.json").exists());

        let output = prove(folder.path(), &bright, &["--allow-saturated"]);
        let warning = stderr(&output);
        assert!(warning.contains(&format!("warning: {expected}")), "{warning}");
        let proven = document(&output);
        let first = &proven["saturated"][0];
        assert_eq!((&first["layer"], &first["of"]), (&json!(0), &json!(128)), "{proven}");
        assert!(first["tensor"].as_str().unwrap().starts_with("Relu '"), "{proven}");
        assert!((1..=128).contains(&first["values"].as_u64().unwrap()), "{proven}");
        let bundle = folder.path().join("proof.json");
        document(&proof(&["verify", text(&bundle)]));

        let black = json!(vec![0; 784]);
        let output = prove(folder.path(), &black, &[]);
        assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
        assert_eq!(document(&output)["saturated"], json!([]));
    }
}

/// A prompt unlike the sample of a language model is rejected in the same way.
#[test]
fn saturating_prompt_is_rejected_unless_allowed() {
    let folder = TempDir::new().unwrap();
    let [circuit, bundle] = ["circuit", "answer.json"].map(|name| folder.path().join(name));
    compile_facts(&circuit);
    let prove = |extra_args: &[&str]| {
        let (circuit, bundle) = (text(&circuit), text(&bundle));
        let prove = ["prove", circuit, "--prompt", "Q9 !! xK", "--miner", BOB, "-o", bundle];
        proof(&[&prove[..], extra_args].concat())
    };
    let error = refusal(&prove(&[]), 1);
    assert!(
        error.contains("saturate: LayerNormalization '") && error.contains("--allow-saturated"),
        "{error}"
    );
    assert!(!bundle.exists());
    document(&prove(&["--allow-saturated"]));
    document(&proof(&["verify", text(&bundle)]));
}
