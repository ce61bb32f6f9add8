//! Language models on candle.
//!
//! - [`Llama`]: the Llama architecture with a key-value cache. Its weights come from a directory, or from a seed, which
//!   needs no download;
//! - [`Vocabulary`]: the tokens of a model;
//! - [`LanguageModel`]: weights and vocabulary: prompts, [generation](LanguageModel::generate) with log-probabilities,
//!   and [`LanguageModel::judge`], which computes the probability of each token of an answer in one pass;
//! - [`Engine`]: continuous batching: concurrent answers share one cache and each pass over the weights;
//! - [`server`]: OpenAI-compatible `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models`.
//!
//! A model with random weights generates meaningless text, but its probabilities are reproducible and differ from those
//! of other weights. Nineteen's demonstration and tests need no more: miners and the validator's checker run the same
//! model.
//!
//! Uses no other crate of the workspace. Used by Nineteen's checker and by `tao nineteen`.

mod checkpoint;
mod config;
mod engine;
mod generate;
mod llama;
mod model;
mod noise;
mod paged;
pub mod server;
mod template;
mod vocabulary;

pub use checkpoint::LoadError;
pub use config::{LlamaConfig, ModelError, RopeScaling};
pub use engine::{Engine, EngineEvent, EngineSettings, SubmitError};
pub use generate::{Finish, Generation, Sampling, Step};
pub use llama::{KvCache, Llama};
pub use model::{LanguageModel, Message, Place};
pub use vocabulary::Vocabulary;
