//! Request headers of fiber: signer, receiver, symmetric key ID, nonce and signature.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_wallet::{CryptoType, Signature};
use taonet_wire::{
    Claim, Identity, OutgoingRequest, Refusal, RefusedRequest, Scheme, SigningError, Window,
};

use crate::Nonce;

/// Header with the signer's hotkey.
pub(crate) const VALIDATOR: &str = "validator-hotkey";
/// Header with the receiver's hotkey.
pub(crate) const MINER: &str = "miner-hotkey";
/// Header with the ID of the symmetric key.
pub(crate) const KEY_ID: &str = "symmetric-key-uuid";
/// Header with the nonce of the request.
pub(crate) const NONCE: &str = "nonce";
/// Header with the signature over [`signed_text`].
pub(crate) const SIGNATURE: &str = "signature";

/// Maximum age of a nonce, and maximum time that a nonce may be ahead of the receiver's clock.
const MAX_NONCE_AGE: Duration = Duration::from_mins(2);
/// Maximum length of a symmetric key ID; fiber uses 64 characters.
const MAX_ID_LENGTH: usize = 128;

/// Verification rules for requests with a valid signature and nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FiberRules {
    /// Accepts only requests signed for this miner. A body that cannot be decrypted gets status 400.
    #[default]
    Strict,
    /// Behaves as fiber 1.0.0: also accepts requests signed for other miners. A body that cannot be
    /// decrypted gets status 500.
    Reference,
}

/// Signature scheme of fiber's request headers.
///
/// The signature covers `<nonce>:<miner-hotkey>:<symmetric-key-uuid>`, not the body; the body's
/// Fernet token binds it to the symmetric key. A miner accepts each nonce time once per validator,
/// regardless of the suffix. On the validator's side, the name of a call is the ID of the symmetric
/// key; a call without a name is not signed, which applies only to requests for the miner's public
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FiberScheme {
    rules: FiberRules,
}

impl FiberScheme {
    /// Creates the scheme with these rules, which only affect servers.
    pub const fn new(rules: FiberRules) -> Self {
        Self { rules }
    }
}

/// Returns the text of a request that the validator signs.
pub(crate) fn signed_text(nonce: &str, miner: &str, key_id: &str) -> Vec<u8> {
    format!("{nonce}:{miner}:{key_id}").into_bytes()
}

/// Builds the signed headers of a request.
///
/// # Errors
/// [`SigningError`] if the key is not sr25519, or the ID of the symmetric key is not a valid header
/// value.
pub(crate) fn headers(
    identity: &Identity,
    miner: &Hotkey,
    key_id: &str,
    nonce: &Nonce,
) -> Result<HeaderMap, SigningError> {
    let crypto_type = identity.keypair.crypto_type();
    if crypto_type != CryptoType::Sr25519 {
        return Err(SigningError::CryptoType(crypto_type));
    }
    let miner = miner.to_string();
    let signature = identity.keypair.sign(&signed_text(nonce.as_str(), &miner, key_id));
    let mut headers = HeaderMap::with_capacity(8);
    for (name, text) in [
        (KEY_ID, key_id),
        (VALIDATOR, &identity.keypair.hotkey().to_string()),
        (MINER, &miner),
        (NONCE, nonce.as_str()),
        (SIGNATURE, &signature.to_string()),
    ] {
        let value = HeaderValue::try_from(text).map_err(|_| SigningError::Header(name))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

impl Scheme for FiberScheme {
    fn claim(&self, head: &Parts) -> Result<Claim, Refusal> {
        let headers = &head.headers;
        let [key_id, sender, receiver, nonce, signature] =
            [KEY_ID, VALIDATOR, MINER, NONCE, SIGNATURE]
                .map(|name| required_header(headers, name).map(|text| (name, text)));
        let (key_id, sender, receiver, nonce, signature) =
            (key_id?, sender?, receiver?, nonce?, signature?);
        if key_id.1.len() > MAX_ID_LENGTH {
            return Err(Refusal::Malformed(key_id.0));
        }
        let receiver = match self.rules {
            FiberRules::Strict => Some(parse_header::<Hotkey>(receiver)?),
            FiberRules::Reference => None,
        };
        Ok(Claim {
            sender: parse_header::<Hotkey>(sender)?,
            receiver,
            nonce: Nonce::parse_time(nonce.1).ok_or(Refusal::Malformed(nonce.0))?,
            uuid: Some(key_id.1.to_owned()),
            body_hash: None,
            timeout: Duration::ZERO,
            dated: true,
            crypto_type: CryptoType::Sr25519,
            signature: parse_header::<Signature>(signature)?,
        })
    }

    fn message(&self, head: &Parts, _: &Claim, _: &[u8]) -> Result<Vec<u8>, Refusal> {
        // The signature covers the header values exactly as sent.
        let text = |name| required_header(&head.headers, name);
        Ok(signed_text(text(NONCE)?, text(MINER)?, text(KEY_ID)?))
    }

    fn message_needs_body(&self) -> bool {
        false
    }

    fn window(&self) -> Window {
        Window { past: MAX_NONCE_AGE, future: MAX_NONCE_AGE, max_timeout: Duration::ZERO }
    }

    fn refuse(&self, refusal: &Refusal, _: &RefusedRequest<'_>) -> Response {
        let (status, detail) = status_and_detail(refusal);
        (status, Json(json!({ "detail": detail }))).into_response()
    }

    fn signs_body(&self) -> bool {
        false
    }

    fn sign(
        &self,
        identity: &Identity,
        request: &OutgoingRequest<'_>,
    ) -> Result<HeaderMap, SigningError> {
        if request.name.is_empty() {
            return Ok(HeaderMap::new());
        }
        headers(identity, request.peer.hotkey(), request.name, &Nonce::generate(request.nonce))
    }
}

/// Returns the HTTP status and the `detail` of fiber's response to a refused request.
fn status_and_detail(refusal: &Refusal) -> (StatusCode, Value) {
    match refusal {
        Refusal::Missing(name) | Refusal::Duplicate(name) => {
            let error_entry = json!({"type": "missing", "loc": ["header", name], "msg": "Field required", "input": null});
            (StatusCode::UNPROCESSABLE_ENTITY, json!([error_entry]))
        }
        Refusal::Malformed(NONCE) | Refusal::Stale { .. } | Refusal::Future | Refusal::Replayed => {
            (StatusCode::UNAUTHORIZED, "Oi, that nonce is not valid!".into())
        }
        Refusal::Malformed(SIGNATURE) | Refusal::WrongSignature => (
            StatusCode::UNAUTHORIZED,
            "Oi, invalid signature, you're not who you said you were!".into(),
        ),
        Refusal::Malformed(VALIDATOR) | Refusal::NotAllowed(_) => {
            (StatusCode::FORBIDDEN, "Hotkey not found in metagraph".into())
        }
        Refusal::Malformed(MINER) => {
            (Refusal::WrongReceiver.status(), Refusal::WrongReceiver.to_string().into())
        }
        other => (other.status(), other.to_string().into()),
    }
}

fn required_header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refusal::Missing(name))?;
    if values.next().is_some() {
        return Err(Refusal::Duplicate(name));
    }
    value.to_str().ok().filter(|text| !text.is_empty()).ok_or(Refusal::Missing(name))
}

fn parse_header<T: std::str::FromStr>((name, text): (&'static str, &str)) -> Result<T, Refusal> {
    text.parse().map_err(|_| Refusal::Malformed(name))
}
