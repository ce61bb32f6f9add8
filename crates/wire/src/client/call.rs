use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, Method, StatusCode};
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use super::CallError;
use super::transport::ResponseBody;

/// The default timeout of a call: that of Bittensor's dendrite.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(12);

/// Number of chunks after which the deadline of a stream is checked although none was awaited.
const CHUNKS_PER_CHECK: u32 = 16;

/// A request before it is addressed and signed.
#[derive(Debug, Clone)]
pub struct Call {
    /// HTTP method of the request.
    pub method: Method,
    /// The path with its query; the leading `/` is optional.
    pub path: String,
    /// The message name, in schemes that sign it, e.g. `EchoSynapse`.
    pub name: String,
    /// Additional headers; the scheme overwrites those that it sets itself.
    pub headers: HeaderMap,
    /// Body of the request.
    pub body: Bytes,
    /// The timeout of the whole exchange, from connecting, through all retries, to the last byte of
    /// the response. Schemes with a timeout header send it to the peer.
    pub deadline: Duration,
    /// The largest response to read, in bytes; [`super::ClientConfig::max_response_bytes`] also
    /// applies.
    pub max_response_bytes: usize,
    /// Retry policy of the call.
    pub retry: Retry,
}

impl Call {
    /// Creates a call without additional headers, with a timeout of 12 s and [`Retry::Unsent`].
    pub fn new(method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            path: path.into(),
            name: String::new(),
            headers: HeaderMap::new(),
            body: body.into(),
            deadline: DEFAULT_TIMEOUT,
            max_response_bytes: usize::MAX,
            retry: Retry::default(),
        }
    }
}

/// Retry policy of a call, within its deadline. Each attempt is signed separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retry {
    /// Makes a single attempt.
    Never,
    /// Retries failures to connect, after which the peer cannot have executed the request.
    #[default]
    Unsent,
    /// Also retries lost connections and the gateway statuses 502, 503 and 504: the peer may
    /// execute the request twice.
    Idempotent,
}

impl Retry {
    pub(super) fn allows(self, result: &Result<CallResponseStream, CallError>) -> bool {
        match (self, result) {
            (Self::Never, _) => false,
            (_, Err(CallError::Connect { .. }))
            | (Self::Idempotent, Err(CallError::ConnectionLost(_))) => true,
            (Self::Idempotent, Ok(response)) => matches!(response.status.as_u16(), 502..=504),
            _ => false,
        }
    }
}

/// A response with its body in memory, with any status.
#[derive(Debug, Clone)]
pub struct CallResponse {
    /// The HTTP status code.
    pub status: StatusCode,
    /// Headers of the response.
    pub headers: HeaderMap,
    /// The response body; unless the status is 2xx, at most its first 16 KiB.
    pub body: Bytes,
}

/// A streaming response: a stream of its body's chunks. HTTP chunks that have arrived together are
/// joined.
///
/// The call's deadline covers the complete stream: when the deadline passes, the stream yields
/// [`CallError::Timeout`] and ends, after at most 15 chunks that have already arrived. If the
/// response exceeds its size limit, the stream yields [`CallError::TooLarge`] and ends.
#[derive(Debug)]
pub struct CallResponseStream {
    /// The HTTP status code.
    pub status: StatusCode,
    /// Headers of the response.
    pub headers: HeaderMap,
    body: Option<ResponseBody>,
    deadline_timer: Pin<Box<Sleep>>,
    /// Number of chunks since the last check of the deadline.
    chunks_since_check: u32,
    total_timeout: Duration,
    limit: usize,
    remaining: usize,
}

impl CallResponseStream {
    pub(super) fn new(
        response: http::Response<ResponseBody>,
        deadline_at: Instant,
        total_timeout: Duration,
        limit: usize,
    ) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: Some(body),
            deadline_timer: Box::pin(tokio::time::sleep_until(deadline_at)),
            chunks_since_check: 0,
            total_timeout,
            limit,
            remaining: limit,
        }
    }

    /// Returns the largest response to read, in bytes.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the number of remaining bytes, if the response announces it.
    pub(super) fn remaining_length(&self) -> Option<usize> {
        let length = self.body.as_ref()?.size_hint().exact()?;
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Combines the head with a body that was read.
    pub(super) fn into_response(self, body: Bytes) -> CallResponse {
        CallResponse { status: self.status, headers: self.headers, body }
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, CallError>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        // Chunks in the read buffer are ready at once. Many small ones must not keep the thread
        // from other tasks.
        let budget = ready!(coop::poll_proceed(context));
        let chunk = loop {
            match body.poll_frame(context) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(CallError::ConnectionLost(error))));
                }
                // Trailers are discarded.
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(chunk) = frame.into_data() {
                        break Poll::Ready(chunk);
                    }
                }
            }
        };
        if chunk.is_ready() {
            budget.made_progress();
        }
        drop(budget);
        // To poll the timer takes as long as to read a chunk.
        self.chunks_since_check = self.chunks_since_check.saturating_add(1);
        if chunk.is_pending() || self.chunks_since_check >= CHUNKS_PER_CHECK {
            self.chunks_since_check = 0;
            // Also if the chunks have used up the task's budget.
            if pin!(coop::unconstrained(self.deadline_timer.as_mut())).poll(context).is_ready() {
                return Poll::Ready(Some(Err(CallError::Timeout { after: self.total_timeout })));
            }
        }
        let chunk = ready!(chunk);
        let Some(remaining) = self.remaining.checked_sub(chunk.len()) else {
            return Poll::Ready(Some(Err(CallError::TooLarge { limit: self.limit })));
        };
        self.remaining = remaining;
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Stream for CallResponseStream {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.poll_chunk(context));
        if !matches!(chunk, Some(Ok(_))) {
            // Drops the connection, or returns it to the pool, immediately.
            self.body = None;
        }
        Poll::Ready(chunk)
    }
}
