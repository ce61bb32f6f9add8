//! The stake-weighted median: the score that a majority of stake supports.

use crate::fixed::I32F32;

/// A vote: a score and the stake behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The score that the voter supports.
    pub score: I32F32,
    /// The share of stake behind the vote.
    pub stake: I32F32,
}

/// A calculator of weighted medians that reuses its buffers between calls.
#[derive(Debug, Default)]
pub struct Median {
    votes: Vec<Vote>,
    lower: Vec<Vote>,
    upper: Vec<Vote>,
}

impl Median {
    /// Returns the smallest score at which the stake of all votes up to that score exceeds
    /// `minority`; 0 without votes.
    ///
    /// `stake_below` is the stake of votes known to be smaller than all of `votes`; `total` is
    /// `stake_below` plus the stake of `votes`. As on the chain, the pivot is the middle of the
    /// remaining votes: when a sum of stake equals `minority`, the result depends on the pivot.
    pub fn find(
        &mut self,
        votes: impl IntoIterator<Item = Vote>,
        minority: I32F32,
        stake_below: I32F32,
        total: I32F32,
    ) -> I32F32 {
        let (mut stake_below, mut total_up_to_pivot) = (stake_below, total);
        self.votes.clear();
        self.votes.extend(votes);
        loop {
            if let [only] = self.votes.as_slice() {
                return only.score;
            }
            let Some(&Vote { score: pivot, .. }) = self.votes.get(self.votes.len() / 2) else {
                return I32F32::ZERO;
            };
            self.lower.clear();
            self.lower.extend(self.votes.iter().filter(|vote| vote.score < pivot));
            self.upper.clear();
            self.upper.extend(self.votes.iter().filter(|vote| vote.score > pivot));
            let stake_below_pivot = stake_below + total_stake(&self.lower);
            let stake_up_to_pivot = total_up_to_pivot - total_stake(&self.upper);
            if minority < stake_below_pivot && !self.lower.is_empty() {
                std::mem::swap(&mut self.votes, &mut self.lower);
                total_up_to_pivot = stake_below_pivot;
            } else if stake_up_to_pivot <= minority && !self.upper.is_empty() {
                std::mem::swap(&mut self.votes, &mut self.upper);
                stake_below = stake_up_to_pivot;
            } else {
                return pivot;
            }
        }
    }
}

fn total_stake(votes: &[Vote]) -> I32F32 {
    votes.iter().map(|vote| vote.stake).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Finds the median by sorting, as a reference: the first score whose cumulative stake exceeds
    /// `minority`.
    fn by_sorting(votes: &[Vote], minority: I32F32) -> I32F32 {
        let mut ascending = votes.to_vec();
        ascending.sort_by_key(|vote| vote.score);
        let mut cumulative = I32F32::ZERO;
        for vote in &ascending {
            cumulative = cumulative + vote.stake;
            if cumulative > minority {
                return vote.score;
            }
        }
        ascending.last().map_or(I32F32::ZERO, |vote| vote.score)
    }

    fn votes() -> impl Strategy<Value = Vec<Vote>> {
        let vote = (0_i64..6, 1_i64..5).prop_map(|(score, stake)| Vote {
            score: I32F32::from_int(score),
            stake: I32F32::from_int(stake),
        });
        prop::collection::vec(vote, 0..20)
    }

    proptest! {
        #[test]
        fn weighted_median_equals_its_definition(votes in votes(), minority in -2_i64..60) {
            let minority = I32F32::from_int(minority);
            let total = total_stake(&votes);
            let median = Median::default().find(votes.iter().copied(), minority, I32F32::ZERO, total);
            prop_assert_eq!(median, by_sorting(&votes, minority));
        }

        #[test]
        fn omitted_zero_votes_do_not_change_the_median(votes in votes(), minority in -2_i64..60) {
            let minority = I32F32::from_int(minority);
            let total = total_stake(&votes);
            let (zeros, others): (Vec<_>, Vec<_>) = votes.iter().partition(|vote| vote.score == I32F32::ZERO);
            let stake_below = total_stake(&zeros);
            let actual = if others.is_empty() || (stake_below > I32F32::ZERO && minority < stake_below) {
                I32F32::ZERO
            } else {
                Median::default().find(others, minority, stake_below, total)
            };
            prop_assert_eq!(actual, Median::default().find(votes, minority, I32F32::ZERO, total));
        }
    }
}
