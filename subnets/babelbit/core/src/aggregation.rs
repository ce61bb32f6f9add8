//! Aggregation of the scores that several validators give a miner.

/// Computes the stake-weighted median of `(score, stake)` pairs: holders of at least half of the
/// stake gave this score or a lower one, and holders of at least half gave this score or a higher
/// one. If two adjacent scores qualify, the result is their mean. Scores without stake are ignored,
/// unless no score has stake: then all scores have equal weight.
///
/// Holders of less than half of the stake cannot move the result out of the range of the other
/// scores. Non-finite scores are ignored. Returns `None` if there are no finite scores.
pub fn stake_weighted_median(scores: impl IntoIterator<Item = (f64, u64)>) -> Option<f64> {
    let mut scores: Vec<(f64, u64)> =
        scores.into_iter().filter(|(score, _)| score.is_finite()).collect();
    if scores.iter().all(|(_, stake)| *stake == 0) {
        for (_, stake) in &mut scores {
            *stake = 1;
        }
    }
    scores.retain(|(_, stake)| *stake > 0);
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total_stake: u128 = scores.iter().map(|(_, stake)| u128::from(*stake)).sum();
    let mut cumulative_stake = 0_u128;
    let mut remaining = scores.into_iter();
    while let Some((score, stake)) = remaining.next() {
        cumulative_stake += u128::from(stake);
        if cumulative_stake * 2 > total_stake {
            return Some(score);
        }
        if cumulative_stake * 2 == total_stake {
            return remaining.next().map(|(next, _)| f64::midpoint(score, next));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: scores and stakes · median
    type Row<'a> = (&'a [(f64, u64)], Option<f64>);

    #[test]
    fn median_is_the_score_at_half_of_the_stake() {
        #[rustfmt::skip]
        let table: &[Row] = &[
            (&[], None),
            (&[(f64::NAN, 5)], None),
            (&[(0.3, 7)], Some(0.3)),
            (&[(0.3, 0)], Some(0.3)),
            (&[(0.2, 1), (0.6, 1)], Some(0.4)),
            (&[(0.6, 1), (0.2, 2)], Some(0.2)),
            (&[(0.1, 1), (0.2, 1), (0.9, 1)], Some(0.2)),
            // One large stake outweighs two small ones.
            (&[(1.0, 2), (1.0, 2), (0.5, 5)], Some(0.5)),
            // A score without stake is ignored if another score has stake.
            (&[(1.0, 0), (0.4, 3)], Some(0.4)),
            (&[(1.0, 0), (0.5, 0)], Some(0.75)),
            (&[(0.4, u64::MAX), (0.5, u64::MAX), (0.6, u64::MAX)], Some(0.5)),
        ];
        for (scores, median) in table {
            assert_eq!(stake_weighted_median(scores.iter().copied()), *median, "{scores:?}");
        }
    }

    #[test]
    fn minority_stake_cannot_move_the_median_outside_other_scores() {
        for outlier in [0.0, 1.0] {
            let median = stake_weighted_median([(outlier, 49), (0.4, 30), (0.5, 21)]).unwrap();
            assert!((0.4..=0.5).contains(&median), "{median}");
        }
    }
}
