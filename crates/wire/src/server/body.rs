//! Request bodies, read within shared memory, and response bodies, sent within their timeout.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::{Limits, Permit};
use crate::Refusal;

/// Bytes that every body may use without a reservation in [`Limits::large_bodies_bytes`].
const SMALL_BODY: usize = 64 * 1024;

/// Reads bodies into shared memory.
pub(super) struct BodyReader {
    limit: usize,
    timeout: Duration,
    large: Arc<Semaphore>,
}

/// A body in memory, with its reservation.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub(super) fn new(limits: &Limits) -> Self {
        let large = Arc::new(Semaphore::new(limits.large_bodies_bytes.min(Semaphore::MAX_PERMITS)));
        Self { limit: limits.body_bytes, timeout: limits.body_timeout, large }
    }

    pub(super) async fn read(&self, body: Body) -> Result<Held, Refusal> {
        let timeout = tokio::time::timeout(self.timeout, self.read_to_end(body));
        timeout.await.map_err(|_| Refusal::BodyTimeout { limit: self.timeout })?
    }

    async fn read_to_end(&self, mut body: Body) -> Result<Held, Refusal> {
        // Most bodies are one chunk, which is used without a copy.
        let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
        let mut share = None;
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|_| Refusal::BodyUnreadable)?.into_data() else { continue };
            let before = first.len() + whole.len();
            let after = before + chunk.len();
            if after > self.limit {
                return Err(Refusal::BodyTooLarge { limit: self.limit });
            }
            self.enlarge(&mut share, after.saturating_sub(SMALL_BODY) - before.saturating_sub(SMALL_BODY))?;
            if before == 0 {
                first = chunk;
            } else {
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&chunk);
            }
        }
        let bytes = if whole.is_empty() { first } else { whole.freeze() };
        Ok(Held { bytes, _share: share })
    }

    /// Refuses instead of waiting: bodies that wait while they hold memory would end in a deadlock.
    fn enlarge(&self, share: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Refusal> {
        if bytes == 0 {
            return Ok(());
        }
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::Busy)?;
        let more = Arc::clone(&self.large).try_acquire_many_owned(bytes).map_err(|_| Refusal::Busy)?;
        match share {
            Some(share) => share.merge(more),
            None => *share = Some(more),
        }
        Ok(())
    }
}

/// Keeps the permit until a streamed response has ended, and ends the stream at `until`. Any other response is complete
/// already.
pub(super) fn hold(permit: Option<Permit>, until: Instant, response: Response) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        let deadline = Box::pin(tokio::time::sleep_until(until));
        Body::new(Streamed { body: Some(body), deadline, permit })
    })
}

struct Streamed {
    body: Option<Body>,
    deadline: Pin<Box<Sleep>>,
    permit: Option<Permit>,
}

/// The response exceeded its timeout.
#[derive(Debug, thiserror::Error)]
#[error("the response stream timed out")]
struct TooLong;

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        let frame = if frame.is_pending() && self.deadline.as_mut().poll(cx).is_ready()
            || Instant::now() >= self.deadline.deadline()
        {
            Some(Err(axum::Error::new(TooLong)))
        } else {
            ready!(frame)
        };
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
            self.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
