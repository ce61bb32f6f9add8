//! Forwarding of a validator's message to a miner.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;
use taonet_babelbit_core::arena_api::{RunsyncInput, RunsyncRequest};
use taonet_primitives::Hotkey;
use taonet_wire::CallError;

use super::State;
use super::answer::ApiError;
use super::entries::ListedEntry;
use crate::client::predict_url;

/// Signed headers of a message. Other headers are not forwarded.
const SIGNED: [&str; 12] = [
    "name",
    "timeout",
    "bt_header_axon_ip",
    "bt_header_axon_port",
    "bt_header_axon_hotkey",
    "bt_header_dendrite_ip",
    "bt_header_dendrite_version",
    "bt_header_dendrite_nonce",
    "bt_header_dendrite_uuid",
    "bt_header_dendrite_hotkey",
    "bt_header_dendrite_signature",
    "computed_body_hash",
];
const CALLER: &str = "bt_header_dendrite_hotkey";
const TIMEOUT: &str = "timeout";
/// Minimum timeout of a call to a miner.
const MIN_CALL: Duration = Duration::from_secs(1);

impl State {
    /// Forwards a message from `caller` to a miner, and returns the miner's response.
    pub(super) async fn forward(
        &self,
        caller: Hotkey,
        request: RunsyncRequest,
    ) -> Result<Response, ApiError> {
        let _permit = self.calls.try_acquire().map_err(|_| ApiError::Busy)?;
        let miner = self.receiver(&request).await?;
        let RunsyncInput { predict_payload, bt_headers } = request.input;
        // A token authorises only messages signed by its own hotkey, not replayed messages of
        // others.
        if bt_headers.get(CALLER).is_none_or(|name| name.parse() != Ok(caller)) {
            return Err(ApiError::OtherCaller);
        }
        let headers = headers(&bt_headers)?;
        let requested_timeout = bt_headers.get(TIMEOUT).and_then(|text| text.parse().ok());
        let requested_timeout =
            requested_timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let max_timeout = self.config.call_timeout;
        let limit =
            requested_timeout.unwrap_or(max_timeout).clamp(MIN_CALL.min(max_timeout), max_timeout);
        // The submission may have been accepted under another policy.
        let address = self
            .config
            .policy
            .resolve_managed(&miner.endpoint_url)
            .map_err(|_| ApiError::Unreached)?;
        let url = predict_url(address.url(), &self.config.predict_path);
        let body = Bytes::from(String::from(Box::<str>::from(predict_payload)));
        let start = Instant::now();
        let answer = self
            .client
            .post(url.as_str(), headers, body, limit, self.config.max_response_bytes)
            .await;
        metrics::histogram!("taonet_arena_gateway_call_seconds")
            .record(start.elapsed().as_secs_f64());
        let answer = answer
            .map_err(|error| call_error(error, limit))
            .and_then(|answer| wrap_in_envelope(&answer));
        let result = if answer.is_ok() { "answered" } else { "failed" };
        metrics::counter!("taonet_arena_gateway_calls_total", "result" => result).increment(1);
        if let Err(error) = &answer {
            let request_id =
                request.request_id.as_deref().map(|id| id.chars().take(200).collect::<String>());
            tracing::info!(miner = %miner.hotkey, uid = miner.uid, request_id, %error, "call to the miner failed");
        }
        answer
    }

    /// Returns the addressed miner in the arena, found by hotkey, else by uid.
    async fn receiver(&self, request: &RunsyncRequest) -> Result<ListedEntry, ApiError> {
        let listed = self.listed().await?;
        let miner = match &request.miner_hotkey {
            Some(hotkey) => listed.iter().find(|listed| hotkey.parse() == Ok(listed.hotkey)),
            None => listed.iter().find(|listed| request.uid == Some(listed.uid)),
        };
        miner.cloned().ok_or(ApiError::NoMiner)
    }
}

fn headers(bt_headers: &std::collections::BTreeMap<String, String>) -> Result<HeaderMap, ApiError> {
    let mut headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for name in SIGNED {
        let Some(value) = bt_headers.get(name) else { continue };
        let value = HeaderValue::from_str(value).map_err(|_| ApiError::Field {
            field: "input.bt_headers",
            problem: format!("{name} is not a valid header value"),
        })?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

fn call_error(error: CallError, limit: Duration) -> ApiError {
    match error {
        CallError::Status { status, text } => ApiError::from_miner_response(status.as_u16(), &text),
        CallError::Timeout { .. } => ApiError::Silent(limit),
        CallError::TooLarge { .. } => ApiError::InvalidMinerResponse,
        error => {
            tracing::debug!(%error, "cannot reach a miner");
            ApiError::Unreached
        }
    }
}

/// Wraps the miner's response in `{"output": …}`, with its bytes unchanged.
fn wrap_in_envelope(answer: &[u8]) -> Result<Response, ApiError> {
    let object: &RawValue =
        serde_json::from_slice(answer).map_err(|_| ApiError::InvalidMinerResponse)?;
    let object = object.get();
    if !object.starts_with('{') {
        return Err(ApiError::InvalidMinerResponse);
    }
    let body = Body::from(format!("{{\"output\":{object}}}"));
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}
