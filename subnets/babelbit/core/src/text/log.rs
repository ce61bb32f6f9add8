//! The event log of a dialogue.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Maximum number of steps of an utterance.
pub const MAX_STEPS: i64 = 10_000;

/// A line of a dialogue's log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// Kind: `revealed`, `predicted` or `utterance_complete`; other events are ignored.
    #[serde(default)]
    pub event: Option<String>,
    /// Index of the utterance; events without it are ignored.
    #[serde(default)]
    pub utterance_index: Option<i64>,
    /// Number of revealed words, minus 1; ignored unless it is an integer.
    #[serde(default)]
    pub step: Option<Value>,
    /// The prediction at this step.
    #[serde(default)]
    pub prediction: Option<String>,
    /// Text of the utterance.
    #[serde(default)]
    pub ground_truth: Option<String>,
    /// Type of the challenge.
    #[serde(default)]
    pub challenge_type: Option<String>,
}

/// The step of an event is not below [`MAX_STEPS`], or its utterance has too many predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an utterance has at most {MAX_STEPS} steps")]
pub struct StepError {
    /// Index of the event in the log.
    pub event: usize,
}

/// A complete utterance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utterance {
    /// Index of the utterance in its dialogue.
    pub number: i64,
    /// Text of the utterance, without `EOF`.
    pub ground_truth: String,
    /// The prediction at each step, without `EOF`; an empty text where the log has no prediction.
    pub predictions: Vec<String>,
}

#[derive(Default)]
struct Collected<'a> {
    ground_truth: Option<&'a str>,
    predictions: BTreeMap<i64, &'a str>,
    /// Number of prediction events, including those with repeated or missing steps.
    predicted: i64,
    /// Number of steps up to the last revealed one.
    revealed: Option<i64>,
}

/// Parses the complete utterances of a log, sorted by number. Of repeated events, the last prediction at a step and the
/// last ground truth count. An utterance has one step per revealed word, or one per prediction if the log has no
/// revealed words.
///
/// # Errors
/// [`StepError`] when a step is not below [`MAX_STEPS`], or an utterance has too many predictions.
pub fn utterances(events: &[Event]) -> Result<Vec<Utterance>, StepError> {
    let mut collected = BTreeMap::<i64, Collected<'_>>::new();
    for (index, event) in events.iter().enumerate() {
        let (Some(kind), Some(number)) = (event.event.as_deref(), event.utterance_index) else { continue };
        let utterance = collected.entry(number).or_default();
        let step = event.step.as_ref().and_then(Value::as_i64);
        if step.is_some_and(|step| step >= MAX_STEPS) || utterance.predicted > MAX_STEPS {
            return Err(StepError { event: index });
        }
        match kind {
            "predicted" => {
                utterance.predicted += 1;
                if let Some(step) = step {
                    utterance.predictions.insert(step, event.prediction.as_deref().unwrap_or_default());
                }
            }
            "revealed" => utterance.revealed = utterance.revealed.max(step.map(|step| step + 1)),
            "utterance_complete" => utterance.ground_truth = Some(event.ground_truth.as_deref().unwrap_or_default()),
            _ => {}
        }
    }
    let complete = collected.into_iter().filter_map(|(number, utterance)| {
        let ground_truth = without_eof(utterance.ground_truth?).to_owned();
        let steps = utterance.revealed.unwrap_or(utterance.predicted);
        let prediction = |step| without_eof(utterance.predictions.get(&step).copied().unwrap_or_default()).to_owned();
        Some(Utterance { number, ground_truth, predictions: (0..steps).map(prediction).collect() })
    });
    Ok(complete.collect())
}

/// Returns the text without surrounding white space (as defined by Python) and without a trailing `EOF`.
fn without_eof(text: &str) -> &str {
    let text = trim(text);
    text.strip_suffix("EOF").map_or(text, trim)
}

fn trim(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || ('\x1c'..='\x1f').contains(&character))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(events: Value) -> Result<Vec<Utterance>, StepError> {
        utterances(&serde_json::from_value::<Vec<Event>>(events).unwrap())
    }

    fn said(number: i64, truth: &str, predictions: &[&str]) -> Utterance {
        let predictions = predictions.iter().map(|text| (*text).to_owned()).collect();
        Utterance { number, ground_truth: truth.to_owned(), predictions }
    }

    #[test]
    fn steps_are_those_revealed_or_else_the_number_of_predictions() {
        let found = log(json!([
            {"event": "predicted", "utterance_index": 1, "step": 0, "prediction": "a EOF"},
            {"event": "predicted", "utterance_index": 1, "step": 0, "prediction": " b "},
            {"event": "predicted", "utterance_index": 1, "step": "2", "prediction": "no step"},
            {"event": "utterance_complete", "utterance_index": 1, "ground_truth": "old"},
            {"event": "utterance_complete", "utterance_index": 1, "ground_truth": "new EOF "},
            {"event": "revealed", "utterance_index": 0, "step": 2},
            {"event": "revealed", "utterance_index": 0, "step": 1},
            {"event": "predicted", "utterance_index": 0, "step": 1, "prediction": "c"},
            {"event": "predicted", "utterance_index": 0, "step": 9, "prediction": "beyond"},
            {"event": "utterance_complete", "utterance_index": 0, "ground_truth": null},
            {"event": "predicted", "utterance_index": 2, "step": 0, "prediction": "incomplete"},
            {"event": "predicted", "step": 0, "prediction": "of no utterance"},
            {"event": "other", "utterance_index": 3},
        ]));
        assert_eq!(found.unwrap(), [said(0, "", &["", "c", ""]), said(1, "new", &["b", "", ""])]);
    }

    #[test]
    fn eof_is_removed_once() {
        for (text, expected) in [
            ("word EOF", "word"),
            ("word EOF EOF", "word EOF"),
            ("EOF", ""),
            (" \u{1f}wordEOF\n", "word"),
            ("eof", "eof"),
            ("", ""),
        ] {
            assert_eq!(without_eof(text), expected, "{text:?}");
        }
    }

    #[test]
    fn huge_steps_are_refused() {
        let event = |step: u64| json!([{"event": "revealed", "utterance_index": 0, "step": step}]);
        assert_eq!(log(event(9_999)), Ok(Vec::new()));
        assert_eq!(log(event(10_000)), Err(StepError { event: 0 }));
    }
}
