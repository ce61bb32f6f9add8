use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, State as Shared};
use axum::http::request::Parts;
use axum::response::Json;
use axum::routing::{get, post};
use serde_json::{Value, json};
use taonet_babelbit_core::engine_api::{
    AuthChallenge, AuthToken, AuthVerify, NextRequest, TranscriptionPayload, UtterancePayload,
};
use taonet_primitives::Hotkey;

use super::State;
use super::answer::{ApiError, Body, error_body};
use super::sessions::Stream;
use super::text;
use taonet_babelbit_challenges::{BuildError, BuiltChallenge};
use taonet_http::{JsonService, subscriber};

type EngineState = Shared<Arc<State>>;

pub(super) fn router(state: Arc<State>, timeout: Duration) -> Router {
    let mut routes = Router::new()
        .route("/auth", post(auth))
        .route("/auth/verify", post(auth_verify))
        .route("/healthz", get(healthz));
    if !state.library.is_empty() {
        routes = routes
            .route("/source-audio/start", post(start_main))
            .route("/source-audio/next", post(next_main))
            .route("/solo/start", get(start_solo))
            .route("/solo/next", post(next_solo))
            .route("/transcription", get(transcription));
    }
    if !state.texts.is_empty() {
        routes =
            routes.route("/start", get(text::start_main)).route("/next", post(text::next_main));
    }
    if state.library.is_empty() {
        routes = routes
            .route("/solo/start", get(text::start_solo))
            .route("/solo/next", post(text::next_solo));
    }
    let requests_total = "taonet_engine_requests_total";
    JsonService { requests_total, timeout: Some(timeout), error: error_body }
        .wrap(routes.with_state(state))
}

/// Extractor of an unauthenticated caller, rate-limited by address.
struct UnauthenticatedCaller;

impl FromRequestParts<Arc<State>> for UnauthenticatedCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, ApiError> {
        let address = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|ConnectInfo(address)| address.ip());
        let key = subscriber(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let limit = &state.auth_limit;
        limit
            .admit(key, state.now())
            .map_err(|wait| ApiError::RateLimited { wait, limit: limit.limit() })?;
        Ok(Self)
    }
}

/// Extractor of an authenticated caller, rate-limited by hotkey.
struct Caller(Hotkey);

impl FromRequestParts<Arc<State>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, ApiError> {
        let now = state.now();
        let hotkey = state.auth.caller(&parts.headers, now)?;
        let limit = &state.data_limit;
        limit
            .admit(hotkey, now)
            .map_err(|wait| ApiError::RateLimited { wait, limit: limit.limit() })?;
        Ok(Self(hotkey))
    }
}

/// Extractor of an authenticated caller of the text routes, rate-limited by hotkey with a higher
/// limit, since a session needs one call per word.
pub(super) struct TextCaller(pub(super) Hotkey);

impl FromRequestParts<Arc<State>> for TextCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, ApiError> {
        let now = state.now();
        let hotkey = state.auth.caller(&parts.headers, now)?;
        let limit = &state.text_limit;
        limit
            .admit(hotkey, now)
            .map_err(|wait| ApiError::RateLimited { wait, limit: limit.limit() })?;
        Ok(Self(hotkey))
    }
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn auth(Shared(state): EngineState, _: UnauthenticatedCaller) -> Json<AuthChallenge> {
    Json(state.auth.challenge(state.now()))
}

async fn auth_verify(
    Shared(state): EngineState,
    _: UnauthenticatedCaller,
    Body(verification): Body<AuthVerify>,
) -> Result<Json<AuthToken>, ApiError> {
    state.auth.verify(&verification, state.now()).map(Json)
}

async fn start_main(
    state: EngineState,
    caller: Caller,
) -> Result<Json<UtterancePayload>, ApiError> {
    start(state, caller, Stream::Main).await
}

async fn start_solo(
    state: EngineState,
    caller: Caller,
) -> Result<Json<UtterancePayload>, ApiError> {
    start(state, caller, Stream::Solo).await
}

async fn next_main(
    state: EngineState,
    caller: Caller,
    body: Body<NextRequest>,
) -> Result<Json<UtterancePayload>, ApiError> {
    next(&state, &caller, &body, Stream::Main)
}

async fn next_solo(
    state: EngineState,
    caller: Caller,
    body: Body<NextRequest>,
) -> Result<Json<UtterancePayload>, ApiError> {
    next(&state, &caller, &body, Stream::Solo)
}

async fn start(
    Shared(state): EngineState,
    Caller(hotkey): Caller,
    stream: Stream,
) -> Result<Json<UtterancePayload>, ApiError> {
    let built = require_challenge(state.current(stream).await)?;
    tracing::info!(%hotkey, ?stream, challenge_uid = built.challenge.uid, "session started");
    let id = state.sessions.start(hotkey, stream, Arc::clone(&built), state.now());
    Ok(Json(built.payload(&id, 0)))
}

fn next(
    Shared(state): &EngineState,
    Caller(hotkey): &Caller,
    Body(request): &Body<NextRequest>,
    stream: Stream,
) -> Result<Json<UtterancePayload>, ApiError> {
    let (built, position) =
        state.sessions.next(*hotkey, stream, &request.session_id, state.now())?;
    Ok(Json(built.payload(&request.session_id, position)))
}

/// Returns the reference of the challenge in the caller's latest main session, or else of the
/// current challenge. The reference thus remains available if the challenge rotates out during a
/// session.
async fn transcription(
    Shared(state): EngineState,
    Caller(hotkey): Caller,
) -> Result<Json<TranscriptionPayload>, ApiError> {
    let session_challenge =
        state.sessions.latest_main(hotkey, state.now()).map(|built| Arc::clone(&built.challenge));
    let current = || state.library.get(state.position(Stream::Main)).map(Arc::clone);
    let challenge = session_challenge.or_else(current).ok_or(ApiError::Unprepared)?;
    Ok(Json(TranscriptionPayload {
        challenge_uid: challenge.uid.clone(),
        metadata: challenge.reference_document(),
    }))
}

/// Logs the cause of a failure instead of returning it, because the cause may contain file names.
fn require_challenge(
    outcome: Result<Option<Arc<BuiltChallenge>>, BuildError>,
) -> Result<Arc<BuiltChallenge>, ApiError> {
    match outcome {
        Ok(Some(built)) => Ok(built),
        Ok(None) => Err(ApiError::Unprepared),
        Err(error) => {
            tracing::error!(%error, "cannot prepare a challenge");
            Err(ApiError::Unprepared)
        }
    }
}
