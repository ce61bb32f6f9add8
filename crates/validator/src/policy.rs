//! When an epoch is due, and which weights are submitted in it: those by scores, the previous ones, or a fallback.

use serde::{Deserialize, Serialize};
use taonet_primitives::{BlockNumber, Uid, Weights};

/// The weight epoch that a block is in, where it is due: later than the last one that was worked on. An epoch is due from
/// its first block to its last, so that none is missed for want of looking at the right block.
///
/// A chain that is more than an epoch behind the last one was begun anew, and its epochs are due again.
pub fn due_epoch(block: BlockNumber, tempo: u32, last: Option<u64>) -> Option<u64> {
    let epoch = u64::from(block.get() / tempo.max(1));
    let is_due = last.is_none_or(|last| epoch > last || epoch.saturating_add(1) < last);
    is_due.then_some(epoch)
}

/// How many blocks the weight epoch of a block has from that block on.
pub fn blocks_left(block: BlockNumber, tempo: u32) -> u32 {
    let tempo = tempo.max(1);
    tempo - block.get() % tempo
}

/// Weights that were set, by hotkey: when they are set again, a slot may be somebody else's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// Who got weight.
    pub hotkeys: Vec<String>,
    /// How much, in the order of `hotkeys`.
    pub weights: Vec<f64>,
    /// The block at which the scores were fetched that they follow from.
    pub block: BlockNumber,
}

impl Previous {
    /// Weights for the neurons of a subnet, whose hotkeys stand in the order of their uids.
    pub fn new(weights: &Weights, hotkeys: &[String], block: BlockNumber) -> Self {
        let pairs = weights.uids.iter().zip(&weights.weights);
        let known = pairs.filter_map(|(uid, weight)| Some((hotkeys.get(usize::from(uid.0))?.clone(), *weight)));
        let (hotkeys, weights) = known.unzip();
        Self { hotkeys, weights, block }
    }

    /// The same for the slots of today. What belongs to hotkeys that have left the subnet goes to `burn_uid`, else to the
    /// others in proportion; `None` where all have left.
    fn now(&self, uid_of: impl Fn(&str) -> Option<Uid>, burn_uid: Option<Uid>) -> Option<Weights> {
        let mut weights = Weights::default();
        let mut is_anybody_there = false;
        for (hotkey, weight) in self.hotkeys.iter().zip(&self.weights) {
            let found = uid_of(hotkey);
            is_anybody_there |= found.is_some();
            if let Some(uid) = found.or(burn_uid) {
                weights.add(uid, *weight);
            }
        }
        is_anybody_there.then(|| weights.normalised()).filter(|weights| !weights.uids.is_empty())
    }
}

/// What a validator remembers from epoch to epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PolicyState {
    /// The round that was current at the last epoch that had one.
    #[serde(default, alias = "challenge_uid")]
    pub round: Option<String>,
    /// So many epochs in a row had no scores.
    #[serde(default)]
    pub epochs_without_scores: u32,
    /// The weights that were submitted last.
    // Older versions wrote slots without their hotkeys, as `previous`; nobody can say whose they were.
    #[serde(default, rename = "previous_weights")]
    pub previous: Option<Previous>,
}

impl PolicyState {
    /// Begins anew where the weights that would be set again follow from scores of more than `most` blocks ago: whoever was
    /// away for so long does not know whether their miners still do anything.
    pub fn forget_old(&mut self, block: BlockNumber, most: u32) {
        // Of a chain that was begun anew the blocks are earlier.
        let is_old = |previous: &Previous| previous.block.get().abs_diff(block.get()) > most;
        if self.previous.as_ref().is_some_and(is_old) {
            (self.previous, self.epochs_without_scores) = (None, 0);
        }
    }
}

/// Which weights are submitted without scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightPolicy {
    /// Receives what nobody has earned; `None` where it is not on the subnet.
    pub burn_uid: Option<Uid>,
    /// After this many epochs without scores in a row, and without earlier weights, everything goes to `burn_uid`.
    pub max_skipped_epochs: u32,
}

/// What is set in an epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Weights by the scores of the current challenge.
    Scored(Weights),
    /// There are no scores: the weights that were submitted last, again.
    Previous(Weights),
    /// There have been no scores for too long: everything to the burn uid.
    Fallback(Weights),
    /// Nothing.
    Wait,
}

impl Decision {
    /// The weights to set, if any.
    pub const fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Scored(weights) | Self::Previous(weights) | Self::Fallback(weights) => Some(weights),
            Self::Wait => None,
        }
    }

    /// What it is, in a word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Scored(_) => "scored",
            Self::Previous(_) => "previous",
            Self::Fallback(_) => "fallback",
            Self::Wait => "wait",
        }
    }
}

impl WeightPolicy {
    /// Decides what is submitted, and notes what the next epoch must know. `round` names the current round, where it is
    /// known; a change starts the count of epochs without scores over. `scored` holds the weights by the scores of the
    /// round, `None` where it has none. `uid_of` finds the uid of a hotkey.
    pub fn decide(
        &self,
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
            return if weights.uids.is_empty() { Decision::Wait } else { Decision::Scored(weights) };
        }
        state.epochs_without_scores = state.epochs_without_scores.saturating_add(1);
        if let Some(weights) = state.previous.as_ref().and_then(|previous| previous.now(uid_of, self.burn_uid)) {
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
