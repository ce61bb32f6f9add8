use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use serde_json::Value;
use taonet_babelbit_core::arena_api::{SUBMIT_PATH, Submission, SubmissionResponse};
use taonet_primitives::Hotkey;
use taonet_wallet::Keypair;
use taonet_wire::{
    BtauthScheme, CallError, ClientConfig, Peer, SignedClient, Signer, SigningError,
};
use url::Url;

use taonet_http::client::join_path;
use taonet_http::{JsonCallError, JsonClient};

/// Timeout of one call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a response in bytes.
const MAX_BODY: usize = 64 << 10;

/// Why a submission failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The request to the gateway's health route failed.
    #[error("cannot get the gateway's hotkey (GET /healthz): {0}")]
    Health(#[source] JsonCallError),
    /// The gateway's health response has no hotkey.
    #[error(
        "the gateway's health response contains no hotkey; hint: check that the URL is that of an arena gateway"
    )]
    NoHotkey,
    /// The request could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The gateway is unreachable, or refused the submission.
    #[error("cannot submit the miner to the gateway: {0}")]
    Call(#[from] CallError),
    /// The response is malformed.
    #[error("malformed response from the gateway")]
    Answer(#[source] serde_json::Error),
}

/// Submits a miner to the gateway. Without `receiver`, the gateway's hotkey is fetched first.
///
/// # Errors
/// [`SubmitError`] when the gateway is unreachable or refuses the submission.
pub async fn submit(
    gateway: &Url,
    receiver: Option<Hotkey>,
    keypair: &Keypair,
    submission: &Submission,
) -> Result<SubmissionResponse, SubmitError> {
    let receiver = match receiver {
        Some(receiver) => receiver,
        None => fetch_hotkey(gateway).await?,
    };
    let mut base = gateway.clone();
    let path = gateway.path().trim_end_matches('/');
    base.set_path(path.strip_suffix("/v1").unwrap_or(path));
    let url = join_path(&base, SUBMIT_PATH);
    let body = Bytes::from(serde_json::to_vec(submission).map_err(SubmitError::Answer)?);
    let signer = Signer::new(keypair.clone(), "0.0.0.0", BtauthScheme::new());
    let client = SignedClient::new(signer, ClientConfig::default())?;
    // The signature covers the receiver's hotkey, not its address.
    let peer = Peer::new(receiver, "0.0.0.0", 0).map_err(|_| SubmitError::NoHotkey)?;
    let headers = client.signer().headers(&peer, &Method::POST, url.path(), "", TIMEOUT, &body)?;
    let answer = client.post(url.as_str(), headers, body, TIMEOUT, MAX_BODY).await?;
    serde_json::from_slice(&answer).map_err(SubmitError::Answer)
}

async fn fetch_hotkey(gateway: &Url) -> Result<Hotkey, SubmitError> {
    let client = JsonClient::new(gateway, None, MAX_BODY).map_err(|_| SubmitError::NoHotkey)?;
    let health = client.get("/healthz", &[], TIMEOUT).await.map_err(SubmitError::Health)?;
    let hotkey = health.get("hotkey").and_then(Value::as_str);
    hotkey.and_then(|hotkey| hotkey.parse().ok()).ok_or(SubmitError::NoHotkey)
}
