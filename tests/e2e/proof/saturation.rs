//! Values beyond the range of the sample that a model was compiled with.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BOB, compile_facts, first_input, proof, text};
use crate::support::{document, refusal, repository, stderr};

/// Compiles digits-mlp into a folder, with a sample of pictures whose pixels are divided by the
/// divisors of their rows.
fn compile_pictures(folder: &Path, divisor: fn(usize) -> i64, extra_args: &[&str]) -> Output {
    let model = repository("models/digits-mlp");
    let sample: Value =
        serde_json::from_slice(&fs::read(model.join("sample.json")).unwrap()).unwrap();
    let divided = |(row, picture): (usize, &Value)| -> Vec<i64> {
        let pixels = picture.as_array().unwrap().iter().map(|pixel| pixel.as_i64().unwrap());
        pixels.map(|pixel| pixel / divisor(row)).collect()
    };
    let rows = sample["inputs"].as_array().unwrap().iter().enumerate();
    let pictures: Vec<Vec<i64>> = rows.map(divided).collect();
    let (path, onnx) = (folder.join("sample.json"), model.join("model.onnx"));
    fs::write(&path, json!({ "inputs": pictures }).to_string()).unwrap();
    let circuit = folder.join("circuit");
    let compile = ["compile", text(&onnx), "--sample", text(&path), "-o", text(&circuit)];
    proof(&[&compile[..], extra_args].concat())
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
        document(&compile_pictures(folder.path(), |_| 16, extra_args));
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

/// Only the dim pictures determine the scales, so the bright ones of the same sample saturate.
#[test]
fn saturating_rows_of_the_sample_are_reported() {
    for extra_args in [&[][..], &["--slices", "2"]] {
        let folder = TempDir::new().unwrap();
        let divisor = |row: usize| if row.is_multiple_of(2) { 1 } else { 16 };
        let output = compile_pictures(folder.path(), divisor, extra_args);
        let notices = stderr(&output);
        let saturated = &document(&output)["saturated"];
        let [rows, of] = ["rows", "of"].map(|key| saturated[key].as_u64().unwrap());
        assert!((1..=of).contains(&rows), "{saturated}");
        let worst = &saturated["worst"];
        let tensor = worst["tensor"].as_str().unwrap();
        assert!(tensor.starts_with("Relu '"), "{saturated}");
        assert!((1..=rows).contains(&worst["rows"].as_u64().unwrap()), "{saturated}");
        assert!(worst["values"].as_u64() >= worst["rows"].as_u64(), "{saturated}");
        let warning = format!(
            "warning: values saturate in {rows} of {of} rows of the sample, most often those of {tensor} (in "
        );
        assert!(notices.contains(&warning), "{notices}");
        assert!(notices.contains("prove with --allow-saturated"), "{notices}");
        refusal(&prove(folder.path(), &first_input("digits-mlp"), &[]), 1);
    }
    let folder = TempDir::new().unwrap();
    let output = compile_pictures(folder.path(), |_| 1, &[]);
    assert!(!stderr(&output).contains("saturate"), "{}", stderr(&output));
    let saturated = &document(&output)["saturated"];
    assert_eq!((&saturated["rows"], &saturated["worst"]), (&json!(0), &Value::Null));
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
