//! The shipped character model: compiled, proven, verified and tampered with.

use std::path::Path;

use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_proof_circuits::{Backends, CircuitDirectory, CompileOptions};
use taonet_proof_core::Digest;
use taonet_proof_core::quantise::QuantiseOptions;
use taonet_proof_lm::{Finish, LmError, LmOptions, TextBundle, compile};

const TOKENS: usize = 32;

fn options() -> CompileOptions {
    CompileOptions {
        name: "facts-lm".to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: QuantiseOptions::default(),
        contributor: "anonymous".to_owned(),
    }
}

fn model() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/facts-lm"))
}

/// Returns the bundle with a changed document.
fn changed(bundle: &TextBundle, change: impl FnOnce(&mut Value)) -> TextBundle {
    let mut document = serde_json::to_value(bundle).unwrap();
    change(&mut document);
    TextBundle::from_json(document.to_string().as_bytes()).unwrap()
}

#[test]
fn answer_of_a_language_model_is_proven() {
    let place = tempfile::tempdir().unwrap();
    let facts = std::fs::read_to_string(model().join("facts.txt")).unwrap();
    let lm = LmOptions { tokens: TOKENS, sample: Some(&facts) };
    let compiled = compile(model(), &options(), lm).unwrap();
    let directory = CircuitDirectory::create(&place.path().join("facts"), &compiled).unwrap();

    let (nonce, miner) = (Digest::of(b"a nonce"), Hotkey::from_bytes([7; 32]));
    let long = "The capital of the moon is not known";
    assert!(matches!(TextBundle::prove(&directory, long, nonce, miner), Err(LmError::Prompt { tokens: TOKENS, .. })));
    let bundle = TextBundle::prove(&directory, "The capital of Texas is", nonce, miner).unwrap();
    let text = bundle.verify_with(&Backends::default()).unwrap();
    assert_eq!((text.prompt.as_str(), text.answer.as_str()), ("The capital of Texas is", " Austin."));
    // The answer fills the circuit: there is no room for the token that ends it.
    assert_eq!((text.prompt_tokens, text.answer_tokens, text.finish), (24, 8, Finish::Length));
    assert!(bundle.is_of_prompt("The capital of Texas is").unwrap());
    assert!(!bundle.is_of_prompt("The capital of Texas").unwrap());

    // A part of the answer is true as well, and says that it is one; of the prompt, it would be another answer.
    let part = changed(&bundle, |document| document["prompt"] = json!(25));
    assert!(part.verify_with(&Backends::default()).is_err());
    let part = changed(&bundle, |document| {
        document["prompt"] = json!(25);
        document["answer"] = json!(7);
    });
    assert_eq!(part.verify_with(&Backends::default()).unwrap().answer, "Austin.");
    let early = changed(&bundle, |document| {
        document["prompt"] = json!(23);
        document["answer"] = json!(9);
    });
    // The model continues "The capital of Texas i" in the same way.
    assert_eq!(early.verify_with(&Backends::default()).unwrap().answer, "s Austin.");

    // What is proven, and what turns it into a text, cannot be replaced.
    let other_token = changed(&bundle, |document| document["proof"]["inputs"][25] = json!(3));
    assert!(matches!(other_token.text(), Err(LmError::Token { position: 1, .. })));
    assert!(matches!(other_token.verify_with(&Backends::default()), Err(LmError::Circuit(_))));
    let other_logit = changed(&bundle, |document| document["proof"]["outputs"][0] = json!(0));
    assert!(matches!(other_logit.verify_with(&Backends::default()), Err(LmError::Circuit(_))));
    for field in ["model", "tokenizer"] {
        let other_file = changed(&bundle, |document| {
            document[field] = json!(document[field].as_str().unwrap().replacen('0', "1", 1));
        });
        assert!(matches!(other_file.text(), Err(LmError::Metadata(_))), "{field}");
    }
}

#[test]
fn impossible_numbers_of_tokens_are_refused() {
    for tokens in [0, 1, 65] {
        let error = compile(model(), &options(), LmOptions { tokens, sample: None }).unwrap_err();
        assert!(error.to_string().contains("expected 2 to 64"), "{error}");
    }
}
