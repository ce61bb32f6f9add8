//! Checks miners' answers: how likely the validator's own model finds what a miner says that the model said.
//!
//! A [`ReferenceModel`] reads a request and an answer, and tells for each token of the answer its log-probability, its rank
//! and the likeliest tokens at its place ([`Reading`]). [`check_text`] makes a quality of it with the core's formulas.
//! Two models are there:
//!
//! - [`OpenAiReference`]: a server that the validator runs and that speaks OpenAI's protocol (vLLM, SGLang, llama.cpp).
//!   Where it gives `prompt_logprobs`, one pass tells everything, else one request for each of five tokens;
//! - [`LocalReference`]: a language model in this process.
//!
//! A check has one sample and one result: a model that is busy makes it wait, and never answers for another.
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

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The route that the miner was asked on.
    pub endpoint: Endpoint,
    /// What it was asked.
    pub payload: &'a Map<String, Value>,
    /// What it answered.
    pub tokens: &'a [Token],
    /// Places of the tokens that matter.
    pub places: &'a [usize],
}

/// What a model says of one place of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceReading {
    /// The likeliest tokens here, the likeliest first.
    pub top: Vec<(String, f64)>,
    /// Rank (from 1) and log-probability of the miner's token, where the model told them.
    pub own: Option<(u32, f64)>,
    /// Log-probability of the answer's end here, where the model told it.
    pub end_logprob: Option<f64>,
}

impl PlaceReading {
    /// Log-probability of a token among the five likeliest.
    pub fn among_likeliest(&self, token: &str) -> Option<f64> {
        self.top.iter().take(LIKELIEST).find(|(text, _)| text == token).map(|(_, logprob)| *logprob)
    }
}

/// How many likeliest tokens count.
pub const LIKELIEST: usize = 5;

/// What a model says of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Every token, in the order of the answer.
    Whole(Vec<PlaceReading>),
    /// The places that were asked for, in that order.
    Places(Vec<PlaceReading>),
}

/// Why a check gave no result. The sample waits for another one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No model checks this task.
    #[error("no model checks task {0}")]
    NoModel(String),
    /// The model's server was not reached, or took too long.
    #[error("the checking server gave no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The model's server refused.
    #[error("the checking server answered {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first 300 characters of its answer.
        text: String,
    },
    /// The model's server gave something else than was asked for.
    #[error("the checking server's answer lacks {0}")]
    Malformed(&'static str),
    /// The model failed.
    #[error("the checking model failed")]
    Model(#[from] taonet_lm::ModelError),
    /// The client could not be set up.
    #[error("the checking client cannot be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process is about to end.
    #[error("the check was stopped")]
    Stopped,
    /// A stored sample cannot be read.
    #[error("the sample is damaged: {0}")]
    Sample(&'static str),
}

/// A model that the validator trusts.
#[async_trait]
pub trait ReferenceModel: Send + Sync {
    /// Reads an answer.
    async fn read(&self, question: &Question<'_>) -> Result<Reading, CheckError>;
}

#[cfg(test)]
mod tests;
