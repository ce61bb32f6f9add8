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
    answer: CallResponseStream,
    /// Timeout between two chunks.
    pub(crate) chunk_timeout: Duration,
    total: Duration,
    /// Timer of the current timeout, or of an earlier one: while chunks arrive, it is left as it
    /// is.
    timer: Option<Pin<Box<Sleep>>>,
}

impl ResponseReader {
    pub(crate) fn new(
        mut answer: CallResponseStream,
        chunk_timeout: Duration,
        total: Duration,
    ) -> Self {
        // Nobody reads the headers, which would keep the connection's first read buffer allocated.
        drop(std::mem::take(&mut answer.headers));
        Self { answer, chunk_timeout, total, timer: None }
    }

    /// Reads the next bytes, with a timeout of `timeout` or the remaining total time, whichever is
    /// shorter. The total time includes only time spent waiting for the miner. Errors contain
    /// `reported_timeout`.
    pub(crate) async fn next(
        &mut self,
        timeout: Duration,
        reported_timeout: Duration,
        waited: &mut Duration,
    ) -> Result<Option<Bytes>, AttemptError> {
        let remaining = self.total.saturating_sub(*waited);
        // Most chunks arrive with others: they are read without a look at the clock.
        let mut start = None;
        let chunk = std::future::poll_fn(|context| {
            if let Poll::Ready(chunk) = self.answer.poll_next_unpin(context) {
                return Poll::Ready(Ok(chunk));
            }
            let start = *start.get_or_insert_with(Instant::now);
            self.poll_timer(start + timeout.min(remaining), context).map(Err)
        })
        .await;
        *waited += start.map(|start| start.elapsed()).unwrap_or_default();
        match chunk {
            Ok(chunk) => Ok(chunk.transpose()?),
            Err(()) if remaining <= timeout => Err(AttemptError::TooLong(self.total)),
            Err(()) => Err(AttemptError::Silent(reported_timeout)),
        }
    }

    /// Polls the timer; ready at the time `end`. The timer is set to a later time only when it
    /// expires, because that takes as long as parsing a chunk.
    fn poll_timer(&mut self, end: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}
