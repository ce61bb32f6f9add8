//! `tao proof`: circuits from models, proofs, a miner and a validator, the market of the
//! demonstration.

mod examples;
mod export;
mod keys;
mod kills;
mod precision;
mod saturation;
mod users;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_testing::skip;
use tempfile::TempDir;

use crate::support::{Daemon, document, free_address, program, refusal, repository, tao};

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

fn proof(arguments: &[&str]) -> Output {
    tao().arg("proof").args(arguments).arg("--json").output().unwrap()
}

/// Like [`proof`], in a network namespace without active interfaces. If the system does not permit
/// namespaces, uses the normal network, or fails in CI.
fn without_network(arguments: &[&str]) -> Output {
    // The second variant is for root in a container without user namespaces.
    let variants: [&[&str]; 2] = [&["--user", "--map-root-user", "--net"], &["--net"]];
    let works = |isolated: &&&[&str]| {
        let tried =
            Command::new("unshare").args(**isolated).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(isolated) = variants.iter().find(works) else {
        let message = "NOT TESTED without a network: unshare --net does not work here, neither as this user nor as root";
        skip(message);
        return proof(arguments);
    };
    let mut command = program("unshare");
    command
        .args(*isolated)
        .args([env!("CARGO_BIN_EXE_tao"), "proof"])
        .args(arguments)
        .arg("--json");
    command.output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Compiles a shipped model into a folder; returns the circuit's directory.
pub(crate) fn compile(folder: &Path, model: &str, backend: &str) -> PathBuf {
    let models = repository("models").join(model);
    let (onnx, sample, circuit) =
        (models.join("model.onnx"), models.join("sample.json"), folder.join("circuits/one"));
    let output = ["-o", text(&circuit), "--sample", text(&sample), "--backend", backend];
    let range: &[&str] =
        if model == "diabetes-regression" { &["--input-low", "-256"] } else { &[] };
    document(&proof(&[&["compile", text(&onnx)][..], &output, range].concat()));
    circuit
}

/// Returns the command of a miner without a chain.
pub(crate) fn miner(key: &str, circuits: &Path) -> Command {
    let mut command = tao();
    command.args([
        "proof",
        "miner",
        "--loopback",
        "--key-uri",
        key,
        "--circuit-cache-dir",
        text(circuits),
    ]);
    command
}

/// Returns the command of a validator without a chain.
pub(crate) fn validator(key: &str, circuits: &Path, state: &Path) -> Command {
    let mut command = tao();
    command.args(["proof", "validator", "--loopback", "--key-uri", key]);
    command.args(["--circuit-cache-dir", text(circuits), "--state", text(state)]);
    command
}

/// Returns the first input of a model's sample.
fn first_input(model: &str) -> Value {
    let sample = std::fs::read(repository("models").join(model).join("sample.json")).unwrap();
    serde_json::from_slice::<Value>(&sample).unwrap()["inputs"][0].clone()
}

/// Returns the document of a new proof without the tensors that saturate, which only the prover
/// knows.
fn without_saturation(mut proven: Value) -> Value {
    let saturated = proven.as_object_mut().unwrap().remove("saturated");
    assert!(saturated.is_some_and(|saturated| saturated.is_array()), "{proven}");
    proven
}

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
    let verified = document(&proof(&["verify", text(&bundle), "--circuit", id]));
    assert_eq!(verified, without_saturation(proven));
    assert_eq!(verified["miner"], BOB);
    assert_eq!(verified["inputs"], first_input(model));
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
        let mut bad = good.clone();
        *bad.pointer_mut(field).unwrap() = value;
        std::fs::write(&bundle, bad.to_string()).unwrap();
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
    for (option, value, said) in [
        ("--circuit", zeros.as_str(), "the proof is for circuit "),
        ("--nonce", &zeros, "the proof is for nonce "),
        ("--miner", ALICE, "the proof is by miner "),
    ] {
        let error = refusal(&verify(&[option, value]), 1);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn proofs_verify_with_nothing_but_their_bundle() {
    prove_and_verify("digits-mlp", "stark");
    prove_and_verify("diabetes-regression", "groth16");
}

/// Compiles the shipped language model for up to 28 tokens; returns the circuit's description.
fn compile_facts(circuit: &Path) -> Value {
    let model = repository("models/facts-lm");
    let sample = model.join("facts.txt");
    let model = ["compile", "--lm", text(&model), "--tokens", "28"];
    document(&proof(&[&model[..], &["--sample", text(&sample), "-o", text(circuit)]].concat()))
}

#[test]
fn answers_of_a_language_model_verify_with_nothing_but_their_bundle() {
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
    let verified = document(&proof(&[
        "verify",
        text(&bundle),
        "--circuit",
        id,
        "--prompt",
        prompt,
        "--miner",
        BOB,
    ]));
    assert_eq!(verified, without_saturation(proven));
    let expected = json!({
        "prompt": prompt, "answer": " seven.", "prompt_tokens": 19, "answer_tokens": 8, "finish": "stop",
    });
    assert_eq!(verified["text"], expected);
    let shown = tao().args(["proof", "verify", text(&bundle)]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains(prompt)
            && shown.contains(" seven.")
            && shown.contains("chosen by the model"),
        "{shown}"
    );
    let error = refusal(&proof(&["verify", text(&bundle), "--prompt", "Three plus five is"]), 1);
    assert!(error.contains("the proof is for another prompt"), "{error}");
    let mut changed: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    // Without the token that ends it, the answer is proven as well, but not its end.
    changed["answer"] = json!(7);
    std::fs::write(&bundle, changed.to_string()).unwrap();
    let cut = document(&proof(&["verify", text(&bundle)]));
    assert_eq!(
        (&cut["text"]["answer"], &cut["text"]["finish"]),
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
fn hidden_values_are_an_option_of_the_circuit() {
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
    let shown = tao().args(["proof", "verify", text(&bundle)]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("the values between inputs and outputs"), "{shown}");
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

/// The inputs are in the opening only, which the prover gives to whom they choose.
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
    let shown = tao().arg("proof").args(reveal).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains(commitment));

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
    let shown = tao().args(["proof", "verify", text(&bundle)]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("within each slice, but not those between slices"), "{shown}");
}

/// Bundles of released formats, which other versions created.
#[test]
fn bundles_of_other_versions_verify() {
    for name in ["groth16-1.json", "sliced-groth16-1.json", "stark-3-bundle-2.json", "stark-3.json"]
    {
        document(&proof(&["verify", text(&repository("vectors/proof").join(name))]));
    }
}

#[test]
fn bad_models_inputs_and_circuits_are_refused() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "stark");
    let (input, bundle) = (folder.path().join("input.json"), folder.path().join("proof.json"));
    for content in
        ["[1, 2]", "[1.5]", "{}", "nothing", "[null]", "[[99999, 0, 0, 0, 0, 0, 0, 0, 0, 0]]"]
    {
        std::fs::write(&input, content).unwrap();
        let arguments =
            ["prove", text(&circuit), "--input", text(&input), "--miner", BOB, "-o", text(&bundle)];
        refusal(&proof(&arguments), 1);
        assert!(!bundle.exists(), "{content}");
    }
    let sample = repository("models/diabetes-regression/sample.json");
    std::fs::write(&input, b"\x08\x07not a model").unwrap();
    let elsewhere = folder.path().join("elsewhere");
    refusal(
        &proof(&["compile", text(&input), "--sample", text(&sample), "-o", text(&elsewhere)]),
        1,
    );
    // Sparse: the file takes no space on disk, and reading it would take 10 GB of memory.
    std::fs::File::create(&input).unwrap().set_len(10 << 30).unwrap();
    let (circuit_path, input_path, output) = (text(&circuit), text(&input), text(&elsewhere));
    let model = repository("models/diabetes-regression/model.onnx");
    for arguments in [
        &["compile", input_path, "--sample", text(&sample), "-o", output][..],
        &["compile", text(&model), "--sample", input_path, "-o", output],
        &["compile", "--lm", input_path, "-o", output],
        &["prove", circuit_path, "--input", input_path, "--miner", BOB, "-o", output],
        &["verify", input_path],
    ] {
        let error = refusal(&proof(arguments), 1);
        assert!(error.contains("is larger than") || error.contains("bytes, more than"), "{error}");
    }
    assert!(!elsewhere.exists());
    let network = circuit.join("network.bin");
    let mut bytes = std::fs::read(&network).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&network, bytes).unwrap();
    assert!(refusal(&proof(&["inspect", text(&circuit)]), 1).contains("SHA-256"));
    refusal(&proof(&["inspect", text(folder.path())]), 1);
}

/// Files that onnxruntime or the standard compute differently, or refuse.
#[test]
fn refused_models_leave_no_directory() {
    let files = repository("subnets/proof/circuits/tests/data/onnx");
    let folder = TempDir::new().unwrap();
    let circuit = folder.path().join("circuits/one");
    for (model, sample, says) in [
        ("bn-training.onnx", "bn-training.json", "training mode is unsupported"),
        (
            "maxpool-valid-pads.onnx",
            "valid-pads.json",
            "auto_pad VALID and pads exclude each other",
        ),
        (
            "avgpool-valid-pads.onnx",
            "valid-pads.json",
            "auto_pad VALID and pads exclude each other",
        ),
        ("conv-valid-pads.onnx", "valid-pads.json", "auto_pad VALID and pads exclude each other"),
    ] {
        let (onnx, sample) = (files.join(model), files.join(sample));
        for further in [&[][..], &["--backend", "groth16"], &["--slices", "2"]] {
            let arguments =
                ["compile", text(&onnx), "--sample", text(&sample), "-o", text(&circuit)];
            let error = refusal(&proof(&[&arguments[..], further].concat()), 1);
            assert!(error.contains(says), "{model} {further:?}: {error}");
            let remaining: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
            assert!(remaining.is_empty(), "{model} {further:?}: {remaining:?}");
        }
    }
}

#[test]
fn transcript_lists_the_contributors() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "groth16");
    let before = document(&proof(&["setup", text(&circuit)]));
    let first = folder.path().join("first");
    std::fs::create_dir(&first).unwrap();
    for entry in std::fs::read_dir(&circuit).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), first.join(entry.file_name())).unwrap();
    }
    let after = document(&proof(&["setup", text(&circuit), "--contributor", "Ada"]));
    assert_ne!(after["circuit"], before["circuit"]);
    assert_eq!(after["transcript"]["contributions"][0]["contributor"], "Ada");
    document(&proof(&["inspect", text(&circuit)]));
    let verified = document(&proof(&["setup", text(&circuit), "--verify", text(&first)]));
    assert_eq!(
        (&verified["earlier"], &verified["circuit"]),
        (&before["circuit"], &after["circuit"])
    );
    assert_eq!(verified["contributors"], json!(["Ada"]));
    let error = refusal(&proof(&["setup", text(&first), "--verify", text(&circuit)]), 1);
    assert!(error.contains("does not match the transcript"), "{error}");
}

/// The proof system of a program that runs the network again.
#[test]
fn an_external_program_proves_and_verifies() {
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
    let mut bad: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    bad["outputs"][0] = json!(bad["outputs"][0].as_i64().unwrap() + 1);
    std::fs::write(&bundle, bad.to_string()).unwrap();
    let error = refusal(&proof(&[&verify[..], &prover].concat()), 1);
    assert!(error.contains("the proof does not verify"), "{error}");
}

/// The user's bundle shows the answer of the language model, which an honest miner proved.
fn answer_is_proven<'a>(answer: &Value, hotkey_of: impl Fn(&str) -> &'a Value) {
    assert_eq!(
        (&answer["name"], &answer["text"]["answer"]),
        (&json!("facts-lm"), &json!(" Austin.")),
        "{answer}"
    );
    let [bundle, circuit, miner] =
        ["bundle", "circuit", "miner"].map(|field| answer[field].as_str().unwrap());
    let prompt = answer["text"]["prompt"].as_str().unwrap();
    let verified = document(&proof(&["verify", bundle, "--circuit", circuit, "--prompt", prompt]));
    assert_eq!((&verified["text"], &verified["miner"]), (&answer["text"], hotkey_of(miner)));
}

/// Returns the JSON report of a validator without a chain on one miner after some requests.
fn examined(validator: &mut Command, peer: &str, requests: &str) -> Value {
    let output =
        validator.args(["--peer", peer, "--requests", requests, "--json"]).output().unwrap();
    document(&output)["miners"][0].clone()
}

#[test]
fn validator_verifies_proofs_of_miner() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let daemon = Daemon::start(&mut miner("//Bob", &circuits));
    let address = daemon.url().trim_start_matches("http://").to_owned();
    let (state, bundles) = (folder.path().join("state"), folder.path().join("bundles"));
    let mut first = validator("//Alice", &circuits, &state);
    let actual =
        examined(first.args(["--bundles", text(&bundles)]), &format!("{BOB}@{address}"), "3");
    assert_eq!(
        (&actual["hotkey"], &actual["verified"], &actual["faults"]),
        (&json!(BOB), &json!(3), &json!({}))
    );
    let bundle = bundles.join(format!("{BOB}.json"));
    assert_eq!(document(&proof(&["verify", text(&bundle)]))["miner"], BOB);
    // The miner's own path, and that to nowhere.
    let probe = |target: &str| {
        let mut command = miner("//Bob", &circuits);
        command.args(["--self-probe", "--probe-target", target, "--json"]).output().unwrap()
    };
    let actual = document(&probe(&address));
    assert_eq!((&actual["works"], &actual["steps"][1]["status"]), (&json!(true), &json!(422)));
    refusal(&probe(&free_address()), 3);
    // Scores outlive the validator.
    let actual =
        examined(&mut validator("//Alice", &circuits, &state), &format!("{BOB}@{address}"), "2");
    assert_eq!(actual["verified"], 5);
    assert!(daemon.terminate().success());
    let actual =
        examined(&mut validator("//Alice", &circuits, &state), &format!("{BOB}@{address}"), "1");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(5), &json!({ "unreachable": 1 })));
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
    let actual = examined(alone.args(["--prover", text(&program)]), &peer, "3");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(3), &json!({})));
    let output = validator("//Alice", &circuit, &state)
        .args(["--peer", &peer, "--requests", "1"])
        .output()
        .unwrap();
    let error = refusal(&output, 1);
    assert!(error.contains("hint: pass its path with --prover"), "{error}");
    let actual = examined(&mut validator("//Alice", &circuits, &state), &peer, "2");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(5), &json!({})));
    assert!(daemon.terminate().success());
}

#[test]
fn a_miner_that_the_validator_does_not_name_proves_nothing() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let charlie = Daemon::start(&mut miner("//Charlie", &circuits));
    let address = charlie.url().trim_start_matches("http://").to_owned();
    let state = folder.path().join("state");
    // Charlie refuses what is signed for Bob.
    let actual =
        examined(&mut validator("//Alice", &circuits, &state), &format!("{BOB}@{address}"), "1");
    assert_eq!(actual["faults"], json!({ "refused": 1 }));
}

#[test]
fn miners_answer_over_quic() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let daemon = Daemon::start(miner("//Bob", &circuits).args(["--quic-port", port]));
    let state = folder.path().join("state");
    let peer = format!("{BOB}@quic://{address}");
    let actual = examined(&mut validator("//Alice", &circuits, &state), &peer, "3");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(3), &json!({})));
    assert!(daemon.terminate().success());
}

#[test]
fn honest_miners_earn_and_failures_of_others_are_reported() {
    let folder = TempDir::new().unwrap();
    let keep = folder.path().join("market");
    let began = Instant::now();
    let demo = document(&proof(&["demo", "--once", "--keep", text(&keep)]));
    assert!(began.elapsed() < Duration::from_mins(5), "{:?}", began.elapsed());
    let miner = |name: &str| {
        demo["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap()
    };
    for (name, fault) in [
        ("wrong-output", "wrong_output"),
        ("replay", "replayed_proof"),
        ("other-circuit", "other_circuit"),
        ("copy", "copied_proof"),
    ] {
        let liar = miner(name);
        for field in ["score", "weight", "incentive"] {
            assert_eq!(liar[field].as_f64(), Some(0.0), "{name}: {field}");
        }
        for field in ["weight_submitted", "weight_on_chain", "emission"] {
            assert_eq!(liar[field], 0, "{name}: {field}");
        }
        let faults = liar["faults"].as_object().unwrap();
        assert_eq!(faults.keys().collect::<Vec<_>>(), [fault], "{name}: {faults:?}");
        assert_ne!(liar["reason"], "");
    }
    for name in ["honest", "honest-2", "slow"] {
        let honest = miner(name);
        assert_eq!(honest["faults"], json!({}), "{name}");
        assert!(honest["score"].as_f64().unwrap() > 0.0, "{name}");
        assert!(honest["weight_on_chain"].as_u64().unwrap() > 0, "{name}");
        assert!(honest["emission"].as_u64().unwrap() > 0, "{name}");
    }
    assert!(miner("slow")["weight"].as_f64() < miner("honest")["weight"].as_f64(), "{demo}");
    // The user has a proof of each circuit, from an honest miner, of a digit that the model knows.
    let user = demo["user"].as_array().unwrap();
    assert_eq!(
        user.iter().map(|proof| &proof["backend"]).collect::<Vec<_>>(),
        ["stark", "groth16"]
    );
    for proof in user {
        assert!(
            ["honest", "honest-2", "slow"].contains(&proof["miner"].as_str().unwrap()),
            "{proof}"
        );
        assert_eq!(proof["digit"], proof["label"], "{proof}");
        // Each failure leads to another request, and so does an overdue proof.
        let failures = proof["failures"].as_array().unwrap().len() as u64;
        assert!(proof["asked"].as_u64().unwrap() > failures, "{proof}");
        let bundle = proof["bundle"].as_str().unwrap();
        let circuit = proof["circuit"].as_str().unwrap();
        let verified = document(&self::proof(&["verify", bundle, "--circuit", circuit]));
        assert_eq!(verified["miner"], miner(proof["miner"].as_str().unwrap())["hotkey"]);
    }
    answer_is_proven(&demo["language_model"], |name| &miner(name)["hotkey"]);
    // Another process verifies the proofs after the validator is gone, without a network.
    let bundle = PathBuf::from(miner("honest")["bundle"].as_str().unwrap());
    let verified = document(&without_network(&["verify", text(&bundle)]));
    assert_eq!(verified["miner"], miner("honest")["hotkey"]);
}
