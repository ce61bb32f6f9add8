//! The gateway's routes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use taonet_http::{BodyLimits, count_requests, error_as_json, token_of, tolerate_half_close};
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_core::task::{Endpoint, TaskType};
use taonet_nineteen_images::parse_edit_form;
use taonet_nineteen_openapi::is_message_route;
use taonet_nineteen_query::Queries;
use taonet_nineteen_store::{ApiKey, Store};
use taonet_service::Clock;
use tokio::sync::Semaphore;

use crate::bill::{now_ms, random_id};
use crate::budget_warnings::{self, BudgetWarnings};
use crate::embedding::EmbeddingRequest;
use crate::fallback::{RoutePreference, TaskLatencies};
use crate::idempotency::{IdempotencyCheck, KeyClaim};
use crate::image::ImageRequest;
use crate::logprobs::MissingLogprobs;
use crate::metrics::{self, SaleMetricsByTask};
use crate::rates::RateLimiter;
use crate::request::TextRequest;
use crate::sale::Protocol;
use crate::tokenizer::Tokenizers;
use crate::webhook::{self, Webhook};
use crate::{
    GatewayError, account, cors, messages, models, openapi, responses, status, usage_page,
};

/// Maximum size of a request body, in bytes.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Timeout for reading a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of all request bodies in memory together, without the first 64 KiB of each, in
/// bytes.
const MAX_LARGE_BODY_BYTES: usize = 1 << 30;
/// Maximum number of requests whose images are being downloaded, each of which takes up to 30 MiB
/// of memory.
const MAX_DOWNLOADING_REQUESTS: usize = 16;
/// Maximum number of requests whose images are being decoded or encoded, each of which can take
/// some 300 MiB of memory.
const MAX_IMAGE_CONVERSIONS: usize = 4;
/// Name of the counter of requests.
const REQUESTS: &str = "taonet_nineteen_gateway_requests_total";
/// Maximum length of a request ID sent by the buyer, in bytes.
const MAX_REQUEST_ID_LENGTH: usize = 128;

/// Registers the help texts of the gateway's metrics. Call once, after the recorder is installed.
pub fn describe_metrics() {
    ::metrics::describe_counter!(REQUESTS, "Buyers' requests, by route and status");
    budget_warnings::describe();
    webhook::describe();
    metrics::describe();
}

/// OpenAI-compatible gateway for buyers. Clones share state.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) queries: Queries,
    pub(crate) market: MarketFile,
    pub(crate) clock: Clock,
    pub(crate) tokenizers: Tokenizers,
    pub(crate) budget_warnings: BudgetWarnings,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) latencies: TaskLatencies,
    pub(crate) missing_logprobs: MissingLogprobs,
    pub(crate) sale_metrics: SaleMetricsByTask,
    /// One permit per request whose images are being downloaded.
    pub(crate) download_slots: Semaphore,
    /// One permit per request whose images are being decoded or encoded.
    conversion_slots: Arc<Semaphore>,
    body_limits: BodyLimits,
}

/// Type of request that a route serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestType {
    Chat,
    Completion,
    Response,
    Message,
    /// The number of tokens of a message request. Counting them costs no credits.
    TokenCount,
    Embedding,
    /// Images in OpenAI's format, from a prompt.
    Generation,
    /// Images in OpenAI's format, from a prompt and an image. The body is a form.
    Edit,
    /// An image in the reference's format.
    Image(Endpoint),
}

impl Gateway {
    /// Creates a gateway that sends buyers' requests to miners through `queries`.
    pub fn new(
        store: Store,
        queries: impl Into<Queries>,
        market: MarketFile,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            queries: queries.into(),
            market,
            clock,
            tokenizers: Tokenizers::default(),
            budget_warnings: BudgetWarnings::default(),
            webhook: None,
            rate_limiter: RateLimiter::default(),
            latencies: TaskLatencies::default(),
            missing_logprobs: MissingLogprobs::default(),
            sale_metrics: SaleMetricsByTask::default(),
            download_slots: Semaphore::new(MAX_DOWNLOADING_REQUESTS),
            conversion_slots: Arc::new(Semaphore::new(MAX_IMAGE_CONVERSIONS)),
            body_limits: BodyLimits::new(MAX_BODY_BYTES, BODY_TIMEOUT, MAX_LARGE_BODY_BYTES),
        }))
    }

    /// Sets the webhook for warnings about budgets, which [`Self::run_maintenance`] delivers. Has
    /// no effect once the gateway has been cloned.
    #[must_use]
    pub fn with_budget_webhook(mut self, webhook: Option<Webhook>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.webhook = webhook;
        }
        self
    }

    /// Loads the tokenizers of the enabled text tasks, by which answers are billed. Logs the
    /// missing ones: the answers of their tasks are billed by log-probabilities. Tokenizers of
    /// tasks that are added later are loaded with the first request.
    ///
    /// A task names a path, or a repository of the Hugging Face Hub (`OWNER/NAME`), whose
    /// `tokenizer.json` on this machine is what `find` returns. Nothing is downloaded.
    pub async fn load_tokenizers(
        &self,
        find: impl Fn(&str) -> Option<PathBuf> + Send + Sync + 'static,
    ) {
        self.0.tokenizers.set_finder(Box::new(find)).await;
        let market = self.0.market.current();
        for task in market.enabled().filter(|task| task.task_type == TaskType::Text) {
            self.0.tokenizers.for_task(task).await;
        }
    }

    /// Returns the gateway's HTTP router.
    pub fn router(&self) -> Router {
        let serve = |request_type| {
            post(move |State(gateway): State<Self>, request: Request| async move {
                gateway.serve(request, request_type).await
            })
        };
        Router::new()
            .route("/v1/chat/completions", serve(RequestType::Chat))
            .route("/v1/completions", serve(RequestType::Completion))
            .route("/v1/responses", serve(RequestType::Response))
            .route("/v1/messages", serve(RequestType::Message))
            .route("/v1/messages/count_tokens", serve(RequestType::TokenCount))
            .route("/v1/embeddings", serve(RequestType::Embedding))
            .route("/v1/images/generations", serve(RequestType::Generation))
            .route("/v1/images/edits", serve(RequestType::Edit))
            .route("/v1/text-to-image", serve(RequestType::Image(Endpoint::TextToImage)))
            .route("/v1/image-to-image", serve(RequestType::Image(Endpoint::ImageToImage)))
            .route("/v1/inpaint", serve(RequestType::Image(Endpoint::Inpaint)))
            .route("/v1/avatar", serve(RequestType::Image(Endpoint::Avatar)))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{*id}", get(models::model))
            .route("/v1/key", get(account::key))
            .route("/v1/usage", get(account::usage))
            .route("/v1/topup", get(account::topup))
            .route("/v1/invoices/{month}", get(account::invoice))
            .route("/openapi.json", get(openapi::document))
            .route("/", get(status::page))
            .route("/status", get(status::page))
            .route("/status.json", get(status::document))
            .route("/status.js", get(status::script))
            .route("/usage", get(usage_page::page))
            .route("/usage.js", get(usage_page::script))
            .route("/healthz", get(|| async { "ok" }))
            .fallback(|| async { GatewayError::UnknownRoute })
            .method_not_allowed_fallback(|| async { GatewayError::UnsupportedMethod })
            .route_layer(middleware::from_fn(
                |path: Option<MatchedPath>, request: Request, next: Next| async move {
                    count_requests(REQUESTS, path, request, next).await
                },
            ))
            .layer(middleware::from_fn(set_request_id))
            .layer(middleware::from_fn(cors::allow_any_origin))
            .layer(middleware::from_fn(tolerate_half_close))
            .with_state(self.clone())
    }

    /// Authenticates a request by its API key, which is a bearer token or, as in Anthropic's API,
    /// the header `x-api-key`.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<ApiKey, GatewayError> {
        let api_key_header = || headers.get("x-api-key").and_then(|value| value.to_str().ok());
        let secret = token_of(headers).or_else(api_key_header).ok_or(GatewayError::UnknownKey)?;
        let key = self.0.store.key_by_secret(secret).await?.ok_or(GatewayError::UnknownKey)?;
        if key.revoked_ms.is_some() {
            return Err(GatewayError::RevokedKey);
        }
        if key.terms.expires_ms.is_some() && key.is_expired(now_ms(&self.0.clock)) {
            return Err(GatewayError::ExpiredKey);
        }
        Ok(key)
    }

    async fn serve(&self, request: Request, request_type: RequestType) -> Response {
        let (head, body) = request.into_parts();
        // Authenticate before reading the body.
        let key = match self.authenticate(&head.headers).await {
            Ok(key) => key,
            Err(error) => return error.into_response(),
        };
        // Read the body before counting the request, so that slow bodies cost no database
        // transactions.
        let body = match self.0.body_limits.read(body).await {
            Ok(body) => body,
            Err(refusal) => return GatewayError::from(refusal).into_response(),
        };
        let (rate_limit_status, admission_result) =
            match self.0.rate_limiter.admit(&self.0.store, &key, (self.0.clock)()).await {
                Ok(admission) => admission,
                Err(error) => return error.into_response(),
            };
        let result = match admission_result {
            Ok(()) if request_type == RequestType::Edit => {
                match form_to_json(&head.headers, body.bytes.clone()).await {
                    Ok(fields) => {
                        self.serve_idempotent(
                            &key,
                            &head.headers,
                            head.uri.path(),
                            fields.into(),
                            request_type,
                        )
                        .await
                    }
                    Err(error) => Err(error),
                }
            }
            Ok(()) => {
                self.serve_idempotent(
                    &key,
                    &head.headers,
                    head.uri.path(),
                    body.bytes.clone(),
                    request_type,
                )
                .await
            }
            Err(error) => Err(error),
        };
        let mut response = result.unwrap_or_else(IntoResponse::into_response);
        if key.terms.log_requests {
            log_request(&key, head.uri.path(), &response);
        }
        rate_limit_status.write_headers(response.headers_mut());
        self.0.rate_limiter.write_token_headers(&key, response.headers_mut());
        self.0.budget_warnings.write_header(&key, response.headers_mut());
        response
    }

    async fn serve_idempotent(
        &self,
        key: &ApiKey,
        headers: &HeaderMap,
        path: &str,
        body: Bytes,
        request_type: RequestType,
    ) -> Result<Response, GatewayError> {
        match KeyClaim::claim(&self.0.store, &key.id, headers, (path, &body), now_ms(&self.0.clock))
            .await?
        {
            IdempotencyCheck::NoKey => self.dispatch(key, headers, body, request_type).await,
            IdempotencyCheck::Replayed(response) => Ok(response),
            IdempotencyCheck::New(claim) => Ok(claim
                .store_response(self.dispatch(key, headers, body, request_type).await?)
                .await),
        }
    }

    async fn dispatch(
        &self,
        key: &ApiKey,
        headers: &HeaderMap,
        body: Bytes,
        request_type: RequestType,
    ) -> Result<Response, GatewayError> {
        let preference = RoutePreference::from_headers(headers)?;
        match request_type {
            RequestType::Chat => {
                let request = TextRequest::parse_chat(&body)?;
                self.answer_text(key, request, Endpoint::Chat, Protocol::Completions, preference)
                    .await
            }
            RequestType::Completion => {
                let request = TextRequest::parse_completion(&body)?;
                self.answer_text(
                    key,
                    request,
                    Endpoint::Completions,
                    Protocol::Completions,
                    preference,
                )
                .await
            }
            RequestType::Response => {
                let (request, echo) = responses::parse(&body)?;
                self.answer_text(
                    key,
                    request,
                    Endpoint::Chat,
                    Protocol::Responses(echo),
                    preference,
                )
                .await
            }
            RequestType::Message => {
                let (request, options) = messages::parse(&body)?;
                self.answer_text(
                    key,
                    request,
                    Endpoint::Chat,
                    Protocol::Messages(options),
                    preference,
                )
                .await
            }
            RequestType::TokenCount => self.answer_token_count(key, &messages::parse_count(&body)?),
            RequestType::Embedding => {
                self.answer_embedding(key, EmbeddingRequest::parse(&body)?).await
            }
            RequestType::Generation => {
                self.answer_image(key, ImageRequest::parse_generation(&body)?).await
            }
            RequestType::Edit => {
                let request = self.0.convert(move || ImageRequest::parse_edit(&body)).await?;
                self.answer_image(key, request).await
            }
            RequestType::Image(endpoint) => {
                self.answer_image(key, ImageRequest::parse_reference(&body, endpoint)?).await
            }
        }
    }
}

impl Inner {
    /// Decodes or encodes images on a thread for blocking work, once a permit is free. The thread
    /// holds the permit: it does not stop when the buyer disconnects.
    ///
    /// # Errors
    /// That of `convert`, or [`GatewayError::Internal`] when it panics.
    pub(crate) async fn convert<T: Send + 'static>(
        &self,
        convert: impl FnOnce() -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, GatewayError> {
        let permit = Arc::clone(&self.conversion_slots)
            .acquire_owned()
            .await
            .map_err(|_| GatewayError::Internal)?;
        let converted = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            convert()
        });
        converted.await.map_err(|_| GatewayError::Internal)?
    }
}

/// Logs the response to a request, or its first part. Messages of errors and names of unknown
/// fields quote the request, so only codes are logged.
fn log_request(key: &ApiKey, path: &str, response: &Response) {
    let status = response.status().as_u16();
    let code = response.extensions().get::<GatewayError>().and_then(GatewayError::code);
    tracing::info!(key = key.id, path, status, code, "request of an API key answered");
}

/// Converts a form to a JSON object. A retry with the same `Idempotency-Key` has the same fields,
/// but another boundary.
async fn form_to_json(headers: &HeaderMap, body: Bytes) -> Result<Vec<u8>, GatewayError> {
    let content_type =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fields = parse_edit_form(content_type, body)
        .await
        .map_err(|error| GatewayError::InvalidForm(error.to_string()))?;
    serde_json::to_vec(&fields).map_err(|error| GatewayError::InvalidBody(error.to_string()))
}

/// Adds a request ID to each response (the buyer's, if the request has one), and converts errors of
/// lower layers to OpenAI's format, and all errors of Anthropic's routes to its format.
async fn set_request_id(request: Request, next: Next) -> Response {
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
    let client_id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len()))
        .cloned();
    let is_message = is_message_route(request.uri().path());
    let response = next.run(request).await;
    let id = client_id.or_else(|| HeaderValue::try_from(random_id()).ok());
    let mut response = if is_message {
        messages::translate_error(response, id.as_ref())
    } else {
        error_as_json(
            response,
            |reason| json!({"error": {"message": reason, "type": "invalid_request_error", "param": null, "code": null}}),
        )
    };
    if let Some(id) = id {
        if is_message {
            response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id.clone());
        }
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;
    use taonet_nineteen_query::{Market, Querier, QueryDeadlines};
    use taonet_nineteen_transport::{FiberClient, Trust};
    use taonet_service::{monotonic_clock, system_clock};
    use taonet_wallet::Keypair;
    use taonet_wire::{ClientConfig, SystemClock};

    /// Creates a querier of a market without an open period.
    pub(crate) fn querier() -> Querier {
        let key = Keypair::from_uri("//Alice").unwrap();
        let client =
            FiberClient::new(key, Trust::Any, ClientConfig::default(), Arc::new(SystemClock))
                .unwrap();
        let (samples, _) = tokio::sync::mpsc::channel(1);
        let clocks = (system_clock(), monotonic_clock());
        Querier::new(client, Market::default(), QueryDeadlines::default(), 1, clocks, samples)
    }
}
