//! Completion of conversations by a miner.

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use taonet_http::{ModelServer, ModelServerError};
use taonet_kit::{BoxError, Caller, Miner, MinerSettings, SynapseError};
use taonet_lm::{
    Engine, EngineEvent, EngineSettings, LanguageModel, Message, ModelError, Sampling, SubmitError,
    TextStream,
};
use taonet_wallet::Keypair;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, unbounded_channel};

use crate::next_tokens::MAX_PREDICTIONS;
use crate::protocol::last_text;
use crate::{CannedAnswers, NextTokens, Prompting, StreamPrompting};

/// Why a conversation could not be completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// The model cannot read the conversation, for example because it is too long.
    #[error(transparent)]
    Prompt(#[from] ModelError),
    /// The model accepts no conversation.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The model failed during the completion.
    #[error("the language model failed")]
    Failed,
    /// The server failed.
    #[error("the inference server failed")]
    Server(#[from] ModelServerError),
    /// The server's response has no message.
    #[error("the inference server's response has no message")]
    NoMessage,
    /// Next tokens can be predicted by a model in the process only.
    #[error("the miner has no language model of its own, and predicts no tokens")]
    NoModel,
}

impl CompleteError {
    /// Returns the error for the caller: invalid requests are explained, internal errors only
    /// logged.
    fn to_synapse_error(&self) -> SynapseError {
        match self {
            Self::Prompt(error) | Self::Submit(SubmitError::Prompt(error)) => {
                SynapseError::new(StatusCode::BAD_REQUEST, error.to_string())
            }
            Self::NoModel => SynapseError::new(StatusCode::NOT_IMPLEMENTED, self.to_string()),
            other => SynapseError::internal(other),
        }
    }
}

/// A completion in parts.
type CompletionStream = Pin<Box<dyn Stream<Item = Result<String, BoxError>> + Send>>;
/// The likeliest tokens with their probabilities.
type Distribution = Vec<(String, f64)>;

/// Completes conversations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Completer(Backend);

#[derive(Debug, Clone)]
enum Backend {
    Model { model: Arc<LanguageModel>, engine: Engine, max_tokens: usize },
    Server { server: ModelServer, model: String, max_tokens: usize },
    Canned(Arc<CannedAnswers>),
}

impl Completer {
    /// Completes with a language model in this process, which always chooses the likeliest token;
    /// an answer has at most `max_tokens`.
    ///
    /// # Errors
    /// When the thread of the model cannot be started.
    pub fn model(model: Arc<LanguageModel>, max_tokens: usize) -> io::Result<Self> {
        let engine = Engine::start(Arc::clone(&model), EngineSettings::default())?;
        Ok(Self(Backend::Model { model, engine, max_tokens }))
    }

    /// Completes with the model of this name on an inference server.
    pub fn server(server: ModelServer, model: String, max_tokens: usize) -> Self {
        Self(Backend::Server { server, model, max_tokens })
    }

    /// Completes with a table of answers.
    pub fn canned(answers: CannedAnswers) -> Self {
        Self(Backend::Canned(Arc::new(answers)))
    }

    /// Completes a conversation.
    ///
    /// # Errors
    /// [`CompleteError`] when the conversation is invalid, or the model or the server fails.
    pub async fn complete(&self, conversation: &[Message]) -> Result<String, CompleteError> {
        match &self.0 {
            Backend::Model { model, engine, max_tokens } => {
                generate(model, engine, *max_tokens, conversation).await
            }
            Backend::Server { server, model, max_tokens } => {
                let body =
                    json!({ "model": model, "messages": conversation, "max_tokens": max_tokens });
                let response: ChatResponse = server.json("chat/completions", &body).await?;
                let message =
                    response.choices.into_iter().next().and_then(|choice| choice.message.content);
                message.ok_or(CompleteError::NoMessage)
            }
            Backend::Canned(answers) => Ok(answers.answer(last_text(conversation)).to_owned()),
        }
    }

    /// Completes a conversation in parts, which are tokens as they are generated. A canned answer
    /// has one part.
    ///
    /// # Errors
    /// [`CompleteError`] when the conversation is invalid. A failure of the model or the server is
    /// an error of the stream.
    pub async fn stream(
        &self,
        conversation: &[Message],
    ) -> Result<CompletionStream, CompleteError> {
        match &self.0 {
            Backend::Model { model, engine, max_tokens } => {
                let events = submit(model, engine, *max_tokens, conversation)?;
                let answer =
                    ModelAnswer { model: Arc::clone(model), events, text: TextStream::default() };
                Ok(Box::pin(stream::unfold(Some(answer), |answer| async move {
                    answer?.next_part().await
                })))
            }
            Backend::Server { server, model, max_tokens } => {
                let body = json!({ "model": model, "messages": conversation, "max_tokens": max_tokens, "stream": true });
                Ok(stream_from_server(server.clone(), body))
            }
            Backend::Canned(_) => {
                let completion = self.complete(conversation).await?;
                Ok(Box::pin(stream::iter([Ok::<_, BoxError>(completion)])))
            }
        }
    }

    /// Predicts the token after each text.
    ///
    /// # Errors
    /// [`CompleteError`] when there is no model in the process, a text is too long, or the model
    /// fails.
    pub async fn next_tokens(&self, texts: &[String]) -> Result<Vec<Distribution>, CompleteError> {
        let Backend::Model { model, engine, .. } = &self.0 else {
            return Err(CompleteError::NoModel);
        };
        let sampling = Sampling {
            temperature: 0.0,
            max_tokens: 1,
            top_logprobs: MAX_PREDICTIONS,
            ..Sampling::default()
        };
        // Submit all texts before awaiting the first, so that the engine batches them.
        let submit = |text: &String| Ok(engine.submit(model.completion_prompt(text)?, sampling)?);
        let receivers = texts.iter().map(submit).collect::<Result<Vec<_>, CompleteError>>()?;
        let mut distributions = Vec::with_capacity(receivers.len());
        for mut events in receivers {
            let Some(EngineEvent::Step(step)) = events.recv().await else {
                return Err(CompleteError::Failed);
            };
            let token = |(token, logprob): (u32, f64)| {
                (model.vocabulary().text(token).to_owned(), logprob.exp())
            };
            distributions.push(step.top.into_iter().map(token).collect());
        }
        Ok(distributions)
    }
}

/// Starts the completion of a conversation.
fn submit(
    model: &LanguageModel,
    engine: &Engine,
    max_tokens: usize,
    conversation: &[Message],
) -> Result<Receiver<EngineEvent>, CompleteError> {
    let prompt = model.chat_prompt(conversation, false)?;
    let sampling = Sampling { temperature: 0.0, max_tokens, ..Sampling::default() };
    Ok(engine.submit(prompt, sampling)?)
}

/// A completion that a model generates.
struct ModelAnswer {
    model: Arc<LanguageModel>,
    events: Receiver<EngineEvent>,
    text: TextStream,
}

impl ModelAnswer {
    /// Returns the next part and, unless it is the last one, the remaining answer.
    async fn next_part(mut self) -> Option<(Result<String, BoxError>, Option<Self>)> {
        loop {
            match self.events.recv().await {
                Some(EngineEvent::Step(step)) => {
                    let part = self.text.push(self.model.vocabulary(), step.token);
                    if !part.is_empty() {
                        return Some((Ok(part), Some(self)));
                    }
                }
                Some(EngineEvent::End(_)) => {
                    let part = self.text.finish(self.model.vocabulary());
                    return (!part.is_empty()).then_some((Ok(part), None));
                }
                Some(EngineEvent::Failed) | None => {
                    return Some((Err(CompleteError::Failed.into()), None));
                }
            }
        }
    }
}

/// Streams the completion of an inference server. The channel is bounded by the maximum size of the
/// server's response.
fn stream_from_server(server: ModelServer, body: Value) -> CompletionStream {
    let (parts, receiver) = unbounded_channel::<String>();
    let relay_events = async move {
        let handle_event = |event: Value| match event_text(&event) {
            Some(text) if parts.send(text.to_owned()).is_err() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let result = server.events("chat/completions", &body, handle_event).await;
        result.err().map(|error| Err(BoxError::from(CompleteError::from(error))))
    };
    let failure = stream::once(relay_events).filter_map(std::future::ready);
    let next_part = |mut receiver: UnboundedReceiver<String>| async move {
        Some((Ok(receiver.recv().await?), receiver))
    };
    Box::pin(stream::select(stream::unfold(receiver, next_part), failure))
}

/// Returns the text in an event of `chat/completions`, or in the response of a server that does not
/// stream.
fn event_text(event: &Value) -> Option<&str> {
    let choice = event.pointer("/choices/0")?;
    let text = choice
        .pointer("/delta/content")
        .or_else(|| choice.pointer("/message/content"))?
        .as_str()?;
    (!text.is_empty()).then_some(text)
}

async fn generate(
    model: &LanguageModel,
    engine: &Engine,
    max_tokens: usize,
    conversation: &[Message],
) -> Result<String, CompleteError> {
    let (mut events, mut tokens) = (submit(model, engine, max_tokens, conversation)?, Vec::new());
    loop {
        match events.recv().await {
            Some(EngineEvent::Step(step)) => tokens.push(step.token),
            Some(EngineEvent::End(_)) => {
                return Ok(model.vocabulary().decode(&tokens).trim().to_owned());
            }
            Some(EngineEvent::Failed) | None => return Err(CompleteError::Failed),
        }
    }
}

/// Response of `chat/completions`.
#[derive(Debug, Deserialize)]
struct ChatResponse {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: ChatMessage,
}

#[derive(Debug, Deserialize)]
struct ChatMessage {
    content: Option<String>,
}

/// Creates a miner that completes the conversations of validators and, with a model in the process,
/// predicts next tokens.
pub fn miner(keypair: Keypair, settings: MinerSettings, completer: Completer) -> Miner {
    let (streamer, predictor) = (completer.clone(), completer.clone());
    Miner::new(keypair, settings)
        .serve_stream(move |request: StreamPrompting, _: Caller| {
            stream_completion(streamer.clone(), request)
        })
        .serve(move |request: Prompting, _: Caller| complete_request(completer.clone(), request))
        .serve(move |request: NextTokens, _: Caller| predict_tokens(predictor.clone(), request))
}

async fn stream_completion(
    completer: Completer,
    request: StreamPrompting,
) -> Result<CompletionStream, SynapseError> {
    let StreamPrompting(request) = request;
    completer.stream(&request.conversation()?).await.map_err(|error| error.to_synapse_error())
}

async fn predict_tokens(
    completer: Completer,
    request: NextTokens,
) -> Result<NextTokens, SynapseError> {
    request.check_size()?;
    let predictions =
        completer.next_tokens(&request.texts).await.map_err(|error| error.to_synapse_error())?;
    Ok(NextTokens { predictions, ..request })
}

async fn complete_request(
    completer: Completer,
    request: Prompting,
) -> Result<Prompting, SynapseError> {
    let conversation = request.conversation()?;
    let completion =
        completer.complete(&conversation).await.map_err(|error| error.to_synapse_error())?;
    Ok(Prompting { completion, ..request })
}

#[cfg(test)]
mod tests;
