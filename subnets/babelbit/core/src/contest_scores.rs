//! Scores of one challenge that determine weights, parsed from rows of the scoring API.

use serde_json::Value;
use taonet_primitives::{Uid, Weights};

use crate::Rules;
use crate::scoring_api::Contest;
use crate::weights::{ArenaShare, arena_winner, compute_weights};

/// Scores of one challenge, in the order of the scoring API. `M` identifies a miner: its uid for
/// weights, or another key when uids are unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct ContestScores<M = Uid> {
    /// Miners with their scores in the main contest.
    pub main: Vec<(M, f64)>,
    /// Miners with their scores in the arena.
    pub arena: Vec<(M, f64)>,
}

impl<M> Default for ContestScores<M> {
    fn default() -> Self {
        Self { main: Vec::new(), arena: Vec::new() }
    }
}

impl<M: Copy + PartialEq> ContestScores<M> {
    /// Adds rows of the scoring API. A row that names no contest counts for `contest`. `miner_of`
    /// maps a hotkey to its miner.
    ///
    /// Rows with an unknown hotkey or without a numeric score are ignored; if a hotkey has several
    /// rows in a contest, the first row counts. A row with `main_score` or `arena_score` has one
    /// score per contest; any other row has a single score.
    pub fn add<'a>(
        &mut self,
        rows: &'a [Value],
        contest: Contest,
        miner_of: impl Fn(&'a str) -> Option<M>,
    ) {
        for row in rows {
            let Some(miner) = first_string(row, &["miner_hotkey", "hotkey"]).and_then(&miner_of)
            else {
                continue;
            };
            let (main, arena) =
                (first_number(row, &["main_score"]), first_number(row, &["arena_score"]));
            if main.is_some() || arena.is_some() {
                self.add_score(Contest::Main, miner, main);
                self.add_score(Contest::Arena, miner, arena);
                continue;
            }
            let row_contest = first_string(row, &["challenge_type", "challenge_round", "mode"])
                .and_then(Contest::from_row_name);
            let score = first_number(row, &["challenge_mean_score", "score"]);
            self.add_score(row_contest.unwrap_or(contest), miner, score);
        }
    }

    fn add_score(&mut self, contest: Contest, miner: M, score: Option<f64>) {
        let scores = match contest {
            Contest::Main => &mut self.main,
            Contest::Arena => &mut self.arena,
        };
        if let Some(score) = score.filter(|_| scores.iter().all(|(scored, _)| *scored != miner)) {
            scores.push((miner, score));
        }
    }

    /// Whether there are no scores. A score of 0 counts as a score.
    pub const fn is_empty(&self) -> bool {
        self.main.is_empty() && self.arena.is_empty()
    }
}

impl ContestScores {
    /// Computes weights from these scores; see [`compute_weights`]. `None` if there are no scores.
    pub fn weights(
        &self,
        arena_share: ArenaShare,
        burn_uid: Option<Uid>,
        rules: Rules,
    ) -> Option<Weights> {
        (!self.is_empty())
            .then(|| compute_weights(&self.main, &self.arena, arena_share, burn_uid, rules))
    }

    /// Adds up each miner's main and arena scores, weighted by the shares of the contests.
    pub fn combined(&self, arena_share: ArenaShare) -> Vec<(Uid, f64)> {
        let arena_share = arena_share.get();
        let mut combined: Vec<(Uid, f64)> = Vec::new();
        let main = self.main.iter().map(|(uid, score)| (*uid, (1.0 - arena_share) * score));
        for (uid, weighted_score) in
            main.chain(self.arena.iter().map(|(uid, score)| (*uid, arena_share * score)))
        {
            match combined.iter_mut().find(|(combined_uid, _)| *combined_uid == uid) {
                Some((_, sum)) => *sum += weighted_score,
                None => combined.push((uid, weighted_score)),
            }
        }
        combined
    }

    /// Returns the winner of the main contest (the first miner with the highest score above 0), or
    /// else the winner of the arena.
    pub fn winner(&self, rules: Rules) -> Option<Uid> {
        let positive_scores =
            self.main.iter().filter(|(_, score)| score.is_finite() && *score > 0.0);
        let best = positive_scores.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(uid, _)| *uid).or_else(|| arena_winner(&self.arena, rules))
    }
}

/// Returns the first of these fields that is a string.
fn first_string<'a>(row: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| row.get(name)?.as_str())
}

/// Returns the first of these fields that is a number.
fn first_number(row: &Value, names: &[&str]) -> Option<f64> {
    names.iter().find_map(|name| row.get(name)?.as_f64()).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests;
