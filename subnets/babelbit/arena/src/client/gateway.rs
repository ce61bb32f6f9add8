//! Connection to a miner through the arena gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use taonet_babelbit_core::arena_api::{RunsyncInput, RunsyncRequest};
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, MinerRequest, PredictResponse};
use taonet_primitives::{Backoff, Hotkey, Uid};
use taonet_wire::{CallError as WireError, Peer, PeerError, SignedClient};
use url::Url;
use uuid::Uuid;

use super::auth::{TokenError, TokenScope, Tokens, is_transport};
use super::{ArenaTime, MAX_ENVELOPE_BYTES};
use crate::ArenaSettings;
use taonet_babelbit_runner::http::{
    INIT_MESSAGE, MAX_INIT_RESPONSE_BYTES, PREDICT_MESSAGE, PredictBody, call_error, read_value,
};
use taonet_babelbit_runner::{CallError, MinerConnection, PredictCall};
use taonet_http::client::{bearer, join_path};

mod retry;

use retry::{is_retryable, pause};

/// Minimum total timeout of a call: a managed miner may have to be started first.
pub(super) const MIN_CALL_TIMEOUT: Duration = Duration::from_mins(10);

/// A miner, and the URL of the gateway through which it is called.
pub(super) struct GatewayRoute {
    pub(super) url: Url,
    pub(super) hotkey: Hotkey,
    pub(super) uid: Uid,
}

/// A miner called through the gateway's `/runsync`. Transient failures are retried until the call's
/// deadline.
pub(super) struct GatewayMiner {
    client: SignedClient,
    tokens: Arc<Tokens>,
    scope: TokenScope,
    route: GatewayRoute,
    peer: Peer,
    backoff: Backoff,
    call_timeout: Duration,
    time: ArenaTime,
    sent: Mutex<SentFrames>,
}

/// A session, and the number of frames sent in it.
#[derive(Default)]
struct SentFrames {
    session: Arc<str>,
    frames: u64,
}

/// A message to the miner. A retry may send other bytes than the first attempt: `retry_body`
/// instead of `first_body`.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) first_body: Result<Vec<u8>, serde_json::Error>,
    pub(super) retry_body: Option<Result<Vec<u8>, serde_json::Error>>,
    pub(super) max_response_bytes: usize,
}

/// Why an attempt failed.
enum Failure {
    /// Getting a token failed.
    Token(TokenError),
    /// The gateway rejected this token, or returned another error.
    Call { error: WireError, token: Arc<str> },
    /// The failure is permanent.
    Final(CallError),
}

impl GatewayMiner {
    pub(super) fn new(
        client: SignedClient,
        tokens: Arc<Tokens>,
        route: GatewayRoute,
        settings: &ArenaSettings,
        time: ArenaTime,
    ) -> Result<Self, PeerError> {
        let auth_url = auth_url(&route.url, &settings.runsync_path, &settings.auth_path).into();
        Ok(Self {
            // The gateway knows the miner's address; the headers omit it.
            peer: Peer::new(route.hotkey, "0.0.0.0", 0)?,
            scope: TokenScope {
                auth_url,
                miner_hotkey: route.hotkey.to_string(),
                uid: route.uid.0,
            },
            backoff: Backoff::new(settings.retry_base_delay, settings.retry_max_delay),
            call_timeout: settings.gateway_timeout.max(MIN_CALL_TIMEOUT),
            client,
            tokens,
            route,
            time,
            sent: Mutex::default(),
        })
    }

    /// Counts a frame of `session`; returns the number of frames before it.
    fn count(&self, session: &Arc<str>) -> u64 {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.session != *session {
            *sent = SentFrames { session: Arc::clone(session), frames: 0 };
        }
        sent.frames += 1;
        sent.frames - 1
    }

    async fn call<T: DeserializeOwned>(
        &self,
        message: Message,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.call_within(message, timeout.max(self.call_timeout)).await
    }

    /// Sends a message, and retries it until `total` has passed.
    pub(super) async fn call_within<T: DeserializeOwned>(
        &self,
        message: Message,
        total: Duration,
    ) -> Result<T, CallError> {
        let deadline = self.time.now() + total;
        let mut body = message.first_body.map_err(|error| encoding_error(&error))?;
        let mut retry_body = message.retry_body;
        let mut is_renewed = false;
        let mut retries = 0;
        let mut attempt = 1;
        loop {
            let current_attempt = Attempt { number: attempt, name: message.name, body: &body };
            let failure = match self
                .attempt(&current_attempt, deadline, total, message.max_response_bytes)
                .await
            {
                Ok(answer) => return read_value(answer),
                Err(failure) => failure,
            };
            attempt += 1;
            if let Some(retry_body) = retry_body.take() {
                body = retry_body.map_err(|error| encoding_error(&error))?;
            }
            match &failure {
                Failure::Call { error: WireError::Status { status, .. }, token }
                    if status.as_u16() == 401 && !is_renewed =>
                {
                    is_renewed = true;
                    self.tokens.forget(&self.scope, token).await;
                    continue;
                }
                Failure::Token(error) if error.is_retryable() => {}
                Failure::Call { error, .. } if is_transport(error) => {}
                Failure::Call { error: WireError::Status { status, text }, .. }
                    if is_retryable(status.as_u16(), text) => {}
                _ => return Err(failure.into()),
            }
            let remaining = deadline.saturating_duration_since(self.time.now());
            let Some(pause) = pause(self.backoff, retries, remaining) else {
                return Err(failure.into());
            };
            retries += 1;
            tracing::debug!(uid = %self.route.uid, attempt, pause_s = pause.as_secs_f64(), "retrying gateway call");
            self.time.sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        sent: &Attempt<'_>,
        deadline: Instant,
        total: Duration,
        max_response_bytes: usize,
    ) -> Result<Value, Failure> {
        let token = self.tokens.get(&self.client, &self.scope).await.map_err(Failure::Token)?;
        let body = self.request(sent, &token, total).map_err(Failure::Final)?;
        let remaining = deadline.saturating_duration_since(self.time.now());
        let limit = max_response_bytes.saturating_add(MAX_ENVELOPE_BYTES);
        let headers = headers(&token);
        let answer =
            self.client.post(self.route.url.as_str(), headers, body.into(), remaining, limit).await;
        let answer = answer.map_err(|error| Failure::Call { error, token })?;
        let answer = serde_json::from_slice(&answer);
        answer
            .map(unwrap_envelope)
            .map_err(|error| Failure::Final(CallError::Parse(error.to_string())))
    }

    /// Serialises the message and its signed headers in the gateway's format.
    fn request(
        &self,
        sent: &Attempt<'_>,
        token: &str,
        total: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let Attempt { number, name, body } = sent;
        let signed =
            self.client.signer().headers(&self.peer, &Method::POST, "/", name, total, body);
        let signed = signed.map_err(|error| CallError::Identity(error.to_string()))?;
        let mut bt_headers = BTreeMap::new();
        for (name, value) in &signed {
            if name != CONTENT_TYPE {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                bt_headers.insert(name.as_str().to_owned(), value);
            }
        }
        let predict_payload: Box<RawValue> =
            serde_json::from_slice(body).map_err(|error| encoding_error(&error))?;
        let id = Uuid::new_v4().simple();
        let request = RunsyncRequest {
            input: RunsyncInput { predict_payload, bt_headers },
            auth_token: Some(token.to_owned()),
            uid: Some(self.route.uid.0),
            miner_hotkey: Some(self.route.hotkey.to_string()),
            request_id: Some(format!("gw-audio:{name}:{}:{number}:{id}", self.route.uid)),
        };
        serde_json::to_vec(&request).map_err(|error| encoding_error(&error))
    }
}

/// One attempt of a call.
struct Attempt<'a> {
    /// Number of the attempt, from 1.
    number: u32,
    name: &'static str,
    body: &'a [u8],
}

impl MinerConnection for GatewayMiner {
    fn min_timeout(&self) -> Duration {
        self.call_timeout
    }

    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        let message = Message {
            name: INIT_MESSAGE,
            first_body: serde_json::to_vec(&MinerRequest::Init(request)),
            retry_body: None,
            max_response_bytes: MAX_INIT_RESPONSE_BYTES,
        };
        self.call(message, timeout).boxed()
    }

    /// Sends a frame. The first attempt is identical to other validators' requests. Retries include
    /// the frame's index, since the miner may already have processed the frame.
    fn predict(
        &self,
        call: PredictCall,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        let index = self.count(&call.session_id);
        let message = Message {
            name: PREDICT_MESSAGE,
            first_body: serde_json::to_vec(&PredictBody::new(&call, None)),
            retry_body: Some(serde_json::to_vec(&PredictBody::new(&call, Some(index)))),
            max_response_bytes: call.max_response_bytes,
        };
        self.call(message, timeout).boxed()
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Token(error) => Self::Identity(error.to_string()),
            Failure::Call { error, .. } => call_error(error),
            Failure::Final(error) => error,
        }
    }
}

fn encoding_error(error: &serde_json::Error) -> CallError {
    CallError::Transport(error.to_string())
}

/// Returns the headers of a call. They contain the token, too, for gateways that authenticate
/// before they read the body.
fn headers(token: &str) -> HeaderMap {
    let mut headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    if let Some(bearer) = bearer(token) {
        headers.insert(AUTHORIZATION, bearer);
    }
    headers
}

/// Unwraps the miner's response: the `output` object if there is one, else the complete response.
fn unwrap_envelope(mut answer: Value) -> Value {
    match answer.get_mut("output") {
        Some(output @ Value::Object(_)) => output.take(),
        _ => answer,
    }
}

/// Returns the URL of the token route, with the same base as the call route.
fn auth_url(route: &Url, runsync_path: &str, auth_path: &str) -> Url {
    let mut base = route.clone();
    let path = route.path().trim_end_matches('/').to_owned();
    let suffix = format!("/{}", runsync_path.trim_matches('/'));
    base.set_path(path.strip_suffix(&suffix).unwrap_or(&path));
    join_path(&base, auth_path)
}

#[cfg(test)]
mod tests;
