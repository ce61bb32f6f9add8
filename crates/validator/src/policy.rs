//! Decision of an epoch: whether the epoch is due, and which weights (scored, previous or fallback)
//! are submitted.

use serde::{Deserialize, Serialize};
use taonet_primitives::{BlockNumber, Uid, Weights};

/// Returns the weight epoch of a block, if it is due: later than the last processed one. An epoch
/// is due from its first block to its last, so that none is missed between two polls.
///
/// If the block is more than one epoch behind the last processed epoch, the chain was restarted
/// from genesis, and its epochs are due again.
pub(crate) fn due_epoch(block: BlockNumber, tempo: u32, last: Option<u64>) -> Option<u64> {
    let epoch = u64::from(block.get() / tempo.max(1));
    let is_due = last.is_none_or(|last| epoch > last || epoch.saturating_add(1) < last);
    is_due.then_some(epoch)
}

/// Returns the number of blocks remaining in a block's weight epoch, including that block.
pub(crate) fn blocks_left(block: BlockNumber, tempo: u32) -> u32 {
    let tempo = tempo.max(1);
    tempo - block.get() % tempo
}

/// Previously submitted weights, by hotkey: a uid may have changed owner before they are submitted
/// again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PreviousWeights {
    /// Hotkeys that received weight.
    pub(crate) hotkeys: Vec<String>,
    /// Weights in the order of `hotkeys`.
    pub(crate) weights: Vec<f64>,
    /// The block at which the scores behind the weights were fetched.
    pub(crate) block: BlockNumber,
}

impl PreviousWeights {
    /// Creates the record of submitted weights; `hotkey_of` maps a uid to its hotkey.
    pub(crate) fn new(
        weights: &Weights,
        hotkey_of: impl Fn(Uid) -> Option<String>,
        block: BlockNumber,
    ) -> Self {
        let pairs = weights.uids.iter().zip(&weights.weights);
        let registered = pairs.filter_map(|(uid, weight)| Some((hotkey_of(*uid)?, *weight)));
        let (hotkeys, weights) = registered.unzip();
        Self { hotkeys, weights, block }
    }

    /// Maps the weights to the current uids. Shares of deregistered hotkeys go to `burn_uid` or,
    /// without one, are distributed among the others in proportion; `None` when all hotkeys have
    /// deregistered.
    fn current_weights(
        &self,
        uid_of: impl Fn(&str) -> Option<Uid>,
        burn_uid: Option<Uid>,
    ) -> Option<Weights> {
        let mut weights = Weights::default();
        let mut has_registered = false;
        for (hotkey, weight) in self.hotkeys.iter().zip(&self.weights) {
            let uid_now = uid_of(hotkey);
            has_registered |= uid_now.is_some();
            if let Some(uid) = uid_now.or(burn_uid) {
                weights.add(uid, *weight);
            }
        }
        has_registered.then(|| weights.normalised()).filter(|weights| !weights.uids.is_empty())
    }
}

/// Persistent state of a validator between epochs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct PolicyState {
    /// The last known round.
    #[serde(default, alias = "challenge_uid")]
    pub(crate) round: Option<String>,
    /// Number of consecutive epochs without scores.
    #[serde(default)]
    pub(crate) epochs_without_scores: u32,
    /// The last submitted weights.
    // Older versions wrote uids without their hotkeys, as `previous`; these cannot be mapped to
    // neurons.
    #[serde(default, rename = "previous_weights")]
    pub(crate) previous: Option<PreviousWeights>,
}

impl PolicyState {
    /// Resets the state if the scores behind the previous weights are more than `max` blocks old:
    /// the validator then no longer knows whether these miners are active.
    pub(crate) fn drop_stale(&mut self, block: BlockNumber, max: u32) {
        // After a restart from genesis, block numbers are lower.
        if self
            .previous
            .as_ref()
            .is_some_and(|previous| previous.block.get().abs_diff(block.get()) > max)
        {
            (self.previous, self.epochs_without_scores) = (None, 0);
        }
    }
}

/// Policy for epochs without scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WeightPolicy {
    /// The uid that receives unearned weight; `None` if it is not registered on the subnet.
    pub(crate) burn_uid: Option<Uid>,
    /// Number of consecutive epochs without scores after which all weight goes to `burn_uid`, if
    /// there are no previous weights to resubmit.
    pub(crate) max_skipped_epochs: u32,
}

/// Decision of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Weights based on the scores of the current round.
    Scored(Weights),
    /// Previously submitted weights, since there are no scores.
    Previous(Weights),
    /// All weight for the burn uid, since there have been no scores for too long.
    Fallback(Weights),
    /// No weights, since there are no scores yet.
    Wait,
    /// No weights, since no score earns weight.
    Unearned,
}

impl Decision {
    /// Returns the weights to submit, if any.
    pub(crate) const fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Scored(weights) | Self::Previous(weights) | Self::Fallback(weights) => {
                Some(weights)
            }
            Self::Wait | Self::Unearned => None,
        }
    }

    /// Returns the decision's name, for logs and reports.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Scored(_) => "scored",
            Self::Previous(_) => "previous",
            Self::Fallback(_) => "fallback",
            Self::Wait => "wait",
            Self::Unearned => "unearned",
        }
    }
}

impl WeightPolicy {
    /// Decides which weights to submit, and updates the state. `round` names the current round, if
    /// known; a change resets the count of epochs without scores. `scored` holds the weights
    /// derived from the round's scores; `None` if the round has no scores. `uid_of` maps a hotkey
    /// to its uid.
    pub(crate) fn decide(
        self,
        state: &mut PolicyState,
        round: Option<&str>,
        scored: Option<Weights>,
        uid_of: impl Fn(&str) -> Option<Uid>,
    ) -> Decision {
        if let Some(round) = round.filter(|round| state.round.as_deref() != Some(round)) {
            if state.round.is_some() {
                state.epochs_without_scores = 0;
            }
            state.round = Some(round.to_owned());
        }
        if let Some(weights) = scored {
            state.epochs_without_scores = 0;
            return if weights.uids.is_empty() {
                Decision::Unearned
            } else {
                Decision::Scored(weights)
            };
        }
        state.epochs_without_scores = state.epochs_without_scores.saturating_add(1);
        if let Some(weights) = state
            .previous
            .as_ref()
            .and_then(|previous| previous.current_weights(uid_of, self.burn_uid))
        {
            return Decision::Previous(weights);
        }
        match self.burn_uid {
            Some(uid) if state.epochs_without_scores >= self.max_skipped_epochs => {
                Decision::Fallback(Weights { uids: vec![uid], weights: vec![1.0] })
            }
            _ => Decision::Wait,
        }
    }
}

#[cfg(test)]
mod tests;
