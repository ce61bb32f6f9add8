//! The client half: signs requests, sends them within a deadline and classifies the outcome.

mod call;
mod chunk_decoder;
mod connections;
mod error;
mod fanout;
mod response_memory;
mod response_stream;
mod return_code;
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
use http_body_util::{BodyExt as _, StreamBody};
use taonet_primitives::Backoff;
use tokio::time::Instant;

use crate::Peer;
use transport::{Body, Transport};

pub use call::{Call, CallResponse, CallResponseStream, Retry};
pub use error::CallError;
pub use fanout::Reply;
pub use response_memory::{MemoryReservation, ResponseMemory};
pub use return_code::ReturnCode;
pub use signer::{Signer, SigningError};
pub use transport::permitted_addresses;

/// Maximum number of characters of an error response that [`SignedClient::post`] includes in its
/// error.
const MAX_QUOTED_CHARS: usize = 300;
/// Maximum number of bytes read of an error response, which is only quoted in errors.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// The longest timeout; longer ones are capped so that sums stay within the clock's range.
const MAX_TIMEOUT: Duration = Duration::from_hours(24 * 365);

/// Limits of a [`SignedClient`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// The largest response to read, in bytes.
    pub max_response_bytes: usize,
    /// Size, in bytes, of the read buffer that all responses of the client and its clones share;
    /// the first 768 KiB of each response do not count. A large response reserves space as it
    /// arrives, and waits, within its deadline, while the buffer is full. To prevent a deadlock,
    /// one response at a time needs no reservation.
    pub large_responses_bytes: usize,
    /// The largest streamed request body to buffer, in bytes, if the scheme signs bodies.
    pub max_signed_body_bytes: usize,
    /// Maximum number of idle connections kept per host.
    pub idle_per_host: usize,
    /// Maximum number of attempts per call, if the call's [`Retry`] allows more than one.
    pub attempts: u32,
    /// The pause before the first retry; it doubles with each further retry.
    pub pause: Duration,
}

impl Default for ClientConfig {
    /// Returns the defaults: responses of up to 16 MiB, 128 MiB of shared buffer for large ones,
    /// signed streams of up to 16 MiB, 4 idle connections per host, 3 attempts with pauses of 50 ms
    /// and 100 ms.
    fn default() -> Self {
        Self {
            max_response_bytes: 16 * 1024 * 1024,
            large_responses_bytes: 128 * 1024 * 1024,
            max_signed_body_bytes: 16 * 1024 * 1024,
            idle_per_host: 4,
            attempts: 3,
            pause: Duration::from_millis(50),
        }
    }
}

/// A client that sends signed requests. Connections are pooled per host; clones share the pool.
///
/// Redirects are not followed: a signed request is valid only for its receiver.
#[derive(Debug, Clone)]
pub struct SignedClient {
    transport: Transport,
    signer: Signer,
    config: ClientConfig,
    memory: ResponseMemory,
}

impl SignedClient {
    /// Creates a client that signs with `signer`.
    ///
    /// # Errors
    /// [`CallError::Setup`] when the TLS setup fails.
    pub fn new(signer: Signer, config: ClientConfig) -> Result<Self, CallError> {
        Self::with_addresses(signer, config, |_| true)
    }

    /// Creates a client for host names from untrusted peers: it connects only to resolved addresses
    /// for which `permitted` returns `true`. IP addresses in URLs are not resolved: the caller must
    /// check them.
    ///
    /// # Errors
    /// [`CallError::Setup`] when the TLS setup fails.
    pub fn with_addresses(
        signer: Signer,
        config: ClientConfig,
        permitted: fn(IpAddr) -> bool,
    ) -> Result<Self, CallError> {
        let transport = Transport::new(config.idle_per_host, permitted)?;
        Ok(Self {
            transport,
            signer,
            config,
            memory: ResponseMemory::new(config.large_responses_bytes),
        })
    }

    /// Returns a client with the same connections whose requests come from another process
    /// ([`Signer::with_new_process`]).
    #[must_use]
    pub fn with_new_process(&self) -> Self {
        Self { signer: self.signer.with_new_process(), ..self.clone() }
    }

    /// Returns the signer of the requests.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Calls a peer and returns the complete response with any status. Unless the status is 2xx,
    /// the body is truncated after 16 KiB.
    ///
    /// # Errors
    /// Any [`CallError`] except [`CallError::Status`].
    pub async fn call(&self, peer: &Peer, call: &Call) -> Result<CallResponse, CallError> {
        let deadline_at = instant_after(call.deadline);
        let exchange = async {
            self.read_response(self.call_with_retries(peer, call, deadline_at).await?).await
        };
        with_deadline(deadline_at, call.deadline, exchange).await
    }

    /// Calls a peer and returns the response as a stream, with any status.
    ///
    /// # Errors
    /// Any [`CallError`] except [`CallError::Status`], for failures before the response head
    /// arrives; later failures are items of the stream.
    pub async fn stream(&self, peer: &Peer, call: &Call) -> Result<CallResponseStream, CallError> {
        let deadline_at = instant_after(call.deadline);
        with_deadline(deadline_at, call.deadline, self.call_with_retries(peer, call, deadline_at))
            .await
    }

    /// Calls a peer with a streamed body in place of the call's own, and returns the response as a
    /// stream. If the scheme signs the body, the body is buffered first, up to
    /// [`ClientConfig::max_signed_body_bytes`]. There is no retry: a stream cannot be read twice.
    ///
    /// # Errors
    /// Those of [`SignedClient::stream`], [`CallError::RequestTooLarge`] and
    /// [`CallError::RequestBody`].
    pub async fn upload<S, E>(
        &self,
        peer: &Peer,
        call: &Call,
        body: S,
    ) -> Result<CallResponseStream, CallError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let deadline_at = instant_after(call.deadline);
        let exchange = async {
            if self.signer.signs_body() {
                let body = self.buffer_body(body).await?;
                return self
                    .send_once(
                        peer,
                        call,
                        &body.clone(),
                        Body::Full(body),
                        call.deadline,
                        deadline_at,
                    )
                    .await;
            }
            let frames = body.map_ok(Frame::data).map_err(Into::into);
            let body = Body::Streamed(StreamBody::new(frames).boxed_unsync());
            self.send_once(peer, call, &[], body, call.deadline, deadline_at).await
        };
        with_deadline(deadline_at, call.deadline, exchange).await
    }

    /// Posts a body with headers that are already signed and returns the response body, at most
    /// `limit` bytes. The timeout starts at sending and covers the complete response. There is no
    /// retry.
    ///
    /// # Errors
    /// [`CallError`], including [`CallError::Status`] for any status but 200.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        let deadline_at = instant_after(timeout);
        let limit = limit.min(self.config.max_response_bytes);
        let exchange = async {
            let response =
                self.transport.send(Method::POST, url, headers, Body::Full(body)).await?;
            self.read_response(CallResponseStream::new(response, deadline_at, timeout, limit)).await
        };
        let response = with_deadline(deadline_at, timeout, exchange).await?;
        if response.status != StatusCode::OK {
            let text =
                String::from_utf8_lossy(&response.body).chars().take(MAX_QUOTED_CHARS).collect();
            return Err(CallError::Status { status: response.status, text });
        }
        Ok(response.body)
    }

    /// Makes the attempts that the call's [`Retry`] allows and returns the last result.
    async fn call_with_retries(
        &self,
        peer: &Peer,
        call: &Call,
        deadline_at: Instant,
    ) -> Result<CallResponseStream, CallError> {
        let backoff = Backoff::new(self.config.pause, Duration::MAX);
        let mut remaining = call.deadline;
        for retry in 0..self.config.attempts.saturating_sub(1) {
            let result = self
                .send_once(
                    peer,
                    call,
                    &call.body,
                    Body::Full(call.body.clone()),
                    remaining,
                    deadline_at,
                )
                .await;
            // If the deadline leaves no time for another attempt, this error is more informative
            // than a timeout.
            let delay = backoff.delay(retry);
            if !call.retry.allows(&result)
                || deadline_at.saturating_duration_since(Instant::now()) <= delay
            {
                return result;
            }
            tokio::time::sleep(delay).await;
            remaining = deadline_at.saturating_duration_since(Instant::now());
        }
        self.send_once(
            peer,
            call,
            &call.body,
            Body::Full(call.body.clone()),
            remaining,
            deadline_at,
        )
        .await
    }

    async fn send_once(
        &self,
        peer: &Peer,
        call: &Call,
        signed_body: &[u8],
        body: Body,
        remaining: Duration,
        deadline_at: Instant,
    ) -> Result<CallResponseStream, CallError> {
        let url = peer.url(&call.path);
        if call.path.contains('#') {
            // A fragment would be signed with the path, but never sent.
            return Err(CallError::InvalidUrl { url });
        }
        let path = format!("/{}", call.path.trim_start_matches('/'));
        let signed =
            self.signer.headers(peer, &call.method, &path, &call.name, remaining, signed_body)?;
        let mut headers = call.headers.clone();
        headers.extend(signed);
        let response = self.transport.send(call.method.clone(), &url, headers, body).await?;
        let limit = call.max_response_bytes.min(self.config.max_response_bytes);
        Ok(CallResponseStream::new(response, deadline_at, call.deadline, limit))
    }

    /// Buffers a body that must be signed.
    async fn buffer_body<S, E>(&self, body: S) -> Result<Bytes, CallError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let limit = self.config.max_signed_body_bytes;
        let mut body = std::pin::pin!(body);
        let mut buffered = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| CallError::RequestBody(error.into()))?;
            if buffered.len() + chunk.len() > limit {
                return Err(CallError::RequestTooLarge { limit });
            }
            buffered.extend_from_slice(&chunk);
        }
        Ok(buffered.freeze())
    }

    /// Reads a response to its end, or an error response up to its limit.
    async fn read_response(
        &self,
        mut response: CallResponseStream,
    ) -> Result<CallResponse, CallError> {
        let mut body = BytesMut::new();
        let mut reservation = self.memory.reservation();
        // Computed now: the announced length shrinks with every byte that arrives.
        let max = response.limit().min(response.remaining_length().unwrap_or(usize::MAX));
        while let Some(chunk) = response.next().await {
            let chunk = chunk?;
            reservation.reserve(body.len() + chunk.len(), max).await;
            body.extend_from_slice(&chunk);
            if !response.status.is_success() && body.len() >= MAX_ERROR_BYTES {
                body.truncate(MAX_ERROR_BYTES);
                break;
            }
        }
        Ok(response.into_response(body.freeze()))
    }
}

fn instant_after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(MAX_TIMEOUT)
}

async fn with_deadline<T>(
    deadline_at: Instant,
    timeout: Duration,
    exchange: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout_at(deadline_at, exchange)
        .await
        .map_err(|_| CallError::Timeout { after: timeout })?
}

#[cfg(test)]
mod tests;
