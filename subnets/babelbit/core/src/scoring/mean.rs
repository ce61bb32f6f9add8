use crate::Rules;

/// Method of a challenge whose utterances were scored by different methods.
pub const MIXED_METHODS: &str = "mixed_semantic_audio_scores";

/// Computes a miner's score in a challenge: the unrounded mean over its recorded utterances; 0 if
/// there are none.
///
/// Under strict rules, the sum is divided by `total`, the number of utterances of the challenge: a
/// miner that was dropped early does not benefit.
pub fn challenge_mean(scores: &[f64], total: usize, rules: Rules) -> f64 {
    let count = match rules {
        Rules::Reference => scores.len(),
        Rules::Strict => scores.len().max(total),
    };
    if count == 0 { 0.0 } else { scores.iter().sum::<f64>() / count as f64 }
}

/// Returns the method shared by all utterances, or [`MIXED_METHODS`]; `None` if there are no
/// utterances.
pub fn common_method<'a>(methods: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut methods = methods.into_iter();
    let first = methods.next()?;
    Some(if methods.all(|method| method == first) { first } else { MIXED_METHODS })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: scores · utterances of the challenge · mean under reference rules · under strict
    /// rules
    #[test]
    fn mean_score_is_over_recorded_or_all_utterances() {
        for (scores, total, by_reference, by_strict) in [
            (&[0.2, 0.6][..], 2, 0.4, 0.4),
            (&[0.2, 0.6], 4, 0.4, 0.2),
            (&[], 4, 0.0, 0.0),
            (&[], 0, 0.0, 0.0),
            (&[1.0, 0.5], 1, 0.75, 0.75),
        ] {
            assert_eq!(challenge_mean(scores, total, Rules::Reference), by_reference);
            assert_eq!(challenge_mean(scores, total, Rules::Strict), by_strict);
        }
    }

    #[test]
    fn different_score_methods_have_the_mixed_method() {
        assert_eq!(common_method([]), None);
        assert_eq!(common_method(["a", "a"]), Some("a"));
        assert_eq!(common_method(["a", "b"]), Some(MIXED_METHODS));
    }
}
