//! The shipped character model: compiled, proven, verified and tampered with.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::path::Path;

use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_proof_circuits::{Backends, CircuitDirectory, CompileOptions};
use taonet_proof_core::Digest;
use taonet_proof_core::quantise::QuantiseOptions;
use taonet_proof_lm::{Finish, LmError, LmOptions, ProofBundle, TextBundle, compile};

const TOKENS: usize = 32;

fn options() -> CompileOptions {
    CompileOptions {
        name: "facts-lm".to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: QuantiseOptions::default(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    }
}

fn model() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/facts-lm"))
}

/// Returns the bundle with a changed document.
fn with_change(bundle: &TextBundle, change: impl FnOnce(&mut Value)) -> TextBundle {
    let mut document = serde_json::to_value(bundle).unwrap();
    change(&mut document);
    TextBundle::from_json(document.to_string().as_bytes()).unwrap().unwrap()
}

#[test]
fn answer_of_a_language_model_is_proven() {
    let folder = tempfile::tempdir().unwrap();
    let facts = std::fs::read_to_string(model().join("facts.txt")).unwrap();
    let lm = LmOptions { tokens: TOKENS, sample: Some(&facts) };
    let compiled = compile(model(), &options(), lm).unwrap();
    let directory = CircuitDirectory::create(&folder.path().join("facts"), &compiled).unwrap();

    let (nonce, miner) = (Digest::of(b"a nonce"), Hotkey::from_bytes([7; 32]));
    let long_prompt = "The capital of the moon is not known";
    assert!(matches!(
        TextBundle::prove(&directory, long_prompt, nonce, miner),
        Err(LmError::Prompt { tokens: TOKENS, .. })
    ));
    let bundle = TextBundle::prove(&directory, "The capital of Texas is", nonce, miner).unwrap();
    let text = bundle.verify_with(&Backends::default()).unwrap();
    assert_eq!(
        (text.prompt.as_str(), text.answer.as_str()),
        ("The capital of Texas is", " Austin.")
    );
    // The answer fills the circuit: there is no room for the token that ends it.
    assert_eq!((text.prompt_tokens, text.answer_tokens, text.finish), (24, 8, Finish::Length));
    assert_greedy_decoding(&directory);
    assert_proof_of_inputs_completes_text_bundle(&directory, &bundle);
    assert_end_of_the_prompt_is_checked(&bundle);
    assert_changes_are_refused(&bundle);
}

/// Executes the circuit once for each token, as greedy decoding does.
fn assert_greedy_decoding(directory: &CircuitDirectory) {
    let circuit = directory.circuit();
    // The last two prompts are not those of the model's sentences: the second one fills the
    // circuit.
    for prompt in ["The capital of Texas is", "Two plus two is", "A", "zzzzzzzzzzzzzzzzzzzzzzzz"] {
        let inputs = TextBundle::inputs(directory, prompt).unwrap();
        // A token begins the prompt, and each character is one.
        let first = prompt.len() + 1;
        let mut expected = vec![0; TOKENS];
        expected[..first].copy_from_slice(&inputs[..first]);
        for position in first..TOKENS {
            let outputs = circuit.execute(&expected).unwrap().outputs(circuit);
            let logits = outputs.chunks(outputs.len() / TOKENS).nth(position - 1).unwrap();
            let largest = logits.iter().max().unwrap();
            let token = logits.iter().position(|logit| logit == largest).unwrap();
            expected[position] = i64::try_from(token).unwrap();
            // The token 0 ends an answer.
            if token == 0 {
                break;
            }
        }
        assert_eq!(inputs, expected, "{prompt}");
    }
}

/// A prover that gets the inputs of a prompt needs neither the prompt nor the tokenizer.
fn assert_proof_of_inputs_completes_text_bundle(directory: &CircuitDirectory, bundle: &TextBundle) {
    let bundle_with = |prompt: &str| TextBundle::new(directory, prompt, bundle.proof.clone());
    assert_eq!(
        TextBundle::inputs(directory, "The capital of Texas is").unwrap(),
        bundle.proof.inputs
    );
    assert_eq!(bundle_with("The capital of Texas is").unwrap(), *bundle);
    assert!(matches!(
        bundle_with("The capital of Maine is"),
        Err(LmError::Bundle("prompt is not that of its inputs"))
    ));
    let mut other_proof = bundle.proof.clone();
    "other".clone_into(&mut other_proof.circuit.name);
    let result = TextBundle::new(directory, "The capital of Texas is", other_proof);
    assert!(matches!(result, Err(LmError::Bundle("proof is for another circuit"))));
    TextBundle::check_prompt(directory, "The capital of Maine is").unwrap();
    assert!(matches!(
        TextBundle::check_prompt(directory, &"a".repeat(TOKENS)),
        Err(LmError::Prompt { .. })
    ));
    let file = serde_json::to_vec(bundle).unwrap();
    let read: ProofBundle = serde_json::from_slice(&file).unwrap();
    assert_eq!(read, ProofBundle::Text(Box::new(bundle.clone())));
    assert_eq!(serde_json::to_vec(&read).unwrap(), file);
}

/// A continuation of a longer or shorter prompt of the same text is an answer as well, and says
/// what its prompt is.
fn assert_end_of_the_prompt_is_checked(bundle: &TextBundle) {
    let bundle_with = |prompt: &str, answer: u64| {
        with_change(bundle, |document| {
            document["prompt"] = json!(prompt);
            document["answer"] = json!(answer);
        })
    };
    let longer_prompt =
        bundle_with("The capital of Texas is ", 7).verify_with(&Backends::default()).unwrap();
    assert_eq!(
        (longer_prompt.prompt.as_str(), longer_prompt.answer.as_str()),
        ("The capital of Texas is ", "Austin.")
    );
    // The model continues "The capital of Texas i" in the same way.
    let shorter_prompt =
        bundle_with("The capital of Texas i", 9).verify_with(&Backends::default()).unwrap();
    assert_eq!(
        (shorter_prompt.prompt.as_str(), shorter_prompt.answer.as_str()),
        ("The capital of Texas i", "s Austin.")
    );
    for (prompt, answer) in [
        ("The capital of Texas is ", 8),
        ("The capital of Texas is", 7),
        ("The capital of Texas is", 0),
        ("The capital of Texas is", u64::MAX),
        ("The capital of Maine is", 8),
        ("", 8),
    ] {
        assert!(
            matches!(bundle_with(prompt, answer).text(), Err(LmError::Bundle(_))),
            "{prompt}, {answer}"
        );
    }
}

/// Neither the proven tokens nor the tokenizer that decodes them can be replaced.
fn assert_changes_are_refused(bundle: &TextBundle) {
    // The second token of the answer is "A", 3.
    let other_token = with_change(bundle, |document| document["proof"]["inputs"][25] = json!(4));
    assert!(matches!(
        other_token.text(),
        Err(LmError::Token { position: 1, claimed: 4, expected: 3 })
    ));
    assert!(matches!(other_token.verify_with(&Backends::default()), Err(LmError::Circuit(_))));
    let other_logit = with_change(bundle, |document| {
        let logit = document["proof"]["outputs"][0].as_i64().unwrap();
        document["proof"]["outputs"][0] = json!(i64::from(logit == 0));
    });
    assert!(matches!(other_logit.verify_with(&Backends::default()), Err(LmError::Circuit(_))));
    for field in ["model", "tokenizer"] {
        let other_file = with_change(bundle, |document| {
            document[field] = json!(document[field].as_str().unwrap().replacen('0', "1", 1));
        });
        assert!(matches!(other_file.text(), Err(LmError::Metadata(_))), "{field}");
    }
    // Metadata that asks for a vocabulary of 16 million tokens.
    let huge_model = with_change(bundle, |document| {
        let model =
            json!({ "version": 1, "tokens": 1, "vocabulary": 1 << 24, "begin": null, "ends": [0] })
                .to_string();
        let circuit = &mut document["proof"]["circuit"];
        circuit["input"]["shape"] = json!({ "channels": 1, "height": 1, "width": 1 });
        circuit["output"]["shape"] = json!({ "channels": 1, "height": 1 << 12, "width": 1 << 12 });
        circuit["files"]["language_model.json"] = json!(Digest::of(model.as_bytes()));
        document["model"] = json!(model);
    });
    assert!(matches!(
        huge_model.text(),
        Err(LmError::Bundle("inputs or outputs do not match the circuit in number"))
    ));
}

/// The fuzz target `proof_texts` reads texts from its seeds before it changes them.
#[test]
fn fuzz_seeds_are_texts() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/seeds/proof_texts");
    for (name, prompt_tokens) in [("word_level.json", 2), ("byte_pairs.json", 1)] {
        let bundle =
            TextBundle::from_json(&std::fs::read(seeds.join(name)).unwrap()).unwrap().unwrap();
        let text = bundle.text().unwrap();
        assert_eq!((text.prompt.as_str(), text.answer.as_str()), ("ab", "a"), "{name}");
        assert_eq!(
            (text.prompt_tokens, text.answer_tokens, text.finish),
            (prompt_tokens, 2, Finish::Stop),
            "{name}"
        );
    }
}

#[test]
fn malformed_text_bundle_is_an_error_and_other_bundle_is_ignored() {
    let error = TextBundle::from_json(br#"{"version": 1, "tokenizer": "", "answer": -1}"#)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("malformed bundle: ") && error.contains("-1"), "{error}");
    assert_eq!(TextBundle::from_json(br#"{"version": 2, "proof": ""}"#).unwrap(), None);
}

#[test]
fn impossible_numbers_of_tokens_are_refused() {
    for tokens in [0, 1, 65] {
        let error = compile(model(), &options(), LmOptions { tokens, sample: None }).unwrap_err();
        assert!(error.to_string().contains("expected 2 to 64"), "{error}");
    }
}
