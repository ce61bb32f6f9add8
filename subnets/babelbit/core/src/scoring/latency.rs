use super::ScoreOptions;
use crate::rounding::round6;

/// Latency grade of a reply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Latency score: 1 for a reply that ends with the source, falling to 0 at the allowed
    /// overshoot; rounded to 6 decimals.
    pub score: f64,
    /// Seconds from the end of the source to the end of the reply, at least 0.
    pub overshoot: f64,
    /// Smallest overshoot in seconds at which the score is 0.
    pub allowed: f64,
}

/// Computes the latency score of a reply that ends `completion` seconds after the start of a source
/// of `source` seconds.
///
/// The score is `1 - (overshoot / allowed)^power`, where `allowed` is a fraction of the source's
/// duration, clamped to the configured bounds.
pub fn latency(completion: f64, source: f64, options: &ScoreOptions) -> Latency {
    let overshoot = (completion - source).max(0.0);
    let allowed = (options.latency_overshoot_fraction * source)
        .min(options.latency_max_overshoot_sec)
        .max(options.latency_min_overshoot_sec);
    let score = if overshoot <= 0.0 {
        1.0
    } else if overshoot >= allowed {
        0.0
    } else {
        1.0 - (overshoot / allowed).powf(options.latency_power)
    };
    Latency { score: round6(score), overshoot, allowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounding::round4;

    /// Columns: completion · source · overshoot · allowed · score (to the row's precision)
    #[test]
    fn latency_score_falls_with_the_overshoot() {
        for (completion, source, overshoot, allowed, score) in [
            (14.4, 14.25, 0.15, 4.275, 0.998_769),
            (9.5, 10.0, 0.0, 3.0, 1.0),
            (10.0, 10.0, 0.0, 3.0, 1.0),
            (11.0, 10.0, 1.0, 3.0, 0.888_889),
            (12.9, 10.0, 2.9, 3.0, 0.065_556),
            (13.0, 10.0, 3.0, 3.0, 0.0),
            (5.0, 4.0, 1.0, 2.0, 0.75),
            (5.999, 4.0, 1.999, 2.0, 0.001),
            (40.0, 34.0, 6.0, 10.0, 0.64),
            (59.9, 50.0, 9.9, 10.0, 0.0199),
            (60.0, 50.0, 10.0, 10.0, 0.0),
            (0.5, 0.0, 0.5, 2.0, 0.9375),
        ] {
            let actual = latency(completion, source, &ScoreOptions::default());
            assert_eq!(
                round4(actual.overshoot),
                overshoot,
                "overshoot of {completion} on {source}"
            );
            assert_eq!(round4(actual.allowed), allowed, "allowed for {source}");
            assert!(
                (actual.score - score).abs() < 5e-7,
                "{completion} on {source}: {}",
                actual.score
            );
        }
    }

    #[test]
    fn latency_power_1_is_linear() {
        let linear = ScoreOptions { latency_power: 1.0, ..ScoreOptions::default() };
        assert_eq!(latency(11.5, 10.0, &linear).score, 0.5);
    }
}
