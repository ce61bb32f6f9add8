//! The client half of a subnet: one request to many miners, with typed replies.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use http::{Method, StatusCode};
use taonet_neuron::MinerEntry;
use taonet_primitives::{Hotkey, Uid};
use taonet_wire::{AxonStatus, Call, CallError, PeerError, SignedClient};

use crate::measures;
use crate::protocol::{Protocol, fields};

/// Limits on the requests of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Timeout of a request, from connecting to the last byte of the response.
    pub deadline: Duration,
    /// Maximum number of concurrent requests.
    pub concurrency: NonZeroUsize,
    /// The largest response to read, in bytes.
    pub max_response_bytes: usize,
}

impl Default for QueryLimits {
    /// Returns the defaults: the dendrite's timeout of 12 s, 64 concurrent requests, responses of up to 1 MiB.
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
    /// The response, or why there is none. Only the fields of the answer are the miner's to set, but it can return
    /// others in the fields of the request: compare with the request that was sent.
    pub response: Result<P, ReplyError>,
    /// Time from the start of the request to the complete response or the error.
    pub took: Duration,
}

/// Why a miner gave no valid response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The request could not be sent, or the response did not arrive completely, in time and within its size limit.
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
        /// The axon's status message, empty if it states none.
        message: String,
    },
    /// The response is not a message of the requested kind.
    #[error("the response is not a message of the requested kind")]
    Malformed(#[source] serde_json::Error),
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
        }
    }
}

/// Sends a request to miners concurrently; returns one reply per miner, in the order of uids. A slow or broken miner
/// delays no other as long as fewer miners than [`QueryLimits::concurrency`] are slow. The scheme of the client must
/// know the class of the request.
///
/// # Errors
/// When the request cannot be serialised to a JSON object.
pub async fn query<P: Protocol>(
    client: &SignedClient,
    miners: &[MinerEntry],
    request: &P,
    limits: QueryLimits,
) -> Result<Vec<Reply<P>>, serde_json::Error> {
    let body = serde_json::to_vec(&fields(request)?)?;
    let class = P::class();
    let call = Call {
        name: class.name().to_owned(),
        deadline: limits.deadline,
        max_answer_bytes: limits.max_response_bytes,
        ..Call::new(Method::POST, class.name(), body)
    };
    let calls: Vec<_> = miners.iter().map(|miner| ask::<P>(client.clone(), miner.clone(), call.clone())).collect();
    let replies = futures::stream::iter(calls).buffer_unordered(limits.concurrency.get());
    let mut replies: Vec<Reply<P>> = replies.collect().await;
    replies.sort_by_key(|reply| reply.uid);
    Ok(replies)
}

/// Calls one miner. The response is parsed at once, so that its bytes need not wait for other miners.
async fn ask<P: Protocol>(client: SignedClient, miner: MinerEntry, call: Call) -> Reply<P> {
    let began = Instant::now();
    let response = exchange(&client, &miner, &call).await;
    let took = began.elapsed();
    measures::reply(response.as_ref().map_or_else(ReplyError::outcome, |_| "answered"), took);
    if let Err(error) = &response {
        tracing::debug!(uid = miner.uid.0, %error, "no response");
    }
    Reply { uid: miner.uid, hotkey: miner.hotkey, response, took }
}

async fn exchange<P: Protocol>(client: &SignedClient, miner: &MinerEntry, call: &Call) -> Result<P, ReplyError> {
    let answer = client.call(&miner.peer()?, call).await?;
    if answer.status != StatusCode::OK {
        let message = AxonStatus::of(&answer.headers).map(|status| status.message).unwrap_or_default();
        return Err(ReplyError::Status { status: answer.status, message });
    }
    serde_json::from_slice(&answer.body).map_err(ReplyError::Malformed)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use taonet_http::{ServeLimits, serve};
    use taonet_service::Shutdown;
    use tokio::net::TcpListener;

    use super::*;
    use crate::testing::{Sum, client, entry, key};

    const HANG: &[u8] = b"hang";

    /// Serves a miner that returns the same bytes to every request, or never responds.
    async fn miner(uid: u16, status: StatusCode, body: &'static [u8]) -> MinerEntry {
        let router = Router::new().fallback(move || async move {
            if body == HANG {
                std::future::pending::<()>().await;
            }
            (status, body)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { serve(listener, router, &Shutdown::new(), ServeLimits::default()).await });
        entry(uid, key("//miner").hotkey(), port)
    }

    /// Columns: status · body · outcome
    #[tokio::test]
    async fn replies_of_hostile_miners_are_errors() {
        let rows: [(StatusCode, &[u8], &str); 9] = [
            (StatusCode::OK, br#"{"a": 1, "b": 2, "sum": 3, "name": "Sum", "axon": {}}"#, "answered"),
            (StatusCode::OK, br#"{"a": 1, "b": 2, "sum": "three"}"#, "malformed"),
            (StatusCode::OK, b"[3]", "malformed"),
            (StatusCode::OK, b"\"\xff\xfe\"", "malformed"),
            (StatusCode::OK, b"", "malformed"),
            (StatusCode::OK, &[b' '; 2_000], "failed"),
            (StatusCode::FORBIDDEN, b"{}", "refused"),
            (StatusCode::TEMPORARY_REDIRECT, b"", "refused"),
            (StatusCode::OK, HANG, "timeout"),
        ];
        let mut miners = Vec::new();
        for (uid, (status, body, _)) in (0..).zip(rows) {
            miners.push(miner(uid, status, body).await);
        }
        // They are returned in the order of uids, not of the request.
        miners.reverse();
        let limits = QueryLimits { deadline: Duration::from_secs(3), max_response_bytes: 1_000, ..Default::default() };
        let request = Sum { a: 1, b: 2, sum: None };
        let replies = query(&client(key("//validator"), &[]), &miners, &request, limits).await.unwrap();
        assert_eq!(replies.len(), rows.len());
        for (uid, (reply, (_, body, expected))) in (0..).zip(replies.iter().zip(rows)) {
            let outcome = reply.response.as_ref().map_or_else(ReplyError::outcome, |_| "answered");
            let body = String::from_utf8_lossy(body);
            assert_eq!((reply.uid, outcome), (Uid(uid), expected), "{body:.80}: {:?}", reply.response);
        }
        assert_eq!(replies[0].response.as_ref().unwrap().sum, Some(3));
    }

    #[tokio::test]
    async fn slow_miners_share_the_concurrency() {
        let slow = miner(0, StatusCode::OK, HANG).await;
        let limits = |concurrency| QueryLimits {
            deadline: Duration::from_millis(200),
            concurrency: NonZeroUsize::new(concurrency).unwrap(),
            ..QueryLimits::default()
        };
        let miners: Vec<_> = (0..3).map(|uid| MinerEntry { uid: Uid(uid), ..slow.clone() }).collect();
        let (client, request) = (client(key("//validator"), &[]), Sum { a: 1, b: 2, sum: None });
        let began = Instant::now();
        query(&client, &miners, &request, limits(1)).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(600), "one after the other: {:?}", began.elapsed());
        assert_eq!(query::<Sum>(&client, &[], &request, limits(1)).await.unwrap().len(), 0, "no miners");
    }
}
