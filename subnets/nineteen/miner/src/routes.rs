//! The miner's routes, behind the transport's request verification.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use taonet_http::client::read_capped;
use taonet_http::parse_object;
use taonet_nineteen_core::task::{Endpoint, TaskType};
use taonet_nineteen_transport::{CONCURRENCY, MinerHandshake, PROBE, STREAM_END};
use taonet_primitives::Hotkey;
use taonet_wire::{Caller, RegistrationTable, SignedLayer};
use tokio::time::{Instant, timeout_at};

use crate::backend::Call;
use crate::backend_limit::BackendLimitLog;
use crate::capacity::capacity_response;
use crate::relay::{LogprobsWarning, Relay};
use crate::request_slots::RequestSlots;
use crate::sse::{AcceptedParts, StreamFault, parse_reported_error};
use crate::task_routes::TaskRoutes;
use crate::{Backend, MinerConfig, ServedTask, images, metrics};

/// Maximum size of a response that is not streamed, in bytes: a few large images.
const MAX_RESPONSE_BYTES: usize = 64 << 20;
/// Maximum size of a backend's error, in bytes; larger documents are answers.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// State of the miner's routes: configuration, backend and concurrency limit. Clones share state.
#[derive(Clone)]
pub struct Miner(Arc<Inner>);

struct Inner {
    config: MinerConfig,
    task_routes: TaskRoutes,
    backend: Backend,
    validators: Option<Arc<RegistrationTable>>,
    request_slots: Arc<RequestSlots>,
    logprobs_warning: LogprobsWarning,
    backend_limit_log: BackendLimitLog,
}

impl Miner {
    /// Creates a miner. With `validators`, it divides its capacity among them by stake; without, it
    /// declares the full capacity to each caller.
    pub fn new(
        config: MinerConfig,
        backend: Backend,
        validators: Option<Arc<RegistrationTable>>,
    ) -> Self {
        let request_slots = RequestSlots::new(config.concurrency);
        let task_routes = TaskRoutes::new(&config.served);
        let (logprobs_warning, backend_limit_log) =
            (LogprobsWarning::default(), BackendLimitLog::default());
        Self(Arc::new(Inner {
            config,
            task_routes,
            backend,
            validators,
            request_slots,
            logprobs_warning,
            backend_limit_log,
        }))
    }

    /// Returns a validator's share of the capacity, in `0..=1`.
    fn share(&self, validator: &Hotkey) -> f64 {
        self.0.validators.as_ref().map_or(1.0, |validators| validators.share(validator))
    }

    /// Returns the number of concurrent requests that the miner announces to a validator: at least
    /// 1, because validators take 0 for no announcement.
    fn announced_concurrency(&self, validator: &Hotkey) -> usize {
        (self.0.config.concurrency as f64 * self.share(validator)).max(1.0) as usize
    }

    /// Returns the task that a payload requests. Validators send the task's name as `model`, some
    /// with underscores. A payload without `model`, such as that of an avatar, selects the miner's
    /// only task, or the validator's only one of the route.
    fn served_task(
        &self,
        validator: &Hotkey,
        endpoint: Endpoint,
        payload: &Map<String, Value>,
    ) -> Result<&ServedTask, RequestRefusal> {
        let served_tasks = &self.0.config.served;
        let Some(model) = payload.get("model") else {
            if let [only] = served_tasks.as_slice() {
                return Ok(only);
            }
            let only = self.0.task_routes.only_task(validator, served_tasks, endpoint);
            return only.ok_or(RequestRefusal::Field("model"));
        };
        let model = model.as_str().ok_or(RequestRefusal::Field("model"))?;
        let task = model.replace('_', "-");
        let named_task = served_tasks
            .iter()
            .find(|served| served.task.as_str() == task || served.model.as_deref() == Some(model));
        named_task.ok_or_else(|| RequestRefusal::UnknownModel(model.chars().take(100).collect()))
    }

    /// Logs why the backend's response is refused, and returns the refusal. `status` is that of the
    /// backend's error.
    fn log_refusal(
        &self,
        status: Option<StatusCode>,
        cause: &dyn std::fmt::Display,
    ) -> RequestRefusal {
        if status == Some(StatusCode::TOO_MANY_REQUESTS) {
            self.0.backend_limit_log.record_rejection(cause);
            return RequestRefusal::BackendFull;
        }
        tracing::warn!(%cause, "backend's answer refused");
        match status {
            Some(status) => RequestRefusal::Status(status),
            None => {
                RequestRefusal::Backend("backend's answer is malformed or incomplete".to_owned())
            }
        }
    }
}

/// Why the miner refuses a request.
#[derive(Debug, thiserror::Error)]
enum RequestRefusal {
    #[error("payload is not a JSON object")]
    Payload,
    #[error("{0} is missing or malformed")]
    Field(&'static str),
    #[error("model {0:?} is not available")]
    UnknownModel(String),
    #[error("miner is at its limit of concurrent requests")]
    Full,
    #[error("backend is at its limit of requests")]
    BackendFull,
    #[error("backend returned {0}")]
    Status(StatusCode),
    #[error("{0}")]
    Backend(String),
    #[error("backend timed out")]
    Timeout,
}

impl IntoResponse for RequestRefusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Payload | Self::Field(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnknownModel(_) => StatusCode::NOT_FOUND,
            Self::Full | Self::BackendFull => StatusCode::TOO_MANY_REQUESTS,
            // Pass client errors of the backend on, because the validator's request caused them.
            Self::Status(status) if status.is_client_error() => status,
            Self::Status(_) | Self::Backend(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        };
        let mut response = (status, Json(json!({ "detail": self.to_string() }))).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Returns the routes behind request verification: `/capacity`, and the routes of the miner's task
/// type.
pub fn routes(miner: Miner) -> Router {
    let task_type = miner.0.config.task_type;
    let mut router = Router::new().route("/capacity", post(handle_capacity));
    for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| endpoint.task_type() == task_type) {
        let handler = move |State(miner): State<Miner>,
                            caller: Caller,
                            headers: HeaderMap,
                            body: Bytes| async move {
            let response = handle_request(&miner, endpoint, caller.hotkey, &body, &headers).await;
            let response = response.unwrap_or_else(IntoResponse::into_response);
            metrics::record_request(endpoint.path(), response.status());
            response
        };
        router = router.route(endpoint.path(), post(handler));
    }
    router.with_state(miner)
}

/// Returns all routes of a miner: the handshake, [`routes`] behind request verification, and the
/// public `/healthz`.
pub fn miner_router(miner: Miner, handshake: MinerHandshake, signed: SignedLayer) -> Router {
    let health = Router::new().route("/healthz", axum::routing::get(|| async { "ok" }));
    taonet_nineteen_transport::routes(handshake, signed, routes(miner)).merge(health)
}

async fn handle_capacity(State(miner): State<Miner>, caller: Caller, body: Bytes) -> Response {
    let share = miner.share(&caller.hotkey);
    let capacities = parse_payload(&body).map(|payload| {
        let offered = payload.get("task_configs").unwrap_or(&Value::Null);
        miner.0.task_routes.record_offer(caller.hotkey, &miner.0.config.served, offered);
        capacity_response(&miner.0.config, offered, share)
    });
    let headers = [(CONCURRENCY, HeaderValue::from(miner.announced_concurrency(&caller.hotkey)))];
    let response = capacities.map(|capacities| (headers, Json(capacities))).into_response();
    metrics::record_request("/capacity", response.status());
    response
}

fn parse_payload(body: &[u8]) -> Result<Map<String, Value>, RequestRefusal> {
    parse_object(body).map_err(|_| RequestRefusal::Payload)
}

async fn handle_request(
    miner: &Miner,
    endpoint: Endpoint,
    validator: Hotkey,
    body: &[u8],
    headers: &HeaderMap,
) -> Result<Response, RequestRefusal> {
    let (relays_end, is_probe) = (headers.contains_key(STREAM_END), headers.contains_key(PROBE));
    let mut payload = parse_payload(body)?;
    // The transport adds this field.
    payload.shift_remove("nonce");
    let served = miner.served_task(&validator, endpoint, &payload)?;
    let name = served.model.clone().unwrap_or_else(|| served.task.to_string());
    payload.insert("model".to_owned(), name.into());
    let is_stream = miner.0.config.task_type == TaskType::Text && bool_field(&payload, "stream")?;
    let wants_logprobs = is_stream && requests_logprobs(&payload);
    let running = miner
        .0
        .request_slots
        .acquire(validator, miner.announced_concurrency(&validator), is_probe)
        .await;
    let running = running.ok_or(RequestRefusal::Full)?;
    let (start, timeouts) = (Instant::now(), miner.0.config.deadlines);
    let first_deadline = start + timeouts.first_chunk;
    let is_openai_image = miner.0.backend.uses_openai_images() && images::is_convertible(endpoint);
    let call = if is_openai_image {
        openai_call(endpoint, payload).await?
    } else {
        Call::json(endpoint.path(), &payload)
    };
    let backend_response = timeout_at(first_deadline, miner.0.backend.send(call)).await;
    let backend_response =
        backend_response.map_err(|_| RequestRefusal::Timeout)?.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "backend request failed");
            RequestRefusal::Backend(error.to_string())
        })?;
    if backend_response.status() != StatusCode::OK {
        return convert_backend_error(miner, backend_response, first_deadline, is_openai_image)
            .await;
    }
    if is_stream && !is_json(&backend_response) {
        let accepted = AcceptedParts { wants_logprobs, relays_end };
        let warning = miner.0.logprobs_warning.clone();
        let relay =
            Relay::start(backend_response, accepted, timeouts, start, running, warning).await;
        let relay = relay.map_err(|error| miner.log_refusal(error.status(), &error))?;
        miner.0.backend_limit_log.record_acceptance();
        let headers =
            [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
        return Ok((headers, Body::from_stream(relay.into_stream())).into_response());
    }
    let body = timeout_at(first_deadline, read_capped(backend_response, MAX_RESPONSE_BYTES)).await;
    let body = body.map_err(|_| RequestRefusal::Timeout)?;
    let body =
        body.map_err(|fault| RequestRefusal::Backend(format!("backend's response: {fault}")))?;
    drop(running);
    if let Some(fault) = parse_error_body(&body) {
        return Err(miner.log_refusal(fault.status(), &fault));
    }
    miner.0.backend_limit_log.record_acceptance();
    if is_stream {
        let hint = "hint: use a backend that supports `stream`";
        return Err(miner.log_refusal(
            None,
            &format!("backend sent a JSON document in place of a stream; {hint}"),
        ));
    }
    let body = if is_openai_image {
        images::convert_response(&body)
            .ok_or_else(|| RequestRefusal::Backend("backend's response has no image".to_owned()))?
    } else {
        body
    };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Converts an error of the backend, which must arrive before `first_deadline`. That of OpenAI's
/// API for an unsafe image is an answer.
async fn convert_backend_error(
    miner: &Miner,
    response: reqwest::Response,
    first_deadline: Instant,
    is_openai_image: bool,
) -> Result<Response, RequestRefusal> {
    let status = response.status();
    let body = timeout_at(first_deadline, read_capped(response, MAX_ERROR_BYTES))
        .await
        .ok()
        .and_then(Result::ok);
    let body = body.unwrap_or_default();
    if let Some(withheld) =
        Some(&body).filter(|_| is_openai_image).and_then(|body| images::withheld_image_answer(body))
    {
        miner.0.backend_limit_log.record_acceptance();
        return Ok(([(CONTENT_TYPE, "application/json")], withheld).into_response());
    }
    let fault = parse_reported_error(&String::from_utf8_lossy(&body));
    Err(miner.log_refusal(Some(status), &format!("status {status}: {fault}")))
}

/// Converts an image request to a call of OpenAI's API.
async fn openai_call(
    endpoint: Endpoint,
    payload: Map<String, Value>,
) -> Result<Call, RequestRefusal> {
    let call =
        tokio::task::spawn_blocking(move || images::convert_request(endpoint, payload)).await;
    call.map_err(|error| RequestRefusal::Backend(error.to_string()))?.map_err(RequestRefusal::Field)
}

fn bool_field(payload: &Map<String, Value>, name: &'static str) -> Result<bool, RequestRefusal> {
    match payload.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or(RequestRefusal::Field(name)),
    }
}

/// Returns whether a payload requests log-probabilities: `logprobs` is a flag in chat completions,
/// a number in completions.
fn requests_logprobs(payload: &Map<String, Value>) -> bool {
    !matches!(payload.get("logprobs"), None | Some(Value::Null | Value::Bool(false)))
}

fn is_json(response: &reqwest::Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/json"))
}

/// Returns the error in a backend's JSON document, which may have the status 200.
fn parse_error_body(body: &[u8]) -> Option<StreamFault> {
    if body.len() > MAX_ERROR_BYTES {
        return None;
    }
    let document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let has_error = document.get("error").is_some_and(|error| !error.is_null());
    has_error.then(|| parse_reported_error(&Value::Object(document).to_string()))
}

#[cfg(test)]
mod tests;
