//! The signed headers of Babelbit's validators and miners.
//!
//! The signature covers `{nonce}.{sender}.{receiver}.{uuid}.{body hash}`. Requests to a miner's own
//! axon leave the hash empty, so that **nothing binds the body**; requests to managed miners carry
//! the SHA-256 of the body's compact JSON form. None of the parts can contain a dot, so that no two
//! requests share a signed text.

use http::HeaderMap;
use http::request::Parts;
use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;
use taonet_wallet::CryptoType;

use crate::bt_header::{
    self, BODY_HASH, NAME, NONCE, PREFIX, RECEIVER, RECEIVER_IP, RECEIVER_PORT, SENDER, SENDER_IP,
    SIGNATURE, TIMEOUT, UUID, VERSION,
};
use crate::headers::{
    decimal, hex_digest, optional, parsed, reject_lookalikes, signature, timeout, uuid,
};
use crate::{
    Claim, Identity, OutgoingRequest, Refusal, Scheme, SigningError, Window, compact_hash,
};

/// Headers that are not signed, but must not be duplicated.
const UNSIGNED: [&str; 4] = [SENDER_IP, RECEIVER_IP, RECEIVER_PORT, NAME];

/// The protocol version in our headers: 7.2.0.
const OUR_VERSION: u64 = 7_002_000;

/// Babelbit's signed headers, in two forms. A server accepts both; a client sends the configured
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BabelbitScheme {
    sign_body: bool,
}

impl BabelbitScheme {
    /// Creates the scheme for a miner's own axon, which does not sign the body.
    pub const fn axon() -> Self {
        Self { sign_body: false }
    }

    /// Creates the scheme for managed miners, which signs the hash of the body's compact JSON form.
    pub const fn managed() -> Self {
        Self { sign_body: true }
    }
}

impl Scheme for BabelbitScheme {
    fn claim(&self, head: &Parts) -> Result<Claim, Refusal> {
        let headers = &head.headers;
        reject_lookalikes(headers, PREFIX)?;
        reject_lookalikes(headers, BODY_HASH)?;
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
        bt_header::signed_text(claim, hash).map(String::into_bytes)
    }

    fn message_needs_body(&self) -> bool {
        false
    }

    fn check_body(&self, _: &Parts, claim: &Claim, body: &[u8]) -> Result<(), Refusal> {
        let hash = claim.body_hash.as_deref().unwrap_or_default();
        let is_match = hash.is_empty()
            || compact_hash(body).is_ok_and(|compact| compact == hash)
            || hex::encode(Sha256::digest(body)) == hash;
        if is_match { Ok(()) } else { Err(Refusal::BodyMismatch) }
    }

    fn window(&self) -> Window {
        bt_header::WINDOW
    }

    fn signs_body(&self) -> bool {
        self.sign_body
    }

    fn sign(
        &self,
        identity: &Identity,
        request: &OutgoingRequest<'_>,
    ) -> Result<HeaderMap, SigningError> {
        bt_header::check_key(identity)?;
        let hash = if self.sign_body { compact_hash(request.body)? } else { String::new() };
        bt_header::sign(identity, request, OUR_VERSION, hash)
    }
}

#[cfg(test)]
mod tests;
