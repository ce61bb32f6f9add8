//! The headers common to the Bittensor SDK's dendrite and Babelbit's validators, and the text that
//! both sign.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use taonet_primitives::Hotkey;
use taonet_wallet::CryptoType;

use crate::headers::{header_map, seconds_text};
use crate::{Claim, Identity, OutgoingRequest, Refusal, SigningError, Window};

/// The prefix of nearly every header of the protocol.
pub(crate) const PREFIX: &str = "bt_header_";
pub(crate) const NONCE: &str = "bt_header_dendrite_nonce";
pub(crate) const SENDER: &str = "bt_header_dendrite_hotkey";
pub(crate) const SIGNATURE: &str = "bt_header_dendrite_signature";
pub(crate) const UUID: &str = "bt_header_dendrite_uuid";
pub(crate) const SENDER_IP: &str = "bt_header_dendrite_ip";
pub(crate) const VERSION: &str = "bt_header_dendrite_version";
pub(crate) const RECEIVER: &str = "bt_header_axon_hotkey";
pub(crate) const RECEIVER_IP: &str = "bt_header_axon_ip";
pub(crate) const RECEIVER_PORT: &str = "bt_header_axon_port";
pub(crate) const TIMEOUT: &str = "timeout";
pub(crate) const NAME: &str = "name";
pub(crate) const BODY_HASH: &str = "computed_body_hash";

/// The SDK's freshness window: nonces up to 4 s old, plus the caller's timeout (at most a minute),
/// or 3 s ahead.
pub(crate) const WINDOW: Window = Window {
    past: Duration::from_secs(4),
    future: Duration::from_secs(3),
    max_timeout: Duration::from_mins(1),
};

/// Returns the text that the claimed caller must have signed, with this body hash.
pub(crate) fn signed_text(claim: &Claim, hash: &str) -> Result<String, Refusal> {
    let receiver = claim.receiver.as_ref().ok_or(Refusal::Missing(RECEIVER))?;
    let uuid = claim.uuid.as_deref().ok_or(Refusal::Missing(UUID))?;
    Ok(join_fields(claim.nonce, &claim.sender, receiver, uuid, hash))
}

/// Joins the parts with dots; since no part can contain a dot, no two requests share a text.
fn join_fields(nonce: u64, sender: &Hotkey, receiver: &Hotkey, uuid: &str, hash: &str) -> String {
    format!("{nonce}.{sender}.{receiver}.{uuid}.{hash}")
}

/// Checks that the key is sr25519: no header can name another key type.
pub(crate) fn check_key(identity: &Identity) -> Result<(), SigningError> {
    match identity.keypair.crypto_type() {
        CryptoType::Sr25519 => Ok(()),
        other @ CryptoType::Ed25519 => Err(SigningError::CryptoType(other)),
    }
}

/// Creates the headers that sign a request whose body has this hash.
pub(crate) fn sign(
    identity: &Identity,
    request: &OutgoingRequest<'_>,
    version: u64,
    hash: String,
) -> Result<HeaderMap, SigningError> {
    let (sender, receiver) = (identity.keypair.hotkey(), request.peer.hotkey());
    let uuid = identity.uuid.to_string();
    let text = join_fields(request.nonce, &sender, receiver, &uuid, &hash);
    let mut headers = header_map([
        (NAME, request.name.to_owned()),
        (TIMEOUT, seconds_text(request.timeout)),
        (RECEIVER_IP, request.peer.host().to_owned()),
        (RECEIVER_PORT, request.peer.port().to_string()),
        (RECEIVER, receiver.to_string()),
        (SENDER_IP, identity.external_ip.clone()),
        (VERSION, version.to_string()),
        (NONCE, request.nonce.to_string()),
        (UUID, uuid),
        (SENDER, sender.to_string()),
        (SIGNATURE, identity.keypair.sign(text.as_bytes()).to_string()),
        (BODY_HASH, hash),
    ])?;
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}
