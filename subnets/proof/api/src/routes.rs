use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures::Stream;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use taonet_http::{BodyLimits, RateLimit, SlidingWindow, buffer_body, token_of};
use taonet_proof_core::Digest;
use taonet_proof_core::messages::input_of;
use taonet_proof_core::query::integers;
use taonet_proof_lm::{LmError, TextBundle, is_language_model};
use taonet_proof_validator::{DeliveryError, Examiner};
use taonet_service::Shutdown;
use tokio::sync::Semaphore;

use crate::jobs::{StartError, Step};
use crate::{Job, JobFileError, JobSettings, Jobs, LiveKeys, Status, Submission};

/// Maximum size of an integer of the input with its separators, in bytes of JSON.
const MAX_INTEGER_BYTES: usize = 24;
/// Maximum size of a request body without the input, in bytes.
const MAX_ENVELOPE_BYTES: usize = 4096;
/// Timeout for receiving a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Memory that all request bodies larger than 64 KiB share, in bytes. Once parsed, their JSON takes
/// up to 16 times as much.
const MAX_LARGE_BODY_BYTES: usize = 16 << 20;

/// Settings of the user API.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Limits and storage of users' proofs.
    pub jobs: JobSettings,
    /// Rate limit per API key.
    pub rate: RateLimit,
}

impl Default for ApiSettings {
    /// Returns the default settings: 64 proofs in progress as in the reference's relay, 256 in
    /// memory, none on disk, and 600 requests per minute.
    fn default() -> Self {
        let jobs = JobSettings { max_running: 64, max_stored: 256, directory: None };
        Self { jobs, rate: RateLimit { requests: 600, window: Duration::from_mins(1) } }
    }
}

struct Api {
    jobs: Jobs,
    keys: LiveKeys,
    /// Rate limiter, by the hash of the key's name.
    rate: SlidingWindow<Digest>,
    /// Held while a submission is checked: the tokenizer of a prompt and the values of a circuit
    /// take memory.
    check_slot: Arc<Semaphore>,
}

/// Name of the API key that authenticated the request.
#[derive(Clone)]
struct Caller(String);

/// Creates the routes of the API, and resumes the proofs in progress; see the [crate](crate).
/// Requires a tokio runtime.
///
/// # Errors
/// When the directory of the proofs cannot be created or listed.
pub fn router(
    examiner: Arc<Examiner>,
    keys: LiveKeys,
    settings: &ApiSettings,
    stop: &Shutdown,
) -> Result<Router, JobFileError> {
    // Bodies are limited by the largest input of a served circuit.
    let max_values =
        examiner.served().map(|model| model.input.shape.elements()).max().unwrap_or_default();
    let max_body_bytes =
        MAX_ENVELOPE_BYTES.saturating_add(max_values.saturating_mul(MAX_INTEGER_BYTES));
    let body_limits = BodyLimits::new(max_body_bytes, BODY_TIMEOUT, MAX_LARGE_BODY_BYTES);
    let api = Arc::new(Api {
        jobs: Jobs::open(examiner, settings.jobs.clone(), stop)?,
        keys,
        rate: SlidingWindow::new(settings.rate),
        check_slot: Arc::new(Semaphore::new(1)),
    });
    Ok(Router::new()
        .route("/v1/circuits", get(circuits))
        .route("/v1/proofs", post(submit))
        .route("/v1/proofs/{id}", get(status))
        .route("/v1/proofs/{id}/events", get(events))
        .route("/v1/proofs/{id}/bundle", get(bundle))
        .layer(DefaultBodyLimit::disable())
        .route_layer(from_fn_with_state(body_limits, buffer_body))
        .route_layer(from_fn_with_state(Arc::clone(&api), authenticate))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(|| async { Refusal::NotFound })
        .with_state(api))
}

/// Reason why a request is refused.
enum Refusal {
    Key,
    Rate(Duration),
    NotFound,
    Body(String),
    /// The inputs cannot be proven; contains the tensors.
    Unprovable(String),
    Full,
    NotDone,
    Internal,
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Full => Self::Full,
            error => {
                tracing::error!(%error, "a user's request failed");
                Self::Internal
            }
        }
    }
}

impl From<DeliveryError> for Refusal {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Unprovable(_) => Self::Unprovable(error.to_string()),
            DeliveryError::Local(_) => {
                tracing::error!(%error, "a user's inputs cannot be checked");
                Self::Internal
            }
            error => Self::Body(error.to_string()),
        }
    }
}

impl From<LmError> for Refusal {
    fn from(error: LmError) -> Self {
        match error {
            LmError::Input(_) | LmError::Model(_) | LmError::Prompt { .. } => {
                Self::Body(format!("prompt: {error}"))
            }
            error => {
                tracing::error!(%error, "a user's prompt cannot be read");
                Self::Internal
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match &self {
            Self::Key => (StatusCode::UNAUTHORIZED, "missing or unknown API key".to_owned()),
            Self::Rate(_) => (StatusCode::TOO_MANY_REQUESTS, "too many requests".to_owned()),
            Self::NotFound => (StatusCode::NOT_FOUND, "not found".to_owned()),
            Self::Body(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.clone()),
            Self::Unprovable(error) => (StatusCode::BAD_REQUEST, error.clone()),
            Self::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many proofs are in progress, or the validator is shutting down".to_owned(),
            ),
            Self::NotDone => {
                (StatusCode::CONFLICT, "the proof is not complete, so it has no bundle".to_owned())
            }
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "request processing failed".to_owned())
            }
        };
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        let header = match self {
            Self::Key => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::Rate(pause) => Some((RETRY_AFTER, HeaderValue::from(pause.as_secs() + 1))),
            Self::Full => Some((RETRY_AFTER, HeaderValue::from_static("5"))),
            Self::NotFound
            | Self::Body(_)
            | Self::Unprovable(_)
            | Self::NotDone
            | Self::Internal => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

async fn authenticate(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let Some(name) = token_of(request.headers()).and_then(|key| api.keys.name_of(key)) else {
        return Refusal::Key.into_response();
    };
    if let Err(retry_after) = api.rate.admit(Digest::of(name.as_bytes()), SystemTime::now()) {
        return Refusal::Rate(retry_after).into_response();
    }
    request.extensions_mut().insert(Caller(name));
    next.run(request).await
}

async fn circuits(State(api): State<Arc<Api>>) -> Json<Value> {
    let examiner = api.jobs.examiner();
    let models = examiner.served().map(|model| {
        let circuit = examiner.circuit(&model.id);
        let takes_prompts = circuit.is_some_and(|circuit| is_language_model(circuit.metadata()));
        json!({ "id": model.id, "name": model.name, "input": model.input, "output": model.output,
                "slices": model.slices, "language_model": takes_prompts })
    });
    Json(json!({ "circuits": models.collect::<Vec<_>>() }))
}

/// Body of a submission: one of `input` and `prompt`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmissionBody {
    circuit: Digest,
    input: Option<Value>,
    prompt: Option<String>,
}

impl SubmissionBody {
    /// Checks that the circuit accepts the submission. Blocks: runs the circuit with inputs, so
    /// that no miner receives inputs that it would refuse, and reads the tokenizer for a prompt.
    fn validate(self, examiner: &Examiner) -> Result<(Digest, Submission), Refusal> {
        let circuit = self.circuit;
        let submission = match (self.input, self.prompt) {
            (Some(input), None) => {
                let inputs = input_of(&input).and_then(integers);
                let inputs = inputs.ok_or_else(|| {
                    Refusal::Body("input: expected a list of integers".to_owned())
                })?;
                examiner.check_provable(&circuit, &inputs)?;
                Submission::Inputs(inputs)
            }
            (None, Some(prompt)) => {
                let directory = examiner
                    .circuit(&circuit)
                    .filter(|circuit| is_language_model(circuit.metadata()));
                let directory = directory.ok_or_else(|| {
                    Refusal::Body(format!("no language model {circuit} is served"))
                })?;
                TextBundle::check_prompt(directory, &prompt)?;
                Submission::Prompt(prompt)
            }
            _ => return Err(Refusal::Body("expected either input or prompt".to_owned())),
        };
        Ok((circuit, submission))
    }
}

async fn submit(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let submission: SubmissionBody =
        serde_json::from_slice(&body).map_err(|error| Refusal::Body(error.to_string()))?;
    let permit =
        Arc::clone(&api.check_slot).acquire_owned().await.map_err(|_| Refusal::Internal)?;
    // Starting a proof blocks, too, because it writes the request to disk.
    let start_task = tokio::task::spawn_blocking(move || {
        let (circuit, submission) = submission.validate(api.jobs.examiner())?;
        drop(permit);
        api.jobs.start(&caller.0, circuit, submission).map_err(Refusal::from)
    });
    let id = start_task.await.map_err(|_| Refusal::Internal)??;
    let mut response =
        (StatusCode::ACCEPTED, Json(json!({ "id": id, "status": "running" }))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/proofs/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn find_job(api: &Api, caller: &Caller, id: &str) -> Result<Arc<Job>, Refusal> {
    let id = id.parse().map_err(|_| Refusal::NotFound)?;
    api.jobs.get(&caller.0, &id).ok_or(Refusal::NotFound)
}

async fn status(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let job = find_job(&api, &caller, &id)?;
    let mut document = json!({ "id": id, "circuit": job.circuit });
    if let (Value::Object(document), Value::Object(status_fields)) =
        (&mut document, status_json(&job.status()))
    {
        document.extend(status_fields);
    }
    Ok(Json(document))
}

/// Returns the status of a proof as JSON, with its outputs once the proof is complete.
fn status_json(status: &Status) -> Value {
    match status {
        Status::Running => json!({ "status": "running" }),
        Status::Failed(error) => json!({ "status": "failed", "error": error }),
        Status::Interrupted(error) => json!({ "status": "interrupted", "error": error }),
        Status::Done(finished) => {
            let bundle = &finished.bundle;
            let last = bundle.proofs().last();
            let keys: Vec<_> =
                bundle.proofs().iter().map(|proof| proof.circuit.verification_key().ok()).collect();
            let bytes = bundle.proofs().iter().map(|proof| proof.proof.len() / 2).sum::<usize>();
            match &finished.text {
                // In place of the outputs, which are millions of logits with a large vocabulary.
                Some(text) => {
                    json!({ "status": "done", "text": text, "verification_keys": keys, "proof_bytes": bytes })
                }
                None => json!({
                    "status": "done",
                    "outputs": last.map(|proof| proof.outputs.clone()),
                    "real_outputs": last.map(taonet_proof_circuits::Bundle::real_outputs),
                    "verification_keys": keys,
                    "proof_bytes": bytes,
                }),
            }
        }
    }
}

async fn events(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Refusal> {
    let job = find_job(&api, &caller, &id)?;
    let event_stream = EventStream { states: job.subscribe(), sent: 0, has_ended: false };
    let stream = futures::stream::unfold(event_stream, |mut event_stream| async move {
        let event = event_stream.next().await?;
        Some((event, event_stream))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// State of an event stream.
struct EventStream {
    states: tokio::sync::watch::Receiver<crate::jobs::JobState>,
    sent: usize,
    has_ended: bool,
}

impl EventStream {
    /// Returns the next progress event, then the `end` event, then `None`.
    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        if self.has_ended {
            return None;
        }
        loop {
            let (step, status): (Option<Step>, Status) = {
                let state = self.states.borrow_and_update();
                (state.steps.get(self.sent).copied(), state.status.clone())
            };
            if let Some(step) = step {
                self.sent += 1;
                return Some(Event::default().event("progress").json_data(step));
            }
            if !matches!(status, Status::Running) {
                self.has_ended = true;
                return Some(Event::default().event("end").json_data(status_json(&status)));
            }
            self.states.changed().await.ok()?;
        }
    }
}

async fn bundle(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    match find_job(&api, &caller, &id)?.status() {
        Status::Done(finished) => {
            Ok(([(CONTENT_TYPE, "application/json")], finished.json.clone()).into_response())
        }
        Status::Running | Status::Failed(_) | Status::Interrupted(_) => Err(Refusal::NotDone),
    }
}

#[cfg(test)]
mod tests;
