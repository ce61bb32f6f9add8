//! The client half of a subnet: one request to many miners, with typed replies.

use std::num::NonZeroUsize;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use taonet_neuron::MinerEntry;
use taonet_primitives::{Hotkey, Uid, printable_excerpt};
use taonet_wire::{
    AxonStatus, Call, CallError, CallResponse, PeerError, SignedClient, SigningError, SynapseClass,
};

use crate::metrics;
use crate::protocol::{Protocol, serialise_fields};

/// Maximum length of the reason that is read from the body of a refusal, in characters.
const MAX_REASON_CHARS: usize = 500;

/// Limits on the requests of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Timeout of a request, from connecting to the last byte of the response.
    pub deadline: Duration,
    /// Maximum number of concurrent requests.
    pub concurrency: NonZeroUsize,
    /// The largest response to read, in bytes. The limit of the client, by default 16 MiB, also
    /// applies to [`query`]; a [`crate::Validator`] sets it to this one.
    pub max_response_bytes: usize,
}

impl Default for QueryLimits {
    /// Returns the defaults: the dendrite's timeout of 12 s, 64 concurrent requests, responses of
    /// up to 1 MiB.
    fn default() -> Self {
        let concurrency = NonZeroUsize::new(64).unwrap_or(NonZeroUsize::MIN);
        Self { deadline: Duration::from_secs(12), concurrency, max_response_bytes: 1 << 20 }
    }
}

/// The reply of one miner.
#[derive(Debug)]
pub struct Reply<P> {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// The response, or why there is none. The fields of [`taonet_wire::SynapseClass::hash`] are
    /// those of the request; in all others, the miner can return what it likes.
    pub response: Result<P, ReplyError>,
    /// Time from the start of the request to the complete response or the error.
    pub elapsed: Duration,
}

impl<P> Reply<P> {
    fn new(miner: &MinerEntry, response: Result<P, ReplyError>, elapsed: Duration) -> Self {
        metrics::record_reply(
            response.as_ref().map_or_else(ReplyError::outcome, |_| "answered"),
            elapsed,
        );
        if let Err(error) = &response {
            tracing::debug!(uid = miner.uid.0, %error, "no response");
        }
        Self { uid: miner.uid, hotkey: miner.hotkey, response, elapsed }
    }
}

/// Why a request was sent to no miner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The request cannot be serialised to a JSON object.
    #[error("cannot serialise the request")]
    Request(#[from] serde_json::Error),
    /// The request cannot be signed: its class is unknown to the client, or has fields that the
    /// request does not have.
    #[error("cannot sign the request")]
    Signing(#[from] SigningError),
}

/// Why a miner gave no valid response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The request could not be sent, or the response did not arrive completely, in time and within
    /// its size limit.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Requests to the miner's address cannot be signed.
    #[error(transparent)]
    Address(#[from] PeerError),
    /// The miner refused the request, or failed.
    #[error("status {status}: {message}")]
    Status {
        /// The HTTP status code.
        status: StatusCode,
        /// The miner's reason, empty if it states none.
        message: String,
    },
    /// The response is not a message of the requested kind.
    #[error("the response is not a message of the requested kind")]
    Malformed(#[source] serde_json::Error),
    /// The response is for another request: a field of [`taonet_wire::SynapseClass::hash`] has
    /// another value.
    #[error("the response is for another request: its field `{field}` differs")]
    OtherRequest {
        /// Name of the field.
        field: String,
    },
}

impl ReplyError {
    /// Returns the outcome's name, for metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Call(error) if error.is_timeout() => "timeout",
            Self::Call(error) if error.is_connect() => "unreachable",
            Self::Call(_) | Self::Address(_) => "failed",
            Self::Status { .. } => "refused",
            Self::Malformed(_) => "malformed",
            Self::OtherRequest { .. } => "other_request",
        }
    }
}

/// Returns the outcome's name if several replies failed alike: the cause may be this machine
/// instead of the miners.
pub(crate) fn common_failure<P>(replies: &[Reply<P>]) -> Option<&'static str> {
    let (first, others) = replies.split_first()?;
    let outcome = first.response.as_ref().err()?.outcome();
    let has_same_outcome =
        |reply: &Reply<P>| reply.response.as_ref().is_err_and(|error| error.outcome() == outcome);
    (!others.is_empty() && others.iter().all(has_same_outcome)).then_some(outcome)
}

/// Sends a request to miners concurrently; returns one reply per miner, in the order of uids. A
/// slow or broken miner delays no other as long as fewer miners than [`QueryLimits::concurrency`]
/// are slow. The scheme of the client must know the class of the request.
///
/// # Errors
/// [`QueryError`] when the request cannot be serialised or signed; no miner has received it.
pub async fn query<P: Protocol>(
    client: &SignedClient,
    miners: &[MinerEntry],
    request: &P,
    limits: QueryLimits,
) -> Result<Vec<Reply<P>>, QueryError> {
    let (class, request) = (P::class(), serialise_fields(request)?);
    let call = new_call(&class, &request, limits)?;
    let (mut replies, mut called_miners, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for miner in miners {
        match miner.peer() {
            Ok(peer) => {
                called_miners.push(miner);
                calls.push((peer, call.clone()));
            }
            Err(error) => replies.push(Reply::new(miner, Err(error.into()), Duration::ZERO)),
        }
    }
    // A request that cannot be signed is an error of the caller, not a failure of the miners.
    if let Some((peer, call)) = calls.first() {
        let path = format!("/{}", class.name());
        client.signer().headers(
            peer,
            &call.method,
            &path,
            &call.name,
            call.deadline,
            &call.body,
        )?;
    }
    let signed_fields: Map<String, Value> = class
        .hash_fields()
        .iter()
        .filter_map(|name| Some((name.clone(), request.get(name)?.clone())))
        .collect();
    let responses = client
        .call_each(calls, limits.concurrency, |outcome| {
            (parse_response::<P>(outcome.result, &signed_fields), outcome.elapsed)
        })
        .await;
    let called_miners = called_miners.into_iter().zip(responses);
    replies.extend(
        called_miners.map(|(miner, (response, elapsed))| Reply::new(miner, response, elapsed)),
    );
    replies.sort_by_key(|reply| reply.uid);
    Ok(replies)
}

/// Creates the HTTP call that sends a request.
pub(crate) fn new_call(
    class: &SynapseClass,
    request: &Map<String, Value>,
    limits: QueryLimits,
) -> Result<Call, serde_json::Error> {
    Ok(Call {
        name: class.name().to_owned(),
        deadline: limits.deadline,
        max_response_bytes: limits.max_response_bytes,
        ..Call::new(Method::POST, class.name(), serde_json::to_vec(request)?)
    })
}

/// The body of a refusal: of the scheme `btauth/1`, or of a [`taonet_wire::SynapseError`].
#[derive(Deserialize)]
struct Refusal {
    #[serde(alias = "detail")]
    message: String,
}

/// Returns the error of a response with a status other than 200. An axon of the SDK states the
/// reason in the headers, any other server in the body.
pub(crate) fn refusal_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ReplyError {
    let message = match AxonStatus::of(headers) {
        Some(status) => status.message,
        None => serde_json::from_slice::<Refusal>(body)
            .map(|refusal| printable_excerpt(&refusal.message, MAX_REASON_CHARS))
            .unwrap_or_default(),
    };
    ReplyError::Status { status, message }
}

/// Parses a response: a message of the requested kind. `signed_fields` are the fields of the
/// request that the signature covers.
fn parse_response<P: Protocol>(
    response: Result<CallResponse, CallError>,
    signed_fields: &Map<String, Value>,
) -> Result<P, ReplyError> {
    let response = response?;
    if response.status != StatusCode::OK {
        return Err(refusal_error(response.status, &response.headers, &response.body));
    }
    let response: P = serde_json::from_slice(&response.body).map_err(ReplyError::Malformed)?;
    // Values are compared in the form of this type: a peer may write the same number or text
    // differently.
    let response_fields = serialise_fields(&response).map_err(ReplyError::Malformed)?;
    match signed_fields.iter().find(|(name, value)| response_fields.get(*name) != Some(*value)) {
        Some((field, _)) => Err(ReplyError::OtherRequest { field: field.clone() }),
        None => Ok(response),
    }
}

#[cfg(test)]
mod tests;
