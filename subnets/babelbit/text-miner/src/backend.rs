//! Predictions of an inference server with OpenAI's API.
//!
//! The prompt is the dialogue, one utterance per line, and ends with the revealed words; the
//! server's completion up to the end of that line is the rest of the utterance. The completion is
//! streamed, so that words that arrive before the deadline are used. When the server fails or
//! exceeds the deadline, the n-gram model, if there is one, continues the text received so far.
//! Without an n-gram model, the prediction is the revealed words with the text received, or empty
//! if no text was received, as in the reference system.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use metrics::{counter, describe_counter};
use serde_json::{Value, json};
use taonet_http::{ModelServer, ModelServerError};

use crate::line::{Line, prompt};
use crate::model::{CompletionOptions, TextModel};
use crate::ngram::NgramModel;

/// Path of the completions below the server's base URL.
const COMPLETIONS: &str = "completions";

const CALLS: &str = "taonet_text_miner_backend_calls_total";

/// Registers help texts of the metrics.
pub(crate) fn describe_metrics() {
    describe_counter!(CALLS, "Calls to the inference server, by outcome");
}

/// Why the model of a backend cannot be determined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The server's list of models is unavailable.
    #[error(
        "cannot list the models of the backend: {0}\nhint: name the model with --backend-model"
    )]
    Models(#[source] ModelServerError),
    /// The server's list of models is empty.
    #[error("the backend lists no model\nhint: name the model with --backend-model")]
    NoModel,
}

/// Why a completion ended early.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Server(#[from] ModelServerError),
    /// The server reported an error within the stream.
    #[error("the stream contains an error")]
    Reported,
    #[error("the response has no field choices[0].text")]
    NoText,
}

impl Interruption {
    const fn label(&self) -> &'static str {
        match self {
            Self::Server(error) if error.is_timeout() => "timeout",
            _ => "error",
        }
    }
}

/// A text model that runs on an inference server.
#[derive(Debug)]
pub struct Backend {
    server: ModelServer,
    model: String,
    options: CompletionOptions,
    fallback: Option<Arc<NgramModel>>,
}

impl Backend {
    /// Selects a model of a server: the model `name`, or the first one that the server lists. The
    /// n-gram model `fallback` completes utterances when the server fails or exceeds its deadline.
    ///
    /// # Errors
    /// [`BackendError`], only without a name.
    pub async fn connect(
        server: ModelServer,
        name: Option<String>,
        options: CompletionOptions,
        fallback: Option<Arc<NgramModel>>,
    ) -> Result<Self, BackendError> {
        let model = match name {
            Some(name) => name,
            None => server
                .first_model()
                .await
                .map_err(BackendError::Models)?
                .ok_or(BackendError::NoModel)?,
        };
        Ok(Self { server, model, options, fallback })
    }

    /// Streams the completion of the prompt into `line`, until the line is complete.
    async fn complete(&self, prompt: &str, line: &mut Line) -> Result<(), Interruption> {
        let body = json!({
            "model": self.model, "prompt": prompt, "max_tokens": self.options.max_tokens, "temperature": 0,
            "stream": true,
        });
        let mut fault = None;
        let call = self.server.events(COMPLETIONS, &body, |event| {
            match event.pointer("/choices/0/text").and_then(Value::as_str) {
                Some(text) => line.add(text),
                // Some servers end with an event about token usage, which has no choices.
                None if event.get("usage").is_some_and(Value::is_object) => {
                    ControlFlow::Continue(())
                }
                None => {
                    let reported = event.get("error").is_some();
                    fault =
                        Some(if reported { Interruption::Reported } else { Interruption::NoText });
                    ControlFlow::Break(())
                }
            }
        });
        call.await?;
        fault.map_or(Ok(()), Err)
    }
}

#[async_trait]
impl TextModel for Backend {
    fn name(&self) -> &str {
        &self.model
    }

    async fn predict(&self, prefix: &str, context: &str) -> String {
        let mut line = Line::default();
        let outcome = self.complete(&prompt(prefix, context), &mut line).await;
        let label = outcome.as_ref().map_or_else(Interruption::label, |()| "complete");
        counter!(CALLS, "outcome" => label).increment(1);
        let Err(error) = outcome else {
            return line.complete(prefix, self.options.fallback.as_deref());
        };
        line.drop_last_word();
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            words = line.words(),
            "the completion of the inference server was interrupted"
        );
        match &self.fallback {
            Some(model) => model.complete(&line.with_prefix(prefix)),
            None if line.is_empty() => String::new(),
            None => line.with_prefix(prefix),
        }
    }
}

#[cfg(test)]
mod tests;
