//! Contracts for groth16 circuits, and the verification of several bundles at once.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BOB, compile, first_input, proof, text};
use crate::support::{document, refusal, repository, stderr, tao};

/// Proves a shipped model's first input by a circuit; returns the bundle's path.
fn prove(folder: &Path, circuit: &Path, model: &str) -> PathBuf {
    let (input, bundle) = (folder.join("input.json"), folder.join("proof.json"));
    fs::write(&input, first_input(model).to_string()).unwrap();
    document(&proof(&[
        "prove",
        text(circuit),
        "--input",
        text(&input),
        "--miner",
        BOB,
        "-o",
        text(&bundle),
    ]));
    bundle
}

#[test]
fn verifier_contract_and_call_data_are_exported() {
    let folder = TempDir::new().unwrap();
    let model = "diabetes-regression";
    let circuit = compile(folder.path(), model, "groth16");
    let bundle = prove(folder.path(), &circuit, model);
    let exported = document(&proof(&["export-verifier", text(&circuit), "--solidity"]));
    let (id, source) =
        (exported["circuit"].as_str().unwrap(), exported["source"].as_str().unwrap());
    assert!(
        source.contains("pragma solidity ^0.8") && source.contains(&format!("CIRCUIT = 0x{id};")),
        "{source}"
    );
    let file = folder.path().join("verifier.sol");
    let output = tao()
        .args(["proof", "export-verifier", text(&circuit), "--solidity", "-o", text(&file)])
        .output();
    assert!(output.unwrap().stdout.is_empty());
    assert_eq!(fs::read_to_string(&file).unwrap(), source);

    let call = document(&proof(&["export-verifier", text(&circuit), "--calldata", text(&bundle)]));
    assert_eq!(call["circuit"], exported["circuit"]);
    let words = |key: &str| {
        call[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()[2..].to_owned())
    };
    let (points, values) =
        (words("proof").collect::<String>(), words("values").collect::<Vec<_>>());
    // The binding, one output and ten inputs.
    assert_eq!((points.len(), values.len()), (8 * 64, 12));
    let offset_and_count = format!("{:064x}{:064x}", 9 * 32, 12);
    assert_eq!(
        call["calldata"],
        json!(format!("0x8f3308d9{points}{offset_and_count}{}", values.concat()))
    );
    let printed = tao()
        .args(["proof", "export-verifier", text(&circuit), "--calldata", text(&bundle)])
        .output();
    assert_eq!(
        String::from_utf8(printed.unwrap().stdout).unwrap().trim_end(),
        call["calldata"].as_str().unwrap()
    );

    // Invalid proofs, and proofs of other circuits, have no call data.
    let other = repository("vectors/proof/groth16-1.json");
    let error =
        refusal(&proof(&["export-verifier", text(&circuit), "--calldata", text(&other)]), 1);
    assert!(error.contains("the proof is for circuit "), "{error}");
    let mut changed: Value = serde_json::from_slice(&fs::read(&bundle).unwrap()).unwrap();
    changed["nonce"] = json!("1".repeat(64));
    fs::write(&bundle, changed.to_string()).unwrap();
    let error =
        refusal(&proof(&["export-verifier", text(&circuit), "--calldata", text(&bundle)]), 1);
    assert!(error.contains("the proof does not verify"), "{error}");
    refusal(&proof(&["export-verifier", text(&circuit)]), 2);
}

#[test]
fn verifier_contract_requires_groth16() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "stark");
    let error = refusal(&proof(&["export-verifier", text(&circuit), "--solidity"]), 1);
    assert!(error.contains("proofs of the backend stark") && error.contains("hint: "), "{error}");
    let models = repository("models/digits-mlp");
    let (onnx, sample) = (models.join("model.onnx"), models.join("sample.json"));
    let compile = ["compile", text(&onnx), "--sample", text(&sample), "--hash-inputs"];
    let (stark, hashed) = (folder.path().join("stark"), folder.path().join("hashed"));
    let error = refusal(&proof(&[&compile[..], &["-o", text(&stark)]].concat()), 1);
    assert!(error.contains("--hash-inputs requires --backend groth16"), "{error}");
    document(&proof(&[&compile[..], &["--backend", "groth16", "-o", text(&hashed)]].concat()));
    let exported = document(&proof(&["export-verifier", text(&hashed), "--solidity"]));
    assert!(
        exported["source"].as_str().unwrap().contains("the Poseidon digest of 784 inputs"),
        "{exported}"
    );
}

#[test]
fn several_bundles_are_verified_at_once() {
    let folder = TempDir::new().unwrap();
    let names =
        ["groth16-1.json", "sliced-groth16-1.json", "stark-3.json", "stark-4-bundle-2.json"];
    let mut bundles: Vec<PathBuf> =
        names.iter().map(|name| repository("vectors/proof").join(name)).collect();
    let verify = |bundles: &[PathBuf]| {
        let paths: Vec<&str> = bundles.iter().map(|path| text(path)).collect();
        proof(&[&["verify"][..], &paths].concat())
    };
    let output = verify(&bundles);
    // The only one of an earlier version of `stark`, whose key may be that of another network.
    let warning = format!("warning: {} has no network, ", text(&bundles[2]));
    let notices = stderr(&output);
    assert!(notices.contains(&warning) && notices.contains("verified in "), "{notices}");
    let verification = document(&output);
    for (bundle, result) in bundles.iter().zip(verification["proofs"].as_array().unwrap()) {
        let mut expected = document(&verify(std::slice::from_ref(bundle)));
        expected["bundle"] = json!(text(bundle));
        expected["valid"] = json!(true);
        assert_eq!(*result, expected);
    }
    // A bundle with another output, and a file that is not a bundle, are named; all others are
    // valid.
    let (changed, broken) = (folder.path().join("changed.json"), folder.path().join("broken.json"));
    let mut bundle: Value = serde_json::from_slice(&fs::read(&bundles[0]).unwrap()).unwrap();
    bundle["outputs"][0] = json!(bundle["outputs"][0].as_i64().unwrap() + 1);
    fs::write(&changed, bundle.to_string()).unwrap();
    fs::write(&broken, "{}").unwrap();
    bundles.insert(0, broken.clone());
    bundles.insert(3, changed.clone());
    let output = verify(&bundles);
    assert_eq!(output.status.code(), Some(1));
    let expected_message =
        format!("2 of 6 bundles rejected: {}, {}", text(&broken), text(&changed));
    let notices = stderr(&output);
    assert!(notices.contains(&expected_message), "{notices}");
    assert!(!notices.contains("verified in "), "{notices}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let valid: Vec<bool> =
        document["proofs"].as_array().unwrap().iter().map(|proof| proof["valid"] == true).collect();
    assert_eq!(valid, [false, true, true, false, true, true]);
    assert_eq!(document["proofs"][3]["error"], "the proof does not verify");
    let printed =
        tao().args(["proof", "verify", text(&bundles[1]), text(&changed)]).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(
        printed.contains("valid") && printed.contains("the proof does not verify"),
        "{printed}"
    );
}
