//! Outcomes of attempts, as counted for their contenders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use taonet_nineteen_core::period::RequestOutcome;

/// Outcome of an attempt, as counted for its contender.
pub(super) struct AttemptOutcome {
    /// `None` until the first chunk or an error. An attempt dropped before then was cancelled.
    outcome: Option<RequestOutcome>,
    /// Whether the attempt has failed for a reason that its [`DisputedFailure`] counts.
    ///
    /// [`DisputedFailure`]: crate::failure::DisputedFailure
    is_disputed: bool,
    /// Whether a failure leaves the circuit breaker as it is.
    is_isolated: bool,
    /// Set once another attempt of the request has returned its answer; `None` once this one has.
    has_other_answer: Option<Arc<AtomicBool>>,
}

impl AttemptOutcome {
    /// Creates the outcome of an attempt that has just begun. All attempts of a request share
    /// `has_answer`.
    pub(super) fn new(has_answer: &Arc<AtomicBool>) -> Self {
        let has_other_answer = Some(Arc::clone(has_answer));
        Self { outcome: None, is_disputed: false, is_isolated: false, has_other_answer }
    }

    /// Returns the outcome; `None` if the attempt counts nothing.
    pub(super) fn get(&self) -> Option<RequestOutcome> {
        self.outcome
    }

    /// Sets the outcome if the attempt ends now.
    pub(super) fn set(&mut self, outcome: RequestOutcome) {
        self.outcome = Some(outcome);
    }

    /// Sets the outcome of a failure whose cause may be the request, which no other miner has tried.
    pub(super) fn set_isolated(&mut self, outcome: RequestOutcome) {
        (self.outcome, self.is_isolated) = (Some(outcome), true);
    }

    /// Whether a failure leaves the circuit breaker as it is.
    pub(super) fn is_isolated(&self) -> bool {
        self.is_isolated
    }

    /// Removes the outcome.
    pub(super) fn clear(&mut self) {
        self.outcome = None;
    }

    /// Leaves the outcome to the failure of the request.
    pub(super) fn dispute(&mut self) {
        self.is_disputed = true;
    }

    /// Whether the failure of the request counts in place of the attempt.
    pub(super) fn is_disputed(&self) -> bool {
        self.is_disputed
    }

    /// Records that this attempt returns its answer, for the other attempts of the request.
    pub(super) fn record_answer_returned(&mut self) {
        if let Some(has_answer) = self.has_other_answer.take() {
            has_answer.store(true, Ordering::Relaxed);
        }
    }

    /// Removes the outcome if another attempt has returned its answer: a hedged attempt that has
    /// begun a collected answer, but was slower than the other one, is cancelled.
    pub(super) fn cancel_if_slower(&mut self) {
        if let Some(has_answer) = &self.has_other_answer
            && has_answer.load(Ordering::Relaxed)
        {
            self.outcome = None;
        }
    }

    /// Whether the attempt was cancelled, so that it is not counted.
    pub(super) fn is_cancelled(&self) -> bool {
        self.outcome.is_none() && !self.is_disputed
    }
}
