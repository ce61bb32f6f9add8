//! Capacity: the accepted part of a miner's declaration, and the part tested in a period.

/// For [`sampled_share`]: cumulative probabilities in ascending order, each with the share of the
/// capacity to test.
const SHARES: [(f64, f64); 3] = [(0.500, 0.04), (0.900, 0.08), (0.995, 0.12)];

/// Share of the capacity to test with the remaining probability of 0.5 %.
const MAX_SHARE: f64 = 0.80;

/// A miner's declared capacity for one task, as accepted by the validator. Units: tokens or
/// denoising steps per period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Capacity that the miner declared, before clamping.
    pub declared: f64,
    /// Declared capacity, clamped to `0..=max_capacity`.
    pub accepted: f64,
    /// Part of the accepted capacity that synthetic requests test in this period.
    pub to_score: f64,
}

impl Capacity {
    /// Clamps a declared capacity to `0..=max_capacity` and computes the part to test.
    ///
    /// `share` comes from [`sampled_share`], `multiplier` from the configuration
    /// (`capacity_to_score_multiplier`). A declaration of NaN counts as 0.
    pub fn accept(declared: f64, max_capacity: f64, share: f64, multiplier: f64) -> Self {
        let accepted = if declared.is_nan() { 0.0 } else { declared.max(0.0).min(max_capacity) };
        Self { declared, accepted, to_score: accepted * share * multiplier }
    }
}

/// Returns the share of a contender's capacity to test: 0.04 with probability 0.5, 0.08 with 0.4, 0.12
/// with 0.095, 0.80 with 0.005. `draw` is a uniform random number in `0..1`.
///
/// The expected value is 0.0674.
pub fn sampled_share(draw: f64) -> f64 {
    SHARES.iter().find(|(cumulative, _)| draw < *cumulative).map_or(MAX_SHARE, |(_, share)| *share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_shares_follow_their_probabilities() {
        let mut counts = [0; 4];
        for draw in 0..1_000 {
            let share = sampled_share(f64::from(draw) / 1_000.0);
            let bucket = [0.04, 0.08, 0.12, 0.80].iter().position(|value| *value == share).unwrap();
            counts[bucket] += 1;
        }
        assert_eq!(counts, [500, 400, 95, 5]);
        let mean = (500.0 * 0.04 + 400.0 * 0.08 + 95.0 * 0.12 + 5.0 * 0.80) / 1_000.0;
        assert!((mean - 0.0674_f64).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn capacities_are_clamped() {
        for (declared, accepted) in [
            (60_000.0, 60_000.0),
            (200_000.0, 120_000.0),
            (-5.0, 0.0),
            (f64::NAN, 0.0),
            (f64::INFINITY, 120_000.0),
        ] {
            let capacity = Capacity::accept(declared, 120_000.0, 0.08, 0.5);
            assert_eq!(
                (capacity.accepted, capacity.to_score),
                (accepted, accepted * 0.08 * 0.5),
                "{declared}"
            );
        }
    }
}
