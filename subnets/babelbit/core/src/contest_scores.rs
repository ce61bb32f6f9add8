//! The scores of one challenge that count for weights, from the rows of the scoring API.

use serde_json::Value;
use taonet_primitives::{Uid, Weights};

use crate::Rules;
use crate::scoring_api::Contest;
use crate::weights::{ArenaShare, arena_winner, compute_weights};

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
    /// The weights by these scores; see [`compute_weights`]. `None` where there is no score at all.
    pub fn weights(&self, arena_share: ArenaShare, burn_uid: Option<Uid>, rules: Rules) -> Option<Weights> {
        (!self.is_empty()).then(|| compute_weights(&self.main, &self.arena, arena_share, burn_uid, rules))
    }

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

#[cfg(test)]
mod tests;
