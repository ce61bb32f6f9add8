//! `btauth/1`, the scheme by which the Bittensor SDK 11 signs requests, in `X-Bittensor-*` headers.
//!
//! The signature covers the key's signature scheme, the method, the path with its query, the
//! SHA-256 of the body's bytes, the nonce, the sender and the receiver, joined by line feeds. None
//! of the parts can contain a line feed.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;
use taonet_wallet::CryptoType;

use crate::headers::{
    decimal, header_map, optional, parsed, path_and_query, reject_lookalikes, required, signature,
};
use crate::{
    Claim, Identity, OutgoingRequest, Refusal, RefusedRequest, Scheme, SigningError, Window,
};

/// The prefix of every header of the protocol.
const PREFIX: &str = "x-bittensor-";
const VERSION: &str = "x-bittensor-version";
const SENDER: &str = "x-bittensor-hotkey";
const NONCE: &str = "x-bittensor-nonce";
const SIGNATURE: &str = "x-bittensor-signature";
const RECEIVER: &str = "x-bittensor-receiver";
const CRYPTO: &str = "x-bittensor-crypto";

/// The protocol version in our headers.
const VERSION_NUMBER: &str = "1";

/// The `btauth/1` scheme. Requests must name their receiver, unless [`Self::accept_unbound`] is
/// set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BtauthScheme {
    receiver_required: bool,
}

impl BtauthScheme {
    /// Creates the default scheme, for our own peers: every request names one receiver.
    pub const fn new() -> Self {
        Self { receiver_required: true }
    }

    /// Also accepts requests that name no receiver. A server that gets such a request can forward
    /// it, within the freshness window, to any other server that accepts them.
    #[must_use]
    pub const fn accept_unbound(self) -> Self {
        Self { receiver_required: false }
    }
}

impl Default for BtauthScheme {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheme for BtauthScheme {
    fn claim(&self, head: &Parts) -> Result<Claim, Refusal> {
        let headers = &head.headers;
        reject_lookalikes(headers, PREFIX)?;
        if required(headers, VERSION)? != VERSION_NUMBER {
            return Err(Refusal::Malformed(VERSION));
        }
        let crypto_type = optional(headers, CRYPTO)?.map(str::parse).transpose();
        let claim = Claim {
            sender: parsed(headers, SENDER)?,
            nonce: decimal(headers, NONCE)?,
            crypto_type: crypto_type.map_err(|_| Refusal::Malformed(CRYPTO))?.unwrap_or_default(),
            signature: signature(headers, SIGNATURE)?,
            receiver: optional(headers, RECEIVER)?
                .map(str::parse)
                .transpose()
                .map_err(|_| Refusal::Malformed(RECEIVER))?,
            uuid: None,
            body_hash: None,
            timeout: Duration::ZERO,
            dated: true,
        };
        if claim.receiver.is_none() && self.receiver_required {
            return Err(Refusal::WrongReceiver);
        }
        Ok(claim)
    }

    fn message(&self, head: &Parts, claim: &Claim, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (method, path) = (head.method.as_str(), path_and_query(head));
        let (sender, receiver) = (&claim.sender, claim.receiver.as_ref());
        Ok(payload(claim.crypto_type, method, path, body, claim.nonce, sender, receiver))
    }

    /// Returns the SDK's freshness window: nonces up to 10 s old or 2 s ahead.
    fn window(&self) -> Window {
        Window {
            past: Duration::from_secs(10),
            future: Duration::from_secs(2),
            max_timeout: Duration::ZERO,
        }
    }

    /// Responds with `{"error": …, "detail": …}`: the SDK's name for the failure, and the reason.
    /// Failures that the SDK names have the status 401.
    fn refuse(&self, refusal: &Refusal, _: &RefusedRequest<'_>) -> Response {
        let (status, name) = match refusal {
            Refusal::Missing(_)
            | Refusal::Duplicate(_)
            | Refusal::Malformed(_)
            | Refusal::Lookalike(_) => (StatusCode::UNAUTHORIZED, "MalformedAuth"),
            Refusal::WrongReceiver => (StatusCode::UNAUTHORIZED, "WrongReceiver"),
            Refusal::Stale { .. } | Refusal::Future => (StatusCode::UNAUTHORIZED, "StaleRequest"),
            Refusal::WrongSignature => (StatusCode::UNAUTHORIZED, "BadSignature"),
            Refusal::Replayed => (StatusCode::UNAUTHORIZED, "ReplayedRequest"),
            other => (other.status(), "Refused"),
        };
        (status, Json(json!({ "error": name, "detail": refusal.to_string() }))).into_response()
    }

    fn sign(
        &self,
        identity: &Identity,
        request: &OutgoingRequest<'_>,
    ) -> Result<HeaderMap, SigningError> {
        let (sender, receiver) = (identity.keypair.hotkey(), request.peer.hotkey());
        let method = request.method.as_str();
        let crypto_type = identity.keypair.crypto_type();
        let message = payload(
            crypto_type,
            method,
            request.path,
            request.body,
            request.nonce,
            &sender,
            Some(receiver),
        );
        let mut headers = header_map([
            (VERSION, VERSION_NUMBER.to_owned()),
            (SENDER, sender.to_string()),
            (NONCE, request.nonce.to_string()),
            (SIGNATURE, identity.keypair.sign(&message).to_string()),
            (RECEIVER, receiver.to_string()),
        ])?;
        if crypto_type != CryptoType::default() {
            headers.insert(CRYPTO, HeaderValue::from_static(crypto_type.name()));
        }
        Ok(headers)
    }
}

/// Returns the bytes to sign.
fn payload(
    crypto_type: CryptoType,
    method: &str,
    path: &str,
    body: &[u8],
    nonce: u64,
    sender: &Hotkey,
    receiver: Option<&Hotkey>,
) -> Vec<u8> {
    let hash = hex::encode(Sha256::digest(body));
    let receiver = receiver.map_or_else(|| "-".to_owned(), Hotkey::to_string);
    format!("btauth/1\n{crypto_type}\n{method}\n{path}\n{hash}\n{nonce}\n{sender}\n{receiver}")
        .into_bytes()
}
