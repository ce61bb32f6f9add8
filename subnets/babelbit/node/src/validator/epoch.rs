//! One epoch: from the current challenge to weights on the chain.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use taonet_babelbit_core::operator_api::{MetagraphSnapshot, WeightsAnswer};
use taonet_babelbit_core::weight_policy::{Decision, PolicyState, Previous, WeightPolicy, blocks_left};
use taonet_babelbit_core::weights::Weights;
use taonet_primitives::{BlockNumber, Uid, counted};

use super::state::Saved;
use super::{EpochError, Validator};
use crate::clock::{BLOCK_TIME, since_1970};

/// In this part of an epoch, its last third, what could not be had is not waited for: to ask again takes minutes where
/// services hang, and weights take a few blocks.
const LATE: u32 = 3;
/// Weights are given so much time, also at the very end of an epoch.
const LEAST: Duration = Duration::from_mins(1);

/// What an epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpochReport {
    /// The epoch of weights.
    pub epoch: u64,
    /// The block at which it was worked on.
    pub block: BlockNumber,
    /// The current challenge, where the engine named one.
    pub challenge_uid: Option<String>,
    /// `scored`, `previous`, `fallback` or `wait`.
    pub decision: &'static str,
    /// The weights that were to be set, if any.
    pub weights: Option<Weights>,
    /// Epochs in a row without scores.
    pub epochs_without_scores: u32,
    /// Whether the weights are set; true also where there was nothing to set, or where `details.unchanged` says that the
    /// chain's epoch had others already.
    pub success: bool,
    /// Why not, or why there was nothing to set.
    pub error: Option<String>,
    /// What signer or gateway said.
    pub details: Value,
}

impl Validator {
    /// Works on an epoch. Whether or not weights are set, it is not worked on again; where the chain cannot be asked, or
    /// scores that count cannot be had while there is time, it is.
    pub(super) async fn epoch(&mut self, epoch: u64, block: BlockNumber) -> Result<EpochReport, EpochError> {
        let began = Instant::now();
        let left = blocks_left(block, self.settings.tempo);
        let is_late = left <= (self.settings.tempo / LATE).max(1);
        let (mut rows, snapshot) = tokio::join!(self.rows(), self.services.gateway.snapshot(self.settings.netuid));
        let snapshot = snapshot?;
        let slots = slots(&snapshot);
        let uid_of = |hotkey: &str| slots.get(hotkey).copied();
        rows.check(is_late)?;
        let mut scores = rows.scores(uid_of);
        if scores.is_empty() {
            self.older_rows(&mut rows).await;
            rows.check(is_late)?;
            scores = rows.scores(uid_of);
        }
        let challenge_uid = rows.challenge_uid;
        let policy = self.policy(&snapshot);
        let mut state = self.state.saved().policy.clone();
        let now = BlockNumber::new(snapshot.block);
        if !self.has_decided {
            state.forget_old(now, self.settings.tempo.saturating_mul(self.settings.max_skipped_epochs));
        }
        let decision = policy.decide(&mut state, challenge_uid.as_deref(), &scores, uid_of);
        self.has_decided = true;
        self.measure(&scores, &decision, &state, began);
        tell(epoch, block, challenge_uid.as_deref(), &decision, &policy, &state);

        // Scores of just now are of the newest block; those that are set again are as old as they are.
        let state_block = match (&decision, &state.previous) {
            (Decision::Previous(_), Some(previous)) => Some(previous.block),
            _ => None,
        };
        let answer = match decision.weights() {
            Some(weights) => {
                let rest = BLOCK_TIME.saturating_mul(left).saturating_sub(began.elapsed());
                Some(self.submit(weights, state_block, rest.max(LEAST)).await)
            }
            None => None,
        };
        let is_set = answer.as_ref().is_some_and(|answer| answer.success && !answer.is_kept());
        let mut last_set = self.state.saved().last_set;
        if let (true, Some(weights)) = (is_set, decision.weights()) {
            if state_block.is_none() {
                state.previous = Some(Previous::new(weights, &snapshot.hotkeys, now));
            }
            let now = since_1970((self.clock)());
            last_set = Some(now.as_secs());
            metrics::gauge!("lastset").set(now.as_secs_f64());
        }
        let epochs_without_scores = state.epochs_without_scores;
        self.remember(Saved { last_epoch: Some(epoch), last_set, policy: state, ..self.state.saved().clone() });
        let WeightsAnswer { success, error, details } = answer.unwrap_or_else(|| WeightsAnswer {
            success: true,
            error: nothing(&decision, &policy).map(str::to_owned),
            details: Value::Null,
        });
        Ok(EpochReport {
            epoch,
            block,
            challenge_uid,
            decision: decision.as_str(),
            weights: decision.weights().cloned(),
            epochs_without_scores,
            success,
            error,
            details,
        })
    }

    /// The policy for the subnet as it is: a burn uid that nobody has cannot receive anything.
    fn policy(&self, snapshot: &MetagraphSnapshot) -> WeightPolicy {
        let uid = self.settings.burn_uid;
        let is_there = usize::from(uid.0) < snapshot.hotkeys.len();
        if !is_there {
            tracing::warn!(
                "uid {uid} is to receive what nobody has earned, but subnet {} has {}: set \
                 BB_DEFAULT_FALLBACK_UID; until then it goes to the miners that have scores, and nothing is set without any",
                self.settings.netuid,
                counted(snapshot.hotkeys.len(), "neuron")
            );
        }
        WeightPolicy {
            arena_share: self.settings.arena_share,
            burn_uid: is_there.then_some(uid),
            max_skipped_epochs: self.settings.max_skipped_epochs,
            rules: self.settings.rules,
        }
    }

    fn remember(&mut self, saved: Saved) {
        if let Err(error) = self.state.replace(saved) {
            tracing::error!(%error, "what was done is not on disk: after a restart the epoch is worked on again");
        }
    }
}

/// Who has which slot; of a hotkey that has several, the first.
fn slots(snapshot: &MetagraphSnapshot) -> HashMap<&str, Uid> {
    let mut slots = HashMap::new();
    for (hotkey, uid) in snapshot.hotkeys.iter().zip(0..) {
        slots.entry(hotkey.as_str()).or_insert(Uid(uid));
    }
    slots
}

/// Why there are no weights to set, where there are none.
fn nothing(decision: &Decision, policy: &WeightPolicy) -> Option<&'static str> {
    match decision {
        Decision::Scored(_) | Decision::Previous(_) | Decision::Fallback(_) => None,
        Decision::Wait => Some("there are no scores, and none were set before"),
        Decision::Unearned if policy.arena_share.get() < 1.0 => {
            Some("no score is above 0, and BB_DEFAULT_FALLBACK_UID is not on the subnet")
        }
        Decision::Unearned => Some(
            "the arena has all of the share (BB_ARENA_INCENTIVE_PERCENT), nobody has a score in it, and \
             BB_DEFAULT_FALLBACK_UID is not on the subnet",
        ),
    }
}

/// Says what was decided, and what of it goes to nobody who earned it.
fn tell(
    epoch: u64,
    block: BlockNumber,
    challenge_uid: Option<&str>,
    decision: &Decision,
    policy: &WeightPolicy,
    state: &PolicyState,
) {
    let without_scores = state.epochs_without_scores;
    tracing::info!(epoch, %block, challenge_uid, decision = decision.as_str(), without_scores, "weights decided");
    if let Some(reason) = nothing(decision, policy) {
        tracing::warn!("no weights are submitted: {reason}");
    }
    let burned = policy.burn_uid.zip(decision.weights()).map(|(uid, weights)| (uid, weights.of(uid)));
    if let Some((uid, share)) = burned.filter(|(_, share)| *share > 0.0) {
        tracing::warn!("{:.1} % of the weights go to uid {uid}, since nobody has earned them", share * 100.0);
    }
}
