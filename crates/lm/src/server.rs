//! An OpenAI-compatible server over a [`LanguageModel`]: `/v1/chat/completions`, `/v1/completions`, `/v1/models`.
//!
//! It takes what Nineteen's miners and checkers send: sampling parameters, `logprobs`, streams, and two extensions of
//! vLLM, `continue_final_message` (the last message is an unfinished turn) and `prompt_logprobs` (how likely each token of
//! the prompt was). What it lacks it refuses by name: `n`, `stop`, `tools`, `response_format`.

mod answer;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{Finish, LanguageModel, ModelError, Step};
use request::{Request, RequestError};

/// Tokens that wait for a client that reads slowly.
const AHEAD: usize = 16;

/// How a model is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// Answers at a time; more wait.
    pub concurrency: usize,
    /// Least time for each token, for networks that pretend to have other machines.
    pub pace: Duration,
}

impl Default for ServerSettings {
    /// 16 answers, no pace.
    fn default() -> Self {
        Self { concurrency: 16, pace: Duration::ZERO }
    }
}

#[derive(Clone)]
struct Served {
    model: Arc<LanguageModel>,
    settings: ServerSettings,
    places: Arc<Semaphore>,
}

/// The server's routes.
pub fn router(model: Arc<LanguageModel>, settings: ServerSettings) -> Router {
    let places = Arc::new(Semaphore::new(settings.concurrency));
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/models", get(models))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(Served { model, settings, places })
}

async fn models(State(served): State<Served>) -> Response {
    let model = json!({"id": served.model.name(), "object": "model", "created": 0, "owned_by": "taonet"});
    Json(json!({"object": "list", "data": [model]})).into_response()
}

async fn chat(State(served): State<Served>, body: Bytes) -> Response {
    respond(served, Request::chat(&body)).await
}

async fn completions(State(served): State<Served>, body: Bytes) -> Response {
    respond(served, Request::completion(&body)).await
}

async fn respond(served: Served, request: Result<Request, RequestError>) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.message, error.param),
    };
    let prompt = request.prompt(&served.model);
    let context = served.model.llama().config().context;
    if prompt.len() + request.sampling.max_tokens.min(1) > context {
        let message = ModelError::TooLong { tokens: prompt.len(), context }.to_string();
        return refuse(StatusCode::BAD_REQUEST, &message, Some("messages"));
    }
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
    let (model, places, pace) = (Arc::clone(&served.model), Arc::clone(&served.places), served.settings.pace);
    let (sampling, top) = (request.sampling, request.prompt_logprobs);
    tokio::spawn(async move {
        // A client that leaves while it waits costs nothing.
        let Ok(permit) = places.acquire_owned().await else { return };
        if sender.is_closed() {
            return;
        }
        let work = move || {
            let _permit = permit;
            let send = |event| sender.blocking_send(event).is_ok();
            if let Some(top) = top {
                match model.judge(prompt.get(..1).unwrap_or_default(), prompt.get(1..).unwrap_or_default(), top) {
                    Ok(places) => {
                        send(Event::Prompt(prompt.clone(), places));
                    }
                    Err(error) => {
                        send(Event::Failed(error));
                        return;
                    }
                }
            }
            let mut generation = model.generate(prompt, sampling);
            for step in generation.by_ref() {
                std::thread::sleep(pace);
                let event = step.map_or_else(Event::Failed, Event::Step);
                if !send(event) {
                    return;
                }
            }
            send(Event::End(generation.finish().unwrap_or(Finish::Length)));
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!("generation panicked");
        }
    });
    if request.streams {
        answer::stream(served.model, request, receiver)
    } else {
        answer::whole(&served.model, &request, receiver).await
    }
}

/// What a generation gives.
enum Event {
    Prompt(Vec<u32>, Vec<crate::Place>),
    Step(Step),
    End(Finish),
    Failed(ModelError),
}

/// An error in OpenAI's form.
fn refuse(status: StatusCode, message: &str, param: Option<&str>) -> Response {
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    let error = json!({"error": {"message": message, "type": kind, "param": param, "code": null}});
    (status, Json(error)).into_response()
}

#[cfg(test)]
mod tests;
