//! Clients that close their sending side while they wait for the response.
//!
//! A half-close says nothing about the response (RFC 9112, section 9.6), but looks like the close
//! of a client that has gone away, whose requests must not occupy the service. Only data tells them
//! apart: the system of a client that has gone away resets the connection. So the server sends what
//! HTTP allows at any time and clients ignore: an interim response before the response, and leading
//! zeros of the next chunk's size between the chunks of a response.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::Version;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Interim response, which every client of HTTP/1.1 skips.
const INTERIM_RESPONSE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Leading zero of a chunk's size.
const LEADING_ZERO: &[u8] = b"0";
/// Maximum number of leading zeros of a chunk's size: some parsers accept at most 16 digits.
const MAX_ZEROS: u32 = 7;
/// Time after the half-close until the first probe. It doubles with each probe.
const FIRST_PROBE_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum time between two probes.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Time in which a handler must begin to read a body that arrived before the half-close. A body
/// that is still incomplete afterwards is truncated.
const BODY_GRACE: Duration = Duration::from_millis(500);

/// Lets clients close their sending side while they wait for the responses of these routes. A
/// client that has gone away is noticed by probes, some milliseconds and two round trips later than
/// without this middleware. Has an effect in routers that [`serve`](crate::serve) serves, on
/// HTTP/1.1.
pub async fn tolerate_half_close(request: Request, next: Next) -> Response {
    if request.version() == Version::HTTP_11
        && let Some(exchange) = request.extensions().get::<Exchange>()
    {
        exchange.begin_request(request.body().is_end_stream());
    }
    next.run(request).await
}

/// Progress of the newest request on a connection whose handler tolerates half-closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// No such request is in progress: a half-close ends the connection.
    Idle,
    /// The handler has not read the complete body.
    Reading,
    /// The response has not begun.
    AwaitingResponse,
    /// The response has begun and not ended.
    Responding,
}

/// Shares the phase of a connection between the middlewares of its requests and its stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exchange(Arc<State>);

#[derive(Debug, Default)]
struct State {
    phase: AtomicU8,
    /// Whether the response is sent in chunks.
    is_chunked: AtomicBool,
    /// Whether hyper has the response. Before, it may write an interim one, for which a client with
    /// `Expect: 100-continue` waits.
    has_response: AtomicBool,
}

impl Exchange {
    /// Records the head of a request, with or without a body.
    fn begin_request(&self, is_complete: bool) {
        self.set_chunked(false);
        self.0.has_response.store(false, Ordering::Release);
        self.set_phase(if is_complete { Phase::AwaitingResponse } else { Phase::Reading });
    }

    /// Records that the body of the request was read to its end.
    pub(crate) fn record_body_end(&self) {
        self.advance_phase(Phase::Reading, Phase::AwaitingResponse);
    }

    /// Records that bytes were written: those of the response, if there is one.
    fn record_response_bytes(&self) {
        if self.0.has_response.load(Ordering::Acquire) {
            self.advance_phase(Phase::AwaitingResponse, Phase::Responding);
        }
    }

    /// Records the end of the response.
    pub(crate) fn record_end(&self) {
        self.set_phase(Phase::Idle);
    }

    /// Records the response, and whether hyper sends it in chunks: it has a body of unknown length.
    pub(crate) fn record_response(&self, response: &Response) {
        let has_length = response.headers().contains_key(CONTENT_LENGTH);
        self.set_chunked(!has_length && response.body().size_hint().exact().is_none());
        self.0.has_response.store(true, Ordering::Release);
    }

    fn set_chunked(&self, is_chunked: bool) {
        self.0.is_chunked.store(is_chunked, Ordering::Release);
    }

    fn is_chunked(&self) -> bool {
        self.0.is_chunked.load(Ordering::Acquire)
    }

    fn set_phase(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }

    fn advance_phase(&self, from: Phase, to: Phase) {
        let _ = self.0.phase.compare_exchange(
            from as u8,
            to as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    fn phase(&self) -> Phase {
        let phase = self.0.phase.load(Ordering::Acquire);
        let phases = [Phase::Reading, Phase::AwaitingResponse, Phase::Responding];
        phases.into_iter().find(|candidate| *candidate as u8 == phase).unwrap_or(Phase::Idle)
    }
}

/// A connection that hides a half-close from hyper, which would end the connection, as long as a
/// response is pending.
pub(crate) struct HalfClose<S> {
    stream: S,
    exchange: Exchange,
    /// Whether the last write is pending. Otherwise hyper, which flushes what it buffers, has
    /// written complete chunks.
    is_blocked: bool,
    /// Set once the client has closed its sending side.
    closed: Option<HalfClosedState>,
}

struct HalfClosedState {
    closed_at: Instant,
    /// Time until the next probe.
    probe_interval: Duration,
    timer: Pin<Box<Sleep>>,
    /// Number of zeros sent since the last chunk.
    zeros: u32,
    /// Whether hyper has written since the timer was set: its bytes are a probe, too.
    has_written: bool,
}

impl HalfClosedState {
    fn new() -> Self {
        let timer = Box::pin(tokio::time::sleep(FIRST_PROBE_INTERVAL));
        Self {
            closed_at: Instant::now(),
            probe_interval: FIRST_PROBE_INTERVAL,
            timer,
            zeros: 0,
            has_written: false,
        }
    }

    /// Returns the bytes of the next probe.
    fn probe(&mut self, phase: Phase, is_chunked: bool) -> &'static [u8] {
        match phase {
            Phase::AwaitingResponse => INTERIM_RESPONSE,
            Phase::Responding if is_chunked && self.zeros < MAX_ZEROS => {
                self.zeros += 1;
                LEADING_ZERO
            }
            _ => &[],
        }
    }

    fn reset_timer(&mut self) {
        let next_probe_at = Instant::now() + self.probe_interval;
        self.timer.as_mut().reset(next_probe_at);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> HalfClose<S> {
    pub(crate) fn new(stream: S, exchange: Exchange) -> Self {
        Self { stream, exchange, is_blocked: false, closed: None }
    }

    /// Waits until no response is pending, or until a probe fails.
    fn poll_response_end(
        &mut self,
        closed: &mut HalfClosedState,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let phase = self.exchange.phase();
            let is_response_pending = match phase {
                Phase::Idle => false,
                Phase::Reading => closed.closed_at.elapsed() < BODY_GRACE,
                Phase::AwaitingResponse | Phase::Responding => true,
            };
            if !is_response_pending && !self.is_blocked {
                return Poll::Ready(Ok(()));
            }
            ready!(closed.timer.as_mut().poll(context));
            if std::mem::take(&mut closed.has_written) {
                (closed.probe_interval, closed.zeros) = (FIRST_PROBE_INTERVAL, 0);
            } else {
                if !self.is_blocked {
                    let probe = closed.probe(phase, self.exchange.is_chunked());
                    self.send(probe, context)?;
                }
                closed.probe_interval = (closed.probe_interval * 2).min(MAX_PROBE_INTERVAL);
            }
            closed.reset_timer();
        }
    }

    /// Sends a probe, beside what hyper writes.
    fn send(&mut self, probe: &[u8], context: &mut Context<'_>) -> io::Result<()> {
        if probe.is_empty() {
            return Ok(());
        }
        match Pin::new(&mut self.stream).poll_write(context, probe) {
            Poll::Ready(Ok(written)) if written == probe.len() => {}
            // A part of the interim response would make the next bytes unreadable.
            Poll::Ready(Ok(_)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(()),
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Records the result of a write by hyper.
    fn record_write(&mut self, write_result: &Poll<io::Result<usize>>) {
        self.is_blocked = write_result.is_pending();
        if write_result.is_ready() {
            self.exchange.record_response_bytes();
            if let Some(closed) = &mut self.closed {
                closed.has_written = true;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for HalfClose<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(mut closed) = this.closed.take() {
            let poll_result = this.poll_response_end(&mut closed, context);
            this.closed = Some(closed);
            return poll_result;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        this.closed = Some(HalfClosedState::new());
        // hyper may have read a request whose handler has not been called yet.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HalfClose<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.record_write(&poll);
        poll
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.record_write(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
