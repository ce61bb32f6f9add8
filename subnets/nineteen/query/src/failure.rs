//! Failures of attempts to query a miner: whether they count against the miner.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use taonet_nineteen_core::period::RequestOutcome;
use taonet_primitives::Hotkey;
use taonet_wire::CallError;

use crate::chunk::ChunkFault;
use crate::period_miners::Completion;
use crate::querier::Inner;
use crate::sse::StreamFault;
use crate::{RequestKind, TaskMiner};

/// Why an attempt to query a miner failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AttemptError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("miner returned {0}")]
    Status(StatusCode),
    #[error("miner sent no data for {0:?}")]
    Silent(Duration),
    #[error("miner's answer took longer than {0:?}")]
    TooLong(Duration),
    #[error("miner's answer has more chunks than requested")]
    TooMany,
    #[error("miner's answer is malformed: {0}")]
    Stream(#[from] StreamFault),
    #[error("miner's answer is malformed: {0}")]
    Chunk(#[from] ChunkFault),
    #[error("miner's answer is malformed: {0}")]
    Body(&'static str),
    #[error("miner's answer is empty")]
    Empty,
    #[error("miner's embeddings have {0} dimensions, and not as many as requested")]
    Dimensions(usize),
}

impl AttemptError {
    /// Returns the outcome that the contender's counters record.
    pub(crate) fn outcome(&self) -> RequestOutcome {
        match self {
            Self::Status(status) if status.as_u16() == 429 => RequestOutcome::RateLimited,
            _ => RequestOutcome::Failed,
        }
    }

    /// Whether the request itself may be the cause: the miner rejected it as malformed, its model's
    /// server failed at it, or it asks for more than a model writes in time, or for dimensions that
    /// the model does not have.
    pub(crate) fn may_be_request_fault(&self) -> bool {
        match self {
            Self::Status(status) => self.refused().is_some() || status.is_server_error(),
            Self::Stream(StreamFault::Reported)
            | Self::Chunk(ChunkFault::Error)
            | Self::TooLong(_)
            | Self::Dimensions(_) => true,
            _ => false,
        }
    }

    /// Whether options that synthetic requests do not have may be the cause. Some of them, such as
    /// a grammar or a selection of tokens, can keep a model from writing anything in time, or from
    /// ending.
    pub(crate) fn may_be_options_fault(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Empty | Self::TooMany)
    }

    /// Returns the HTTP status if the miner rejected the request as malformed.
    pub(crate) fn refused(&self) -> Option<u16> {
        match self {
            Self::Status(status) if matches!(status.as_u16(), 400 | 404 | 413 | 415 | 422) => {
                Some(status.as_u16())
            }
            _ => None,
        }
    }
}

/// A failed attempt.
pub(crate) struct FailedAttempt {
    pub(crate) error: AttemptError,
    /// Set if a buyer's request itself may be the cause: it depends on the other attempts whether
    /// the miner or the buyer is at fault.
    pub(crate) disputed: Option<DisputedFailure>,
    /// Whether the failure does not count because the miner had to accept fewer requests.
    pub(crate) is_excused: bool,
    /// Hotkey of the miner.
    pub(crate) hotkey: Hotkey,
}

/// A failure that the buyer's request itself may have caused. The attempt has released its slot.
/// Counts nothing when dropped.
pub(crate) struct DisputedFailure {
    contender: Arc<TaskMiner>,
    inner: Arc<Inner>,
    outcome: Option<RequestOutcome>,
    /// Whether the miner refused a request with images: its model may read none.
    refuses_images: bool,
    /// Whether the request was too large for the miner, which need not accept all that the gateway
    /// does.
    is_too_large: bool,
    /// Whether only the options of the request may be the cause, but more likely the miner is.
    is_options_failure: bool,
}

impl DisputedFailure {
    pub(crate) fn new(
        contender: Arc<TaskMiner>,
        inner: Arc<Inner>,
        error: &AttemptError,
        has_images: bool,
    ) -> Self {
        let status = error.refused();
        let refuses_images = has_images && matches!(status, Some(400 | 415 | 422));
        let (is_too_large, is_options_failure) =
            (status == Some(413), !error.may_be_request_fault());
        Self { contender, inner, outcome: None, refuses_images, is_too_large, is_options_failure }
    }

    /// Returns whether the cause may be that the miner's model reads no images, so that other
    /// miners may answer.
    pub(crate) const fn refuses_images(&self) -> bool {
        self.refuses_images
    }

    /// Returns whether only the options of the request may be the cause. Two such failures do not
    /// show that they are: miners that are down fail in the same way.
    pub(crate) const fn is_options_failure(&self) -> bool {
        self.is_options_failure
    }

    /// Counts the failure against the miner, because another miner has answered the request.
    pub(crate) fn count(self) {
        if self.refuses_images {
            self.contender.refuses_images.store(true, Ordering::Relaxed);
        }
        self.count_failure(false);
    }

    /// Like [`Self::count`], but leaves the circuit breaker as it is, because no other miner has
    /// tried the request.
    pub(crate) fn count_without_breaker(self) {
        self.count_failure(true);
    }

    fn count_failure(mut self, skips_breaker: bool) {
        if self.refuses_images || self.is_too_large {
            return;
        }
        self.outcome = Some(RequestOutcome::Failed);
        let completion = Completion {
            outcome: self.outcome,
            now: self.inner.now(),
            skips_breaker,
            ..Completion::default()
        };
        self.contender.count(&completion);
    }
}

impl Drop for DisputedFailure {
    fn drop(&mut self) {
        self.inner.attempt_metrics.count(
            &self.contender.offer.task,
            RequestKind::Organic,
            self.outcome,
        );
    }
}
