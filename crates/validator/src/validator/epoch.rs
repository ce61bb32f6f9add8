//! One epoch: from the scores of the current round to weights on the chain.

use std::time::{Duration, Instant};

use taonet_neuron::Neurons;
use taonet_primitives::{BlockNumber, Weights, counted};
use taonet_service::{BLOCK_TIME, unix_time};

use super::state::SavedState;
use super::{EpochError, Validator};
use crate::policy::{Decision, PolicyState, PreviousWeights, WeightPolicy, blocks_left};
use crate::subnet::{RoundScores, Subnet};
use crate::weight_service::WeightsOutcome;

/// Divisor that defines the last third of an epoch, in which the validator neither waits for
/// unavailable scores nor retries a failed submission: a retry takes minutes when services hang,
/// and submitting weights takes a few blocks.
const LAST_THIRD_DIVISOR: u32 = 3;
/// Minimum time for a submission, even at the very end of an epoch.
const MIN_SUBMISSION_TIMEOUT: Duration = Duration::from_mins(1);

/// Outcome of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochReport {
    /// Number of the weight epoch.
    pub epoch: u64,
    /// The block at which the epoch was processed.
    pub block: BlockNumber,
    /// The current round, if known.
    pub round: Option<String>,
    /// `scored`, `previous`, `fallback`, `wait` or `unearned`.
    pub decision: &'static str,
    /// The decided weights, if any.
    pub weights: Option<Weights>,
    /// Number of consecutive epochs without scores.
    pub epochs_without_scores: u32,
    /// Outcome of the submission.
    pub outcome: WeightsOutcome,
}

impl<S: Subnet> Validator<S> {
    /// Processes an epoch. Fails, so that the epoch is retried, only if the chain is unreachable,
    /// or if required scores are unavailable and there is time left. The epoch also stays due if
    /// the weights could not be set and there is time left: what prevented it, such as a full disk,
    /// may pass, and a gateway that was restarted may refuse previous weights as too old, but
    /// accept new scores.
    pub(super) async fn epoch(
        &mut self,
        epoch: u64,
        block: BlockNumber,
    ) -> Result<EpochReport, EpochError> {
        let start = Instant::now();
        let blocks_left_in_epoch = blocks_left(block, self.settings.tempo);
        let late = (self.settings.tempo / LAST_THIRD_DIVISOR).max(1);
        let is_late = blocks_left_in_epoch <= late;
        let neurons = self.service.neurons(self.settings.netuid).await?;
        let result = self.subnet.scores(&neurons, is_late).await;
        let RoundScores { round, scores } =
            result.map_err(|missing| EpochError::Scores(missing.into()))?;
        let policy = self.policy(&neurons);
        let mut state = self.state.saved().policy.clone();
        let now = neurons.block;
        if !self.has_decided {
            state.drop_stale(
                now,
                self.settings.tempo.saturating_mul(self.settings.max_skipped_epochs),
            );
        }
        let scored = self.subnet.weights(&scores, policy.burn_uid);
        let decision = policy.decide(&mut state, round.as_deref(), scored, |hotkey| {
            neurons.uid_of(&hotkey.parse().ok()?)
        });
        self.has_decided = true;
        measure(&state, start);
        self.subnet.measure(&scores);
        log_decision(epoch, block, round.as_deref(), &decision, policy, &state);
        // Scores just fetched belong to the newest block; previous weights keep the block of their
        // scores.
        let state_block = match (&decision, &state.previous) {
            (Decision::Previous(_), Some(previous)) => Some(previous.block),
            _ => None,
        };
        let outcome = match &decision {
            Decision::Scored(weights)
            | Decision::Previous(weights)
            | Decision::Fallback(weights) => {
                let remaining =
                    BLOCK_TIME.saturating_mul(blocks_left_in_epoch).saturating_sub(start.elapsed());
                self.submit(weights, state_block, remaining.max(MIN_SUBMISSION_TIMEOUT)).await
            }
            Decision::Wait => {
                WeightsOutcome::NoWeights { reason: "no scores, and no previous weights" }
            }
            Decision::Unearned => {
                WeightsOutcome::NoWeights { reason: self.subnet.unearned_reason() }
            }
        };
        log_outcome(&outcome);
        let mut last_set = self.state.saved().last_set;
        if let (WeightsOutcome::Submitted { .. }, Some(weights)) = (&outcome, decision.weights()) {
            if state_block.is_none() {
                state.previous = Some(PreviousWeights::new(
                    weights,
                    |uid| Some(neurons.hotkey_of(uid)?.to_string()),
                    now,
                ));
            }
            let now = unix_time((self.clock)());
            last_set = Some(now.as_secs());
            metrics::gauge!("lastset").set(now.as_secs_f64());
        }
        let epochs_without_scores = state.epochs_without_scores;
        // The submission took time, too.
        let remaining =
            BLOCK_TIME.saturating_mul(blocks_left_in_epoch).saturating_sub(start.elapsed());
        if outcome.is_success() || remaining <= BLOCK_TIME.saturating_mul(late) {
            metrics::counter!("taonet_validator_epochs_total", "decision" => decision.as_str())
                .increment(1);
            self.save_state(SavedState {
                last_epoch: Some(epoch),
                last_set,
                policy: state,
                ..self.state.saved().clone()
            });
        }
        Ok(EpochReport {
            epoch,
            block,
            round,
            decision: decision.as_str(),
            weights: decision.weights().cloned(),
            epochs_without_scores,
            outcome,
        })
    }

    pub(super) async fn submit(
        &self,
        weights: &Weights,
        state_block: Option<BlockNumber>,
        timeout: Duration,
    ) -> WeightsOutcome {
        self.service
            .set_weights(self.settings.netuid, weights, state_block, timeout, &self.sleeper)
            .await
    }

    /// Creates the policy for the current metagraph: an unregistered burn uid cannot receive
    /// weight.
    fn policy(&self, neurons: &Neurons) -> WeightPolicy {
        let uid = self.settings.burn_uid;
        let is_registered = usize::from(uid.0) < neurons.registered;
        if !is_registered {
            tracing::warn!(
                "burn uid {uid} is not registered on subnet {}, which has {}: unearned weight goes to the miners \
                 with scores, and without scores no weights are submitted; hint: set a registered burn uid with \
                 BB_DEFAULT_FALLBACK_UID (Babelbit) or --burn-uid (proof of inference)",
                self.settings.netuid,
                counted(neurons.registered, "neuron")
            );
        }
        WeightPolicy {
            burn_uid: is_registered.then_some(uid),
            max_skipped_epochs: self.settings.max_skipped_epochs,
        }
    }

    fn save_state(&mut self, saved: SavedState) {
        if let Err(error) = self.state.replace(saved) {
            tracing::error!(%error, "cannot save the state: after a restart the epoch is processed again");
        }
    }
}

fn measure(state: &PolicyState, start: Instant) {
    metrics::histogram!("taonet_validator_decision_seconds").record(start.elapsed().as_secs_f64());
    metrics::gauge!("taonet_validator_epochs_without_scores")
        .set(f64::from(state.epochs_without_scores));
}

/// Logs and counts the outcome of an epoch's submission.
fn log_outcome(outcome: &WeightsOutcome) {
    let result = match outcome {
        WeightsOutcome::Submitted { details } => {
            tracing::info!(%details, "weights set");
            "set"
        }
        WeightsOutcome::Unchanged { details } => {
            tracing::info!(%details, "weights already set in this chain epoch, not replaced");
            "kept"
        }
        WeightsOutcome::NotSet { error, details } => {
            tracing::error!(error, %details, "weights not set");
            "not_set"
        }
        WeightsOutcome::NoWeights { reason } => {
            return tracing::warn!("no weights submitted: {reason}");
        }
    };
    metrics::counter!("taonet_validator_submissions_total", "result" => result).increment(1);
}

/// Logs the decision, and the share of the burn uid.
fn log_decision(
    epoch: u64,
    block: BlockNumber,
    round: Option<&str>,
    decision: &Decision,
    policy: WeightPolicy,
    state: &PolicyState,
) {
    let without_scores = state.epochs_without_scores;
    tracing::info!(epoch, %block, round, decision = decision.as_str(), without_scores, "weights decided");
    let burned =
        policy.burn_uid.zip(decision.weights()).map(|(uid, weights)| (uid, weights.of(uid)));
    if let Some((uid, share)) = burned.filter(|(_, share)| *share > 0.0) {
        tracing::warn!(
            "{:.1} % of the weights are unearned and go to the burn uid {uid}",
            share * 100.0
        );
    }
}
