//! Connections whose clients must read.
//!
//! Hyper asks a response body for no more while the client does not read what there is, so a deadline inside the body is
//! not seen: the connection needs one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::Progress;

/// A write that makes no progress for this long makes the connection evictable.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// A connection with a deadline for write progress: while the client does not read, its place is evictable after a
/// second, and after the deadline writes fail with [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub struct WriteDeadline {
    stream: TcpStream,
    place: Progress,
    within: Duration,
    /// Set while a write waits for the client.
    stall: Option<Stall>,
}

#[derive(Debug)]
struct Stall {
    since: Instant,
    is_noted: bool,
    timer: Pin<Box<Sleep>>,
}

impl WriteDeadline {
    /// A connection with this place, whose client must read something every `within`.
    pub fn new(stream: TcpStream, place: Progress, within: Duration) -> Self {
        Self { stream, place, within, stall: None }
    }

    fn timed(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.stall.take().is_some_and(|stall| stall.is_noted) {
                self.place.resumed();
            }
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Stall {
            since: Instant::now(),
            is_noted: false,
            timer: Box::pin(tokio::time::sleep(STALLED_AFTER.min(self.within))),
        });
        while stall.timer.as_mut().poll(context).is_ready() {
            if stall.since.elapsed() >= self.within {
                tracing::debug!("connection closed: its client does not read");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stall.is_noted = true;
            self.place.stalled();
            stall.timer.as_mut().reset(stall.since + self.within);
        }
        Poll::Pending
    }
}

impl Drop for WriteDeadline {
    fn drop(&mut self) {
        // The system would keep unread bytes for minutes: a client that does not read gets a reset instead.
        if self.stall.is_some() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for WriteDeadline {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for WriteDeadline {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.timed(context, written)
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
