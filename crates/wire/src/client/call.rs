use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use tokio::time::{Instant, Sleep};

use super::CallError;
use super::transport::Incoming;

/// How long a call may take unless it says otherwise: the default of Bittensor's dendrite.
const DEADLINE: Duration = Duration::from_secs(12);

/// One request, before it is addressed and signed.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path with its query; the leading `/` may be left out.
    pub path: String,
    /// The kind of message, in schemes that name it, e.g. `EchoSynapse`.
    pub name: String,
    /// Headers beside those that sign; one that the scheme sets itself is overwritten.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long the whole exchange may take, connecting, retries and the answer's last byte included. Schemes that
    /// tell the peer how long its caller waits send it.
    pub deadline: Duration,
    /// Largest answer that is read, in bytes; [`super::ClientConfig::max_response_bytes`] holds besides.
    pub max_answer_bytes: usize,
    /// After which failures to try again.
    pub retry: Retry,
}

impl Call {
    /// A call without headers of its own, with a deadline of 12 s and [`Retry::Unsent`].
    pub fn new(method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            path: path.into(),
            name: String::new(),
            headers: HeaderMap::new(),
            body: body.into(),
            deadline: DEADLINE,
            max_answer_bytes: usize::MAX,
            retry: Retry::default(),
        }
    }
}

/// After which failures a call is tried again, within its deadline. Each attempt is signed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retry {
    /// After none.
    Never,
    /// Where no connection came about, so that the peer cannot have executed the request.
    #[default]
    Unsent,
    /// Also where the connection broke or a gateway answered 502, 503 or 504: the peer may execute the request twice.
    Idempotent,
}

impl Retry {
    pub(super) fn allows(self, result: &Result<AnswerStream, CallError>) -> bool {
        match (self, result) {
            (Self::Never, _) => false,
            (_, Err(CallError::Connect { .. })) | (Self::Idempotent, Err(CallError::Broken(_))) => true,
            (Self::Idempotent, Ok(answer)) => matches!(answer.status.as_u16(), 502..=504),
            _ => false,
        }
    }
}

/// An answer that arrived as a whole, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; of an answer other than 2xx the first 16 KiB.
    pub body: Bytes,
}

/// An answer that is still arriving: a stream of its body's bytes.
///
/// The call's deadline covers the whole of it: when it passes, the stream gives [`CallError::Timeout`] and ends. So it
/// does with [`CallError::TooLarge`] when more arrives than the call allows.
#[derive(Debug)]
pub struct AnswerStream {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Option<Incoming>,
    deadline: Pin<Box<Sleep>>,
    after: Duration,
    limit: usize,
    left: usize,
}

impl AnswerStream {
    pub(super) fn new(response: http::Response<Incoming>, until: Instant, after: Duration, limit: usize) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: Some(body),
            deadline: Box::pin(tokio::time::sleep_until(until)),
            after,
            limit,
            left: limit,
        }
    }

    /// Largest answer that is read, in bytes.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are still to come, where the answer says so.
    pub(super) fn announced(&self) -> Option<usize> {
        let length = self.body.as_ref()?.size_hint().exact()?;
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The head, once the body is read.
    pub(super) fn into_answer(self, body: Bytes) -> Answer {
        Answer { status: self.status, headers: self.headers, body }
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, CallError>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(CallError::Timeout { after: self.after })));
        }
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(CallError::Broken(error.into())))),
                Some(Ok(frame)) => frame,
            };
            // Trailers say nothing that a caller asked for.
            let Ok(chunk) = frame.into_data() else { continue };
            let Some(left) = self.left.checked_sub(chunk.len()) else {
                return Poll::Ready(Some(Err(CallError::TooLarge { limit: self.limit })));
            };
            self.left = left;
            return Poll::Ready(Some(Ok(chunk)));
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.poll_chunk(context));
        if !matches!(chunk, Some(Ok(_))) {
            // The connection is given up, or given back, at once.
            self.body = None;
        }
        Poll::Ready(chunk)
    }
}
