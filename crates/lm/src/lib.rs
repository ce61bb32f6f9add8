//! Language models on candle.
//!
//! - [`Llama`]: the architectures Llama, Qwen 2 (also 2.5), Qwen 3 and Gemma 3 ([`LlamaKind`]) with
//!   a key-value cache. Its weights are loaded from a directory (except Gemma's), a GGUF file or,
//!   without any download, generated from a seed;
//! - [`CausalModel`]: GPT-2 or a model of the Llama family from a directory or a GGUF file, with
//!   weights of 32, 8 or 4 bits, on the CPU or a GPU. A [`KvCache`] can be truncated and copied, so
//!   that texts with a common prefix share its computation. [`greedy_token`] chooses the likeliest
//!   token after a text. [`CausalModel::decoder`] returns the weights as plain numbers
//!   ([`Decoder`]);
//! - [`Vocabulary`]: the tokens of a model;
//! - [`LanguageModel`]: Llama's weights and vocabulary, from a directory, a GGUF file or a seed. It
//!   builds prompts and [generates](LanguageModel::generate) answers with log-probabilities;
//!   [`LanguageModel::answer_probabilities`] computes the probability of each token of a given
//!   answer in one pass;
//! - [`Engine`]: continuous batching, in which concurrent answers share one cache and each pass
//!   over the weights;
//! - [`server`]: OpenAI-compatible `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and
//!   `/v1/models`.
//!
//! ```
//! use taonet_lm::{LanguageModel, Sampling};
//!
//! # fn main() -> Result<(), taonet_lm::ModelError> {
//! let model = LanguageModel::random("demo", 2, 7)?;
//! let prompt = model.completion_prompt("Once upon a time")?;
//! let sampling = Sampling { max_tokens: 4, ..Sampling::default() };
//! let steps = model.generate(prompt.clone(), sampling).collect::<Result<Vec<_>, _>>()?;
//! let answer: Vec<u32> = steps.iter().map(|step| step.token).collect();
//!
//! // A checker with the same weights computes the same probabilities.
//! let positions = model.answer_probabilities(&prompt, &answer, 1)?;
//! for (position, step) in positions.iter().zip(&steps) {
//!     assert!((position.logprob - step.logprob).abs() < 1e-3);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A model with random weights generates meaningless text, but its probabilities are reproducible
//! and differ from those of other weights. Nineteen's demonstration and tests need no more: miners
//! and the validator's checker run the same model.
//!
//! [`LanguageModel`] and [`Engine`] run on the CPU, with weights of 32-bit floats, or of 8 or 4
//! bits from a GGUF file or by rounding ([`LanguageModel::open_rounded`]). Calls of the models
//! block; [`Engine`] has its own thread. With the cargo features `cuda` and `metal`, a
//! [`CausalModel`] runs on a GPU. A prompt that exceeds the model's context is an error
//! ([`ModelError::TooLong`]), never truncated; an answer ends when it has filled the context. The
//! crate does not train or download models. The server has no authentication: it is meant for
//! loopback addresses.
//!
//! Uses `taonet-primitives` only. Used by `taonet-babelbit-miner`, `taonet-babelbit-text-miner`,
//! `taonet-nineteen-checker`, `taonet-prompting-neurons`, `taonet-proof-lm`, `tao nineteen` and
//! `tao prompting`.

mod attention;
mod cache;
mod causal;
mod checkpoint;
mod config;
mod decoder;
mod engine;
mod generate;
mod gpt2;
mod linear;
mod llama;
mod model;
mod network;
mod paged;
pub mod server;
mod splitmix;
mod template;
mod vocabulary;

pub use cache::KvCache;
pub use causal::{CausalModel, Compute, LoadOptions};
pub use checkpoint::{LoadError, gguf_file};
pub use config::{LlamaConfig, LlamaKind, LocalLayers, ModelError, RopeScaling};
pub use decoder::{Decoder, DecoderLayer, FeedForward, Matrix, Norm, Positions, Projection};
pub use engine::{Engine, EngineEvent, EngineSettings, SubmitError};
pub use generate::{FinishReason, Generation, Sampling, Step, greedy_token};
pub use linear::Bits;
pub use llama::Llama;
pub use model::{LanguageModel, Message, PositionProbabilities};
pub use vocabulary::{TextStream, Vocabulary};
