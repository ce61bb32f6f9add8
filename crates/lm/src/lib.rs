//! Language models on candle.
//!
//! - [`Llama`]: the Llama architecture with a key-value cache, its weights made from a seed, so that nothing is
//!   downloaded, or loaded from a directory;
//! - [`Vocabulary`]: the tokens of such a model;
//! - [`LanguageModel`]: both together: prompts, [generation](LanguageModel::generate) with log-probabilities, and
//!   [`LanguageModel::judge`], one pass over a prompt and an answer that tells how likely each token was;
//! - [`Engine`]: continuous batching: many answers at a time, all of which share one cache and each pass over the weights;
//! - [`server`]: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models` over a model, as OpenAI has
//!   them.
//!
//! A model with random weights says nothing of meaning, but it is a real model: its probabilities are reproducible, and
//! a model with other weights is told apart by them. That is what Nineteen's demonstration and tests need: miners and the
//! validator's checker run the same one.
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
