//! The axon and dendrite protocol of the Bittensor SDK 10.
//!
//! The caller signs `{nonce}.{dendrite hotkey}.{axon hotkey}.{uuid}.{body hash}`, where the hash covers the fields that
//! the message's class names (often none). Path, method, version, timeout, addresses and the rest of the body are not
//! signed. Since the version is not, it does not decide whether a nonce must be fresh, as it does in the SDK: every
//! nonce must, unless [`DendriteScheme::accept_old_versions`] says otherwise.

mod answer;
mod class;
mod status;
mod synapse;

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use taonet_primitives::Hotkey;
use taonet_wallet::CryptoType;

use crate::headers::{decimal, hex_digest, no_lookalike, optional, parsed, seconds_text, signature, timeout, uuid};
use crate::{Claim, Identity, Outgoing, Refusal, Refused, ReplayRule, Scheme, SigningError, Window, synapse_hash};

pub use class::SynapseClass;
pub use status::AxonStatus;
pub use synapse::{StatusMessage, Synapse, SynapseError, Terminal, event_stream};

const NAME: &str = "name";
const TIMEOUT: &str = "timeout";
const BODY_HASH: &str = "computed_body_hash";
/// What every header of the protocol but a few begins with.
const PREFIX: &str = "bt_header_";
const NONCE: &str = "bt_header_dendrite_nonce";
const SENDER: &str = "bt_header_dendrite_hotkey";
const SIGNATURE: &str = "bt_header_dendrite_signature";
const UUID: &str = "bt_header_dendrite_uuid";
const SENDER_IP: &str = "bt_header_dendrite_ip";
const SENDER_PORT: &str = "bt_header_dendrite_port";
const VERSION: &str = "bt_header_dendrite_version";
const RECEIVER: &str = "bt_header_axon_hotkey";
const RECEIVER_IP: &str = "bt_header_axon_ip";
const RECEIVER_PORT: &str = "bt_header_axon_port";

/// The version that our headers state: 10.5.0.
const OUR_VERSION: u64 = 10_005_000;
/// From 7.2.0 on nonces are times.
const FIRST_DATED_VERSION: u64 = 7_002_000;

/// The dendrite's signed headers, for the message classes that it knows. A server answers others with 404 and the list
/// of those it knows (put the layer around the whole router with `Router::layer`, and each handler on `any` method of
/// `/<class>`); a client cannot sign them.
#[derive(Debug, Clone)]
pub struct DendriteScheme {
    classes: Arc<Vec<SynapseClass>>,
    axon: Option<Arc<Identity>>,
    accept_old_versions: bool,
}

impl DendriteScheme {
    /// Knows the base class `Synapse`, whose call is a ping.
    pub fn new() -> Self {
        Self { classes: Arc::new(vec![SynapseClass::new("Synapse")]), axon: None, accept_old_versions: false }
    }

    /// Knows this class too.
    #[must_use]
    pub fn class(mut self, class: SynapseClass) -> Self {
        Arc::make_mut(&mut self.classes).push(class);
        self
    }

    /// Signs refusals as the SDK's axon does: with our own version, nonce, UUID, hotkey and signature. Costs one
    /// signature for each refusal, asked for by anyone; nothing reads it by default.
    #[must_use]
    pub fn sign_refusals(self, axon: Identity) -> Self {
        Self { axon: Some(Arc::new(axon)), ..self }
    }

    /// Accepts nonces that are no times from callers that state a version before 7.2.0. **Anyone can state such a
    /// version**, and deliver a captured request however late: what protects against replays is then the memory of each
    /// process's last nonce alone. Nothing leaves that memory: once it holds [`crate::Limits::requests_per_sender`]
    /// processes of a sender, or [`crate::Limits::requests_in_total`] of all, further ones are refused for good. Only for
    /// servers whose [`crate::Policy`] lists the few who may call.
    #[must_use]
    pub fn accept_old_versions(self) -> Self {
        Self { accept_old_versions: true, ..self }
    }

    fn class_of(&self, head: &Parts) -> Result<&SynapseClass, Refusal> {
        let name = head.uri.path().trim_start_matches('/');
        self.named(name).ok_or_else(|| Refusal::UnknownName(name.to_owned()))
    }

    fn named(&self, name: &str) -> Option<&SynapseClass> {
        self.classes.iter().find(|class| class.name() == name)
    }
}

impl Default for DendriteScheme {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheme for DendriteScheme {
    fn claim(&self, head: &Parts) -> Result<Claim, Refusal> {
        let headers = &head.headers;
        self.class_of(head)?;
        if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
            return Err(Refusal::Unsigned);
        }
        no_lookalike(headers, PREFIX)?;
        no_lookalike(headers, BODY_HASH)?;
        for name in [NAME, SENDER_IP, SENDER_PORT, RECEIVER_IP, RECEIVER_PORT] {
            optional(headers, name)?;
        }
        let version = optional(headers, VERSION)?.map(|_| decimal(headers, VERSION)).transpose()?;
        Ok(Claim {
            nonce: decimal(headers, NONCE)?,
            sender: parsed(headers, SENDER)?,
            receiver: Some(parsed(headers, RECEIVER)?),
            uuid: Some(uuid(headers, UUID)?),
            crypto_type: CryptoType::Sr25519,
            signature: signature(headers, SIGNATURE)?,
            body_hash: Some(hex_digest(headers, BODY_HASH)?.ok_or(Refusal::Missing(BODY_HASH))?),
            timeout: timeout(headers, TIMEOUT)?,
            dated: !(self.accept_old_versions && version.is_none_or(|version| version < FIRST_DATED_VERSION)),
        })
    }

    fn message(&self, _: &Parts, claim: &Claim, _: &[u8]) -> Result<Vec<u8>, Refusal> {
        signed_text(claim).map(String::into_bytes)
    }

    fn message_needs_body(&self) -> bool {
        false
    }

    fn check_body(&self, head: &Parts, claim: &Claim, body: &[u8]) -> Result<(), Refusal> {
        let computed = synapse_hash(self.class_of(head)?.hash_fields(), body)?;
        if computed.is_some() && computed == claim.body_hash { Ok(()) } else { Err(Refusal::BodyMismatch) }
    }

    /// 4 s and the caller's timeout back, as in the SDK, but a minute of timeout at most; 3 s ahead.
    fn window(&self) -> Window {
        Window { past: Duration::from_secs(4), future: Duration::from_secs(3), max_timeout: Duration::from_mins(1) }
    }

    fn replay_rule(&self) -> ReplayRule {
        // Who can skip the freshness by stating an old version must find every last nonce remembered.
        if self.accept_old_versions { ReplayRule::IncreasingForEver } else { ReplayRule::Increasing }
    }

    fn refuse(&self, refusal: &Refusal, request: &Refused<'_>) -> Response {
        answer::refuse(self, refusal, request)
    }

    fn echo(&self, head: &Parts, _: &Claim) -> HeaderMap {
        answer::echo(head)
    }

    fn complete(&self, echo: HeaderMap, took: Duration, response: &mut Response) {
        answer::complete(echo, took, response);
    }

    fn sign(&self, identity: &Identity, request: &Outgoing<'_>) -> Result<HeaderMap, SigningError> {
        if identity.keypair.crypto_type() != CryptoType::Sr25519 {
            return Err(SigningError::CryptoType(identity.keypair.crypto_type()));
        }
        let class = self.named(request.name).ok_or_else(|| SigningError::UnknownClass(request.name.to_owned()))?;
        let hash = synapse_hash(class.hash_fields(), request.body)?.ok_or(SigningError::FieldMissing)?;
        let (sender, receiver) = (identity.keypair.hotkey(), request.peer.hotkey());
        let uuid = identity.uuid.to_string();
        let text = joined(request.nonce, &sender, receiver, &uuid, &hash);
        let lines = [
            (NAME, request.name.to_owned()),
            (TIMEOUT, seconds_text(request.timeout)),
            (RECEIVER_IP, request.peer.host().to_owned()),
            (RECEIVER_PORT, request.peer.port().to_string()),
            (RECEIVER, receiver.to_string()),
            (SENDER_IP, identity.external_ip.clone()),
            (VERSION, OUR_VERSION.to_string()),
            (NONCE, request.nonce.to_string()),
            (UUID, uuid),
            (SENDER, sender.to_string()),
            (SIGNATURE, identity.keypair.sign(text.as_bytes()).to_string()),
            (BODY_HASH, hash),
        ];
        let mut headers = HeaderMap::with_capacity(lines.len() + 4);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in lines {
            let value = HeaderValue::try_from(value).map_err(|_| SigningError::Header(name))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        for (field, empty) in class.required_fields() {
            const INPUT: &str = "bt_header_input_obj_…";
            let name = HeaderName::try_from(format!("bt_header_input_obj_{field}"));
            let name = name.map_err(|_| SigningError::Header(INPUT))?;
            let value = HeaderValue::try_from(STANDARD.encode(empty.to_string()));
            headers.insert(name, value.map_err(|_| SigningError::Header(INPUT))?);
        }
        Ok(headers)
    }
}

/// What the claimed caller must have signed.
fn signed_text(claim: &Claim) -> Result<String, Refusal> {
    let receiver = claim.receiver.as_ref().ok_or(Refusal::Missing(RECEIVER))?;
    let uuid = claim.uuid.as_deref().ok_or(Refusal::Missing(UUID))?;
    let hash = claim.body_hash.as_deref().ok_or(Refusal::Missing(BODY_HASH))?;
    Ok(joined(claim.nonce, &claim.sender, receiver, uuid, hash))
}

fn joined(nonce: u64, sender: &Hotkey, receiver: &Hotkey, uuid: &str, hash: &str) -> String {
    format!("{nonce}.{sender}.{receiver}.{uuid}.{hash}")
}

#[cfg(test)]
mod tests;
