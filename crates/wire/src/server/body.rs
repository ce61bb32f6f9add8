//! Response bodies, sent within their timeout.
//!
//! The timeout applies while the client reads; `taonet-http` closes connections whose clients do
//! not.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::Permit;

/// Number of polls for a frame after which the deadline is compared with the clock, although a
/// frame was ready each time.
const POLLS_PER_CHECK: u32 = 16;

/// Keeps the permit until a streamed response has ended, and ends the stream at `deadline`. Any
/// other response is complete already.
pub(super) fn keep_permit(
    permit: Option<Permit>,
    deadline: Instant,
    response: Response,
) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        let deadline_timer = Box::pin(tokio::time::sleep_until(deadline));
        Body::new(StreamedResponseBody { body: Some(body), deadline_timer, polls: 0, permit })
    })
}

struct StreamedResponseBody {
    body: Option<Body>,
    deadline_timer: Pin<Box<Sleep>>,
    /// Number of polls for a frame, wrapping.
    polls: u32,
    permit: Option<Permit>,
}

/// The response exceeded its timeout.
#[derive(Debug, thiserror::Error)]
#[error("the response stream timed out")]
struct StreamTimeout;

impl HttpBody for StreamedResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        self.polls = self.polls.wrapping_add(1);
        let frame = if frame.is_pending() && self.deadline_timer.as_mut().poll(cx).is_ready()
            || self.polls.is_multiple_of(POLLS_PER_CHECK)
                && Instant::now() >= self.deadline_timer.deadline()
        {
            Some(Err(axum::Error::new(StreamTimeout)))
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
