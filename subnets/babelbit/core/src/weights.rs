//! How scores become weights: the main contest by share, the arena to its winner, the rest to the burn uid.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use taonet_primitives::Uid;

use crate::Rules;

/// The share of the arena where none is set, or one that is no number.
const DEFAULT_ARENA_SHARE: f64 = 0.9;
/// Sums and residuals nearer than this to what they should be are left alone.
const TOLERANCE: f64 = 1e-9;

/// The part of all weight that the arena's winner gets, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct ArenaShare(f64);

impl ArenaShare {
    /// No arena.
    pub const NONE: Self = Self(0.0);

    /// A share from a percentage, brought between 0 and 100; NaN and infinities give the default of 90.
    pub fn from_percent(percent: f64) -> Self {
        if percent.is_finite() { Self(percent.clamp(0.0, 100.0) / 100.0) } else { Self::default() }
    }

    /// A share from a setting; absent, blank or no number gives the default of 90 %.
    pub fn from_setting(text: Option<&str>) -> Self {
        text.and_then(|text| text.trim().parse().ok()).map_or_else(Self::default, Self::from_percent)
    }

    /// The share, 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for ArenaShare {
    fn default() -> Self {
        Self(DEFAULT_ARENA_SHARE)
    }
}

impl fmt::Display for ArenaShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0 * 100.0)
    }
}

/// Weights to set, in the order in which uids were first given some. They sum to 1, or there are none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Weights {
    /// Who gets weight.
    pub uids: Vec<Uid>,
    /// How much, in the order of `uids`.
    pub weights: Vec<f64>,
}

impl Weights {
    /// The weight of a uid; 0 where it has none.
    pub fn of(&self, uid: Uid) -> f64 {
        self.uids.iter().zip(&self.weights).find(|(other, _)| **other == uid).map_or(0.0, |(_, weight)| *weight)
    }

    pub(crate) fn add(&mut self, uid: Uid, weight: f64) {
        if let Some((_, sum)) = self.uids.iter().zip(&mut self.weights).find(|(other, _)| **other == uid) {
            *sum += weight;
        } else {
            self.uids.push(uid);
            self.weights.push(weight);
        }
    }

    pub(crate) fn normalised(mut self) -> Self {
        let sum: f64 = self.weights.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return Self::default();
        }
        if (sum - 1.0).abs() > TOLERANCE {
            for weight in &mut self.weights {
                *weight /= sum;
            }
        }
        let residual = 1.0 - self.weights.iter().sum::<f64>();
        if let Some(last) = self.weights.last_mut().filter(|_| residual.abs() > TOLERANCE) {
            *last += residual;
        }
        self
    }
}

/// Turns the scores of one challenge into weights.
///
/// The main contest's share goes to its miners in proportion to their scores (those above 0), the arena's to its winner.
/// Of a uid that `main` lists twice the first score counts.
/// `burn_uid` gets what nobody earned. Without any of them the arena's share goes to the main contest too; where the arena
/// has all of the share, the main contest has none, and there are no weights. Under strict rules its scores count then.
///
/// The winner is the first of the greatest score, even of 0; under strict rules the score must be above 0 and the
/// lowest uid wins a tie. Scores that are NaN or infinite do not count.
pub fn compute_weights(
    main: &[(Uid, f64)],
    arena: &[(Uid, f64)],
    arena_share: ArenaShare,
    burn_uid: Option<Uid>,
    rules: Rules,
) -> Weights {
    let mut seen = HashSet::new();
    let mut positive: Vec<_> = main.iter().copied().filter(|(uid, _)| seen.insert(*uid)).collect();
    positive.retain(|(_, score)| score.is_finite() && *score > 0.0);
    let mut sum: f64 = positive.iter().map(|(_, score)| score).sum();
    if sum.is_infinite() {
        let greatest = positive.iter().fold(0.0_f64, |greatest, (_, score)| greatest.max(*score));
        for (_, score) in &mut positive {
            *score /= greatest;
        }
        sum = positive.iter().map(|(_, score)| score).sum();
    }
    let arena_share = arena_share.get();
    let main_share = 1.0 - arena_share;
    let mut weights = Weights::default();
    let share_out = |weights: &mut Weights, share: f64| {
        for (uid, score) in &positive {
            weights.add(*uid, share * score / sum);
        }
    };
    if main_share > 0.0 {
        if !positive.is_empty() {
            share_out(&mut weights, main_share);
        } else if let Some(uid) = burn_uid {
            weights.add(uid, main_share);
        }
    }
    if arena_share > 0.0 {
        match arena_winner(arena, rules).or(burn_uid) {
            Some(recipient) => weights.add(recipient, arena_share),
            None if main_share > 0.0 || rules == Rules::Strict => share_out(&mut weights, arena_share),
            // The reference shares it out to those that have weight from the main contest, and that has no share.
            None => {}
        }
    }
    if let (true, Some(uid)) = (weights.uids.is_empty(), burn_uid) {
        weights.add(uid, 1.0);
    }
    weights.normalised()
}

/// Who wins the arena; see [`compute_weights`].
pub fn arena_winner(arena: &[(Uid, f64)], rules: Rules) -> Option<Uid> {
    let entries = arena.iter().filter(|(_, score)| score.is_finite());
    let winner = match rules {
        Rules::Reference => entries.reduce(|best, next| if next.1 > best.1 { next } else { best }),
        Rules::Strict => entries
            .filter(|(_, score)| *score > 0.0)
            .reduce(|best, next| if next.1 > best.1 || (next.1 >= best.1 && next.0 < best.0) { next } else { best }),
    };
    winner.map(|(uid, _)| *uid)
}

#[cfg(test)]
mod tests;
