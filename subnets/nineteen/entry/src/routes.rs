//! The gateway's routes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use taonet_http::{RateLimit, SlidingWindow, count, error_as_json, shown_in};
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_core::Task;
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_query::{Querier, RequestKind};
use taonet_nineteen_store::{ApiKey, Store};
use taonet_service::Clock;

use crate::GatewayError;
use crate::answer::{Head, stream, whole};
use crate::bill::{Bill, today};
use crate::request::TextRequest;
use crate::usage::input_tokens;

/// Largest body of a request, in bytes.
const LARGEST_BODY: usize = 8 << 20;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// What limits are counted over.
const MINUTE: Duration = Duration::from_mins(1);
/// Counter of requests.
const REQUESTS: &str = "taonet_nineteen_gateway_requests_total";
/// Longest id of a request that a buyer may choose.
const LONGEST_ID: usize = 128;

/// Registers help texts of the metrics. Call after the recorder is installed.
pub fn describe_metrics() {
    metrics::describe_counter!(REQUESTS, "Buyers' requests, by route and status");
}

/// The gateway. Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    store: Store,
    querier: Querier,
    market: MarketFile,
    clock: Clock,
    rates: Mutex<HashMap<String, Arc<SlidingWindow<()>>>>,
}

impl Gateway {
    /// A gateway to the market of `querier`.
    pub fn new(store: Store, querier: Querier, market: MarketFile, clock: Clock) -> Self {
        Self(Arc::new(Inner { store, querier, market, clock, rates: Mutex::default() }))
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/completions", post(completions))
            .route("/v1/models", get(models))
            .route("/v1/models/{id}", get(model))
            .route("/healthz", get(|| async { "ok" }))
            .fallback(|| async { GatewayError::Route })
            .method_not_allowed_fallback(|| async { GatewayError::Route })
            .route_layer(middleware::from_fn(|path: Option<MatchedPath>, request: Request, next: Next| async move {
                count(REQUESTS, path, request, next).await
            }))
            .layer(middleware::from_fn(finish))
            .with_state(self.clone())
    }

    /// The key of a request, and how many requests it may still make this minute.
    async fn admit(&self, headers: &HeaderMap) -> Result<ApiKey, GatewayError> {
        let secret = shown_in(headers).ok_or(GatewayError::Key)?;
        let key = self.0.store.key_of(secret).await?.ok_or(GatewayError::Key)?;
        if key.revoked_ms.is_some() {
            return Err(GatewayError::Revoked);
        }
        let limit = RateLimit { requests: key.terms.rate_per_minute, window: MINUTE };
        let window = {
            let mut rates = self.0.rates.lock().unwrap_or_else(PoisonError::into_inner);
            let window = rates.entry(key.id.clone()).or_insert_with(|| Arc::new(SlidingWindow::new(limit)));
            if window.limit() != limit {
                *window = Arc::new(SlidingWindow::new(limit));
            }
            Arc::clone(window)
        };
        let admitted = window.admit((), (self.0.clock)());
        admitted.map_err(|retry| GatewayError::Rate { limit: limit.requests, retry })?;
        Ok(key)
    }

    /// The task that a buyer means: its name, also with underscores or without `chat-`, or its model's name.
    fn task(&self, model: &str, endpoint: Endpoint) -> Result<Task, GatewayError> {
        let config = self.0.market.current();
        let name = model.replace('_', "-");
        let is_meant = |task: &&Task| {
            let own = task.task.as_str();
            let repository = task.orchestrator_server_config.load_model_config.get("model").and_then(Value::as_str);
            own == name || own.strip_prefix("chat-") == Some(&name) || repository == Some(model)
        };
        let found = config.enabled().filter(|task| task.endpoint == endpoint).find(is_meant).cloned();
        found.ok_or_else(|| GatewayError::Model(model.chars().take(100).collect()))
    }

    async fn text(&self, request: Request, endpoint: Endpoint) -> Result<Response, GatewayError> {
        let (head, body) = request.into_parts();
        // Strangers' bodies are not even read.
        let key = self.admit(&head.headers).await?;
        let body = read(body).await?;
        let is_chat = endpoint == Endpoint::Chat;
        let request = if is_chat { TextRequest::chat(&body) } else { TextRequest::completion(&body) }?;
        let task = self.task(&request.model, endpoint)?;
        if key.terms.models.as_ref().is_some_and(|models| !models.contains(&task.task)) {
            return Err(GatewayError::Forbidden(task.task.to_string()));
        }
        let TextRequest { mut payload, streams, wants_logprobs, wants_usage, .. } = request;
        payload.model = task.task.to_string();
        let (input, max_tokens) = (input_tokens(&payload.input), payload.max_tokens);
        let (model, inner) = (task.task.to_string(), &self.0);
        let bill = Bill::open(&inner.store, &inner.clock, &key.id, (model.clone(), task.price), (input, max_tokens));
        let bill = bill.await?;
        let (now_ms, _) = today(&inner.clock);
        let head = Head {
            id: format!("{}-{}", if is_chat { "chatcmpl" } else { "cmpl" }, bill.request_id()),
            model,
            created: now_ms / 1_000,
            is_chat,
            wants_logprobs,
            wants_usage,
            max_tokens,
        };
        let most_chunks = usize::try_from(max_tokens).unwrap_or(usize::MAX).saturating_add(1);
        let (task, payload) = (task.task, payload.into_map());
        let request = taonet_nineteen_query::Request { task, payload, kind: RequestKind::Organic, most_chunks };
        let answer = match inner.querier.ask(request).await {
            Ok(answer) => answer,
            Err(error) => {
                // The buyer's credits are there again before the error is.
                bill.settle().await;
                return Err(error.into());
            }
        };
        let mut response = if streams { stream(head, answer, bill) } else { whole(&head, answer, bill).await? };
        let limit = HeaderValue::from(key.terms.rate_per_minute);
        response.headers_mut().insert(HeaderName::from_static("x-ratelimit-limit-requests"), limit);
        Ok(response)
    }
}

async fn chat(State(gateway): State<Gateway>, request: Request) -> Response {
    gateway.text(request, Endpoint::Chat).await.unwrap_or_else(IntoResponse::into_response)
}

async fn completions(State(gateway): State<Gateway>, request: Request) -> Response {
    gateway.text(request, Endpoint::Completions).await.unwrap_or_else(IntoResponse::into_response)
}

/// Reads a body within its time and size.
async fn read(body: Body) -> Result<Bytes, GatewayError> {
    match tokio::time::timeout(BODY_WITHIN, to_bytes(body, LARGEST_BODY)).await {
        Ok(bytes) => bytes.map_err(|error| GatewayError::Unread(error.to_string())),
        Err(_) => Err(GatewayError::Unread(format!("it did not arrive within {BODY_WITHIN:?}"))),
    }
}

fn model_document(task: &Task) -> Value {
    json!({
        "id": task.task,
        "object": "model",
        "created": 0,
        "owned_by": "nineteen",
        "endpoint": task.endpoint,
        "price": task.price,
    })
}

fn is_text(task: &Task) -> bool {
    matches!(task.endpoint, Endpoint::Chat | Endpoint::Completions)
}

async fn models(State(gateway): State<Gateway>) -> Response {
    let config = gateway.0.market.current();
    let data: Vec<_> = config.enabled().filter(|task| is_text(task)).map(model_document).collect();
    Json(json!({"object": "list", "data": data})).into_response()
}

async fn model(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    let config = gateway.0.market.current();
    let found = config.enabled().filter(|task| is_text(task)).find(|task| task.task.as_str() == id).map(model_document);
    match found {
        Some(document) => Json(document).into_response(),
        None => GatewayError::Model(id.chars().take(100).collect()).into_response(),
    }
}

/// Gives each answer an id, the buyer's own where it sent one, and errors of lower layers their form.
async fn finish(request: Request, next: Next) -> Response {
    const NAME: HeaderName = HeaderName::from_static("x-request-id");
    let own = request.headers().get(NAME).filter(|id| (1..=LONGEST_ID).contains(&id.len())).cloned();
    let response = next.run(request).await;
    let mut response = error_as_json(
        response,
        |reason| json!({"error": {"message": reason, "type": "invalid_request_error", "param": null, "code": null}}),
    );
    let id = own.or_else(|| HeaderValue::try_from(uuid::Uuid::new_v4().simple().to_string()).ok());
    if let Some(id) = id {
        response.headers_mut().insert(NAME, id);
    }
    response
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Querier;
    use std::sync::Arc;
    use taonet_nineteen_query::{Market, QueryDeadlines};
    use taonet_nineteen_transport::{FiberClient, Trust};
    use taonet_service::{monotonic_clock, system_clock};
    use taonet_wallet::Keypair;
    use taonet_wire::{ClientConfig, SystemClock};

    /// A querier of a market where no period runs.
    pub(crate) fn querier() -> Querier {
        let key = Keypair::from_uri("//Alice").unwrap();
        let client = FiberClient::new(key, Trust::Any, ClientConfig::default(), Arc::new(SystemClock)).unwrap();
        let (samples, _) = tokio::sync::mpsc::channel(1);
        let clocks = (system_clock(), monotonic_clock());
        Querier::new(client, Market::default(), QueryDeadlines::default(), 1, clocks, samples)
    }
}
