//! Weights from scores: the main contest's share is divided in proportion to scores, the arena's
//! share goes to its winner, and unearned shares go to the burn uid.

use std::collections::HashSet;
use std::fmt;

use taonet_primitives::{Uid, Weights};

use crate::Rules;

/// Number of blocks between two submissions of weights in the reference system.
pub const REFERENCE_TEMPO: u32 = 100;
/// Default share of the arena, 90 %, used for a missing or invalid setting.
const DEFAULT_ARENA_SHARE: f64 = 0.9;

/// The arena winner's fraction of all weight, `0..=1`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct ArenaShare(f64);

impl ArenaShare {
    /// A share of 0, for a subnet without an arena.
    pub const NONE: Self = Self(0.0);

    /// Creates a share from a percentage, clamped to `0..=100`; NaN and infinities give the default
    /// of 90 %.
    pub fn from_percent(percent: f64) -> Self {
        if percent.is_finite() { Self(percent.clamp(0.0, 100.0) / 100.0) } else { Self::default() }
    }

    /// Parses a share in percent from a setting; a missing, blank or invalid setting gives the
    /// default of 90 %.
    pub fn from_setting(text: Option<&str>) -> Self {
        text.and_then(|text| text.trim().parse().ok())
            .map_or_else(Self::default, Self::from_percent)
    }

    /// Returns the share, `0..=1`.
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

/// Computes weights from the scores of one challenge.
///
/// The main contest's share goes to its miners in proportion to their scores above 0, the arena's
/// share to its winner. For a uid listed twice in `main`, the first score counts. `burn_uid` gets
/// unearned weight. If there is neither an arena winner nor a burn uid, the arena's share also goes
/// to the main contest; under reference rules, only if the main contest has a share.
///
/// The arena's winner is the first miner with the highest score, even if that score is 0; under
/// strict rules, the score must be above 0 and the lowest uid wins a tie. NaN and infinite scores
/// are ignored.
pub fn compute_weights(
    main: &[(Uid, f64)],
    arena: &[(Uid, f64)],
    arena_share: ArenaShare,
    burn_uid: Option<Uid>,
    rules: Rules,
) -> Weights {
    let mut seen_uids = HashSet::new();
    let mut positive: Vec<_> =
        main.iter().copied().filter(|(uid, _)| seen_uids.insert(*uid)).collect();
    positive.retain(|(_, score)| score.is_finite() && *score > 0.0);
    let mut sum: f64 = positive.iter().map(|(_, score)| score).sum();
    if sum.is_infinite() {
        let max_score =
            positive.iter().fold(0.0_f64, |max_score, (_, score)| max_score.max(*score));
        for (_, score) in &mut positive {
            *score /= max_score;
        }
        sum = positive.iter().map(|(_, score)| score).sum();
    }
    let arena_share = arena_share.get();
    let main_share = 1.0 - arena_share;
    let mut weights = Weights::default();
    let distribute = |weights: &mut Weights, share: f64| {
        for (uid, score) in &positive {
            weights.add(*uid, share * score / sum);
        }
    };
    if main_share > 0.0 {
        if !positive.is_empty() {
            distribute(&mut weights, main_share);
        } else if let Some(uid) = burn_uid {
            weights.add(uid, main_share);
        }
    }
    if arena_share > 0.0 {
        match arena_winner(arena, rules).or(burn_uid) {
            Some(recipient) => weights.add(recipient, arena_share),
            None if main_share > 0.0 || rules == Rules::Strict => {
                distribute(&mut weights, arena_share);
            }
            // The reference system would distribute the arena's share in proportion to the main
            // weights, but there are none.
            None => {}
        }
    }
    if let (true, Some(uid)) = (weights.uids.is_empty(), burn_uid) {
        weights.add(uid, 1.0);
    }
    weights.normalised()
}

/// Returns the winner of the arena; see [`compute_weights`].
pub(crate) fn arena_winner(arena: &[(Uid, f64)], rules: Rules) -> Option<Uid> {
    let entries = arena.iter().filter(|(_, score)| score.is_finite());
    let winner = match rules {
        Rules::Reference => entries.reduce(|best, next| if next.1 > best.1 { next } else { best }),
        Rules::Strict => entries.filter(|(_, score)| *score > 0.0).reduce(|best, next| {
            if next.1 > best.1 || (next.1 >= best.1 && next.0 < best.0) { next } else { best }
        }),
    };
    winner.map(|(uid, _)| *uid)
}

#[cfg(test)]
mod tests;
