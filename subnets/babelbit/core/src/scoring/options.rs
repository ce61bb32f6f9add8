use serde::{Deserialize, Serialize};

use crate::Rules;

/// Maximum similarity threshold; above it, the distance to 1 is too small to divide by.
const MAX_SIMILARITY_THRESHOLD: f64 = 0.999_999;

/// Why scoring options are invalid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A number is NaN or infinite.
    #[error("{name} must be a finite number, not {value}")]
    NotFinite {
        /// Name of the option.
        name: &'static str,
        /// The invalid value of the option.
        value: f64,
    },
    /// A number is below 0.
    #[error("{name} must be at least 0, not {value}")]
    Negative {
        /// Name of the option.
        name: &'static str,
        /// The invalid value of the option.
        value: f64,
    },
    /// The lower bound of a range exceeds the upper one.
    #[error("{lower} must not be above {upper}")]
    Reversed {
        /// Name of the lower bound's option.
        lower: &'static str,
        /// Name of the upper bound's option.
        upper: &'static str,
    },
}

/// Parameters of scoring. The defaults are the subnet's current values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreOptions {
    /// Scoring rules: reference or strict.
    pub rules: Rules,
    /// Expected language of replies, ISO 639-1.
    pub target_language: String,
    /// Minimum accuracy for a reply to pass.
    pub accuracy_threshold: f64,
    /// Minimum ratio of the reply's speaking rate to the reference's.
    pub rate_lower: f64,
    /// Maximum ratio of the reply's speaking rate to the reference's.
    pub rate_upper: f64,
    /// Overshoot at which the latency score reaches 0, as a fraction of the source's duration.
    pub latency_overshoot_fraction: f64,
    /// Lower bound, in seconds, of the overshoot at which the latency score reaches 0.
    pub latency_min_overshoot_sec: f64,
    /// Upper bound, in seconds, of the overshoot at which the latency score reaches 0.
    pub latency_max_overshoot_sec: f64,
    /// Exponent of the latency score: 1 is a straight line, 2 a parabola.
    pub latency_power: f64,
    /// Cosine above which two replies are duplicates.
    pub duplication_similarity_threshold: f64,
    /// Exponent of the duplicate pressure: a score is multiplied by `pressure^-gamma`.
    pub duplication_gamma: f64,
    /// Minimum score at which a reply lowers the scores of its duplicates.
    pub duplication_min_score_for_pressure: f64,
    /// Maximum score difference at which a worse duplicate still lowers the score of a better one.
    pub duplication_score_epsilon: f64,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self {
            rules: Rules::Reference,
            target_language: "en".to_owned(),
            accuracy_threshold: 0.65,
            rate_lower: 0.3,
            rate_upper: 1.3,
            latency_overshoot_fraction: 0.3,
            latency_min_overshoot_sec: 2.0,
            latency_max_overshoot_sec: 10.0,
            latency_power: 2.0,
            duplication_similarity_threshold: 0.88,
            duplication_gamma: 0.5,
            duplication_min_score_for_pressure: 0.0,
            duplication_score_epsilon: 0.02,
        }
    }
}

impl ScoreOptions {
    /// Validates the options, and clamps those of the duplication penalty as the reference system
    /// does: threshold `0..=0.999999`, gamma and minimum score at least 0.
    ///
    /// # Errors
    /// [`OptionsError`] names the first option that is not finite or is negative, or the first
    /// reversed range.
    pub fn checked(mut self) -> Result<Self, OptionsError> {
        let may_be_negative = [
            ("duplication_similarity_threshold", self.duplication_similarity_threshold),
            ("duplication_gamma", self.duplication_gamma),
            ("duplication_min_score_for_pressure", self.duplication_min_score_for_pressure),
            ("duplication_score_epsilon", self.duplication_score_epsilon),
            ("accuracy_threshold", self.accuracy_threshold),
        ];
        let never_negative = [
            ("rate_lower", self.rate_lower),
            ("rate_upper", self.rate_upper),
            ("latency_overshoot_fraction", self.latency_overshoot_fraction),
            ("latency_min_overshoot_sec", self.latency_min_overshoot_sec),
            ("latency_max_overshoot_sec", self.latency_max_overshoot_sec),
            ("latency_power", self.latency_power),
        ];
        for (name, value) in may_be_negative.into_iter().chain(never_negative) {
            if !value.is_finite() {
                return Err(OptionsError::NotFinite { name, value });
            }
        }
        if let Some((name, value)) = never_negative.into_iter().find(|(_, value)| *value < 0.0) {
            return Err(OptionsError::Negative { name, value });
        }
        if self.rate_lower > self.rate_upper {
            return Err(OptionsError::Reversed { lower: "rate_lower", upper: "rate_upper" });
        }
        self.duplication_similarity_threshold = self.similarity_threshold();
        self.duplication_gamma = self.duplication_gamma.max(0.0);
        self.duplication_min_score_for_pressure = self.duplication_min_score_for_pressure.max(0.0);
        Ok(self)
    }

    /// Returns the similarity threshold, clamped to its range.
    pub(super) fn similarity_threshold(&self) -> f64 {
        self.duplication_similarity_threshold.clamp(0.0, MAX_SIMILARITY_THRESHOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_options_are_valid() {
        assert_eq!(ScoreOptions::default().checked(), Ok(ScoreOptions::default()));
    }

    /// Columns: threshold, gamma, minimum score · clamped values
    #[test]
    fn duplication_settings_are_clamped() {
        for ((threshold, gamma, min), expected) in [
            ((1.0, 0.5, 0.0), (0.999_999, 0.5, 0.0)),
            ((-0.1, -1.0, -2.0), (0.0, 0.0, 0.0)),
            ((0.5, 2.0, 0.3), (0.5, 2.0, 0.3)),
        ] {
            let options = ScoreOptions {
                duplication_similarity_threshold: threshold,
                duplication_gamma: gamma,
                duplication_min_score_for_pressure: min,
                ..ScoreOptions::default()
            };
            let checked = options.checked().unwrap();
            let actual = (
                checked.duplication_similarity_threshold,
                checked.duplication_gamma,
                checked.duplication_min_score_for_pressure,
            );
            assert_eq!(actual, expected);
        }
    }

    #[test]
    fn invalid_score_option_error_names_the_option() {
        let nan = ScoreOptions { accuracy_threshold: f64::NAN, ..ScoreOptions::default() };
        assert!(
            nan.checked()
                .unwrap_err()
                .to_string()
                .starts_with("accuracy_threshold must be a finite number")
        );
        let negative = ScoreOptions { latency_power: -1.0, ..ScoreOptions::default() };
        assert_eq!(
            negative.checked(),
            Err(OptionsError::Negative { name: "latency_power", value: -1.0 })
        );
        let reversed = ScoreOptions { rate_lower: 2.0, ..ScoreOptions::default() };
        assert_eq!(
            reversed.checked().unwrap_err().to_string(),
            "rate_lower must not be above rate_upper"
        );
    }
}
