//! Invalid models, inputs and circuits.

use tempfile::TempDir;

use super::{BOB, compile, proof, text};
use crate::support::{refusal, repository};

#[test]
fn invalid_models_inputs_and_circuits_are_refused() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "stark");
    let (input, bundle) = (folder.path().join("input.json"), folder.path().join("proof.json"));
    for (content, expected) in [
        ("[1, 2]", "input.json: 2 integers, expected 10"),
        ("[1.5]", "input.json: element 0: 1.5 is not an integer"),
        ("{}", "input.json contains no list of integers"),
        ("nothing", "input.json is not JSON: expected ident at line 1 column 2"),
        ("[[0, null]]", "input.json: element [0][1]: null is not an integer"),
        (
            "[[99999, 0, 0, 0, 0, 0, 0, 0, 0, 0]]",
            "input.json: element 0 is 99999, expected -256..=255",
        ),
    ] {
        std::fs::write(&input, content).unwrap();
        let arguments =
            ["prove", text(&circuit), "--input", text(&input), "--miner", BOB, "-o", text(&bundle)];
        let error = refusal(&proof(&arguments), 1);
        assert!(error.contains(expected), "{error}");
        assert!(!bundle.exists(), "{content}");
    }
    let model = repository("models/diabetes-regression/model.onnx");
    let elsewhere = folder.path().join("elsewhere");
    for (content, expected) in [
        (r#"{"inputs": [[1, "abc"]]}"#, "row 0: element 1: \"abc\" is not an integer"),
        (r#"{"inputs": [[1, 2]]}"#, "input.json: row 0: 2 integers, expected 10"),
        (
            r#"{"inputs": [[0, 0, 0, 0, 0, 0, 0, 0, 0, -1]]}"#,
            "input.json: row 0: element 9 is -1, expected 0..=255",
        ),
    ] {
        std::fs::write(&input, content).unwrap();
        let compile = ["compile", text(&model), "--sample", text(&input), "-o", text(&elsewhere)];
        let error = refusal(&proof(&compile), 1);
        assert!(error.contains(expected), "{error}");
    }
    let sample = repository("models/diabetes-regression/sample.json");
    std::fs::write(&input, b"\x08\x07not a model").unwrap();
    refusal(
        &proof(&["compile", text(&input), "--sample", text(&sample), "-o", text(&elsewhere)]),
        1,
    );
    // Sparse: the file takes no space on disk, and reading it would take 10 GB of memory.
    std::fs::File::create(&input).unwrap().set_len(10 << 30).unwrap();
    let (circuit_path, input_path, output) = (text(&circuit), text(&input), text(&elsewhere));
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
    for file in ["layers.json", "network.bin"] {
        let original = std::fs::read(circuit.join(file)).unwrap();
        let mut bytes = original.clone();
        bytes[20] ^= 1;
        std::fs::write(circuit.join(file), bytes).unwrap();
        assert!(refusal(&proof(&["inspect", text(&circuit)]), 1).contains("SHA-256"), "{file}");
        std::fs::write(circuit.join(file), original).unwrap();
    }
    refusal(&proof(&["inspect", text(folder.path())]), 1);
}

/// Files that onnxruntime or the standard compute differently, or refuse.
#[test]
fn refused_models_leave_no_directory() {
    let files = repository("subnets/proof/circuits/tests/data/onnx");
    let folder = TempDir::new().unwrap();
    let circuit = folder.path().join("circuits/one");
    for (model, sample, expected_text) in [
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
            assert!(error.contains(expected_text), "{model} {further:?}: {error}");
            let remaining: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
            assert!(remaining.is_empty(), "{model} {further:?}: {remaining:?}");
        }
    }
}

#[test]
fn prove_requires_exactly_one_of_input_and_prompt() {
    let prove = ["prove", "circuit", "--miner", BOB, "-o", "proof.json"];
    let error = refusal(&proof(&prove), 2);
    let expected = "arguments were not provided: <--input <FILE>|--prompt <TEXT>>";
    assert!(error.contains(expected), "{error}");
    let both_inputs = ["--input", "input.json", "--prompt", "a prompt"];
    let error = refusal(&proof(&[&prove[..], &both_inputs].concat()), 2);
    assert!(error.contains("cannot be used with"), "{error}");
}
