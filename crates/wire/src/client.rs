//! The client half: signs requests, sends them within a deadline, and says what became of them.

mod call;
mod error;
mod fanout;
mod return_code;
mod room;
mod signer;
mod transport;

use std::error::Error;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use tokio::time::Instant;

use crate::Peer;
use room::Room;
use transport::{Body, Transport};

pub use call::{Answer, AnswerStream, Call, Retry};
pub use error::CallError;
pub use fanout::Reply;
pub use return_code::ReturnCode;
pub use signer::{Signer, SigningError};
pub use transport::permitted_addresses;

/// Characters of an error answer that [`SignedClient::post`] keeps.
const SNIPPET: usize = 300;
/// Bytes of an error answer that are read: it is only quoted, its end need not be waited for.
const ERROR_BYTES: usize = 16 * 1024;
/// Longer deadlines end the same: never. Sums with them stay within the clock's range.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Bounds of a [`SignedClient`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// Largest answer that is read, in bytes.
    pub max_response_bytes: usize,
    /// Memory that all answers of the client and its clones share while they are read, in bytes, beyond the 768 KiB
    /// that each has for itself. A large answer takes of it as it arrives, and one that finds no room waits, within its
    /// deadline; so that they do not all wait for each other, one at a time needs no room.
    pub large_answers_bytes: usize,
    /// Largest streamed request body that is held in memory because the scheme signs it, in bytes.
    pub max_signed_body_bytes: usize,
    /// Idle connections that are kept for each host.
    pub idle_per_host: usize,
    /// How often a call is tried in all, where its [`Retry`] allows.
    pub attempts: u32,
    /// The pause before the second attempt; each further one is twice as long.
    pub pause: Duration,
}

impl Default for ClientConfig {
    /// Answers of up to 16 MiB, 128 MiB for the large ones together, signed streams of up to 16 MiB, 4 idle
    /// connections for each host, 3 attempts with pauses of 50 ms and 100 ms.
    fn default() -> Self {
        Self {
            max_response_bytes: 16 * 1024 * 1024,
            large_answers_bytes: 128 * 1024 * 1024,
            max_signed_body_bytes: 16 * 1024 * 1024,
            idle_per_host: 4,
            attempts: 3,
            pause: Duration::from_millis(50),
        }
    }
}

/// Sends signed requests. Connections are pooled for each host; clones share the pool.
///
/// Redirects are not followed: a signed request is for the one it was addressed to.
#[derive(Debug, Clone)]
pub struct SignedClient {
    transport: Transport,
    signer: Signer,
    config: ClientConfig,
    room: Room,
}

impl SignedClient {
    /// A client that signs with `signer`.
    ///
    /// # Errors
    /// [`CallError::Setup`] when TLS cannot be set up.
    pub fn new(signer: Signer, config: ClientConfig) -> Result<Self, CallError> {
        Self::with_addresses(signer, config, |_| true)
    }

    /// As [`SignedClient::new`], for hosts that strangers name: a host name is called only at those of its addresses that
    /// are `permitted`. Addresses in URLs are for the caller to check.
    ///
    /// # Errors
    /// [`CallError::Setup`] when TLS cannot be set up.
    pub fn with_addresses(
        signer: Signer,
        config: ClientConfig,
        permitted: fn(IpAddr) -> bool,
    ) -> Result<Self, CallError> {
        let transport = Transport::new(config.idle_per_host, permitted)?;
        Ok(Self { transport, signer, config, room: Room::new(config.large_answers_bytes) })
    }

    /// What signs the requests.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Calls a peer and gives the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`CallError`], but not [`CallError::Status`].
    pub async fn call(&self, peer: &Peer, call: &Call) -> Result<Answer, CallError> {
        let until = end_of(call.deadline);
        let exchange = async { self.read(self.attempts(peer, call, until).await?).await };
        within(until, call.deadline, exchange).await
    }

    /// Calls a peer and gives the answer as it arrives, whatever its status.
    ///
    /// # Errors
    /// [`CallError`], but not [`CallError::Status`], for what fails before the answer's head is there; the rest of
    /// the failures are items of the stream.
    pub async fn stream(&self, peer: &Peer, call: &Call) -> Result<AnswerStream, CallError> {
        let until = end_of(call.deadline);
        within(until, call.deadline, self.attempts(peer, call, until)).await
    }

    /// As [`SignedClient::stream`], with a body that is read while it is sent, in place of the call's own. Where the
    /// scheme signs the body it is read to its end first, and may have
    /// [`ClientConfig::max_signed_body_bytes`]. There is one attempt: a stream cannot be read twice.
    ///
    /// # Errors
    /// As [`SignedClient::stream`]; and [`CallError::RequestTooLarge`], [`CallError::RequestBody`].
    pub async fn upload<S, E>(&self, peer: &Peer, call: &Call, body: S) -> Result<AnswerStream, CallError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let until = end_of(call.deadline);
        let exchange = async {
            if self.signer.signs_body() {
                let body = self.buffer(body).await?;
                return self.attempt(peer, call, &body.clone(), whole(body), call.deadline, until).await;
            }
            let frames = body.map_ok(Frame::data).map_err(Into::into);
            let body = Either::Right(StreamBody::new(frames).boxed_unsync());
            self.attempt(peer, call, &[], body, call.deadline, until).await
        };
        within(until, call.deadline, exchange).await
    }

    /// Posts a body with headers that are signed already and gives the answer's bytes, `limit` of them at most. The
    /// deadline starts at sending and covers the whole answer. There is one attempt.
    ///
    /// # Errors
    /// [`CallError`]; any status but 200 is one.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        deadline: Duration,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        let until = end_of(deadline);
        let limit = limit.min(self.config.max_response_bytes);
        let exchange = async {
            let response = self.transport.send(Method::POST, url, headers, whole(body)).await?;
            self.read(AnswerStream::new(response, until, deadline, limit)).await
        };
        let answer = within(until, deadline, exchange).await?;
        if answer.status != StatusCode::OK {
            let text = String::from_utf8_lossy(&answer.body).chars().take(SNIPPET).collect();
            return Err(CallError::Status { status: answer.status, text });
        }
        Ok(answer.body)
    }

    /// The last of the attempts that the call's [`Retry`] allows.
    async fn attempts(&self, peer: &Peer, call: &Call, until: Instant) -> Result<AnswerStream, CallError> {
        let (mut pause, mut left) = (self.config.pause, call.deadline);
        for _ in 1..self.config.attempts {
            let result = self.attempt(peer, call, &call.body, whole(call.body.clone()), left, until).await;
            // Where the deadline leaves no time for another attempt, this one's failure says more than a timeout.
            if !call.retry.allows(&result) || until.saturating_duration_since(Instant::now()) <= pause {
                return result;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            left = until.saturating_duration_since(Instant::now());
        }
        self.attempt(peer, call, &call.body, whole(call.body.clone()), left, until).await
    }

    async fn attempt(
        &self,
        peer: &Peer,
        call: &Call,
        signed_body: &[u8],
        body: Body,
        left: Duration,
        until: Instant,
    ) -> Result<AnswerStream, CallError> {
        let url = peer.url(&call.path);
        if call.path.contains('#') {
            // Signed with it, but never sent.
            return Err(CallError::Address { url });
        }
        let path = format!("/{}", call.path.trim_start_matches('/'));
        let signed = self.signer.headers(peer, &call.method, &path, &call.name, left, signed_body)?;
        let mut headers = call.headers.clone();
        headers.extend(signed);
        let response = self.transport.send(call.method.clone(), &url, headers, body).await?;
        let limit = call.max_answer_bytes.min(self.config.max_response_bytes);
        Ok(AnswerStream::new(response, until, call.deadline, limit))
    }

    /// Reads a body that must be signed.
    async fn buffer<S, E>(&self, body: S) -> Result<Bytes, CallError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let limit = self.config.max_signed_body_bytes;
        let mut body = std::pin::pin!(body);
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| CallError::RequestBody(error.into()))?;
            if whole.len() + chunk.len() > limit {
                return Err(CallError::RequestTooLarge { limit });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads an answer to its end, or until an error has been said.
    async fn read(&self, mut answer: AnswerStream) -> Result<Answer, CallError> {
        let mut body = BytesMut::new();
        let mut share = self.room.share();
        // Read now: what is announced shrinks with every byte that arrives.
        let most = answer.limit().min(answer.announced().unwrap_or(usize::MAX));
        while let Some(chunk) = answer.next().await {
            let chunk = chunk?;
            share.cover(body.len() + chunk.len(), most).await;
            body.extend_from_slice(&chunk);
            if !answer.status.is_success() && body.len() >= ERROR_BYTES {
                body.truncate(ERROR_BYTES);
                break;
            }
        }
        Ok(answer.into_answer(body.freeze()))
    }
}

fn end_of(deadline: Duration) -> Instant {
    Instant::now() + deadline.min(LONGEST)
}

fn whole(body: Bytes) -> Body {
    Either::Left(Full::new(body))
}

async fn within<T>(
    until: Instant,
    after: Duration,
    exchange: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout_at(until, exchange).await.map_err(|_| CallError::Timeout { after })?
}

#[cfg(test)]
mod tests;
