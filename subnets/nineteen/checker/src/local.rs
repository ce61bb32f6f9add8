//! Reference model in this process.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use taonet_lm::{LanguageModel, Message};
use taonet_nineteen_core::task::Endpoint;

use crate::{CheckError, LIKELIEST, PlaceReading, Question, Reading, ReferenceModel};

/// A language model in this process that reads every answer in one pass.
#[derive(Debug, Clone)]
pub struct LocalReference {
    model: Arc<LanguageModel>,
}

impl LocalReference {
    /// Creates a reference model from `model`.
    pub const fn new(model: Arc<LanguageModel>) -> Self {
        Self { model }
    }
}

#[async_trait]
impl ReferenceModel for LocalReference {
    async fn read(&self, question: &Question<'_>) -> Result<Reading, CheckError> {
        let prompt = prompt(&self.model, question)?;
        let vocabulary = self.model.vocabulary();
        let known: Vec<Option<u32>> = question.tokens.iter().map(|token| vocabulary.token(&token.text)).collect();
        // Unknown tokens are read as the end token, so that later positions still match the answer.
        let answer: Vec<u32> = known.iter().map(|token| token.unwrap_or(vocabulary.end())).collect();
        let model = Arc::clone(&self.model);
        let judged = tokio::task::spawn_blocking(move || model.judge(&prompt, &answer, LIKELIEST)).await;
        let places = judged.map_err(|_| CheckError::Stopped)??;
        let text = |token: u32| vocabulary.text(token).to_owned();
        let reading = |(place, known): (taonet_lm::Place, &Option<u32>)| PlaceReading {
            top: place.top.iter().map(|(token, logprob)| (text(*token), *logprob)).collect(),
            own: known.map(|_| (place.rank, place.logprob)),
            end_logprob: Some(place.end_logprob),
        };
        Ok(Reading::Whole(places.into_iter().zip(&known).map(reading).collect()))
    }
}

fn prompt(model: &LanguageModel, question: &Question<'_>) -> Result<Vec<u32>, CheckError> {
    if question.endpoint == Endpoint::Completions {
        let text = question.payload.get("prompt").and_then(Value::as_str).ok_or(CheckError::Sample("no prompt"))?;
        return Ok(model.completion_prompt(text)?);
    }
    let messages =
        question.payload.get("messages").and_then(Value::as_array).ok_or(CheckError::Sample("no messages"))?;
    let message = |value: &Value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Message { role: text("role"), content: text("content") }
    };
    Ok(model.chat_prompt(&messages.iter().map(message).collect::<Vec<_>>(), false)?)
}
