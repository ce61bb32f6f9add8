//! Checks of miners' answers: how likely the validator's own model finds the tokens that a miner returned.
//!
//! A [`ReferenceModel`] reads a request and an answer and returns, for each token of the answer, its log-probability,
//! its rank and the likeliest tokens at its position ([`Reading`]). [`check_text`] computes the quality from these with
//! the core's formulas. There are two implementations:
//!
//! - [`OpenAiReference`]: an OpenAI-compatible server that the validator runs (vLLM, SGLang, llama.cpp). With
//!   `prompt_logprobs` one pass reads the whole answer, otherwise each of five tokens takes a request;
//! - [`LocalReference`]: a language model in this process.
//!
//! A check takes one sample and returns one result. It waits while the model is busy, and never uses another's result.
//!
//! Uses `taonet-nineteen-core` (formulas) and `taonet-lm`. Used by control.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod local;
mod openai;
mod text;

use async_trait::async_trait;
use serde_json::{Map, Value};
use taonet_nineteen_core::checker::text::Token;
use taonet_nineteen_core::task::Endpoint;

pub use local::LocalReference;
pub use openai::OpenAiReference;
pub use text::{Checked, check_text};

/// A question to a model: a request and the miner's answer to it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Endpoint of the request.
    pub endpoint: Endpoint,
    /// Payload of the request.
    pub payload: &'a Map<String, Value>,
    /// Tokens of the miner's answer.
    pub tokens: &'a [Token],
    /// Positions of the tokens to compare.
    pub places: &'a [usize],
}

/// A model's probabilities at one position of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceReading {
    /// The likeliest tokens with their log-probabilities, the likeliest first.
    pub top: Vec<(String, f64)>,
    /// Rank (from 1) and log-probability of the miner's token, if the model reports them.
    pub own: Option<(u32, f64)>,
    /// Log-probability that the answer ends here, if the model reports it.
    pub end_logprob: Option<f64>,
}

impl PlaceReading {
    /// Returns the log-probability of a token if it is among the five likeliest.
    pub fn among_likeliest(&self, token: &str) -> Option<f64> {
        self.top.iter().take(LIKELIEST).find(|(text, _)| text == token).map(|(_, logprob)| *logprob)
    }
}

/// Number of likeliest tokens that a check considers.
pub const LIKELIEST: usize = 5;

/// A model's probabilities of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Probabilities of all tokens, in the order of the answer.
    Whole(Vec<PlaceReading>),
    /// Probabilities at the requested positions, in their order.
    Places(Vec<PlaceReading>),
}

/// Why a check failed. The sample stays in the queue for a retry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No model is configured for the task.
    #[error("no model checks task {0}")]
    NoModel(String),
    /// The model's server is unreachable or timed out.
    #[error("the checking server did not respond")]
    NoAnswer(#[source] reqwest::Error),
    /// The model's server returned an error status.
    #[error("the checking server answered {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first 300 characters of the response.
        text: String,
    },
    /// The model's server returned a malformed response.
    #[error("the checking server's response has no {0}")]
    Malformed(&'static str),
    /// The model failed.
    #[error("the checking model failed")]
    Model(#[from] taonet_lm::ModelError),
    /// The HTTP client cannot be built.
    #[error("the checking client cannot be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process is shutting down.
    #[error("the check was stopped")]
    Stopped,
    /// The stored sample is malformed.
    #[error("the sample is damaged: {0}")]
    Sample(&'static str),
}

/// A model that the validator trusts.
#[async_trait]
pub trait ReferenceModel: Send + Sync {
    /// Computes the probabilities of an answer's tokens.
    async fn read(&self, question: &Question<'_>) -> Result<Reading, CheckError>;
}

#[cfg(test)]
mod tests;
