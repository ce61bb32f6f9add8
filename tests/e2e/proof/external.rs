//! Circuits whose proof system is an external program.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    BOB, compile, first_input, miner, miner_report, proof, text, validator, without_saturation,
};
use crate::support::{Daemon, document, refusal, repository};

/// The example's proof system runs the network again to verify.
#[test]
fn external_program_proves_and_verifies() {
    let folder = TempDir::new().unwrap();
    let program = repository("subnets/proof/backends/examples/rerun.py");
    let prover = ["--prover", text(&program)];
    let models = repository("models/diabetes-regression");
    let (onnx, sample) = (models.join("model.onnx"), models.join("sample.json"));
    let (circuit, input, bundle) = (
        folder.path().join("circuit"),
        folder.path().join("input.json"),
        folder.path().join("proof.json"),
    );
    let compile = [
        "compile",
        text(&onnx),
        "--sample",
        text(&sample),
        "--input-low",
        "-256",
        "-o",
        text(&circuit),
    ];
    let error = refusal(&proof(&[&compile[..], &["--backend", "external"]].concat()), 1);
    assert!(error.contains("--prover and --backend external require each other"), "{error}");
    document(&proof(&[&compile[..], &["--backend", "external"], &prover].concat()));
    assert_eq!(document(&proof(&["inspect", text(&circuit)]))["metadata"]["backend"], "external");
    std::fs::write(&input, first_input("diabetes-regression").to_string()).unwrap();
    let prove =
        ["prove", text(&circuit), "--input", text(&input), "--miner", BOB, "-o", text(&bundle)];
    let error = refusal(&proof(&prove), 1);
    assert!(error.contains("hint: pass its path with --prover"), "{error}");
    let proven = without_saturation(document(&proof(&[&prove[..], &prover].concat())));
    assert_eq!(proven["zero_knowledge"], Value::Null);
    let error = refusal(&proof(&[&prove[..], &prover, &["--hide"]].concat()), 1);
    assert!(
        error.contains("the external program of") && error.contains("--backend stark --hide"),
        "{error}"
    );
    let verify = ["verify", text(&bundle)];
    assert_eq!(document(&proof(&[&verify[..], &prover].concat())), proven);
    refusal(&proof(&verify), 1);
    refusal(&proof(&[&verify[..], &["--prover", "/bin/false"]].concat()), 1);
    let mut tampered: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    tampered["outputs"][0] = json!(tampered["outputs"][0].as_i64().unwrap() + 1);
    std::fs::write(&bundle, tampered.to_string()).unwrap();
    let error = refusal(&proof(&[&verify[..], &prover].concat()), 1);
    assert!(error.contains("the proof does not verify"), "{error}");
}

/// Miner and validator run the program of a circuit of the backend external, and serve other
/// circuits without it.
#[test]
fn external_circuits_are_served_with_their_program() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let (circuits, state) = (folder.path().join("circuits"), folder.path().join("state"));
    let (program, circuit) =
        (repository("subnets/proof/backends/examples/rerun.py"), circuits.join("two"));
    let models = repository("models/diabetes-regression");
    let (onnx, sample) = (models.join("model.onnx"), models.join("sample.json"));
    let compile = [
        "compile",
        text(&onnx),
        "--sample",
        text(&sample),
        "--input-low",
        "-256",
        "-o",
        text(&circuit),
    ];
    let compiled = document(&proof(
        &[&compile[..], &["--backend", "external", "--prover", text(&program)]].concat(),
    ));
    let prover = format!("{}={}", compiled["id"].as_str().unwrap(), text(&program));
    let daemon = Daemon::start(miner("//Bob", &circuits).args(["--prover", &prover]));
    let peer = format!("{BOB}@{}", daemon.url().trim_start_matches("http://"));
    let mut alone = validator("//Alice", &circuit, &state);
    let actual = miner_report(alone.args(["--prover", text(&program)]), &peer, "3");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(3), &json!({})));
    let output = validator("//Alice", &circuit, &state)
        .args(["--peer", &peer, "--requests", "1"])
        .output()
        .unwrap();
    let error = refusal(&output, 1);
    assert!(error.contains("hint: pass its path with --prover"), "{error}");
    let actual = miner_report(&mut validator("//Alice", &circuits, &state), &peer, "2");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(5), &json!({})));
    assert!(daemon.terminate().success());
}
