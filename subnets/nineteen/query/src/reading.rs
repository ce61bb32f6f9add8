//! Reads a miner's response within its timeouts.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use taonet_wire::{AnswerStream, CallError};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::failure::AttemptError;

/// A miner's response with its timeouts.
pub(crate) struct Reading {
    answer: AnswerStream,
    /// Timeout between two chunks.
    pub(crate) between: Duration,
    total: Duration,
    /// Timer of the current timeout, or of an earlier one: while chunks arrive, it is left as it
    /// is.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Reading {
    pub(crate) fn new(answer: AnswerStream, between: Duration, total: Duration) -> Self {
        Self { answer, between, total, timer: None }
    }

    /// Reads the next bytes, with a timeout of `within` or the remaining total time, whichever is
    /// shorter. The total time includes only time spent waiting for the miner. `named` is the
    /// timeout that an error reports.
    pub(crate) async fn next(
        &mut self,
        within: Duration,
        named: Duration,
        waited: &mut Duration,
    ) -> Result<Option<Bytes>, AttemptError> {
        let left = self.total.saturating_sub(*waited);
        let began = Instant::now();
        let end = began + within.min(left);
        let piece = std::future::poll_fn(|context| self.poll_until(end, context)).await;
        *waited += began.elapsed();
        match piece {
            Ok(piece) => Ok(piece.transpose()?),
            Err(()) if left <= within => Err(AttemptError::TooLong(self.total)),
            Err(()) => Err(AttemptError::Silent(named)),
        }
    }

    /// Polls the next bytes; ready with an error at the time `end`. The timer is set to a later
    /// time only when it expires, because that takes as long as parsing a chunk.
    fn poll_until(
        &mut self,
        end: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Result<Bytes, CallError>>, ()>> {
        if let Poll::Ready(piece) = self.answer.poll_next_unpin(context) {
            return Poll::Ready(Ok(piece));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(Err(()));
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}
