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

/// Number of miners that must reject a buyer's request as malformed, or fail at it, before the
/// request counts as the cause.
const REQUIRED_DISPUTES: usize = 2;

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
    TimedOut(Duration),
    #[error("miner's answer has more chunks than requested")]
    TooManyChunks,
    #[error("miner's answer is malformed: {0}")]
    Stream(#[from] StreamFault),
    #[error("miner's answer is malformed: {0}")]
    Chunk(#[from] ChunkFault),
    #[error("miner's answer is malformed: {0}")]
    InvalidBody(&'static str),
    #[error("miner's answer is empty")]
    Empty,
    #[error("miner's embeddings have {0} dimensions, and not as many as requested")]
    WrongDimensions(usize),
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
            Self::Status(status) => self.rejection_status().is_some() || status.is_server_error(),
            Self::Stream(StreamFault::Reported)
            | Self::Chunk(ChunkFault::ReportedError)
            | Self::TimedOut(_)
            | Self::WrongDimensions(_) => true,
            _ => false,
        }
    }

    /// Whether options that synthetic requests do not have may be the cause. Some of them, such as
    /// a grammar or a selection of tokens, can keep a model from writing anything in time, or from
    /// ending.
    pub(crate) fn may_be_options_fault(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Empty | Self::TooManyChunks)
    }

    /// Returns the HTTP status if the miner rejected the request as malformed.
    pub(crate) fn rejection_status(&self) -> Option<u16> {
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

/// Properties of a request that may be the reason for a failure.
pub(crate) struct RequestTraits {
    /// Whether the request is a chat with images.
    pub(crate) has_images: bool,
    /// Whether the request has options that synthetic requests do not have.
    pub(crate) has_options: bool,
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
    cause: SuspectedCause,
}

/// Suspected cause of a failure other than the miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuspectedCause {
    /// The request: if another miner fails at it as well, it is at fault.
    Request,
    /// The options of the request, although the miner is the more likely cause. Two such failures
    /// do not prove the options guilty: miners that are down fail in the same way.
    Options,
    /// The prompt, at which every model may stay silent, such as one that takes too long to read.
    /// As a miner that is down is silent as well, further miners are asked, and the first one that
    /// was silent has failed.
    Prompt,
}

impl DisputedFailure {
    pub(crate) fn new(
        contender: Arc<TaskMiner>,
        inner: Arc<Inner>,
        error: &AttemptError,
        request: &RequestTraits,
    ) -> Self {
        let status = error.rejection_status();
        let refuses_images = request.has_images && matches!(status, Some(400 | 415 | 422));
        let cause = if error.may_be_request_fault() {
            SuspectedCause::Request
        } else if request.has_options {
            SuspectedCause::Options
        } else {
            SuspectedCause::Prompt
        };
        let is_too_large = status == Some(413);
        Self { contender, inner, outcome: None, refuses_images, is_too_large, cause }
    }

    /// Returns whether the failure shows, together with that of another miner, that the request is
    /// at fault. Miners whose models read no images do not show that others cannot.
    fn shows_request_fault(&self) -> bool {
        self.cause == SuspectedCause::Request && !self.refuses_images
    }

    /// Counts the failure against the miner, because another miner has answered the request, or no
    /// other one has failed at it.
    fn count_against_miner(self) {
        if self.refuses_images {
            self.contender.refuses_images.store(true, Ordering::Relaxed);
        }
        self.count_failure(false);
    }

    /// Like [`Self::count_against_miner`], but leaves the circuit breaker as it is, because no
    /// other miner has answered the request.
    fn count_without_breaker(self) {
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

/// Failures that a buyer's request itself may have caused, in the order of the attempts' ends. One
/// miner may fail at a valid request; if two do, the request is at fault, and further miners are
/// not: otherwise buyers could lower the miners' scores, and close the market for others.
pub(crate) struct DisputedFailures {
    failures: Vec<DisputedFailure>,
    /// Whether miners of an earlier task have failed at the request, so that not even the first
    /// failure counts.
    has_earlier_task_failed: bool,
}

impl DisputedFailures {
    /// Creates an empty list. `has_earlier_task_failed` says whether miners of an earlier task have
    /// failed at the request.
    pub(crate) const fn new(has_earlier_task_failed: bool) -> Self {
        Self { failures: Vec::new(), has_earlier_task_failed }
    }

    /// Adds the failure of an attempt.
    pub(crate) fn push(&mut self, failure: DisputedFailure) {
        self.failures.push(failure);
    }

    /// Returns whether enough miners have rejected the request, or failed at it, to show that the
    /// request is at fault. Then, no further miner is asked.
    pub(crate) fn show_request_fault(&self) -> bool {
        let request_faults =
            self.failures.iter().filter(|failure| failure.shows_request_fault()).count();
        request_faults >= REQUIRED_DISPUTES
    }

    /// Returns whether the request may be the cause of a failure, so that other models may fail at
    /// it as well.
    pub(crate) fn may_be_request_fault(&self) -> bool {
        self.failures.iter().any(|failure| failure.cause == SuspectedCause::Request)
    }

    /// Counts the failures against their miners, because another miner has answered the request.
    pub(crate) fn count_all(mut self) {
        std::mem::take(&mut self.failures)
            .into_iter()
            .for_each(DisputedFailure::count_against_miner);
    }

    /// Counts the failures of a request that no miner has answered: at most the first one.
    pub(crate) fn count_first(mut self) {
        let is_only_failure = self.failures.len() == 1;
        let Some(first) = self.take_first() else { return };
        match (first.cause, is_only_failure) {
            // Only over several requests can a miner that is always silent be told from one that
            // is silent at a prompt, so its breaker counts them.
            (SuspectedCause::Prompt, true) => first.count_against_miner(),
            (SuspectedCause::Prompt, false) | (_, true) => first.count_without_breaker(),
            (_, false) => {}
        }
    }

    /// Removes all failures; returns the first one, unless miners of another task have failed
    /// before it.
    fn take_first(&mut self) -> Option<DisputedFailure> {
        let first = std::mem::take(&mut self.failures).into_iter().next();
        first.filter(|_| !self.has_earlier_task_failed)
    }
}

impl Drop for DisputedFailures {
    /// Counts the first failure if its miner was silent: buyers who disconnect before another miner
    /// answers must not hide that it is down.
    fn drop(&mut self) {
        let first = self.take_first();
        if let Some(first) = first.filter(|first| first.cause == SuspectedCause::Prompt) {
            first.count_without_breaker();
        }
    }
}
