//! Checks of miners' answers against the validator's own models.
//!
//! A miner could serve a smaller model than the one that it is paid for. Its answer would still be
//! readable, but the model that it claims to serve assigns other probabilities to the tokens, and a
//! check measures that difference. The reference model computes the probabilities of the answer's
//! tokens; it does not generate another answer.
//!
//! A [`ReferenceModel`] processes a request and an answer. It returns the likeliest tokens at each
//! position of the answer, or at the positions to compare only, and the rank and log-probability of
//! the miner's token if the model reports them ([`AnswerLogprobs`]). [`check_text`] computes the
//! quality from these with the core's formulas. There are two implementations:
//!
//! - [`OpenAiReference`]: an OpenAI-compatible server that the validator runs (vLLM, SGLang,
//!   llama.cpp). With `prompt_logprobs`, one request covers the complete answer; otherwise each of
//!   up to five tokens takes a request;
//! - [`LocalReference`]: a language model in this process.
//!
//! An image is compared with the image that the validator's own server generates from the same
//! request ([`ImageReference`]), an embedding with the vectors of the validator's own server
//! ([`EmbeddingReference`]). A [`Reference`] is any of the three.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use serde_json::{Map, Value};
//! use taonet_lm::LanguageModel;
//! use taonet_nineteen_checker::{CheckError, LocalReference, check_text};
//! use taonet_nineteen_core::scoring::ScoringProfile;
//! use taonet_nineteen_core::task::Endpoint;
//!
//! # async fn example(request: Map<String, Value>, chunks: Vec<Value>) -> Result<(), CheckError> {
//! let model = LocalReference::new(Arc::new(LanguageModel::random("demo", 4, 7)?));
//! let draw = |count: usize| rand::random_range(0..count);
//! let checked = check_text(&model, Endpoint::Chat, &request, &chunks, ScoringProfile::Later, draw).await?;
//! println!("quality {:?}: {}", checked.quality, checked.reason);
//! # Ok(())
//! # }
//! ```
//!
//! A check takes one sample and returns one result. A malformed answer has quality 0. If the model
//! or its server fails, the check returns an error instead of a quality, so that an outage of the
//! validator does not lower a miner's score. [`CheckError::is_final`] distinguishes errors for
//! which a retry is useless. The crate stores no samples (`taonet-nineteen-query` does) and
//! schedules no retries (`taonet-nineteen-control` does).
//!
//! Uses `taonet-nineteen-core` (formulas), `taonet-lm` and `taonet-http` (clients of the servers).
//! Used by `taonet-nineteen-control` and `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod embedding;
mod image;
mod local;
mod openai;
mod server;
mod text;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use taonet_nineteen_core::checker::text::Token;
use taonet_nineteen_core::scoring::ScoringProfile;
use taonet_nineteen_core::task::Endpoint;

pub use embedding::EmbeddingReference;
pub use image::ImageReference;
pub use local::LocalReference;
pub use openai::OpenAiReference;
pub use server::CheckingServer;
pub use text::{CheckResult, check_text};

/// A request for the probabilities of an answer: a buyer's request and the miner's answer to it.
#[derive(Debug, Clone, Copy)]
pub struct LogprobsRequest<'a> {
    /// Endpoint of the request.
    pub endpoint: Endpoint,
    /// Payload of the request.
    pub payload: &'a Map<String, Value>,
    /// Tokens of the miner's answer.
    pub tokens: &'a [Token],
    /// Positions of the tokens to compare.
    pub positions: &'a [usize],
}

/// A model's probabilities at one position of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionLogprobs {
    /// The likeliest tokens with their log-probabilities, in descending order.
    pub top: Vec<(String, f64)>,
    /// Rank (from 1) and log-probability of the miner's token, if the model reports them.
    pub miner_token: Option<(u32, f64)>,
    /// Log-probability of the end token at this position, if the model reports it.
    pub end_logprob: Option<f64>,
}

impl PositionLogprobs {
    /// Returns the log-probability of a token if it is among the five likeliest.
    pub(crate) fn logprob_among_likeliest(&self, token: &str) -> Option<f64> {
        self.top
            .iter()
            .take(TOP_TOKENS)
            .find(|(text, _)| text == token)
            .map(|(_, logprob)| *logprob)
    }
}

/// Number of likeliest tokens that a check considers.
pub(crate) const TOP_TOKENS: usize = 5;

/// A model's probabilities for the tokens of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerLogprobs {
    /// Probabilities of all tokens, in the order of the answer.
    FullText(Vec<PositionLogprobs>),
    /// Probabilities at the requested positions, in their order.
    Positions(Vec<PositionLogprobs>),
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No model is configured for the task.
    #[error("no checking model is configured for task {0}")]
    NoModel(String),
    /// The model's server is unreachable or timed out.
    #[error("the checking server did not respond")]
    NoResponse(#[source] taonet_http::Fault),
    /// The model's server returned an error status.
    #[error("the checking server returned {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first 300 characters of the response.
        text: String,
    },
    /// The model's server returned a malformed response.
    #[error("the checking server's response {0}")]
    Malformed(&'static str),
    /// The model in this process failed.
    #[error("the checking model failed")]
    Model(#[from] taonet_lm::ModelError),
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client of the checking server; hint: check its token")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process is shutting down.
    #[error("the check was cancelled: the process is shutting down")]
    ShuttingDown,
    /// The stored sample is malformed.
    #[error("the stored sample is malformed: {0}")]
    MalformedSample(&'static str),
}

impl CheckError {
    /// Returns whether a retry would fail again: the stored sample is malformed, or the model
    /// rejects the request or the answer, for example because the text exceeds its context or the
    /// server does not have the model.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::MalformedSample(_)
                | Self::Model(_)
                | Self::Refused { status: 400 | 404 | 413 | 422, .. }
        )
    }
}

/// A model whose probabilities the validator trusts.
#[async_trait]
pub trait ReferenceModel: Send + Sync {
    /// Computes the probabilities of an answer's tokens.
    async fn logprobs(&self, request: &LogprobsRequest<'_>) -> Result<AnswerLogprobs, CheckError>;

    /// Generates the assistant's answer to a conversation, with at most `max_tokens` tokens,
    /// for synthetic requests; `None` if the model cannot generate text.
    async fn generate(
        &self,
        _messages: &[Value],
        _max_tokens: u64,
        _seed: u64,
    ) -> Result<Option<String>, CheckError> {
        Ok(None)
    }
}

/// Reference against which a validator checks the answers of a task.
#[derive(Clone)]
pub enum Reference {
    /// Chats and completions: probabilities of a language model.
    Text(Arc<dyn ReferenceModel>),
    /// Images: an image server.
    Image(ImageReference),
    /// Embeddings: an embedding server.
    Embedding(EmbeddingReference),
}

impl Reference {
    /// Checks an answer to a request. `answer` has the chunks of a stream, or one JSON document.
    /// `draw(n)` returns a random number below `n`.
    ///
    /// # Errors
    /// [`CheckError`] when the reference fails; unless the error is final, the check can be
    /// retried.
    pub async fn check(
        &self,
        endpoint: Endpoint,
        payload: &Map<String, Value>,
        answer: &[Value],
        profile: ScoringProfile,
        draw: impl FnMut(usize) -> usize + Send,
    ) -> Result<CheckResult, CheckError> {
        match self {
            Self::Text(model) => {
                check_text(model.as_ref(), endpoint, payload, answer, profile, draw).await
            }
            Self::Image(reference) => reference.check(endpoint, payload, answer).await,
            Self::Embedding(reference) => reference.check(payload, answer).await,
        }
    }
}

#[cfg(test)]
mod tests;
