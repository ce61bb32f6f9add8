use crate::Rules;
use crate::reference::Reference;

use super::ScoreOptions;

/// Confidence of the recogniser in the text, 0 to 1, below which strict rules treat the detected
/// language as unknown.
pub const LANGUAGE_CONFIDENCE_FLOOR: f32 = 0.5;

/// Computes the semantic similarity of two texts: the cosine of their sentence vectors (of unit
/// length and equal dimension), in 32-bit floats, clamped to `0..=1`. NaN counts as 0.
pub fn accuracy(left: &[f32], right: &[f32]) -> f64 {
    let cosine: f32 = left.iter().zip(right).map(|(left, right)| left * right).sum();
    if cosine.is_nan() { 0.0 } else { f64::from(cosine.clamp(0.0, 1.0)) }
}

/// Whether the detected language differs from the target language; false if the language is
/// unknown.
///
/// The target is [`ScoreOptions::target_language`]; under strict rules, the language named by the
/// reference takes precedence, and a `confidence` (0 to 1) below [`LANGUAGE_CONFIDENCE_FLOOR`]
/// makes the language unknown.
pub fn speaks_other_language(
    detected: &str,
    confidence: Option<f32>,
    reference: &Reference,
    options: &ScoreOptions,
) -> bool {
    let detected = detected.trim().to_lowercase();
    let target = match (options.rules, &reference.language) {
        (Rules::Strict, Some(language)) => language,
        _ => &options.target_language,
    };
    let is_unknown = options.rules == Rules::Strict
        && confidence.is_some_and(|confidence| confidence < LANGUAGE_CONFIDENCE_FLOOR);
    !detected.is_empty() && !is_unknown && detected != target.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_is_the_clamped_cosine() {
        for (left, right, expected) in [
            ([1.0, 0.0], [1.0, 0.0], 1.0),
            ([1.0, 0.0], [0.0, 1.0], 0.0),
            ([1.0, 0.0], [-1.0, 0.0], 0.0),
            ([2.0, 0.0], [1.0, 0.0], 1.0),
            ([f32::NAN, 0.0], [1.0, 0.0], 0.0),
        ] {
            assert_eq!(accuracy(&left, &right), expected);
        }
    }

    /// Columns: detected · confidence · language of the reference · fails under reference rules ·
    /// under strict rules
    #[test]
    fn reply_in_another_language_fails() {
        for (detected, confidence, language, by_reference, by_strict) in [
            ("en", None, None, false, false),
            (" EN ", None, None, false, false),
            ("", None, None, false, false),
            ("fr", None, None, true, true),
            ("de", None, Some("de"), true, false),
            ("en", None, Some("de"), false, true),
            ("fr", Some(0.4), None, true, false),
            ("fr", Some(0.6), None, true, true),
        ] {
            let mut reference = Reference::new("x", vec![], None).unwrap();
            reference.language = language.map(str::to_owned);
            for (rules, fails) in [(Rules::Reference, by_reference), (Rules::Strict, by_strict)] {
                let options = ScoreOptions { rules, ..ScoreOptions::default() };
                let actual = speaks_other_language(detected, confidence, &reference, &options);
                assert_eq!(actual, fails, "{detected:?} {confidence:?} {language:?} {rules}");
            }
        }
    }
}
