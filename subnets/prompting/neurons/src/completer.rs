//! How a miner completes conversations.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, stream};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use taonet_http::{ModelServer, ModelServerError};
use taonet_kit::{BoxError, Caller, Miner, MinerSettings, SynapseError};
use taonet_lm::{
    Engine, EngineEvent, EngineSettings, LanguageModel, Message, ModelError, Sampling, SubmitError, TextStream,
};
use taonet_wallet::Keypair;
use tokio::sync::mpsc::Receiver;

use crate::next_tokens::MAX_PREDICTIONS;
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
    /// Returns the error for the caller: its own mistakes are explained, ours are only logged.
    fn status(&self) -> SynapseError {
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
type Parts = Pin<Box<dyn Stream<Item = Result<String, BoxError>> + Send>>;
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
    /// Completes with a language model in this process, which always chooses the likeliest token; an answer has at most
    /// `max_tokens`.
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
            Backend::Model { model, engine, max_tokens } => generate(model, engine, *max_tokens, conversation).await,
            Backend::Server { server, model, max_tokens } => {
                let body = json!({ "model": model, "messages": conversation, "max_tokens": max_tokens });
                let response: ChatResponse = server.json("chat/completions", &body).await?;
                let message = response.choices.into_iter().next().and_then(|choice| choice.message.content);
                message.ok_or(CompleteError::NoMessage)
            }
            Backend::Canned(answers) => {
                let question = conversation.last().map(|message| message.content.as_str());
                Ok(answers.answer(question.unwrap_or_default()).to_owned())
            }
        }
    }

    /// Completes a conversation in parts: the tokens of a model in the process, as they are generated. Other completions
    /// have one part.
    ///
    /// # Errors
    /// [`CompleteError`] as with [`Self::complete`]; a model that fails later is an error of the stream.
    pub async fn stream(&self, conversation: &[Message]) -> Result<Parts, CompleteError> {
        let Backend::Model { model, engine, max_tokens } = &self.0 else {
            let completion = self.complete(conversation).await?;
            return Ok(Box::pin(stream::iter([Ok::<_, BoxError>(completion)])));
        };
        let events = submit(model, engine, *max_tokens, conversation)?;
        let answer = ModelAnswer { model: Arc::clone(model), events, text: TextStream::default() };
        Ok(Box::pin(stream::unfold(Some(answer), |answer| async move { answer?.next_part().await })))
    }

    /// Predicts the token after each text.
    ///
    /// # Errors
    /// [`CompleteError`] when there is no model in the process, a text is too long, or the model fails.
    pub async fn next_tokens(&self, texts: &[String]) -> Result<Vec<Distribution>, CompleteError> {
        let Backend::Model { model, engine, .. } = &self.0 else { return Err(CompleteError::NoModel) };
        let sampling =
            Sampling { temperature: 0.0, max_tokens: 1, top_logprobs: MAX_PREDICTIONS, ..Sampling::default() };
        // All are submitted before the first one is awaited, so that the engine computes them together.
        let submit = |text: &String| Ok(engine.submit(model.completion_prompt(text)?, sampling)?);
        let answers = texts.iter().map(submit).collect::<Result<Vec<_>, CompleteError>>()?;
        let mut distributions = Vec::with_capacity(answers.len());
        for mut events in answers {
            let Some(EngineEvent::Step(step)) = events.recv().await else { return Err(CompleteError::Failed) };
            let token = |(token, logprob): (u32, f64)| (model.vocabulary().text(token).to_owned(), logprob.exp());
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
    /// Returns the next part and, unless it is the last one, the rest.
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
                Some(EngineEvent::Failed) | None => return Some((Err(CompleteError::Failed.into()), None)),
            }
        }
    }
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
            Some(EngineEvent::End(_)) => return Ok(model.vocabulary().decode(&tokens).trim().to_owned()),
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

/// Creates a miner that completes the conversations of validators and, with a model in the process, predicts next tokens.
pub fn miner(keypair: Keypair, settings: MinerSettings, completer: Completer) -> Miner {
    let (streamer, predictor) = (completer.clone(), completer.clone());
    Miner::new(keypair, settings)
        .serve_stream(move |request: StreamPrompting, _: Caller| stream_answer(streamer.clone(), request))
        .serve(move |request: Prompting, _: Caller| answer(completer.clone(), request))
        .serve(move |request: NextTokens, _: Caller| predict(predictor.clone(), request))
}

async fn stream_answer(completer: Completer, request: StreamPrompting) -> Result<Parts, SynapseError> {
    let StreamPrompting(request) = request;
    completer.stream(&request.conversation()?).await.map_err(|error| error.status())
}

async fn predict(completer: Completer, request: NextTokens) -> Result<NextTokens, SynapseError> {
    request.check()?;
    let predictions = completer.next_tokens(&request.texts).await.map_err(|error| error.status())?;
    Ok(NextTokens { predictions, ..request })
}

async fn answer(completer: Completer, request: Prompting) -> Result<Prompting, SynapseError> {
    let conversation = request.conversation()?;
    let completion = completer.complete(&conversation).await.map_err(|error| error.status())?;
    Ok(Prompting { completion, ..request })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::TryStreamExt as _;
    use serde_json::Value;
    use wiremock::matchers::{body_partial_json, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn conversation() -> Vec<Message> {
        let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
        vec![message("system", "Be brief."), message("user", "What is stan?")]
    }

    async fn answer_of(response: Value) -> Result<String, CompleteError> {
        let server = MockServer::start().await;
        let request = json!({ "model": "m", "max_tokens": 9, "messages": [
            { "role": "system", "content": "Be brief." }, { "role": "user", "content": "What is stan?" },
        ] });
        Mock::given(method("POST"))
            .and(path("/v1/chat/completions"))
            .and(body_partial_json(request))
            .respond_with(ResponseTemplate::new(200).set_body_json(response))
            .expect(1)
            .mount(&server)
            .await;
        let base = format!("{}/v1", server.uri()).parse().unwrap();
        let client = ModelServer::new(&base, None, Duration::from_secs(30)).unwrap();
        Completer::server(client, "m".to_owned(), 9).complete(&conversation()).await
    }

    #[tokio::test]
    async fn server_gets_the_conversation_and_its_message_is_the_completion() {
        let response = json!({ "choices": [{ "message": { "role": "assistant", "content": "A word." } }], "id": "1" });
        assert_eq!(answer_of(response).await.unwrap(), "A word.");
        for response in [json!({ "choices": [] }), json!({ "choices": [{ "message": { "content": null } }] })] {
            assert!(matches!(answer_of(response).await, Err(CompleteError::NoMessage)));
        }
        assert!(matches!(answer_of(json!({ "choices": 7 })).await, Err(CompleteError::Server(_))));
    }

    #[tokio::test]
    async fn model_in_the_process_answers_reproducibly() {
        let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
        let completer = Completer::model(Arc::clone(&model), 12).unwrap();
        let answer = completer.complete(&conversation()).await.unwrap();
        assert!(!answer.is_empty());
        assert_eq!(completer.complete(&conversation()).await.unwrap(), answer);
        let parts: Vec<String> = completer.stream(&conversation()).await.unwrap().try_collect().await.unwrap();
        assert!(parts.len() > 1 && parts.concat().trim() == answer, "{parts:?}, expected {answer}");
        let long = [Message { role: "user".to_owned(), content: "stan ".repeat(5_000) }];
        assert!(completer.stream(&long).await.is_err());
        let error = completer.complete(&long).await.unwrap_err();
        assert!(matches!(error, CompleteError::Submit(SubmitError::Prompt(_))), "{error:?}");
    }

    #[tokio::test]
    async fn next_tokens_are_those_of_the_language_model() {
        let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
        let completer = Completer::model(Arc::clone(&model), 12).unwrap();
        let texts = ["The ferry leaves", "at half past"].map(str::to_owned);
        let request = NextTokens { texts: texts.to_vec(), ..NextTokens::default() };
        let predictions = predict(completer.clone(), request).await.unwrap().predictions;
        assert_eq!(predictions.len(), 2);
        for (text, found) in texts.iter().zip(predictions) {
            // Which token is judged makes no difference to the likeliest ones at its position.
            let judged = model.judge(&model.completion_prompt(text).unwrap(), &[9], 3).unwrap();
            assert_eq!(found.len(), MAX_PREDICTIONS);
            for (token, logprob) in &judged[0].top {
                let token = model.vocabulary().text(*token);
                let (_, probability) = found.iter().find(|(other, _)| other == token).unwrap();
                assert!((probability - logprob.exp()).abs() < 1e-3, "{text}: {token} in {found:?}");
            }
        }
        let long = predict(completer, NextTokens { texts: vec!["stan ".repeat(5_000)], ..NextTokens::default() }).await;
        let other = predict(Completer::canned(CannedAnswers::default()), NextTokens::default()).await.unwrap_err();
        assert!(long.is_err());
        assert_eq!(other, CompleteError::NoModel.status());
    }

    #[tokio::test]
    async fn canned_answer_is_that_to_the_last_message() {
        let completer = Completer::canned(CannedAnswers::built_in().unwrap());
        let question = [Message { role: "user".to_owned(), content: "Who wrote Hamlet?".to_owned() }];
        let answer = completer.complete(&question).await.unwrap();
        assert!(answer.contains("Shakespeare"));
        let parts: Vec<String> = completer.stream(&question).await.unwrap().try_collect().await.unwrap();
        assert_eq!(parts, [answer]);
    }
}
