//! Scores of the text-prediction contest.
//!
//! A miner predicts the complete utterance each time one of its words is revealed. With the
//! prediction of step `s` and the ground truth, both without their trailing `EOF`:
//!
//! ```text
//! lexical    = max(0, 1 - levenshtein / length of the longer text), in characters; 0 if both are empty
//! semantic   = clamp((cosine - b) / max(1 - b, 1e-6), 0, 1)
//! earliness  = 1 / (s + 1)
//! U(step)    = (w · lexical + (1 - w) · semantic) · earliness
//! U(utterance) = the maximum over its steps; on a tie, the earliest step
//! U(dialogue)  = the mean over its utterances
//! ```
//!
//! `w` is the lexical weight. `b` is the mean cosine of pseudo-random pairs of the dialogue's
//! ground truths, 100 by default ([`SentenceVectors::baseline`]).
//!
//! [`Rules`] decide the edge cases:
//!
//! | Case | `reference` | `strict` |
//! |---|---|---|
//! | a similarity whose weight is 0 | 0, also the baseline | computed, so that the files show it |
//! | cosine of two empty texts | 1, like that of any two equal texts | 0, like the lexical similarity |
//! | utterance without steps | scores -1 | scores 0 |

mod log;
mod vectors;

use rapidfuzz::distance::levenshtein::BatchComparator;
use serde::Serialize;

use crate::Rules;
use crate::rounding::{round4, round6};

pub use log::{Event, MAX_ABSENT_STEPS, MAX_STEPS, StepError, Utterance, utterances};
pub use vectors::{SentenceVectors, VectorError, VectorOptions};

/// Scores of a dialogue, as in the reference system's files: rounded to 4 decimals, cosine and
/// baseline to 6.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DialogueScore {
    /// ID of the dialogue, if known.
    pub dialogue_uid: Option<String>,
    /// Scores of the complete utterances, sorted by number.
    pub utterances: Vec<UtteranceScore>,
    /// Summary of the dialogue's scores.
    pub dialogue_summary: DialogueSummary,
}

/// Scores of one utterance of a dialogue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UtteranceScore {
    /// Index of the utterance in its dialogue.
    pub utterance_number: i64,
    /// Text of the utterance.
    pub ground_truth: String,
    /// Scores of each step.
    pub steps: Vec<StepScore>,
    /// The first step with the maximum score; 0 if there are no steps.
    pub best_step: usize,
    /// Maximum score over the steps. Without steps: -1 by the reference's rules, 0 by the strict
    /// ones.
    #[serde(rename = "U_best")]
    pub best: f64,
    /// Number of steps of the utterance.
    pub total_steps: usize,
}

/// Scores of the prediction at one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepScore {
    /// Number of revealed words, minus 1.
    pub step: usize,
    /// Character-level similarity of the prediction and the ground truth, in `0..=1`; 0 if its
    /// weight is 0, unless the rules are strict.
    pub lexical_similarity: f64,
    /// Cosine of the sentence vectors of the prediction and the ground truth; 0 if its weight is 0,
    /// unless the rules are strict.
    pub semantic_cosine_raw: f64,
    /// The cosine, calibrated by the dialogue's baseline, in `0..=1`.
    pub semantic_similarity: f64,
    /// Weight of the step, `1 / (step + 1)`: earlier predictions count more.
    pub earliness: f64,
    /// Score of the step.
    #[serde(rename = "U_step")]
    pub score: f64,
    /// Predicted text.
    pub prediction: String,
}

/// Summary of a dialogue's scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DialogueSummary {
    /// Mean of the utterances' best scores; 0 if there are no utterances.
    #[serde(rename = "average_U_best_early")]
    pub average_best: f64,
    /// Mean cosine similarity of pseudo-random pairs of the dialogue's utterances; 0 without
    /// sentence vectors.
    pub semantic_baseline_b: f64,
}

/// Scores a dialogue's complete utterances with `lexical_weight` in `0..=1`. Without vectors, all
/// cosines are 0. The [module](self) lists the edge cases that `rules` decide.
///
/// # Errors
/// [`VectorError::Missing`] when a text has no vector.
pub fn score_dialogue(
    utterances: Vec<Utterance>,
    vectors: Option<&SentenceVectors>,
    lexical_weight: f64,
    rules: Rules,
) -> Result<DialogueScore, VectorError> {
    // The reference computes no similarity that has no weight.
    let vectors = vectors.filter(|_| rules == Rules::Strict || lexical_weight < 1.0);
    let ground_truths: Vec<_> =
        utterances.iter().map(|utterance| utterance.ground_truth.as_str()).collect();
    let baseline = vectors.map_or(Ok(0.0), |vectors| vectors.baseline(&ground_truths))?;
    let scorer = Scorer { vectors, baseline, lexical_weight, rules };
    let scored = utterances.into_iter().map(|utterance| scorer.score_utterance(utterance));
    let (best_scores, utterances): (Vec<_>, Vec<_>) =
        scored.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let average = if best_scores.is_empty() {
        0.0
    } else {
        best_scores.iter().sum::<f64>() / best_scores.len() as f64
    };
    let dialogue_summary =
        DialogueSummary { average_best: round4(average), semantic_baseline_b: round6(baseline) };
    Ok(DialogueScore { dialogue_uid: None, utterances, dialogue_summary })
}

struct Scorer<'a> {
    vectors: Option<&'a SentenceVectors>,
    baseline: f64,
    lexical_weight: f64,
    rules: Rules,
}

impl Scorer<'_> {
    /// Computes the best score, unrounded, and the scores of all steps.
    fn score_utterance(&self, utterance: Utterance) -> Result<(f64, UtteranceScore), VectorError> {
        let truth = utterance.ground_truth;
        let comparator = BatchComparator::new(truth.chars());
        let length = truth.chars().count();
        let (mut best, mut best_step) = (None, 0);
        let mut steps = Vec::with_capacity(utterance.predictions.len());
        for (step, prediction) in utterance.predictions.into_iter().enumerate() {
            let max_length = length.max(prediction.chars().count());
            let lexical = if max_length == 0 || !self.computes_lexical() {
                0.0
            } else {
                (1.0 - comparator.distance(prediction.chars()) as f64 / max_length as f64).max(0.0)
            };
            let cosine = self.cosine(&prediction, &truth)?;
            let semantic =
                ((cosine - self.baseline) / (1.0 - self.baseline).max(1e-6)).clamp(0.0, 1.0);
            let earliness = 1.0 / (step + 1) as f64;
            let score = (lexical * self.lexical_weight + semantic * (1.0 - self.lexical_weight))
                * earliness;
            if best.is_none_or(|best| score > best) {
                (best, best_step) = (Some(score), step);
            }
            steps.push(StepScore {
                step,
                lexical_similarity: round4(lexical),
                semantic_cosine_raw: round6(cosine),
                semantic_similarity: round4(semantic),
                earliness: round4(earliness),
                score: round4(score),
                prediction,
            });
        }
        let best = best.unwrap_or(match self.rules {
            Rules::Reference => -1.0,
            Rules::Strict => 0.0,
        });
        let total_steps = steps.len();
        let number = utterance.number;
        let scored = UtteranceScore {
            utterance_number: number,
            ground_truth: truth,
            steps,
            best_step,
            best: round4(best),
            total_steps,
        };
        Ok((best, scored))
    }

    fn computes_lexical(&self) -> bool {
        self.rules == Rules::Strict || self.lexical_weight > 0.0
    }

    fn cosine(&self, prediction: &str, truth: &str) -> Result<f64, VectorError> {
        match self.vectors {
            None => Ok(0.0),
            Some(_) if self.rules == Rules::Strict && prediction.is_empty() && truth.is_empty() => {
                Ok(0.0)
            }
            Some(vectors) => vectors.cosine(prediction, truth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates two-dimensional vectors with these cosines to the vector of `truth`.
    fn vectors(cosines: &[(&str, f64)], truth: &str) -> SentenceVectors {
        let at = |cosine: f64| vec![cosine, (1.0 - cosine * cosine).sqrt()];
        let texts = cosines.iter().map(|(text, cosine)| ((*text).to_owned(), at(*cosine)));
        SentenceVectors::new(texts.chain([(truth.to_owned(), at(1.0))]).collect()).unwrap()
    }

    fn predicted_utterance(truth: &str, predictions: &[&str]) -> Utterance {
        let predictions = predictions.iter().map(|text| (*text).to_owned()).collect();
        Utterance { number: 0, ground_truth: truth.to_owned(), predictions }
    }

    #[test]
    fn lexical_similarity_follows_the_edit_distance() {
        for (prediction, truth, expected) in [
            ("Hi - how are you?", "Hi - how is all going with you?", 0.4839),
            ("Hi there", "Hi - how is all going with you?", 0.1613),
            ("", "", 0.0),
            ("same", "same", 1.0),
            ("abc", "xyz", 0.0),
            ("", "word", 0.0),
            ("grün", "grun", 0.75),
        ] {
            let scored = score_dialogue(
                vec![predicted_utterance(truth, &[prediction])],
                None,
                1.0,
                Rules::Reference,
            )
            .unwrap();
            let step = &scored.utterances[0].steps[0];
            assert_eq!(
                (step.lexical_similarity, step.score),
                (expected, expected),
                "{prediction:?}, {truth:?}"
            );
        }
    }

    #[test]
    fn cosines_are_calibrated_by_the_baseline() {
        for (cosine, baseline, expected) in
            [(0.8, 0.4, 0.6667), (0.3, 0.4, 0.0), (1.0, 1.0, 0.0), (0.5, 0.0, 0.5)]
        {
            let vectors = vectors(&[("guess", cosine)], "truth");
            let scorer = Scorer {
                vectors: Some(&vectors),
                baseline,
                lexical_weight: 0.0,
                rules: Rules::Reference,
            };
            let (_, scored) =
                scorer.score_utterance(predicted_utterance("truth", &["guess"])).unwrap();
            assert_eq!(scored.steps[0].semantic_similarity, expected, "{cosine} over {baseline}");
        }
    }

    #[test]
    fn best_step_maximises_cosine_times_earliness() {
        let vectors = vectors(&[("a", 0.3), ("b", 0.7), ("c", 0.95)], "truth");
        let utterances = vec![predicted_utterance("truth", &["a", "b", "c"])];
        let scored = score_dialogue(utterances, Some(&vectors), 0.0, Rules::Reference).unwrap();
        let utterance = &scored.utterances[0];
        assert_eq!(
            utterance.steps.iter().map(|step| step.score).collect::<Vec<_>>(),
            [0.3, 0.35, 0.3167]
        );
        assert_eq!((utterance.best_step, utterance.best, utterance.total_steps), (1, 0.35, 3));
    }

    #[test]
    fn first_of_equally_good_steps_is_best() {
        let scored = score_dialogue(
            vec![predicted_utterance("truth", &["", "", ""])],
            None,
            0.0,
            Rules::Reference,
        )
        .unwrap();
        assert_eq!((scored.utterances[0].best_step, scored.utterances[0].best), (0, 0.0));
    }

    #[test]
    fn dialogue_score_is_mean_of_best_utterance_scores() {
        let utterances = vec![
            predicted_utterance("one", &["one"]),
            predicted_utterance("two", &["", "two"]),
            predicted_utterance("three", &["none"]),
        ];
        let scored = score_dialogue(utterances, None, 1.0, Rules::Reference).unwrap();
        let best: Vec<_> = scored.utterances.iter().map(|utterance| utterance.best).collect();
        assert_eq!(best, [1.0, 0.5, 0.2]);
        assert_eq!(
            scored.dialogue_summary,
            DialogueSummary { average_best: 0.5667, semantic_baseline_b: 0.0 }
        );
        let no_utterances = score_dialogue(Vec::new(), None, 1.0, Rules::Reference).unwrap();
        assert_eq!(no_utterances.dialogue_summary.average_best, 0.0);
    }

    /// Columns: rules · score of an utterance without steps, and its mean with a score of 1
    #[test]
    fn utterance_without_steps_scores_by_the_rules() {
        for (rules, best, average_best) in
            [(Rules::Reference, -1.0, 0.0), (Rules::Strict, 0.0, 0.5)]
        {
            let utterances =
                vec![predicted_utterance("one", &["one"]), predicted_utterance("two", &[])];
            let scored = score_dialogue(utterances, None, 1.0, rules).unwrap();
            let utterance = &scored.utterances[1];
            assert_eq!(
                (utterance.best, utterance.best_step, utterance.total_steps),
                (best, 0, 0),
                "{rules}"
            );
            assert_eq!(scored.dialogue_summary.average_best, average_best, "{rules}");
        }
    }

    /// Columns: lexical weight · rules · lexical similarity, cosine, semantic similarity and score
    /// of a step · baseline
    #[test]
    fn similarity_without_weight_is_0_under_reference_rules() {
        for (weight, rules, expected, baseline) in [
            (0.0, Rules::Reference, (0.0, 0.9, 0.75, 0.75), 0.6),
            (0.0, Rules::Strict, (0.75, 0.9, 0.75, 0.75), 0.6),
            (0.5, Rules::Reference, (0.75, 0.9, 0.75, 0.75), 0.6),
            (1.0, Rules::Reference, (0.75, 0.0, 0.0, 0.75), 0.0),
            (1.0, Rules::Strict, (0.75, 0.9, 0.75, 0.75), 0.6),
        ] {
            let vectors = vectors(&[("trut", 0.9), ("other", 0.6)], "true");
            let utterances = vec![
                predicted_utterance("true", &["trut"]),
                predicted_utterance("other", &["other"]),
            ];
            let scored = score_dialogue(utterances, Some(&vectors), weight, rules).unwrap();
            let StepScore {
                lexical_similarity,
                semantic_cosine_raw,
                semantic_similarity,
                score,
                ..
            } = scored.utterances[0].steps[0];
            let actual = (lexical_similarity, semantic_cosine_raw, semantic_similarity, score);
            assert_eq!(actual, expected, "{weight} {rules}");
            assert_eq!(scored.dialogue_summary.semantic_baseline_b, baseline, "{weight} {rules}");
        }
    }

    /// Columns: vector of the empty text, if any · rules · cosines of an empty and of another
    /// prediction
    #[test]
    fn empty_prediction_of_empty_utterance_has_cosine_1_under_reference_rules() {
        for (empty, rules, expected) in [
            (Some([3.0, 4.0]), Rules::Reference, [1.0, 0.6]),
            (None, Rules::Reference, [1.0, 0.0]),
            (Some([3.0, 4.0]), Rules::Strict, [0.0, 0.6]),
            (None, Rules::Strict, [0.0, 0.0]),
        ] {
            let vectors = empty.map(|vector| (String::new(), vector.to_vec()));
            let vectors = vectors.into_iter().chain([("a".to_owned(), vec![1.0, 0.0])]).collect();
            let vectors = SentenceVectors::new(vectors).unwrap();
            let scored = score_dialogue(
                vec![predicted_utterance("", &["", "a"])],
                Some(&vectors),
                0.0,
                rules,
            )
            .unwrap();
            let utterance = &scored.utterances[0];
            let cosines: Vec<_> =
                utterance.steps.iter().map(|step| step.semantic_cosine_raw).collect();
            assert_eq!(cosines, expected, "{empty:?} {rules}");
            assert_eq!(utterance.best, expected[0].max(expected[1] / 2.0), "{empty:?} {rules}");
        }
    }

    #[test]
    fn missing_vector_is_an_error_except_for_empty_prediction() {
        let vectors = vectors(&[], "truth");
        let utterances = vec![predicted_utterance("truth", &["", "truth"])];
        let scored = score_dialogue(utterances, Some(&vectors), 0.0, Rules::Reference).unwrap();
        let cosines: Vec<_> =
            scored.utterances[0].steps.iter().map(|step| step.semantic_cosine_raw).collect();
        assert_eq!(cosines, [0.0, 1.0]);
        let utterances = vec![predicted_utterance("truth", &["other"])];
        let missing =
            score_dialogue(utterances, Some(&vectors), 0.0, Rules::Reference).unwrap_err();
        assert_eq!(missing.to_string(), "no vector for \"other\"");
    }
}
