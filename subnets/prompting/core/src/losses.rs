/// Probability of a token for which a miner states none: that of a uniform choice among the 50 257
/// tokens of GPT-2, whose vocabulary the older text validator used.
const UNIFORM_PROBABILITY: f64 = 1.0 / 50_257.0;

/// The losses of miners, and of coalitions of miners, on the next tokens of a text.
///
/// A coalition predicts with the mean of its members' probabilities. Its loss is the mean of −ln p
/// over the positions of the text, where p is the probability of the true token; that of the empty
/// coalition is the loss of a uniform choice.
#[derive(Debug, Clone, PartialEq)]
pub struct NextTokenLosses {
    /// Probabilities of the true token at each position, for each miner.
    probabilities: Vec<Vec<f64>>,
    positions: usize,
}

impl NextTokenLosses {
    /// Creates the losses from the probability that each miner gave to the true token at each
    /// position. Probabilities that are missing, not finite or smaller than a uniform choice count
    /// as that; those above 1 as 1.
    pub fn new(probabilities: &[Vec<f64>], positions: usize) -> Self {
        let limit_probability = |probability: Option<&f64>| {
            probability
                .filter(|number| number.is_finite())
                .map_or(UNIFORM_PROBABILITY, |number| number.clamp(UNIFORM_PROBABILITY, 1.0))
        };
        let row = |miner: &Vec<f64>| {
            (0..positions).map(|position| limit_probability(miner.get(position))).collect()
        };
        Self { probabilities: probabilities.iter().map(row).collect(), positions }
    }

    /// Returns the number of miners.
    pub const fn miners(&self) -> usize {
        self.probabilities.len()
    }

    /// Returns the loss of a coalition, in nats per token; 0 for a text without positions.
    pub fn loss(&self, coalition: &[usize]) -> f64 {
        let members: Vec<_> =
            coalition.iter().filter_map(|miner| self.probabilities.get(*miner)).collect();
        let mean_probability = |position: usize| {
            let probabilities = members.iter().filter_map(|row| row.get(position));
            if members.is_empty() {
                UNIFORM_PROBABILITY
            } else {
                probabilities.sum::<f64>() / members.len() as f64
            }
        };
        if self.positions == 0 {
            return 0.0;
        }
        (0..self.positions).map(|position| -mean_probability(position).ln()).sum::<f64>()
            / self.positions as f64
    }

    /// Returns the value of a coalition: by how much its loss is lower than that of the empty coalition.
    pub fn value(&self, coalition: &[usize]) -> f64 {
        self.loss(&[]) - self.loss(coalition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_computed_from_the_mean_probability() {
        let losses = NextTokenLosses::new(&[vec![0.5, 0.25], vec![0.1, 0.75], vec![]], 2);
        for (coalition, expected) in [
            (&[][..], 50_257.0_f64.ln()),
            (&[0], -(0.5_f64.ln() + 0.25_f64.ln()) / 2.0),
            (&[1, 0], -(0.3_f64.ln() + 0.5_f64.ln()) / 2.0),
            // The silent miner guesses.
            (&[2], 50_257.0_f64.ln()),
            // Unknown members are ignored.
            (&[7], 50_257.0_f64.ln()),
        ] {
            assert!((losses.loss(coalition) - expected).abs() < 1e-12, "{coalition:?}");
            assert!(
                (losses.value(coalition) - (50_257.0_f64.ln() - expected)).abs() < 1e-12,
                "{coalition:?}"
            );
        }
    }

    #[test]
    fn invalid_probabilities_are_clamped() {
        let losses = NextTokenLosses::new(&[vec![f64::NAN, -1.0, 0.0, 2.0]], 4);
        assert!((losses.loss(&[0]) - 50_257.0_f64.ln() * 0.75).abs() < 1e-12);
        assert!(NextTokenLosses::new(&[], 0).loss(&[]).abs() < f64::MIN_POSITIVE);
    }
}
