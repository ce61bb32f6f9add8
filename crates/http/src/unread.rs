//! Responses sent before the request body was read, such as refusals.
//!
//! After such a response, the connection cannot carry another request. The response has the header
//! `connection: close`, since otherwise a client would send its next request into a closing
//! connection. The server keeps reading for a while: closing a socket with unread bytes resets the
//! connection, and the response may be lost with it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::Progress;
use crate::half_close::Exchange;

/// Chunk size for reading the unread rest of a body, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// Flag: a response was sent before the request body was read to its end. Clones share one
/// connection's flag.
#[derive(Clone, Default)]
pub(crate) struct UnreadFlag(Arc<AtomicBool>);

/// Tracks the progress of a connection's requests, and adds `connection: close` to responses sent
/// before the body was read to its end.
pub(crate) async fn track_request(
    Extension(unread): Extension<UnreadFlag>,
    Extension(progress): Extension<Progress>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
    next: Next,
) -> Response {
    let guard = ResponseGuard(progress.clone(), exchange.clone());
    let response = if request.body().is_end_stream() {
        if !progress.complete() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        next.run(request).await
    } else {
        let is_read = Arc::new(AtomicBool::new(false));
        let exchange = exchange.clone();
        let request = request.map(|inner| {
            Body::new(TrackedRequestBody {
                inner,
                is_read: Arc::clone(&is_read),
                progress,
                exchange,
            })
        });
        let mut response = next.run(request).await;
        if !is_read.load(Ordering::Acquire) {
            unread.0.store(true, Ordering::Release);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    };
    exchange.record_response(&response);
    response.map(|inner| Body::new(TrackedResponseBody { inner, _response_guard: guard }))
}

/// A guard that marks the request as answered on drop.
struct ResponseGuard(Progress, Exchange);

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        self.0.mark_answered();
        self.1.record_end();
    }
}

/// Response body that marks the request as answered at its end.
struct TrackedResponseBody {
    inner: Body,
    _response_guard: ResponseGuard,
}

impl HttpBody for TrackedResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The connection was evicted before the request was complete.
#[derive(Debug, thiserror::Error)]
#[error("connection evicted to make room for another")]
struct Evicted;

/// Request body that records whether it was read to its end.
struct TrackedRequestBody {
    inner: Body,
    is_read: Arc<AtomicBool>,
    progress: Progress,
    exchange: Exchange,
}

impl HttpBody for TrackedRequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let is_read = frame.is_none() || self.inner.is_end_stream();
        if is_read && !self.is_read.swap(true, Ordering::AcqRel) {
            if !self.progress.complete() {
                return Poll::Ready(Some(Err(axum::Error::new(Evicted))));
            }
            self.exchange.record_body_end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection that, after an unread body, closes only after the peer does, or after a timeout.
pub(crate) struct Lingering<S> {
    stream: S,
    unread: UnreadFlag,
    timeout: Duration,
    /// The linger timeout, set once the write side is closed.
    linger_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(crate) fn new(stream: S, unread: UnreadFlag, timeout: Duration) -> Self {
        Self { stream, unread, timeout, linger_timer: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, unread, timeout, linger_timer } = self.get_mut();
        let linger_timer = if let Some(linger_timer) = linger_timer {
            linger_timer
        } else {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            if !unread.0.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            linger_timer.insert(Box::pin(tokio::time::sleep(*timeout)))
        };
        let mut buffer = [0; CHUNK_BYTES];
        while linger_timer.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
