//! Proofs in bundles, which verify without the circuit.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    ALICE, BOB, compile, compile_facts, first_input, miner, proof, text, without_saturation,
};
use crate::support::{document, refusal, repository, tao};

fn prove_and_verify(model: &str, backend: &str) {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), model, backend);
    let inspected = document(&proof(&["inspect", text(&circuit)]));
    assert_eq!(inspected["metadata"]["backend"], backend);
    let (input, bundle) = (folder.path().join("input.json"), folder.path().join("proof.json"));
    std::fs::write(&input, json!({ "input_data": [first_input(model)] }).to_string()).unwrap();
    let proven = document(&proof(&[
        "prove",
        text(&circuit),
        "--input",
        text(&input),
        "--miner",
        BOB,
        "-o",
        text(&bundle),
    ]));
    assert_eq!(proven["circuit"], inspected["id"]);
    // With nothing but the bundle.
    std::fs::remove_dir_all(&circuit).unwrap();
    let id = inspected["id"].as_str().unwrap();
    let verification = document(&proof(&["verify", text(&bundle), "--circuit", id]));
    assert_eq!(verification, without_saturation(proven));
    assert_eq!(verification["miner"], BOB);
    assert_eq!(verification["inputs"], first_input(model));
    let good: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    verify_expectations(&bundle, &input, &good);
    for (field, value) in [
        ("/nonce", json!("1".repeat(64))),
        ("/miner", json!(ALICE)),
        ("/outputs/0", json!(good["outputs"][0].as_i64().unwrap() + 1)),
        ("/inputs/0", json!(good["inputs"][0].as_i64().unwrap() + 1)),
        ("/circuit/name", json!("another")),
        ("/proof", json!("00")),
        ("/proof", json!("zz")),
        ("/version", json!(99)),
    ] {
        let mut tampered = good.clone();
        *tampered.pointer_mut(field).unwrap() = value;
        std::fs::write(&bundle, tampered.to_string()).unwrap();
        refusal(&proof(&["verify", text(&bundle)]), 1);
    }
    std::fs::write(&bundle, &good.to_string()[..100]).unwrap();
    refusal(&proof(&["verify", text(&bundle)]), 1);
}

/// A valid bundle is rejected if it is not for the expected circuit, input, miner and nonce.
fn verify_expectations(bundle: &Path, input: &Path, good: &Value) {
    let verify = |expected: &[&str]| proof(&[&["verify", text(bundle)][..], expected].concat());
    let nonce = good["nonce"].as_str().unwrap();
    document(&verify(&["--input", text(input), "--miner", BOB, "--nonce", nonce]));
    let other = input.with_file_name("other.json");
    let mut inputs = good["inputs"].as_array().unwrap().clone();
    inputs[1] = json!(inputs[1].as_i64().unwrap() + 1);
    std::fs::write(&other, json!(inputs).to_string()).unwrap();
    let error = refusal(&verify(&["--input", text(&other)]), 1);
    assert!(error.contains("the proof is for another input: integer 1 is "), "{error}");
    inputs.pop();
    std::fs::write(&other, json!(inputs).to_string()).unwrap();
    let error = refusal(&verify(&["--input", text(&other)]), 1);
    assert!(error.contains("the proof is for an input of "), "{error}");
    let zeros = "0".repeat(64);
    for (option, value, expected_message) in [
        ("--circuit", zeros.as_str(), "the proof is for circuit "),
        ("--nonce", &zeros, "the proof is for nonce "),
        ("--miner", ALICE, "the proof is by miner "),
    ] {
        let error = refusal(&verify(&[option, value]), 1);
        assert!(error.contains(expected_message), "{error}");
    }
}

#[test]
fn proofs_verify_with_their_bundle_only() {
    prove_and_verify("digits-mlp", "stark");
    prove_and_verify("diabetes-regression", "groth16");
}

#[test]
fn answers_of_a_language_model_verify_with_their_bundle_only() {
    let folder = TempDir::new().unwrap();
    let (circuit, bundle) = (folder.path().join("circuit"), folder.path().join("answer.json"));
    let compiled = compile_facts(&circuit);
    assert_eq!(compiled["metadata"]["name"], "facts-lm");
    let prompt = "Three plus four is";
    let proven = document(&proof(&[
        "prove",
        text(&circuit),
        "--prompt",
        prompt,
        "--miner",
        BOB,
        "-o",
        text(&bundle),
    ]));
    std::fs::remove_dir_all(&circuit).unwrap();
    let id = compiled["id"].as_str().unwrap();
    let verification = document(&proof(&[
        "verify",
        text(&bundle),
        "--circuit",
        id,
        "--prompt",
        prompt,
        "--miner",
        BOB,
    ]));
    assert_eq!(verification, without_saturation(proven));
    let expected = json!({
        "prompt": prompt, "answer": " seven.", "prompt_tokens": 19, "answer_tokens": 8, "finish": "stop",
    });
    assert_eq!(verification["text"], expected);
    let printed = tao().args(["proof", "verify", text(&bundle)]).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(
        printed.contains(prompt)
            && printed.contains(" seven.")
            && printed.contains("chosen by the model"),
        "{printed}"
    );
    let error = refusal(&proof(&["verify", text(&bundle), "--prompt", "Three plus five is"]), 1);
    assert!(error.contains("the proof is for another prompt"), "{error}");
    let mut changed: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    // Without the token that ends it, the answer is proven as well, but not its end.
    changed["answer"] = json!(7);
    std::fs::write(&bundle, changed.to_string()).unwrap();
    let shortened = document(&proof(&["verify", text(&bundle)]));
    assert_eq!(
        (&shortened["text"]["answer"], &shortened["text"]["finish"]),
        (&json!(" seven."), &json!("cut"))
    );
    changed["prompt"] = json!("Three plus five is");
    std::fs::write(&bundle, changed.to_string()).unwrap();
    let error = refusal(&proof(&["verify", text(&bundle)]), 1);
    assert!(error.contains("prompt is not that of its inputs"), "{error}");
    changed["prompt"] = json!(prompt);
    changed["proof"]["inputs"][19 + 2] = json!(9);
    std::fs::write(&bundle, changed.to_string()).unwrap();
    refusal(&proof(&["verify", text(&bundle)]), 1);
}

/// The same model with and without `--hide`: `prove --hide` refuses the circuit without it.
#[test]
fn hidden_proof_requires_circuit_compiled_with_hide() {
    let folder = TempDir::new().unwrap();
    let model = repository("models/diabetes-regression");
    let (onnx, sample) = (model.join("model.onnx"), model.join("sample.json"));
    let compile = ["compile", text(&onnx), "--sample", text(&sample), "--input-low", "-256", "-o"];
    let [plain, hidden] = ["plain", "hidden"].map(|name| folder.path().join(name));
    document(&proof(&[&compile[..], &[text(&plain)]].concat()));
    document(&proof(&[&compile[..], &[text(&hidden), "--hide"]].concat()));
    let (input, bundle) = (folder.path().join("input.json"), folder.path().join("proof.json"));
    std::fs::write(&input, first_input("diabetes-regression").to_string()).unwrap();
    let prove = |circuit: &Path, options: &[&str]| {
        let request = ["prove", text(circuit), "--input", text(&input), "--miner", BOB];
        proof(&[&request[..], &["-o", text(&bundle)], options].concat())
    };
    for (circuit, hides) in [(&plain, false), (&hidden, true)] {
        assert_eq!(document(&proof(&["inspect", text(circuit)]))["zero_knowledge"], hides);
        let proven = document(&prove(circuit, &[]));
        assert_eq!(proven["zero_knowledge"], hides);
        assert_eq!(document(&proof(&["verify", text(&bundle)])), without_saturation(proven));
    }
    let printed = tao().args(["proof", "verify", text(&bundle)]).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("the values between inputs and outputs"), "{printed}");
    document(&prove(&hidden, &["--hide"]));
    let opening = ["--opening", text(&plain)];
    let error = refusal(&prove(&hidden, &opening), 1);
    assert!(error.contains("omit --opening"), "{error}");
    let error = refusal(&prove(&plain, &["--hide"]), 1);
    assert!(error.contains("may reveal the values") && error.contains("--hide"), "{error}");
    let other = folder.path().join("other");
    let groth16 = [&compile[..], &[text(&other), "--hide", "--backend", "groth16"]].concat();
    let error = refusal(&proof(&groth16), 1);
    assert!(error.contains("--hide requires --backend stark"), "{error}");
}

/// Only the opening contains the inputs. The prover decides who receives it.
#[test]
fn hidden_inputs_are_revealed_by_their_opening() {
    let folder = TempDir::new().unwrap();
    let [circuit, input, bundle, opening] = ["circuit", "input.json", "proof.json", "opening.json"]
        .map(|name| folder.path().join(name));
    let model = repository("models/diabetes-regression");
    let (onnx, sample) = (model.join("model.onnx"), model.join("sample.json"));
    let compile = ["compile", text(&onnx), "--sample", text(&sample), "--input-low", "-256"];
    let compile = [&compile[..], &["--hide-inputs", "-o", text(&circuit)]].concat();
    for (further, expected) in [
        (["--slices", "2"], "--hide-inputs and --slices exclude each other"),
        (["--backend", "groth16"], "--hide-inputs requires --backend stark"),
    ] {
        let error = refusal(&proof(&[&compile[..], &further].concat()), 1);
        assert!(error.contains(expected) && !circuit.exists(), "{error}");
    }
    let compiled = document(&proof(&compile));
    assert_eq!(
        (&compiled["zero_knowledge"], &compiled["hides_inputs"]),
        (&json!(true), &json!(true))
    );
    let inputs = first_input("diabetes-regression");
    std::fs::write(&input, inputs.to_string()).unwrap();
    let prove =
        ["prove", text(&circuit), "--input", text(&input), "--miner", BOB, "-o", text(&bundle)];
    let error = refusal(&proof(&prove), 1);
    assert!(error.contains("hint: pass --opening FILE"), "{error}");
    let error = refusal(&proof(&[&prove[..], &["--opening", text(&bundle)]].concat()), 1);
    assert!(error.contains("the same file") && !bundle.exists(), "{error}");
    let proven = document(&proof(&[&prove[..], &["--hide", "--opening", text(&opening)]].concat()));
    assert_eq!((&proven["inputs"], &proven["zero_knowledge"]), (&json!([]), &json!(true)));
    let commitment = proven["input_commitment"].as_str().unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&opening.metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let mut file: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    assert_eq!(file["inputs"], json!([]));

    let verify = ["verify", text(&bundle), "--circuit", text(&circuit)];
    assert_eq!(document(&proof(&verify)), without_saturation(proven.clone()));
    let error = refusal(&proof(&[&verify[..], &["--input", text(&input)]].concat()), 1);
    assert!(error.contains("the proof hides its inputs"), "{error}");
    let reveal = ["reveal", text(&bundle), "--opening", text(&opening)];
    let id = compiled["id"].as_str().unwrap();
    let revealed = document(&proof(&[&reveal[..], &["--circuit", id]].concat()));
    assert_eq!((&revealed["inputs"], &revealed["outputs"]), (&inputs, &proven["outputs"]));
    assert_eq!(revealed["input_commitment"], commitment);
    crate::outputs::check_keys(&[
        ("proof compile", compiled),
        ("proof reveal", revealed),
        ("proof verify", document(&proof(&verify))),
    ]);
    let other = "0".repeat(64);
    let error = refusal(&proof(&[&reveal[..], &["--circuit", &other]].concat()), 1);
    assert!(error.contains("the proof is for circuit"), "{error}");
    let printed = tao().arg("proof").args(reveal).output().unwrap();
    assert!(String::from_utf8(printed.stdout).unwrap().contains(commitment));

    // Other inputs than those of the proof, in the opening and in the bundle.
    let honest = std::fs::read(&opening).unwrap();
    let mut forged: Value = serde_json::from_slice(&honest).unwrap();
    forged["inputs"][0] = json!(forged["inputs"][0].as_i64().unwrap() ^ 1);
    std::fs::write(&opening, forged.to_string()).unwrap();
    let error = refusal(&proof(&reveal), 1);
    assert!(error.contains("has other inputs than the proof"), "{error}");
    std::fs::write(&opening, honest).unwrap();
    file["inputs"] = inputs;
    std::fs::write(&bundle, file.to_string()).unwrap();
    for command in [&verify[..2], &reveal] {
        let error = refusal(&proof(command), 1);
        assert!(error.contains("proof hides its inputs, but the bundle has inputs"), "{error}");
    }
    // Miners and validators see the inputs of their requests.
    let error = refusal(&miner("//Bob", &circuit).output().unwrap(), 1);
    assert!(error.contains("the circuit's proofs hide the inputs"), "{error}");
}

/// The values between slices are public, whatever the proofs of the slices hide.
#[test]
fn sliced_models_hide_values_within_slices_only() {
    let folder = TempDir::new().unwrap();
    let model = repository("models/diabetes-regression");
    let (onnx, sample) = (model.join("model.onnx"), model.join("sample.json"));
    let (sliced, input) = (folder.path().join("sliced"), folder.path().join("input.json"));
    let bundle = folder.path().join("proof.json");
    let slices = ["--slices", "2", "-o", text(&sliced)];
    let compile = ["compile", text(&onnx), "--sample", text(&sample), "--input-low", "-256"];
    let error = refusal(&proof(&[&compile[..], &slices, &["--hide"]].concat()), 1);
    assert!(
        error.contains("--hide and --slices exclude each other") && error.contains("omit --slices"),
        "{error}"
    );
    assert!(!sliced.exists());
    // The proofs of groth16 hide the values within the slices.
    let compiled = document(&proof(&[&compile[..], &slices, &["--backend", "groth16"]].concat()));
    assert_eq!(compiled["zero_knowledge"], false);
    assert_eq!(document(&proof(&["inspect", text(&sliced)]))["zero_knowledge"], false);
    std::fs::write(&input, first_input("diabetes-regression").to_string()).unwrap();
    let prove =
        ["prove", text(&sliced), "--input", text(&input), "--miner", BOB, "-o", text(&bundle)];
    let error = refusal(&proof(&[&prove[..], &["--hide"]].concat()), 1);
    assert!(error.contains("has the values between its slices"), "{error}");
    assert_eq!(document(&proof(&prove))["zero_knowledge"], false);
    let printed = tao().args(["proof", "verify", text(&bundle)]).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("within each slice, but not those between slices"), "{printed}");
}

/// Bundles of released formats, which other versions created.
#[test]
fn bundles_of_other_versions_verify() {
    for name in ["groth16-1.json", "sliced-groth16-1.json", "stark-3-bundle-2.json", "stark-3.json"]
    {
        document(&proof(&["verify", text(&repository("vectors/proof").join(name))]));
    }
}
