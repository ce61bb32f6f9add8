//! The client half: signs requests and posts them with a deadline.

mod signer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;

pub use signer::{Signer, SigningError};

/// Characters of an error answer that are kept.
const SNIPPET: usize = 300;
/// Bytes that every answer may have without a share of [`ClientConfig::large_answers_bytes`].
const SMALL_ANSWER: usize = 768 * 1024;

/// Bounds of a [`SignedClient`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// Largest answer that is read, in bytes.
    pub max_response_bytes: usize,
    /// Memory that all answers of the client and its clones share while they are read, in bytes, beyond the 768 KiB
    /// that each has for itself. A large answer that finds no room waits, within its deadline.
    pub large_answers_bytes: usize,
    /// Idle connections that are kept for each host.
    pub idle_per_host: usize,
}

impl Default for ClientConfig {
    /// Answers of up to 16 MiB, 128 MiB for the large ones together, 4 idle connections for each host.
    fn default() -> Self {
        Self { max_response_bytes: 16 * 1024 * 1024, large_answers_bytes: 128 * 1024 * 1024, idle_per_host: 4 }
    }
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The HTTP client could not be set up.
    #[error("HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// The whole answer was not there in time.
    #[error("timeout after {:?}s", after.as_secs_f64())]
    Timeout {
        /// The deadline, counted from sending.
        after: Duration,
    },
    /// No connection.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and port.
        peer: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection broke, or the other side does not speak HTTP.
    #[error("connection broke")]
    Broken(#[source] reqwest::Error),
    /// The other side answered with another status than 200.
    #[error("{}:{text}", status.as_u16())]
    Status {
        /// The status.
        status: StatusCode,
        /// The first 300 characters of the answer.
        text: String,
    },
    /// The answer is larger than the client reads.
    #[error("answer is larger than {limit} bytes")]
    TooLarge {
        /// What the client reads.
        limit: usize,
    },
}

impl CallError {
    /// Whether the peer was too slow, rather than wrong.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the peer was not reached at all.
    pub const fn is_connect(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }
}

/// Posts signed JSON requests. Connections are pooled for each host; clones share the pool.
///
/// Redirects are not followed: a signed request is for the one it was addressed to.
#[derive(Debug, Clone)]
pub struct SignedClient {
    http: reqwest::Client,
    signer: Signer,
    max_response_bytes: usize,
    large_answers: Arc<Semaphore>,
    large_answers_total: usize,
}

impl SignedClient {
    /// A client that signs with `signer`.
    ///
    /// # Errors
    /// [`CallError::Setup`] when TLS cannot be set up.
    pub fn new(signer: Signer, config: ClientConfig) -> Result<Self, CallError> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(config.idle_per_host)
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(CallError::Setup)?;
        let large_answers_total = config.large_answers_bytes.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            http,
            signer,
            max_response_bytes: config.max_response_bytes,
            large_answers: Arc::new(Semaphore::new(large_answers_total)),
            large_answers_total,
        })
    }

    /// What signs the requests.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Posts a body with these headers and gives the answer's bytes, `limit` of them at most. The deadline starts at
    /// sending and covers the whole answer.
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
        let exchange = self.exchange(url, headers, body, limit.min(self.max_response_bytes));
        tokio::time::timeout(deadline, exchange).await.map_err(|_| CallError::Timeout { after: deadline })?
    }

    async fn exchange(&self, url: &str, headers: HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, CallError> {
        let sent = self.http.post(url).headers(headers).body(body).send().await;
        let mut response = sent.map_err(|source| {
            if source.is_connect() {
                let peer = source.url().map_or_else(String::new, |url| url.authority().to_owned());
                CallError::Connect { peer, source }
            } else {
                CallError::Broken(source)
            }
        })?;
        let status = response.status();
        let mut answer = Vec::new();
        let declared = response.content_length().map_or(limit, |length| usize::try_from(length).unwrap_or(limit));
        let mut large = None;
        while let Some(chunk) = response.chunk().await.map_err(CallError::Broken)? {
            if answer.len() + chunk.len() > limit {
                return Err(CallError::TooLarge { limit });
            }
            // All that it may need at once: who has a share never waits for more.
            if large.is_none() && answer.len() + chunk.len() > SMALL_ANSWER {
                let extra = declared.min(limit).saturating_sub(SMALL_ANSWER).min(self.large_answers_total);
                let extra = u32::try_from(extra).unwrap_or(u32::MAX);
                large = self.large_answers.acquire_many(extra).await.ok();
            }
            answer.extend_from_slice(&chunk);
            // An error answer is only quoted; its end need not be waited for. A character has 4 bytes at most.
            if status != StatusCode::OK && answer.len() >= 4 * SNIPPET {
                break;
            }
        }
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&answer).chars().take(SNIPPET).collect();
            return Err(CallError::Status { status, text });
        }
        Ok(answer.into())
    }
}

#[cfg(test)]
mod tests;
