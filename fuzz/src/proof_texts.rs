//! Bundles of language models' answers: reading one, its text and its proof never panic, and what
//! is accepted as a text is within the circuit's tokens.

use serde_json::Value;
use taonet_proof_circuits::Backends;
use taonet_proof_core::Digest;
use taonet_proof_lm::TextBundle;

/// Checks one input.
pub fn check(text: &[u8]) {
    let Ok(Some(mut bundle)) = TextBundle::from_json(text) else { return };
    check_bundle(&bundle);
    // A prover chooses model and tokenizer with their hashes: otherwise, no changed file would be
    // read.
    let Ok(document) = serde_json::to_value(&bundle) else { return };
    for (file, field) in [("language_model.json", "model"), ("tokenizer.json", "tokenizer")] {
        let content = document.get(field).and_then(Value::as_str).unwrap_or_default();
        bundle.proof.circuit.files.insert(file.to_owned(), Digest::of(content.as_bytes()));
    }
    check_bundle(&bundle);
}

fn check_bundle(bundle: &TextBundle) {
    let _ = bundle.verify_with(&Backends::default());
    let Ok(text) = bundle.text() else { return };
    assert!(text.prompt_tokens > 0 && text.answer_tokens > 0, "{text:?}");
    let tokens = text.prompt_tokens + text.answer_tokens;
    assert!(tokens <= bundle.proof.inputs.len(), "{text:?} has more tokens than the circuit");
}
