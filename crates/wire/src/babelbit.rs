//! The signed headers of Babelbit's validators and miners.
//!
//! The signature covers `{nonce}.{sender}.{receiver}.{uuid}.{body hash}`. Requests to a miner's own axon leave the
//! hash empty, so that **nothing binds the body**; requests to managed miners carry the SHA-256 of the body's compact
//! JSON form. None of the parts can hold a dot, so that no two requests share a signed text.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;
use taonet_wallet::CryptoType;

use crate::headers::{decimal, hex_digest, no_lookalike, optional, parsed, seconds_text, signature, timeout, uuid};
use crate::{Claim, Identity, Outgoing, Refusal, Scheme, SigningError, Window, compact_hash};

/// What every header of the protocol but a few begins with.
const PREFIX: &str = "bt_header_";
const NONCE: &str = "bt_header_dendrite_nonce";
const SENDER: &str = "bt_header_dendrite_hotkey";
const SIGNATURE: &str = "bt_header_dendrite_signature";
const UUID: &str = "bt_header_dendrite_uuid";
const SENDER_IP: &str = "bt_header_dendrite_ip";
const VERSION: &str = "bt_header_dendrite_version";
const RECEIVER: &str = "bt_header_axon_hotkey";
const RECEIVER_IP: &str = "bt_header_axon_ip";
const RECEIVER_PORT: &str = "bt_header_axon_port";
const TIMEOUT: &str = "timeout";
const NAME: &str = "name";
const BODY_HASH: &str = "computed_body_hash";

/// The headers that say nothing about the signature; like the others they must not be doubled.
const UNSIGNED: [&str; 4] = [SENDER_IP, RECEIVER_IP, RECEIVER_PORT, NAME];

/// The protocol version that validators state: 7.2.0.
const VERSION_NUMBER: &str = "7002000";

/// Babelbit's signed headers. A server accepts both forms, whatever it sends itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BabelbitScheme {
    sign_body: bool,
}

impl BabelbitScheme {
    /// As validators call a miner's own axon: the body is not signed.
    pub const fn axon() -> Self {
        Self { sign_body: false }
    }

    /// As validators call managed miners: the hash of the body's compact JSON form is signed.
    pub const fn managed() -> Self {
        Self { sign_body: true }
    }
}

impl Scheme for BabelbitScheme {
    fn claim(&self, head: &Parts) -> Result<Claim, Refusal> {
        let headers = &head.headers;
        no_lookalike(headers, PREFIX)?;
        no_lookalike(headers, BODY_HASH)?;
        for name in UNSIGNED {
            optional(headers, name)?;
        }
        optional(headers, VERSION)?.map(|_| decimal(headers, VERSION)).transpose()?;
        Ok(Claim {
            nonce: decimal(headers, NONCE)?,
            sender: parsed::<Hotkey>(headers, SENDER)?,
            receiver: Some(parsed::<Hotkey>(headers, RECEIVER)?),
            uuid: Some(uuid(headers, UUID)?),
            crypto_type: CryptoType::Sr25519,
            signature: signature(headers, SIGNATURE)?,
            body_hash: hex_digest(headers, BODY_HASH)?,
            timeout: timeout(headers, TIMEOUT)?,
            dated: true,
        })
    }

    fn message(&self, _: &Parts, claim: &Claim, _: &[u8]) -> Result<Vec<u8>, Refusal> {
        let hash = claim.body_hash.as_deref().unwrap_or_default();
        let receiver = claim.receiver.as_ref().ok_or(Refusal::Missing(RECEIVER))?;
        let uuid = claim.uuid.as_deref().ok_or(Refusal::Missing(UUID))?;
        Ok(signed_text(claim.nonce, &claim.sender, receiver, uuid, hash))
    }

    fn message_needs_body(&self) -> bool {
        false
    }

    fn check_body(&self, _: &Parts, claim: &Claim, body: &[u8]) -> Result<(), Refusal> {
        let hash = claim.body_hash.as_deref().unwrap_or_default();
        let matches = hash.is_empty()
            || compact_hash(body).is_ok_and(|compact| compact == hash)
            || hex::encode(Sha256::digest(body)) == hash;
        if matches { Ok(()) } else { Err(Refusal::BodyMismatch) }
    }

    fn window(&self) -> Window {
        Window { past: Duration::from_secs(4), future: Duration::from_secs(3), max_timeout: Duration::from_mins(1) }
    }

    fn signs_body(&self) -> bool {
        self.sign_body
    }

    fn sign(&self, identity: &Identity, request: &Outgoing<'_>) -> Result<HeaderMap, SigningError> {
        if identity.keypair.crypto_type() != CryptoType::Sr25519 {
            return Err(SigningError::CryptoType(identity.keypair.crypto_type()));
        }
        let hash = if self.sign_body { compact_hash(request.body)? } else { String::new() };
        let (sender, receiver) = (identity.keypair.hotkey(), request.peer.hotkey());
        let uuid = identity.uuid.to_string();
        let text = signed_text(request.nonce, &sender, receiver, &uuid, &hash);
        let lines = [
            (NONCE, request.nonce.to_string()),
            (SENDER, sender.to_string()),
            (SIGNATURE, identity.keypair.sign(&text).to_string()),
            (UUID, uuid),
            (SENDER_IP, identity.external_ip.clone()),
            (VERSION, VERSION_NUMBER.to_owned()),
            (RECEIVER, receiver.to_string()),
            (RECEIVER_IP, request.peer.host().to_owned()),
            (RECEIVER_PORT, request.peer.port().to_string()),
            (TIMEOUT, seconds_text(request.timeout)),
            (NAME, request.name.to_owned()),
            (BODY_HASH, hash),
        ];
        let mut headers = HeaderMap::with_capacity(lines.len() + 1);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in lines {
            let value = HeaderValue::try_from(value).map_err(|_| SigningError::Header(name))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }
}

fn signed_text(nonce: u64, sender: &Hotkey, receiver: &Hotkey, uuid: &str, hash: &str) -> Vec<u8> {
    format!("{nonce}.{sender}.{receiver}.{uuid}.{hash}").into_bytes()
}

#[cfg(test)]
mod tests;
