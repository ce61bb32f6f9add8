//! Language models as circuits: a proof that a model continues a prompt with a text.
//!
//! [`compile`] makes a circuit of a model of the families that `taonet-lm` loads: it reads up to a
//! fixed number of tokens and computes the logits after each of them. One proof covers a whole
//! answer: the tokens of prompt and answer are the inputs, and each token of the answer is the
//! likeliest one after those before it. [`TextBundle::prove`] writes the answer by the integer
//! network of the circuit, so it is the answer of the quantised model. [`TextBundle::verify_with`]
//! verifies the proof, that the inputs begin with the tokens of the prompt, and that each token of
//! the answer has the largest logit.
//!
//! A later token does not change the logits before it, since attention is causal. The inputs after
//! the answer must be zeros, so that a prover cannot choose them.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_primitives::Hotkey;
//! use taonet_proof_circuits::{Backends, CircuitDirectory, CompileOptions};
//! use taonet_proof_core::Digest;
//! use taonet_proof_lm::{LmError, LmOptions, TextBundle, compile};
//!
//! # fn example(options: &CompileOptions, miner: Hotkey) -> Result<(), LmError> {
//! let lm = LmOptions { tokens: 64, sample: None };
//! let compiled = compile(Path::new("models/facts-lm"), options, lm)?;
//! let directory = CircuitDirectory::create(Path::new("circuits/facts"), &compiled)?;
//! let bundle = TextBundle::prove(&directory, "The capital of Texas is", Digest::of(b"a nonce"), miner)?;
//! println!("{}", bundle.verify_with(&Backends::default())?.answer);
//! # Ok(())
//! # }
//! ```
//!
//! In a market, a miner is asked like for any circuit: [`TextBundle::inputs`] computes the answer,
//! whose tokens are among the inputs, and [`TextBundle::new`] adds prompt and tokenizer to the
//! miner's proof. A miner that serves the circuit needs nothing of this crate.
//!
//! Answers are those of greedy decoding only: nothing is drawn by chance. Everything is public. The
//! weights must fit into one circuit: language models are not sliced. The crate trains and
//! downloads no models.
//!
//! [`measure`] compares the integer network with the model without creating keys, to choose the bits
//! of activations and weights.
//!
//! Compiling and proving are CPU-bound and block.
//!
//! Uses `taonet-lm`, `taonet-proof-onnx`, `taonet-proof-core`, `taonet-proof-circuits` and
//! `taonet-primitives`. Used by `taonet-proof-api` and the `tao proof` commands.

mod answer;
mod bundle;
mod compile;
mod error;
mod graph;
mod measure;
mod model;
mod projections;
mod proof_bundle;
mod shipped;

pub use answer::Finish;
pub use bundle::{Text, TextBundle, is_language_model};
pub use compile::{LmOptions, compile, compile_with_sample};
pub use error::LmError;
pub use measure::{LmPrecision, measure};
use model::LanguageModel;
pub use proof_bundle::ProofBundle;
pub use shipped::{FACTS_LM, FACTS_LM_TEXTS};
