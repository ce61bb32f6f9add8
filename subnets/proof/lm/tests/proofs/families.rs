//! Tiny models of the Llama family with random weights, from directories and GGUF files: compiled,
//! proven, verified and tampered with. The perplexity of the shipped model as integers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use taonet_lm::{CausalModel, KvCache, LoadOptions};
use taonet_primitives::Hotkey;
use taonet_proof_circuits::{Backends, CircuitDirectory, CompileOptions};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::NETWORK;
use taonet_proof_core::network::Network;
use taonet_proof_core::quantise::QuantiseOptions;
use taonet_proof_lm::{LmError, LmOptions, TextBundle, compile};
use taonet_testing::is_exhaustive;

/// Directories and GGUF files of `vectors/lm`: two layers of 32 values, and 320 tokens.
const MODELS: [&str; 2] = ["llama", "llama-q8_0.gguf"];
/// Models of further architectures, and with 4 bits, which `TAONET_TEST_ALL` tests.
const FURTHER_FAMILIES: [&str; 7] = [
    "llama-q4_0.gguf",
    "qwen2",
    "qwen2-q8_0.gguf",
    "qwen3",
    "qwen3-q8_0.gguf",
    "gpt2",
    "gpt2-q8_0.gguf",
];
const PROMPT: &str = "Hello";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}

fn options(name: &str) -> CompileOptions {
    CompileOptions {
        name: name.to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: QuantiseOptions::default(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    }
}

#[test]
fn models_with_random_weights_are_proven() {
    let further_families: &[&str] = if is_exhaustive() { &FURTHER_FAMILIES } else { &[] };
    for name in MODELS.iter().chain(further_families) {
        check_model(name);
    }
}

/// Compiles a model with texts that it writes itself, and proves its answer to a prompt.
fn check_model(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let lm = LmOptions { tokens: 10, sample: None };
    let compiled = compile(&repository("vectors/lm").join(name), &options(name), lm)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    // Random weights choose among tokens that are almost equally likely.
    let share = share_of_equal_tokens(compiled.metadata.notes.last().unwrap());
    assert!(share >= 50.0, "{name}: {:?}", compiled.metadata.notes);
    let directory = CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
    let (nonce, miner) = (Digest::of(b"a nonce"), Hotkey::from_bytes([7; 32]));
    let bundle = TextBundle::prove(&directory, PROMPT, nonce, miner).unwrap();
    let verify = |bundle: &TextBundle| bundle.verify_with(&Backends::default());
    let text = verify(&bundle).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(text.prompt, PROMPT);
    assert!(text.answer_tokens > 0, "{name}: {text:?}");
    assert_eq!(TextBundle::inputs(&directory, PROMPT).unwrap(), bundle.proof.inputs, "{name}");

    for position in [0, text.prompt_tokens, bundle.proof.inputs.len() - 1] {
        let mut changed_bundle = bundle.clone();
        changed_bundle.proof.inputs[position] ^= 1;
        assert!(verify(&changed_bundle).is_err(), "{name}: input {position}");
    }
    for position in (0..bundle.proof.outputs.len()).step_by(97) {
        let mut changed_bundle = bundle.clone();
        changed_bundle.proof.outputs[position] ^= 1;
        assert!(verify(&changed_bundle).is_err(), "{name}: output {position}");
    }
    let digits = bundle.proof.proof.len();
    for position in [0, digits / 3, digits / 2, digits - 1] {
        let mut changed_bundle = bundle.clone();
        let digit = if &changed_bundle.proof.proof[position..=position] == "0" { "1" } else { "0" };
        changed_bundle.proof.proof.replace_range(position..=position, digit);
        assert!(verify(&changed_bundle).is_err(), "{name}: digit {position} of the proof");
    }
}

/// Returns the percentage in a note on how often both networks choose the same token.
fn share_of_equal_tokens(note: &str) -> f64 {
    let (_, share) = note.split_once("the same token as the model at ").unwrap();
    share.split_once(" %").unwrap().0.parse().unwrap()
}

/// Sparse files take no space on disk, and loading such a model would take 10 GB of memory.
#[test]
fn large_files_of_weights_are_rejected_without_reading_them() {
    let folder = tempfile::tempdir().unwrap();
    let (file, weights) =
        (folder.path().join("model.gguf"), folder.path().join("model.safetensors"));
    for (created, model) in
        [(&file, file.as_path()), (&file, folder.path()), (&weights, folder.path())]
    {
        File::create(created).unwrap().set_len(10 << 30).unwrap();
        let lm = LmOptions { tokens: 10, sample: None };
        let error = compile(model, &options("large"), lm).unwrap_err();
        assert!(
            matches!(&error, LmError::Size { path, bytes, .. } if path == created && *bytes == 10 << 30),
            "{error}"
        );
        std::fs::remove_file(created).unwrap();
    }
}

/// The text has the lines of facts.txt that are not in the sample; with `TAONET_TEST_ALL`, 2 000
/// tokens of it.
#[test]
fn integers_keep_the_perplexity_of_the_shipped_model() {
    let (tokens, count) = if is_exhaustive() { (64, 2000) } else { (32, 500) };
    let [float, integer] = perplexities(tokens, count);
    println!("perplexity {float:.4} as floats, {integer:.4} as integers");
    assert!(float > 1.0 && integer <= 1.05 * float, "{float} {integer}");
}

/// Returns the perplexities of facts-lm and of its integer network, whose circuit has `tokens`
/// tokens, on `count` tokens of text.
fn perplexities(tokens: usize, count: usize) -> [f64; 2] {
    let model = repository("models/facts-lm");
    let facts = std::fs::read_to_string(model.join("facts.txt")).unwrap();
    let lm = LmOptions { tokens, sample: Some(&facts) };
    let compiled = compile(&model, &options("facts-lm"), lm).unwrap();
    let network = Network::from_bytes(&compiled.files[NETWORK]).unwrap();
    let (circuit, unit) = (network.lower().unwrap(), f64::from(-network.output_scale()).exp2());
    let float = CausalModel::open(&model, LoadOptions::default()).unwrap();
    let vocabulary = float.vocabulary();

    let lines: Vec<&str> = facts.lines().collect();
    // The sample has 32 lines at most, evenly spread.
    let step = lines.len().div_ceil(32);
    let (mut losses, mut predicted_tokens) = ([0.0_f64; 2], 0);
    for line in
        lines.iter().enumerate().filter(|(index, _)| index % step != 0).map(|(_, line)| line)
    {
        let tokens_of_line = vocabulary.encode(line).unwrap();
        let text = vocabulary
            .bos_token()
            .into_iter()
            .chain(tokens_of_line)
            .chain([vocabulary.end_token()]);
        let text: Vec<u32> = text.take(tokens).collect();
        let mut inputs: Vec<i64> = text.iter().copied().map(i64::from).collect();
        inputs.resize(tokens, 0);
        let outputs = circuit.execute(&inputs).unwrap().outputs(&circuit);
        let rows = outputs.chunks(outputs.len() / tokens);
        let mut cache = KvCache::default();
        for (pair, row) in text.windows(2).zip(rows) {
            let (token, next) = (pair[0], pair[1] as usize);
            let logits = float.next(&[token], &mut cache).unwrap();
            losses[0] += loss(logits.into_iter().map(f64::from), next);
            losses[1] += loss(row.iter().map(|&logit| logit as f64 * unit), next);
            predicted_tokens += 1;
            if predicted_tokens == count {
                return losses.map(|loss| (loss / count as f64).exp());
            }
        }
    }
    panic!("the text has {predicted_tokens} tokens only");
}

/// Returns the negative logarithm of a token's probability.
fn loss(logits: impl Iterator<Item = f64>, token: usize) -> f64 {
    let logits: Vec<f64> = logits.collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    total.ln() + largest - logits[token]
}
