//! Reads a miner's response within its timeouts.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use taonet_wire::CallResponseStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::failure::AttemptError;

/// A miner's response with its timeouts.
pub(crate) struct ResponseReader {
    response: CallResponseStream,
    /// Timeout between two chunks.
    pub(crate) chunk_timeout: Duration,
    total_timeout: Duration,
    /// Timer of the current timeout, or of an earlier one: while chunks arrive, it is left as it
    /// is.
    timer: Option<Pin<Box<Sleep>>>,
}

impl ResponseReader {
    pub(crate) fn new(
        mut response: CallResponseStream,
        chunk_timeout: Duration,
        total_timeout: Duration,
    ) -> Self {
        // Nobody reads the headers, which would keep the connection's first read buffer allocated.
        drop(std::mem::take(&mut response.headers));
        Self { response, chunk_timeout, total_timeout, timer: None }
    }

    /// Reads the next bytes, with a timeout of `timeout` or the remaining total time, whichever is
    /// shorter. The total time includes only time spent waiting for the miner. Errors contain
    /// `reported_timeout`.
    pub(crate) async fn next(
        &mut self,
        timeout: Duration,
        reported_timeout: Duration,
        wait_time: &mut Duration,
    ) -> Result<Option<Bytes>, AttemptError> {
        let remaining = self.total_timeout.saturating_sub(*wait_time);
        // Most chunks arrive together: the clock is queried only when one has to be awaited.
        let mut start = None;
        let chunk = std::future::poll_fn(|context| {
            if let Poll::Ready(chunk) = self.response.poll_next_unpin(context) {
                return Poll::Ready(Ok(chunk));
            }
            let start = *start.get_or_insert_with(Instant::now);
            self.poll_timer(start + timeout.min(remaining), context).map(Err)
        })
        .await;
        *wait_time += start.map(|start| start.elapsed()).unwrap_or_default();
        match chunk {
            Ok(chunk) => Ok(chunk.transpose()?),
            Err(()) if remaining <= timeout => Err(AttemptError::TimedOut(self.total_timeout)),
            Err(()) => Err(AttemptError::Silent(reported_timeout)),
        }
    }

    /// Polls the timer; ready at `deadline`. The timer is set to a later time only when it
    /// expires, because that takes as long as parsing a chunk.
    fn poll_timer(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
