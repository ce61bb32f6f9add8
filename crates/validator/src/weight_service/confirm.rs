//! Submission and confirmation of the weights of one request.

use std::time::Duration;

use serde_json::{Value, json};
use taonet_chain::weights::{WeightError, quantise, rounded_to_zero, within_limits};
use taonet_chain::{Chain, ChainError, Inclusion, Outcome, WeightRow};
use taonet_ledger::{
    IntentKey, IntentState, NewWeights, State, Submission, SubmissionForm, SubmitError, Submitter,
};
use taonet_primitives::{BlockNumber, MechId, Uid};
use taonet_service::Sleeper;

use super::WeightsOutcome;
use crate::api::WeightsRequest;

/// Maximum number of weights listed in the details, largest first.
const MAX_LISTED_WEIGHTS: usize = 10;

/// Retry policy of an attempt.
pub(crate) struct Retry<P> {
    /// Pauses between two attempts; after the last one, there is one more attempt.
    pub(crate) pauses: P,
    /// Deadline of all attempts together.
    pub(crate) timeout: Duration,
    /// Sleeps for the pauses.
    pub(crate) sleeper: Sleeper,
}

/// Submits the weights, or tracks the epoch's existing submission, until a block includes them.
pub(super) async fn set_and_confirm(
    chain: &dyn Chain,
    submitter: &Submitter,
    request: &WeightsRequest,
    retry: Retry<impl Iterator<Item = Duration> + Send>,
) -> WeightsOutcome {
    let Retry { mut pauses, timeout, sleeper } = retry;
    let mut report = Report::of(request);
    let attempts = async {
        let mut earlier = None;
        loop {
            report.attempt = report.attempt.saturating_add(1);
            match attempt_once(chain, submitter, request, &mut report, earlier.take()).await {
                Ok(WeightsState::Confirmed) => return true,
                Ok(state) => earlier = Some(state),
                Err(error) if error.is_retryable() => report.record_error(&error),
                Err(error) => {
                    report.record_error(&error);
                    return false;
                }
            }
            let Some(pause) = pauses.next() else { return false };
            sleeper(pause).await;
        }
    };
    let is_confirmed = tokio::time::timeout(timeout, attempts).await.unwrap_or(false);
    let details = report.details();
    tracing::info!(netuid = request.netuid.0, is_confirmed, %details, "processed a request to set weights");
    match is_confirmed {
        true if report.is_unchanged() => WeightsOutcome::Unchanged { details },
        true => WeightsOutcome::Submitted { details },
        false => WeightsOutcome::NotSet { error: report.error(), details },
    }
}

/// State of the weights after an attempt.
enum WeightsState {
    Confirmed,
    Pending(IntentKey),
    Refused(IntentKey),
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error("all weights are 0")]
    NoWeights,
}

impl AttemptError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Submit(error) => error.is_retryable(),
            Self::Chain(error) => error.is_retryable(),
            Self::Weights(_) | Self::NoWeights => false,
        }
    }
}

async fn attempt_once(
    chain: &dyn Chain,
    submitter: &Submitter,
    request: &WeightsRequest,
    report: &mut Report,
    earlier: Option<WeightsState>,
) -> Result<WeightsState, AttemptError> {
    let earlier_submission = match &earlier {
        // Several epochs may have passed since the last attempt, and the weights may be set in one
        // of them.
        Some(WeightsState::Pending(key)) => Some(submitter.follow(key).await?),
        // Weights that the chain rejected may be signed again.
        Some(WeightsState::Refused(key)) => Some(submitter.retry(key).await?),
        Some(WeightsState::Confirmed) | None => None,
    };
    let submission = if let Some(earlier_submission) = earlier_submission
        .filter(|earlier_submission| earlier_submission.intent.state != IntentState::Missed)
    {
        earlier_submission
    } else {
        let head = chain.head().await?;
        report.ref_block.get_or_insert(head.number);
        let rules = chain.weight_rules(request.netuid, head.into()).await?;
        report.commit_reveal = rules.commit_reveal.is_some();
        let scores: Vec<(Uid, f64)> =
            request.uids.iter().copied().zip(request.weights.iter().copied()).collect();
        if scores.iter().all(|(_, weight)| *weight <= 0.0) {
            return Err(AttemptError::NoWeights);
        }
        let limited = within_limits(&scores, &rules)?;
        let weights = quantise(&limited)?;
        let zeros = rounded_to_zero(&limited, &weights);
        if !zeros.is_empty() {
            tracing::warn!(netuid = request.netuid.0, uids = ?zeros, "weights that round to 0 of 65535 are left out");
        }
        report.requested_weights.clone_from(&weights);
        let new_weights = NewWeights {
            netuid: request.netuid,
            mech: MechId(0),
            weights,
            version_key: rules.version_key,
            state_block: request.state_block.map_or(head.number, |block| block.min(head.number)),
        };
        submitter.submit(new_weights).await?
    };
    let state = weights_state(&submission);
    report.submission = Some(submission);
    Ok(state)
}

fn weights_state(submission: &Submission) -> WeightsState {
    let key = submission.intent.plan.key;
    let Some(signed) = &submission.submit else { return WeightsState::Pending(key) };
    match signed.state {
        State::Included | State::Finalized
            if signed.outcome.as_ref().is_some_and(Outcome::is_success) =>
        {
            WeightsState::Confirmed
        }
        state if state == State::Invalid || state.is_void() => WeightsState::Refused(key),
        _ => WeightsState::Pending(key),
    }
}

/// Progress of a request.
struct Report {
    uid_count: usize,
    nonzero_weights: usize,
    top_weights: Vec<Value>,
    wait_for_inclusion: bool,
    ref_block: Option<BlockNumber>,
    commit_reveal: bool,
    attempt: u32,
    requested_weights: WeightRow,
    submission: Option<Submission>,
    message: Option<String>,
}

impl Report {
    fn of(request: &WeightsRequest) -> Self {
        let mut pairs: Vec<(Uid, f64)> =
            request.uids.iter().copied().zip(request.weights.iter().copied()).collect();
        pairs.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let top = pairs
            .iter()
            .take(MAX_LISTED_WEIGHTS)
            .map(|(uid, weight)| json!({ "uid": uid, "weight": weight }));
        Self {
            uid_count: request.uids.len(),
            nonzero_weights: request.weights.iter().filter(|weight| **weight > 0.0).count(),
            top_weights: top.collect(),
            wait_for_inclusion: request.wait_for_inclusion,
            ref_block: None,
            commit_reveal: false,
            attempt: 0,
            requested_weights: WeightRow::new(),
            submission: None,
            message: None,
        }
    }

    fn record_error(&mut self, error: &AttemptError) {
        tracing::warn!(attempt = self.attempt, %error, "weights not submitted");
        self.message = Some(error.to_string());
    }

    /// Returns why the weights are not confirmed: the attempt's error if nothing was submitted,
    /// otherwise a general message.
    fn error(&self) -> String {
        match (&self.submission, &self.message) {
            (None, Some(message)) => message.clone(),
            _ => "confirmation failed".to_owned(),
        }
    }

    /// Whether other weights, submitted earlier in the epoch, remain in place.
    fn is_unchanged(&self) -> bool {
        self.submission
            .as_ref()
            .is_some_and(|submission| submission.intent.plan.weights != self.requested_weights)
    }

    fn details(&self) -> Value {
        let mut details = json!({
            "uid_count": self.uid_count,
            "nonzero_weights": self.nonzero_weights,
            "top_weights": self.top_weights,
            "wait_for_inclusion": self.wait_for_inclusion,
            "ref_block": self.ref_block,
            "commit_reveal": self.commit_reveal,
            "attempt": self.attempt,
            "message": self.message,
        });
        if let (Some(submission), Some(fields)) = (&self.submission, details.as_object_mut()) {
            let intent = &submission.intent;
            fields.insert("epoch".into(), json!(intent.plan.key.epoch));
            fields.insert("unchanged".into(), json!(self.is_unchanged()));
            if let Some(signed) = &submission.submit {
                fields.insert("extrinsic".into(), json!(signed.extrinsic.hash));
                fields.insert("state".into(), json!(signed.state.to_string()));
                if let Some(inclusion) = signed.outcome.as_ref().and_then(Outcome::inclusion) {
                    fields.insert("block".into(), json!(inclusion.block.number));
                    if let Err(error) = &inclusion.result {
                        fields.insert("message".into(), json!(error.to_string()));
                    }
                    let (confirmation, round) = confirmation(&intent.plan.form, inclusion);
                    fields.insert("confirmation".into(), json!(confirmation));
                    if let Some(round) = round {
                        fields.insert("reveal_round".into(), round);
                    }
                } else if let Some(outcome) = &signed.outcome {
                    let message = match outcome {
                        Outcome::Invalid(because) => because.to_string(),
                        outcome => format!("{outcome:?}"),
                    };
                    fields.insert("message".into(), json!(message));
                }
            }
        }
        details
    }
}

/// Returns the kind of confirmation, and the drand round that opens a timelocked commit.
fn confirmation(form: &SubmissionForm, inclusion: &Inclusion) -> (&'static str, Option<Value>) {
    match form {
        SubmissionForm::Timelocked { .. } => ("timelocked_commit", reveal_round(inclusion)),
        SubmissionForm::Hash { .. } => ("hash_commit", None),
        _ => ("weights_set", None),
    }
}

fn reveal_round(inclusion: &Inclusion) -> Option<Value> {
    let committed = inclusion
        .events
        .iter()
        .find(|event| event.is("SubtensorModule", "TimelockedWeightsCommitted"));
    // Fields: who, mechanism, hash of the commit, drand round.
    committed.and_then(|event| event.fields.get(3)).cloned()
}
