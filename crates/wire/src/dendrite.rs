//! The axon and dendrite protocol of the Bittensor SDK 10.
//!
//! The caller signs `{nonce}.{dendrite hotkey}.{axon hotkey}.{uuid}.{body hash}`, where the hash
//! covers the fields that the message's class names (often none). Path, method, version, timeout,
//! addresses and the rest of the body are not signed. Unlike in the SDK, the unsigned version does
//! not decide whether a nonce must be fresh: every nonce must be fresh, unless
//! [`DendriteScheme::accept_old_versions`] is set.

mod class;
mod response;
mod status;
mod synapse;

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use taonet_wallet::CryptoType;

use crate::bt_header::{
    self, BODY_HASH, NAME, NONCE, PREFIX, RECEIVER, RECEIVER_IP, RECEIVER_PORT, SENDER, SENDER_IP,
    SIGNATURE, TIMEOUT, UUID, VERSION,
};
use crate::headers::{
    decimal, hex_digest, optional, parsed, reject_lookalikes, signature, timeout, uuid,
};
use crate::{
    Claim, Identity, OutgoingRequest, Refusal, RefusedRequest, ReplayRule, Scheme, SigningError,
    Window, synapse_hash,
};

pub use class::SynapseClass;
pub use status::AxonStatus;
pub use synapse::{StatusMessage, Synapse, SynapseError, Terminal, event_stream};

const SENDER_PORT: &str = "bt_header_dendrite_port";

/// The version in our headers: 10.5.0.
const OUR_VERSION: u64 = 10_005_000;
/// The first version whose nonces are timestamps: 7.2.0.
const FIRST_DATED_VERSION: u64 = 7_002_000;

/// The dendrite's signed headers, for registered message classes. A client cannot sign other
/// classes; a server responds to them with 404 and the list of registered ones. For that response,
/// put the layer around the whole router with `Router::layer`, and register each handler for `any`
/// method of `/<class>`.
#[derive(Debug, Clone)]
pub struct DendriteScheme {
    classes: Arc<Vec<SynapseClass>>,
    axon: Option<Arc<Identity>>,
    accept_old_versions: bool,
}

impl DendriteScheme {
    /// Creates a scheme with only the base class `Synapse`, which callers use as a ping.
    pub fn new() -> Self {
        Self {
            classes: Arc::new(vec![SynapseClass::new("Synapse")]),
            axon: None,
            accept_old_versions: false,
        }
    }

    /// Registers a message class.
    #[must_use]
    pub fn class(mut self, class: SynapseClass) -> Self {
        Arc::make_mut(&mut self.classes).push(class);
        self
    }

    /// Signs refusals as the SDK's axon does: with our own version, nonce, UUID, hotkey and
    /// signature. Each refusal then costs a signature, and anyone can trigger refusals; clients do
    /// not read the signature by default.
    #[must_use]
    pub fn sign_refusals(self, axon: Identity) -> Self {
        Self { axon: Some(Arc::new(axon)), ..self }
    }

    /// Accepts nonces that are not timestamps from callers that state a version before 7.2.0. **Anyone
    /// can state such a version**, and deliver a captured request at any later time: then only the
    /// cached last nonce of each process protects against replays. That cache has no eviction: once
    /// it holds [`crate::Limits::requests_per_sender`] processes of a sender, or
    /// [`crate::Limits::requests_in_total`] of all senders, it refuses further processes forever.
    /// Use this only for servers whose [`crate::Policy`] lists a few allowed callers.
    #[must_use]
    pub fn accept_old_versions(self) -> Self {
        Self { accept_old_versions: true, ..self }
    }

    fn class_of(&self, head: &Parts) -> Result<&SynapseClass, Refusal> {
        let name = head.uri.path().trim_start_matches('/');
        self.class_named(name).ok_or_else(|| Refusal::UnknownMessage(name.to_owned()))
    }

    fn class_named(&self, name: &str) -> Option<&SynapseClass> {
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
        reject_lookalikes(headers, PREFIX)?;
        reject_lookalikes(headers, BODY_HASH)?;
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
            dated: !(self.accept_old_versions
                && version.is_none_or(|version| version < FIRST_DATED_VERSION)),
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
        if computed.is_some() && computed == claim.body_hash {
            Ok(())
        } else {
            Err(Refusal::BodyMismatch)
        }
    }

    fn window(&self) -> Window {
        bt_header::WINDOW
    }

    fn replay_rule(&self) -> ReplayRule {
        // A caller can skip the freshness check by stating an old version, so the last nonces must
        // never expire.
        if self.accept_old_versions {
            ReplayRule::IncreasingForEver
        } else {
            ReplayRule::Increasing
        }
    }

    fn refuse(&self, refusal: &Refusal, request: &RefusedRequest<'_>) -> Response {
        response::refuse(self, refusal, request)
    }

    fn echo(&self, head: &Parts, _: &Claim) -> HeaderMap {
        response::echo(head)
    }

    fn complete(&self, echo: HeaderMap, elapsed: Duration, response: &mut Response) {
        response::complete(echo, elapsed, response);
    }

    fn sign(
        &self,
        identity: &Identity,
        request: &OutgoingRequest<'_>,
    ) -> Result<HeaderMap, SigningError> {
        bt_header::check_key(identity)?;
        let class = self
            .class_named(request.name)
            .ok_or_else(|| SigningError::UnknownClass(request.name.to_owned()))?;
        let hash =
            synapse_hash(class.hash_fields(), request.body)?.ok_or(SigningError::FieldMissing)?;
        let mut headers = bt_header::sign(identity, request, OUR_VERSION, hash)?;
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

/// Returns the text that the claimed caller must have signed.
fn signed_text(claim: &Claim) -> Result<String, Refusal> {
    bt_header::signed_text(claim, claim.body_hash.as_deref().ok_or(Refusal::Missing(BODY_HASH))?)
}

#[cfg(test)]
mod tests;
