use crate::{NextTokenLosses, Synergy, shapley_values, synergies};

/// Contribution of a miner to the joint prediction of all miners.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Contribution {
    /// Shapley value of the reduction of the loss, in nats per token; negative if the others
    /// predict better alone.
    pub shapley: f64,
    /// Sum of the miner's shares of synergies, in nats per token.
    pub synergy: f64,
    /// Share of the step's reward, in proportion to [`Self::reward`]; the shares of all miners sum
    /// to 1, or are all 0.
    pub share: f64,
}

impl Contribution {
    /// Returns the sum of Shapley value and synergies; 0 if it is negative.
    pub fn reward(&self) -> f64 {
        (self.shapley + self.synergy).max(0.0)
    }
}

/// Computes the contribution of each miner: its Shapley value, and its synergies with each other
/// miner. `seed` decides the sampled orders for more than [`crate::MAX_EXACT`] miners.
pub fn contributions(losses: &NextTokenLosses, seed: u64) -> Vec<Contribution> {
    let miners = losses.miners();
    let values = shapley_values(miners, seed, |coalition| losses.value(coalition));
    let with_shapley = |shapley| Contribution { shapley, ..Contribution::default() };
    let mut contributions: Vec<Contribution> = values.into_iter().map(with_shapley).collect();
    for Synergy { first, second, share } in synergies(miners, |coalition| losses.value(coalition)) {
        for miner in [first, second] {
            if let Some(contribution) = contributions.get_mut(miner) {
                contribution.synergy += share;
            }
        }
    }
    let sum: f64 = contributions.iter().map(Contribution::reward).sum();
    if sum > 0.0 {
        for contribution in &mut contributions {
            contribution.share = contribution.reward() / sum;
        }
    }
    contributions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contributions_of(probabilities: &[Vec<f64>]) -> Vec<Contribution> {
        contributions(&NextTokenLosses::new(probabilities, 2), 7)
    }

    /// The first two miners know different tokens: together they predict 0.5 for both, alone 0.9
    /// for one and 0.1 for the other. The third one guesses.
    #[test]
    fn contribution_has_shapley_value_and_synergy() {
        let actual = contributions_of(&[vec![0.9, 0.1], vec![0.1, 0.9], vec![]]);
        let alone = f64::midpoint(0.9_f64.ln(), 0.1_f64.ln());
        let surplus = 0.5_f64.ln() - alone;
        for contribution in &actual[..2] {
            assert!((contribution.synergy - surplus / 2.0).abs() < 1e-12, "{actual:?}");
            assert!((contribution.share - 0.5).abs() < 1e-12, "{actual:?}");
        }
        assert!(actual[2].shapley < 0.0 && actual[2].share.abs() < f64::MIN_POSITIVE, "{actual:?}");
        // The values sum to that of all three, who predict (0.5 + 0.5 + a guess) / 3 for each
        // token.
        let uniform = 1.0 / 50_257.0;
        let expected = ((1.0 + uniform) / 3.0_f64).ln() - uniform.ln();
        assert!(
            (actual.iter().map(|one| one.shapley).sum::<f64>() - expected).abs() < 1e-9,
            "{actual:?}"
        );
    }

    #[test]
    fn copies_earn_less_than_an_independent_prediction() {
        let actual = contributions_of(&[vec![0.8, 0.1], vec![0.8, 0.1], vec![0.1, 0.8]]);
        assert!(
            (actual[0].share - actual[1].share).abs() < 1e-12 && actual[2].share > actual[0].share,
            "{actual:?}"
        );
    }

    #[test]
    fn miner_that_guesses_earns_nothing() {
        assert!(contributions_of(&[]).is_empty());
        assert!(
            contributions_of(&[vec![], vec![0.0, f64::NAN]])
                .iter()
                .all(|one| one.share.abs() < f64::MIN_POSITIVE)
        );
        assert!((contributions_of(&[vec![0.4, 0.4]])[0].share - 1.0).abs() < 1e-12, "one miner");
    }

    #[test]
    fn sampled_contributions_are_reproducible() {
        let miners: Vec<_> =
            (0..=crate::MAX_EXACT).map(|miner| vec![miner as f64 / 20.0, 0.2]).collect();
        let (first, again) = (contributions_of(&miners), contributions_of(&miners));
        assert_eq!(first, again);
        assert!((first.iter().map(|one| one.share).sum::<f64>() - 1.0).abs() < 1e-9, "{first:?}");
        assert!(first[12].share > first[0].share, "{first:?}");
    }
}
