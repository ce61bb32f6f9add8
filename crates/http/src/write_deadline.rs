//! Write timeouts, against clients that do not read.
//!
//! Hyper does not poll a response body while its write buffer is full. A timeout in the body then
//! never fires, so the connection needs a separate one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::Progress;

/// Time without write progress after which a connection is evictable.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// A connection with a timeout for write progress: while the client does not read, its slot is
/// evictable after a second, and after the timeout writes fail with [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub struct WriteDeadline {
    stream: TcpStream,
    slot: Progress,
    timeout: Duration,
    /// The pending write; `None` if no write is pending.
    stall: Option<WriteStall>,
}

#[derive(Debug)]
struct WriteStall {
    since: Instant,
    is_reported: bool,
    timer: Pin<Box<Sleep>>,
}

impl WriteDeadline {
    /// Adds a write timeout of `timeout` to the connection `stream`; `slot` is the handle to its
    /// slot.
    pub fn new(stream: TcpStream, slot: Progress, timeout: Duration) -> Self {
        Self { stream, slot, timeout, stall: None }
    }

    fn check_stall(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            if self.stall.take().is_some_and(|stall| stall.is_reported) {
                self.slot.mark_resumed();
            }
            return result;
        }
        let stall = self.stall.get_or_insert_with(|| WriteStall {
            since: Instant::now(),
            is_reported: false,
            timer: Box::pin(tokio::time::sleep(STALLED_AFTER.min(self.timeout))),
        });
        while stall.timer.as_mut().poll(context).is_ready() {
            if stall.since.elapsed() >= self.timeout {
                tracing::debug!("connection closed: its client does not read");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stall.is_reported = true;
            self.slot.mark_stalled();
            stall.timer.as_mut().reset(stall.since + self.timeout);
        }
        Poll::Pending
    }
}

impl Drop for WriteDeadline {
    fn drop(&mut self) {
        // Reset the connection: otherwise the system keeps the unread bytes for minutes.
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
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check_stall(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.check_stall(context, result)
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
