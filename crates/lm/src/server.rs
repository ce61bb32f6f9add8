//! An OpenAI-compatible server over a [`LanguageModel`]: `/v1/chat/completions`, `/v1/completions`,
//! `/v1/embeddings`, `/v1/models`. An [`Engine`] generates answers concurrently.
//!
//! The server supports what Nineteen's miners and checkers send: sampling parameters, `logprobs`,
//! streams, and two extensions of vLLM, `continue_final_message` (the last message is an unfinished
//! turn) and `prompt_logprobs` (the log-probability of each prompt token). Fields that would change
//! the answer in another way, such as `stop`, `tools`, `response_format`, `min_tokens` and
//! `structured_outputs`, and values of `n` other than 1, are rejected with an error that names the
//! field.

mod answer;
mod embeddings;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::{
    Engine, EngineSettings, LanguageModel, ModelError, PositionProbabilities, SubmitError,
};
use request::{Request, RequestError};

#[derive(Clone)]
struct ServerState {
    model: Arc<LanguageModel>,
    engine: Engine,
}

/// Returns the router of a server for this model.
///
/// # Errors
/// When the engine's thread cannot be spawned.
pub fn router(model: Arc<LanguageModel>, settings: EngineSettings) -> std::io::Result<Router> {
    let engine = Engine::start(Arc::clone(&model), settings)?;
    Ok(Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(models))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(ServerState { model, engine }))
}

async fn models(State(state): State<ServerState>) -> Response {
    let model =
        json!({"id": state.model.name(), "object": "model", "created": 0, "owned_by": "taonet"});
    Json(json!({"object": "list", "data": [model]})).into_response()
}

async fn chat(State(state): State<ServerState>, body: Bytes) -> Response {
    respond(state, Request::chat(&body)).await
}

async fn completions(State(state): State<ServerState>, body: Bytes) -> Response {
    respond(state, Request::completion(&body)).await
}

async fn respond(state: ServerState, request: Result<Request, RequestError>) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(error) => return error_response(StatusCode::BAD_REQUEST, &error.message, error.param),
    };
    let param = if request.is_chat() { "messages" } else { "prompt" };
    let prompt = match request.prompt(&state.model) {
        Ok(prompt) => prompt,
        Err(error) => {
            return error_response(StatusCode::BAD_REQUEST, &error.to_string(), Some(param));
        }
    };
    let prompt_tokens = prompt.len();
    let context = state.model.llama().config().context;
    if prompt_tokens > context {
        let message = ModelError::TooLong { tokens: prompt_tokens, context }.to_string();
        return error_response(StatusCode::BAD_REQUEST, &message, Some(param));
    }
    let scored_prompt = match request.prompt_logprobs {
        None => None,
        Some(top) => match prompt_probabilities(&state.model, prompt.clone(), top).await {
            Ok(scored_prompt) => Some(scored_prompt),
            Err(error) => return model_failure_response(&error),
        },
    };
    let events = match state.engine.submit(prompt, request.sampling) {
        Ok(events) => events,
        Err(SubmitError::Prompt(error)) => {
            return error_response(StatusCode::BAD_REQUEST, &error.to_string(), Some(param));
        }
        Err(error) => {
            return error_response(StatusCode::SERVICE_UNAVAILABLE, &error.to_string(), None);
        }
    };
    if request.wants_stream {
        answer::stream(state.model, request, prompt_tokens, events)
    } else {
        answer::complete_response(&state.model, &request, prompt_tokens, scored_prompt, events)
            .await
    }
}

/// Computes the probability of each prompt token, given the tokens before it.
async fn prompt_probabilities(
    model: &Arc<LanguageModel>,
    prompt: Vec<u32>,
    top: usize,
) -> Result<(Vec<u32>, Vec<PositionProbabilities>), ModelError> {
    let model = Arc::clone(model);
    let result = tokio::task::spawn_blocking(move || {
        let (first, remaining) = prompt.split_at(prompt.len().min(1));
        let probabilities = model.answer_probabilities(first, remaining, top)?;
        Ok((prompt, probabilities))
    });
    result.await.unwrap_or(Err(ModelError::Tokens))
}

fn model_failure_response(error: &ModelError) -> Response {
    tracing::warn!(error = error as &dyn std::error::Error, "the model failed");
    error_response(StatusCode::INTERNAL_SERVER_ERROR, "the model failed", None)
}

/// Builds an error response in OpenAI's format.
fn error_response(status: StatusCode, message: &str, param: Option<&str>) -> Response {
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    let error = json!({"error": {"message": message, "type": kind, "param": param, "code": null}});
    (status, Json(error)).into_response()
}

#[cfg(test)]
mod tests;
