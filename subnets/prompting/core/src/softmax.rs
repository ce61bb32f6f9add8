/// Returns the softmax of values at temperature 1: positive shares with a sum of 1. Values that are
/// not finite count as the smallest finite one; without a finite value, all shares are equal.
pub fn softmax(values: &[f64]) -> Vec<f64> {
    let finite_values = || values.iter().copied().filter(|value| value.is_finite());
    let (smallest, largest) = (
        finite_values().fold(f64::INFINITY, f64::min),
        finite_values().fold(f64::NEG_INFINITY, f64::max),
    );
    let exponent = |value: f64| match (value.is_finite(), largest.is_finite()) {
        (true, _) => value - largest,
        (false, true) => smallest - largest,
        (false, false) => 0.0,
    };
    let powers: Vec<f64> = values.iter().map(|value| exponent(*value).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Returns the rewards of a step as shares: the softmax of the non-zero rewards, divided by
/// `temperature`. A reward of 0 remains 0, so that an answer without value earns nothing.
pub fn normalised_rewards(rewards: &[f64], temperature: f64) -> Vec<f64> {
    let is_earned = |reward: f64| reward.is_finite() && reward > 0.0;
    let scaled: Vec<f64> = rewards
        .iter()
        .filter(|reward| is_earned(**reward))
        .map(|reward| reward / temperature)
        .collect();
    let mut shares = softmax(&scaled).into_iter();
    rewards
        .iter()
        .map(|reward| if is_earned(*reward) { shares.next().unwrap_or_default() } else { 0.0 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(actual: &[f64], expected: &[f64], context: &str) {
        assert_eq!(actual.len(), expected.len(), "{context}");
        let is_close = actual.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-12);
        assert!(is_close, "{context}: {actual:?}, expected {expected:?}");
    }

    /// The definition, without protection against overflow.
    fn naive_softmax(values: &[f64]) -> Vec<f64> {
        let sum: f64 = values.iter().map(|value| value.exp()).sum();
        values.iter().map(|value| value.exp() / sum).collect()
    }

    #[test]
    fn softmax_matches_the_definition() {
        for values in [&[][..], &[5.0], &[0.0, 0.0], &[1.0, 2.0, 3.0], &[-4.0, 0.5, 0.25, 7.0]] {
            assert_close(&softmax(values), &naive_softmax(values), &format!("{values:?}"));
        }
    }

    /// Columns: values · shares
    #[test]
    fn extreme_values_have_finite_shares() {
        for (values, shares) in [
            (&[1_000.0, 1_000.0][..], &[0.5, 0.5][..]),
            (&[-1e308, 1e308], &[0.0, 1.0]),
            (&[f64::NAN, f64::INFINITY], &[0.5, 0.5]),
            (&[f64::NAN, 3.0], &[0.5, 0.5]),
        ] {
            assert_close(&softmax(values), shares, &format!("{values:?}"));
        }
    }

    #[test]
    fn rewards_of_zero_have_no_share() {
        for temperature in [1.0, 0.25] {
            let [low, high] = [0.2_f64, 0.8].map(|reward| (reward / temperature).exp());
            let expected = [0.0, low / (low + high), 0.0, high / (low + high), 0.0];
            assert_close(
                &normalised_rewards(&[0.0, 0.2, f64::NAN, 0.8, -1.0], temperature),
                &expected,
                "mixed",
            );
        }
        assert_close(&normalised_rewards(&[0.0, 0.0], 1.0), &[0.0, 0.0], "nobody earned");
        assert_close(&normalised_rewards(&[0.1], 1.0), &[1.0], "one miner");
    }
}
