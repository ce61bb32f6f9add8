//! Predictions of a causal language model in this process: GPT-2 or Llama.
//!
//! The prompt is the dialogue, one utterance per line, and ends with the revealed words; the
//! likeliest tokens up to the end of that line are the rest of the utterance. The model runs on a
//! separate thread, one prediction at a time, with one key-value cache per utterance: when the next
//! word is revealed, it processes only that word. When the deadline passes, the words predicted so
//! far are used, and the n-gram model, if there is one, continues the text.

mod sessions;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use metrics::{counter, describe_counter};
use taonet_lm::{CausalModel, ModelError, greedy_token};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::line::{Line, stable_prompt};
use crate::model::{CompletionOptions, TextModel};
use crate::ngram::NgramModel;
use sessions::Sessions;

/// Maximum number of predictions queued for the model; further predictions do without it.
const QUEUE_CAPACITY: usize = 64;
/// Number of tokens of a prompt between two checks of the deadline.
const TOKENS_PER_CHECK: usize = 32;

const PREDICTIONS: &str = "taonet_text_miner_lm_predictions_total";
const TOKENS: &str = "taonet_text_miner_lm_tokens_total";

/// Registers help texts of the metrics.
pub(crate) fn describe_metrics() {
    describe_counter!(PREDICTIONS, "Predictions of the language model, by outcome");
    describe_counter!(TOKENS, "Tokens of the language model's predictions, by kind");
}

/// Resource limits of a language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of utterances with a key-value cache.
    pub sessions: usize,
    /// Maximum memory of all key-value caches, in bytes.
    pub cache_bytes: usize,
    /// Deadline of a prediction.
    pub deadline: Duration,
}

impl Default for Limits {
    /// Returns the defaults: 8 utterances, 1 GiB, 5 s.
    fn default() -> Self {
        Self { sessions: 8, cache_bytes: 1 << 30, deadline: Duration::from_secs(5) }
    }
}

/// A [`TextModel`] on a causal language model. Its thread ends when the value is dropped.
#[derive(Debug)]
pub struct Causal {
    name: String,
    jobs: mpsc::Sender<Job>,
    deadline: Duration,
    options: CompletionOptions,
    fallback: Option<Arc<NgramModel>>,
}

#[derive(Debug)]
struct Job {
    prompt: String,
    deadline: Instant,
    answer: oneshot::Sender<(Line, Outcome)>,
}

/// Outcome of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Complete,
    Timeout,
    Overloaded,
    Stopped,
    Error,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }
}

impl Causal {
    /// Starts the thread of a model. The n-gram model `fallback` completes utterances when the
    /// deadline passes.
    ///
    /// # Errors
    /// When the thread cannot be spawned.
    pub fn start(
        name: impl Into<String>,
        model: CausalModel,
        limits: Limits,
        options: CompletionOptions,
        fallback: Option<Arc<NgramModel>>,
    ) -> std::io::Result<Self> {
        let max_tokens = options.max_tokens.get() as usize;
        let worker = Worker {
            sessions: Sessions::new(limits.sessions, limits.cache_bytes),
            model,
            max_tokens,
        };
        Self::spawn(name.into(), limits.deadline, options, fallback, |inbox| worker.run(inbox))
    }

    fn spawn(
        name: String,
        deadline: Duration,
        options: CompletionOptions,
        fallback: Option<Arc<NgramModel>>,
        work: impl FnOnce(mpsc::Receiver<Job>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel(QUEUE_CAPACITY);
        std::thread::Builder::new().name("language model".to_owned()).spawn(move || work(inbox))?;
        Ok(Self { name, jobs, deadline, options, fallback })
    }

    /// Predicts the rest of the line after a prompt.
    async fn complete(&self, prompt: String) -> (Line, Outcome) {
        let (answer, received) = oneshot::channel();
        let job = Job { prompt, deadline: Instant::now() + self.deadline, answer };
        let outcome = match self.jobs.try_send(job) {
            Ok(()) => match received.await {
                Ok(answer) => return answer,
                Err(_) => Outcome::Stopped,
            },
            Err(TrySendError::Full(_)) => Outcome::Overloaded,
            Err(TrySendError::Closed(_)) => Outcome::Stopped,
        };
        (Line::default(), outcome)
    }
}

#[async_trait]
impl TextModel for Causal {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_loaded(&self) -> bool {
        !self.jobs.is_closed()
    }

    async fn predict(&self, prefix: &str, context: &str) -> String {
        let (line, outcome) = self.complete(stable_prompt(prefix, context)).await;
        counter!(PREDICTIONS, "outcome" => outcome.label()).increment(1);
        if outcome == Outcome::Complete {
            return line.complete(prefix, self.options.fallback.as_deref());
        }
        if outcome == Outcome::Stopped {
            tracing::error!(
                "the language model has stopped after a panic; hint: restart the miner"
            );
        } else {
            tracing::warn!(
                outcome = outcome.label(),
                words = line.words(),
                "the prediction of the language model is incomplete"
            );
        }
        match &self.fallback {
            Some(model) => model.complete(&line.with_prefix(prefix)),
            None if line.is_empty() => String::new(),
            None => line.with_prefix(prefix),
        }
    }
}

/// The thread of a model.
struct Worker {
    model: CausalModel,
    sessions: Sessions,
    /// Maximum number of generated tokens.
    max_tokens: usize,
}

impl Worker {
    fn run(mut self, mut inbox: mpsc::Receiver<Job>) {
        while let Some(Job { prompt, deadline, answer }) = inbox.blocking_recv() {
            let mut line = Line::default();
            // The caller may have gone while the job waited.
            let is_late = || Instant::now() >= deadline || answer.is_closed();
            let outcome = self.complete(&prompt, &mut line, is_late).unwrap_or_else(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the language model failed"
                );
                Outcome::Error
            });
            if outcome != Outcome::Complete {
                line.drop_last_word();
            }
            let _ = answer.send((line, outcome));
        }
    }

    /// Adds the likeliest continuation of a prompt to the line, until the line is complete or
    /// `is_late` returns `true`.
    fn complete(
        &mut self,
        prompt: &str,
        line: &mut Line,
        is_late: impl Fn() -> bool,
    ) -> Result<Outcome, ModelError> {
        let Self { model, sessions, max_tokens } = self;
        if is_late() {
            return Ok(Outcome::Timeout);
        }
        let vocabulary = model.vocabulary();
        let mut tokens: Vec<u32> = vocabulary.bos_token().into_iter().collect();
        tokens.extend(vocabulary.encode(prompt)?);
        if tokens.is_empty() {
            // The first word of a dialogue has an empty prompt, and some models have no token that
            // begins a text.
            tokens = vocabulary.encode("\n")?;
        }
        let tokens = fit_to_context(&tokens, model.context(), *max_tokens);
        if tokens.is_empty() {
            return Err(ModelError::Tokens);
        }
        let session = sessions.open(tokens)?;
        let cached = session.cache.tokens();
        counter!(TOKENS, "kind" => "reused").increment(cached as u64);
        let mut logits = Vec::new();
        for piece in tokens.get(cached..).unwrap_or_default().chunks(TOKENS_PER_CHECK) {
            if is_late() {
                return Ok(Outcome::Timeout);
            }
            logits = session.read(model, piece)?;
            counter!(TOKENS, "kind" => "read").increment(piece.len() as u64);
        }
        let (mut generated, mut decoded_length) = (Vec::new(), 0);
        while generated.len() < *max_tokens {
            let token = greedy_token(&logits);
            if vocabulary.end_tokens().contains(&token) {
                break;
            }
            generated.push(token);
            let text = vocabulary.decode(&generated);
            // A character may be spread over several tokens.
            let decoded = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
            let added = line.add(decoded.get(decoded_length..).unwrap_or_default());
            decoded_length = decoded_length.max(decoded.len());
            if added == ControlFlow::Break(()) || session.cache.tokens() >= model.context() {
                break;
            }
            if is_late() {
                return Ok(Outcome::Timeout);
            }
            logits = session.read(model, &[token])?;
            counter!(TOKENS, "kind" => "generated").increment(1);
        }
        sessions.shrink();
        Ok(Outcome::Complete)
    }
}

/// Returns the last tokens of a prompt, leaving space in the context for `max_tokens` more. The
/// beginning is dropped in large pieces, so that the cached prefix of a growing prompt stays valid
/// for long.
fn fit_to_context(tokens: &[u32], context: usize, max_tokens: usize) -> &[u32] {
    let max_prompt = context.saturating_sub(max_tokens).max(context.div_ceil(2));
    let piece = max_prompt.div_ceil(4);
    let dropped_tokens = tokens.len().saturating_sub(max_prompt).div_ceil(piece.max(1)) * piece;
    tokens.get(dropped_tokens..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
