//! Fuzz targets of the parsers that read untrusted input.
//!
//! A target is a function `check` that passes any bytes to a parser, and panics if a property does
//! not hold: parsing never panics, accepted values satisfy the parser's guarantees, and encoded
//! values survive a round trip.
//!
//! | Input | Targets |
//! |---|---|
//! | Signed requests | [`btauth_headers`], [`dendrite_headers`], [`babelbit_headers`], [`body_hash`] |
//! | JSON documents and audio of Babelbit | [`babelbit_documents`], [`wav`] |
//! | Language models, n-gram models and training texts | [`gguf`], [`ngram_models`], [`training_texts`] |
//! | Requests, streams, messages and documents of Nineteen | [`inference_streams`], [`inference_documents`] |
//! | Models, networks, keys, catalogues and requests of Proof | [`proof_models`], [`proof_networks`], [`proof_queries`] |
//! | Answers of language models with proofs | [`proof_texts`] |
//! | Texts, metadata and values of the chain | [`chain_texts`], [`chain_values`], [`timelock`] |
//! | Keys | [`keyfile`], [`mnemonic`], [`polkadot_js`], [`ss58`] |
//!
//! Each target runs in two ways:
//!
//! - `scripts/fuzz` runs `fuzz_targets/NAME.rs` under libFuzzer, guided by coverage, for 60 seconds
//!   by default;
//! - `tests/e2e/fuzz.rs` runs all [`TARGETS`] with the inputs in `seeds/NAME` and 100 mutated
//!   copies of each.
//!
//! This package is a separate Cargo workspace, because cargo-fuzz builds all crates with
//! instrumentation. A new target needs a module and a row in [`TARGETS`] here, a program in
//! `fuzz_targets`, a `[[bin]]` in `Cargo.toml`, and at least one seed.
//!
//! Uses `taonet-wire`, `taonet-wallet`, `taonet-chain`, `taonet-timelock`, `taonet-http`,
//! `taonet-speech`, `taonet-validator`, `taonet-primitives`, `taonet-lm`, `taonet-babelbit-core`,
//! `taonet-babelbit-text-miner`, `taonet-nineteen-transport`, `taonet-nineteen-core`,
//! `taonet-nineteen-query`, `taonet-nineteen-entry`, `taonet-proof-core`, `taonet-proof-backends`,
//! `taonet-proof-circuits`, `taonet-proof-onnx` and `taonet-proof-lm`. Used by `scripts/fuzz`, and
//! as a module by the end-to-end tests.

mod file;
mod head;

pub mod babelbit_documents;
pub mod babelbit_headers;
pub mod body_hash;
pub mod btauth_headers;
pub mod chain_texts;
pub mod chain_values;
pub mod dendrite_headers;
pub mod gguf;
pub mod inference_documents;
pub mod inference_streams;
pub mod keyfile;
pub mod mnemonic;
pub mod ngram_models;
pub mod polkadot_js;
pub mod proof_models;
pub mod proof_networks;
pub mod proof_queries;
pub mod proof_texts;
pub mod ss58;
pub mod timelock;
pub mod training_texts;
pub mod wav;

/// A named fuzz target: its name, and the function that checks one input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 22] = [
    ("babelbit_documents", babelbit_documents::check),
    ("babelbit_headers", babelbit_headers::check),
    ("body_hash", body_hash::check),
    ("btauth_headers", btauth_headers::check),
    ("chain_texts", chain_texts::check),
    ("chain_values", chain_values::check),
    ("dendrite_headers", dendrite_headers::check),
    ("gguf", gguf::check),
    ("inference_documents", inference_documents::check),
    ("inference_streams", inference_streams::check),
    ("keyfile", keyfile::check),
    ("mnemonic", mnemonic::check),
    ("ngram_models", ngram_models::check),
    ("polkadot_js", polkadot_js::check),
    ("proof_models", proof_models::check),
    ("proof_networks", proof_networks::check),
    ("proof_queries", proof_queries::check),
    ("proof_texts", proof_texts::check),
    ("ss58", ss58::check),
    ("timelock", timelock::check),
    ("training_texts", training_texts::check),
    ("wav", wav::check),
];
