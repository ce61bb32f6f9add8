//! Aggregation of several validators' scores of a miner.

/// Computes the stake-weighted median: half of the stake gave this score or less, half this or more. When a score and
/// the next one both qualify, the result is their mean. Scores without stake are ignored, unless no score has any: then
/// all count equally.
///
/// A holder of less than half of the stake cannot lift the result above all other scores, nor push it below them.
/// Non-finite scores are ignored. Returns `None` without any score.
pub fn stake_weighted_median(scores: impl IntoIterator<Item = (f64, u64)>) -> Option<f64> {
    let mut scores: Vec<(f64, u64)> = scores.into_iter().filter(|(score, _)| score.is_finite()).collect();
    if scores.iter().all(|(_, stake)| *stake == 0) {
        for (_, stake) in &mut scores {
            *stake = 1;
        }
    }
    scores.retain(|(_, stake)| *stake > 0);
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u128 = scores.iter().map(|(_, stake)| u128::from(*stake)).sum();
    let mut below = 0_u128;
    let mut rest = scores.into_iter();
    while let Some((score, stake)) = rest.next() {
        below += u128::from(stake);
        if below * 2 > total {
            return Some(score);
        }
        if below * 2 == total {
            return rest.next().map(|(next, _)| f64::midpoint(score, next));
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
    fn half_of_the_stake_decides() {
        #[rustfmt::skip]
        let table: &[Row] = &[
            (&[], None),
            (&[(f64::NAN, 5)], None),
            (&[(0.3, 7)], Some(0.3)),
            (&[(0.3, 0)], Some(0.3)),
            (&[(0.2, 1), (0.6, 1)], Some(0.4)),
            (&[(0.6, 1), (0.2, 2)], Some(0.2)),
            (&[(0.1, 1), (0.2, 1), (0.9, 1)], Some(0.2)),
            // Two small stakes against a large one.
            (&[(1.0, 2), (1.0, 2), (0.5, 5)], Some(0.5)),
            // A score without stake is ignored beside others.
            (&[(1.0, 0), (0.4, 3)], Some(0.4)),
            (&[(1.0, 0), (0.5, 0)], Some(0.75)),
            (&[(0.4, u64::MAX), (0.5, u64::MAX), (0.6, u64::MAX)], Some(0.5)),
        ];
        for (scores, median) in table {
            assert_eq!(stake_weighted_median(scores.iter().copied()), *median, "{scores:?}");
        }
    }

    #[test]
    fn less_than_half_cannot_leave_the_others_scores() {
        for wild in [0.0, 1.0] {
            let median = stake_weighted_median([(wild, 49), (0.4, 30), (0.5, 21)]).unwrap();
            assert!((0.4..=0.5).contains(&median), "{median}");
        }
    }
}
