//! Connection to a miner over signed HTTP.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, MinerRequest, PredictResponse};
use taonet_http::client::join_path;
use taonet_primitives::Hotkey;
use taonet_wire::{Peer, PeerError, SignedClient};
use url::Url;

use super::connection::{CallError, MinerConnection, PredictCall};
use taonet_neuron::{MinerAddress, MinerEntry};

/// Message name of an init request in signatures.
pub const INIT_MESSAGE: &str = "BBAudioMinerInitPayload";
/// Maximum size in bytes of an init response, which contains the request's fields and a session ID.
pub const MAX_INIT_RESPONSE_BYTES: usize = 64 << 10;
/// Message name of a predict request in signatures.
pub const PREDICT_MESSAGE: &str = "BBAudioMinerPredictPayload";

/// A connection to a miner's axon: one signed POST request per message, always to the same route.
#[derive(Debug, Clone)]
pub struct HttpMiner {
    client: SignedClient,
    peer: Peer,
    url: String,
    path: String,
}

/// Body of a `predict` request, which borrows a frame shared by all miners. Field order is the
/// order on the wire.
#[derive(Serialize)]
pub struct PredictBody<'a> {
    kind: &'static str,
    session_id: &'a str,
    audio_b64: &'a str,
    in_eos: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_index: Option<u64>,
}

impl<'a> PredictBody<'a> {
    /// Creates the body of a call; `frame_index` is for miners that support the field.
    pub fn new(call: &'a PredictCall, frame_index: Option<u64>) -> Self {
        let PredictCall { session_id, audio_b64, in_eos, .. } = call;
        Self { kind: "predict", session_id, audio_b64, in_eos: *in_eos, frame_index }
    }
}

impl HttpMiner {
    /// Creates a connection to `miner`; `predict_path` is the route below its address, e.g.
    /// `v1/predict`.
    ///
    /// The client's size limit applies to every response; set it to
    /// [`super::PlaySettings::max_response_bytes`].
    ///
    /// # Errors
    /// [`PeerError`] when requests to the miner's host cannot be signed.
    pub fn new(
        client: SignedClient,
        miner: &MinerEntry,
        predict_path: &str,
    ) -> Result<Self, PeerError> {
        let url = join_path(miner.address.url(), predict_path);
        Self::with_url(client, miner.hotkey, &miner.address, url)
    }

    /// Creates a connection to a miner whose predict route is `url`.
    ///
    /// # Errors
    /// [`PeerError`] when requests to the address cannot be signed.
    pub fn with_url(
        client: SignedClient,
        hotkey: Hotkey,
        address: &MinerAddress,
        url: Url,
    ) -> Result<Self, PeerError> {
        Ok(Self {
            client,
            peer: address.peer(hotkey)?,
            path: url.path().to_owned(),
            url: url.into(),
        })
    }

    /// Sends `body` as the signed message `message`; returns the parsed response, which may have at
    /// most `max_response_bytes` bytes of JSON.
    ///
    /// # Errors
    /// [`CallError`] when the miner refuses, fails, or does not respond within `timeout`.
    pub async fn call<T: DeserializeOwned>(
        &self,
        message: &'static str,
        body: Result<Vec<u8>, serde_json::Error>,
        timeout: Duration,
        max_response_bytes: usize,
    ) -> Result<T, CallError> {
        let body = Bytes::from(body.map_err(|error| CallError::Transport(error.to_string()))?);
        let headers = self
            .client
            .signer()
            .headers(&self.peer, &Method::POST, &self.path, message, timeout, &body)
            .map_err(|error| CallError::Identity(error.to_string()))?;
        let response = self
            .client
            .post(&self.url, headers, body, timeout, max_response_bytes)
            .await
            .map_err(call_error)?;
        parse_response(&response)
    }
}

impl MinerConnection for HttpMiner {
    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        let body = serde_json::to_vec(&MinerRequest::Init(request));
        self.call(INIT_MESSAGE, body, timeout, MAX_INIT_RESPONSE_BYTES).boxed()
    }

    fn predict(
        &self,
        call: PredictCall,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        let body = serde_json::to_vec(&PredictBody::new(&call, None));
        self.call(PREDICT_MESSAGE, body, timeout, call.max_response_bytes).boxed()
    }
}

fn parse_response<T: DeserializeOwned>(response: &[u8]) -> Result<T, CallError> {
    read_value(
        serde_json::from_slice(response).map_err(|error| CallError::Parse(error.to_string()))?,
    )
}

/// Deserialises a response. An object with the key `error` is a refusal, even if other fields are
/// missing.
///
/// # Errors
/// [`CallError`] when the miner refuses or the response is malformed.
pub fn read_value<T: DeserializeOwned>(value: Value) -> Result<T, CallError> {
    let Value::Object(object) = &value else { return Err(CallError::InvalidPayloadType) };
    match object.get("error") {
        Some(Value::String(text)) => Err(CallError::Refused(text.chars().take(300).collect())),
        Some(other) => Err(CallError::Refused(other.to_string().chars().take(300).collect())),
        None => serde_json::from_value(value).map_err(|error| CallError::Parse(error.to_string())),
    }
}

/// Converts a wire error into the error recorded in result files.
pub fn call_error(error: taonet_wire::CallError) -> CallError {
    use taonet_wire::CallError as Wire;
    match error {
        Wire::Timeout { after } => CallError::Timeout(after),
        Wire::Status { status, text } => CallError::Status { status: status.as_u16(), body: text },
        Wire::TooLarge { limit } => CallError::TooLarge { limit },
        Wire::Signing(error) => CallError::Identity(error.to_string()),
        other => CallError::Transport(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
