//! What a validator does with an epoch's scores: which rows count, and what is set when there are none.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_primitives::{BlockNumber, Uid};

use crate::Rules;
use crate::scoring_api::Contest;
use crate::weights::{ArenaShare, Weights, arena_winner, compute_weights};

/// The reference's blocks between two submissions of weights.
pub const REFERENCE_TEMPO: u32 = 100;

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

/// The scores of one challenge that count, in the order of the scoring API: by slot where weights come of them, by
/// whatever else names a miner where no slots are known.
#[derive(Debug, Clone, PartialEq)]
pub struct ContestScores<M = Uid> {
    /// Of the main contest.
    pub main: Vec<(M, f64)>,
    /// Of the arena.
    pub arena: Vec<(M, f64)>,
}

impl<M> Default for ContestScores<M> {
    fn default() -> Self {
        Self { main: Vec::new(), arena: Vec::new() }
    }
}

impl<M: Copy + PartialEq> ContestScores<M> {
    /// Adds rows of the scoring API that name no contest of their own, or this one. `miner_of` finds the miner of a
    /// hotkey.
    ///
    /// Rows of unknown hotkeys and without a number do not count; of several rows of one hotkey and contest the first
    /// does. A row with `main_score` or `arena_score` counts for the contests it has; others have one score.
    pub fn add<'a>(&mut self, rows: &'a [Value], contest: Contest, miner_of: impl Fn(&'a str) -> Option<M>) {
        for row in rows {
            let Some(miner) = text(row, &["miner_hotkey", "hotkey"]).and_then(&miner_of) else { continue };
            let (main, arena) = (number(row, &["main_score"]), number(row, &["arena_score"]));
            if main.is_some() || arena.is_some() {
                self.add_score(Contest::Main, miner, main);
                self.add_score(Contest::Arena, miner, arena);
                continue;
            }
            let named = text(row, &["challenge_type", "challenge_round", "mode"]).and_then(Contest::of_row);
            let score = number(row, &["challenge_mean_score", "score"]);
            self.add_score(named.unwrap_or(contest), miner, score);
        }
    }

    fn add_score(&mut self, contest: Contest, miner: M, score: Option<f64>) {
        let scores = match contest {
            Contest::Main => &mut self.main,
            Contest::Arena => &mut self.arena,
        };
        if let Some(score) = score.filter(|_| scores.iter().all(|(known, _)| *known != miner)) {
            scores.push((miner, score));
        }
    }

    /// Whether there is no score at all; scores of 0 are scores.
    pub const fn is_empty(&self) -> bool {
        self.main.is_empty() && self.arena.is_empty()
    }
}

impl ContestScores {
    /// Each miner's scores taken together by the shares of the contests.
    pub fn combined(&self, arena_share: ArenaShare) -> Vec<(Uid, f64)> {
        let arena_share = arena_share.get();
        let mut combined: Vec<(Uid, f64)> = Vec::new();
        let main = self.main.iter().map(|(uid, score)| (*uid, (1.0 - arena_share) * score));
        for (uid, part) in main.chain(self.arena.iter().map(|(uid, score)| (*uid, arena_share * score))) {
            match combined.iter_mut().find(|(known, _)| *known == uid) {
                Some((_, sum)) => *sum += part,
                None => combined.push((uid, part)),
            }
        }
        combined
    }

    /// The winner of the main contest (the first of the greatest score above 0), else of the arena.
    pub fn winner(&self, rules: Rules) -> Option<Uid> {
        let positive = self.main.iter().filter(|(_, score)| score.is_finite() && *score > 0.0);
        let best = positive.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(uid, _)| *uid).or_else(|| arena_winner(&self.arena, rules))
    }
}

/// The text under the first of these names that has one.
fn text<'a>(row: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| row.get(name)?.as_str())
}

/// The number under the first of these names that has one.
fn number(row: &Value, names: &[&str]) -> Option<f64> {
    names.iter().find_map(|name| row.get(name)?.as_f64()).filter(|number| number.is_finite())
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
    /// The challenge that was current at the last epoch where there was one.
    #[serde(default)]
    pub challenge_uid: Option<String>,
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

/// How scores become weights, and what is set without any.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightPolicy {
    /// The arena's share.
    pub arena_share: ArenaShare,
    /// Receives what nobody has earned; `None` where it is not on the subnet.
    pub burn_uid: Option<Uid>,
    /// After so many epochs without scores in a row everything goes to `burn_uid`.
    pub max_skipped_epochs: u32,
    /// Whose rules count.
    pub rules: Rules,
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
    /// Nothing: there are no scores yet.
    Wait,
    /// Nothing: there are scores, and none of them earns any weight.
    Unearned,
}

impl Decision {
    /// The weights to set, if any.
    pub const fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Scored(weights) | Self::Previous(weights) | Self::Fallback(weights) => Some(weights),
            Self::Wait | Self::Unearned => None,
        }
    }

    /// What it is, in a word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Scored(_) => "scored",
            Self::Previous(_) => "previous",
            Self::Fallback(_) => "fallback",
            Self::Wait | Self::Unearned => "wait",
        }
    }
}

impl WeightPolicy {
    /// Decides what is set, and notes what the next epoch must know. `challenge_uid` is the current challenge, where it is
    /// known; another one than before begins the count anew. `uid_of` finds the slot of a hotkey.
    pub fn decide(
        &self,
        state: &mut PolicyState,
        challenge_uid: Option<&str>,
        scores: &ContestScores,
        uid_of: impl Fn(&str) -> Option<Uid>,
    ) -> Decision {
        if let Some(uid) = challenge_uid.filter(|uid| state.challenge_uid.as_deref() != Some(uid)) {
            if state.challenge_uid.is_some() {
                state.epochs_without_scores = 0;
            }
            state.challenge_uid = Some(uid.to_owned());
        }
        if !scores.is_empty() {
            state.epochs_without_scores = 0;
            let weights = compute_weights(&scores.main, &scores.arena, self.arena_share, self.burn_uid, self.rules);
            return if weights.uids.is_empty() { Decision::Unearned } else { Decision::Scored(weights) };
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
