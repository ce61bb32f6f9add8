//! Rounding like Python's `round(x, n)`, so that numbers print as in the reference system.

/// Rounds to `digits` decimals: the decimal text nearest to the exact binary value, ties to even.
///
/// NaN and infinities are returned unchanged.
pub fn round_to(value: f64, digits: usize) -> f64 {
    if !value.is_finite() {
        return value;
    }
    // The formatter works on the exact binary value; multiplying by a power of ten would round
    // twice.
    format!("{value:.digits$}").parse().unwrap_or(value)
}

/// Rounds to 3 decimals, as used for rates and ratios.
pub fn round3(value: f64) -> f64 {
    round_to(value, 3)
}

/// Rounds to 4 decimals, as used for times.
pub fn round4(value: f64) -> f64 {
    round_to(value, 4)
}

/// Rounds to 6 decimals, as used for scores.
pub fn round6(value: f64) -> f64 {
    round_to(value, 6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_matches_python() {
        for (value, digits, rounded) in [
            (2.675, 2, 2.67),
            (1.005, 2, 1.0),
            (0.5, 0, 0.0),
            (1.5, 0, 2.0),
            (2.5, 0, 2.0),
            (0.125, 2, 0.12),
            (0.375, 2, 0.38),
            (-2.675, 2, -2.67),
            (0.000_000_5, 6, 0.0),
            (0.707_106_781_186_547_5, 6, 0.707_107),
            (1e300, 6, 1e300),
            (0.1 + 0.2, 6, 0.3),
        ] {
            assert_eq!(round_to(value, digits), rounded, "round({value}, {digits})");
        }
    }

    #[test]
    fn rounding_keeps_non_finite_values() {
        assert!(round6(f64::NAN).is_nan());
        assert_eq!(round6(f64::INFINITY), f64::INFINITY);
        assert_eq!(round6(f64::NEG_INFINITY), f64::NEG_INFINITY);
    }

    proptest! {
        #[test]
        fn rounding_is_idempotent(value: f64, digits in 0_usize..10) {
            let once = round_to(value, digits);
            prop_assert!(once.to_bits() == round_to(once, digits).to_bits() || once.is_nan());
        }
    }
}
