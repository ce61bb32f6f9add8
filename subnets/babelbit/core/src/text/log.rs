//! The event log of a dialogue.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Maximum number of steps of an utterance.
pub const MAX_STEPS: i64 = 10_000;
/// Maximum number of steps by which the utterances of one or more logs may exceed the events: one
/// event can reveal [`MAX_STEPS`] steps, and the scores list them all.
pub const MAX_ABSENT_STEPS: i64 = 100_000;

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

/// A log has too many steps: the step of an event is not below [`MAX_STEPS`], its utterance has too
/// many predictions, or too many steps have no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an utterance has at most {MAX_STEPS} steps, and all utterances at most {MAX_ABSENT_STEPS} steps without an event; \
     hint: write an event for each step"
)]
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

/// Events of one utterance in a log.
#[derive(Default)]
struct UtteranceEvents<'a> {
    ground_truth: Option<&'a str>,
    predictions: BTreeMap<i64, &'a str>,
    /// Number of prediction events, including those with repeated or missing steps.
    prediction_count: i64,
    /// Number of steps up to the last revealed one.
    revealed_steps: Option<i64>,
    event_count: i64,
    /// Index of the event that reveals the last step.
    last_reveal: usize,
}

/// Parses the complete utterances of a log, sorted by number. Of repeated events, the last
/// prediction at a step and the last ground truth count. An utterance has one step per revealed
/// word, or one per prediction if the log has no revealed words. Subtracts the steps without an
/// event from `absent_steps`, a remaining quota that is initially [`MAX_ABSENT_STEPS`].
///
/// # Errors
/// [`StepError`] when a step is not below [`MAX_STEPS`], an utterance has too many predictions, or
/// `absent_steps` is used up.
pub fn utterances(events: &[Event], absent_steps: &mut i64) -> Result<Vec<Utterance>, StepError> {
    let mut events_by_utterance = BTreeMap::<i64, UtteranceEvents<'_>>::new();
    for (index, event) in events.iter().enumerate() {
        let (Some(kind), Some(number)) = (event.event.as_deref(), event.utterance_index) else {
            continue;
        };
        let utterance = events_by_utterance.entry(number).or_default();
        utterance.event_count += 1;
        let step =
            event.step.as_ref().and_then(|step| step.as_i64().or(step.as_u64().map(|_| i64::MAX)));
        if step.is_some_and(|step| step >= MAX_STEPS)
            || (kind == "predicted" && utterance.prediction_count == MAX_STEPS)
        {
            return Err(StepError { event: index });
        }
        match kind {
            "predicted" => {
                utterance.prediction_count += 1;
                if let Some(step) = step {
                    utterance
                        .predictions
                        .insert(step, event.prediction.as_deref().unwrap_or_default());
                }
            }
            "revealed" => {
                let revealed_steps = step.map(|step| step + 1);
                if revealed_steps > utterance.revealed_steps {
                    (utterance.revealed_steps, utterance.last_reveal) = (revealed_steps, index);
                }
            }
            "utterance_complete" => {
                utterance.ground_truth = Some(event.ground_truth.as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }
    let mut complete = Vec::with_capacity(events_by_utterance.len());
    for (number, utterance) in events_by_utterance {
        let Some(ground_truth) = utterance.ground_truth else { continue };
        let steps = utterance.revealed_steps.unwrap_or(utterance.prediction_count);
        *absent_steps -= (steps - utterance.event_count).max(0);
        if *absent_steps < 0 {
            return Err(StepError { event: utterance.last_reveal });
        }
        let prediction = |step| {
            without_eof(utterance.predictions.get(&step).copied().unwrap_or_default()).to_owned()
        };
        let ground_truth = without_eof(ground_truth).to_owned();
        complete.push(Utterance {
            number,
            ground_truth,
            predictions: (0..steps).map(prediction).collect(),
        });
    }
    Ok(complete)
}

/// Returns the text without surrounding white space (as defined by Python) and without a trailing
/// `EOF`.
fn without_eof(text: &str) -> &str {
    let text = trim(text);
    text.strip_suffix("EOF").map_or(text, trim)
}

fn trim(text: &str) -> &str {
    text.trim_matches(|character: char| {
        character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(events: Value) -> Result<Vec<Utterance>, StepError> {
        let mut absent = MAX_ABSENT_STEPS;
        utterances(&serde_json::from_value::<Vec<Event>>(events).unwrap(), &mut absent)
    }

    fn predicted_utterance(number: i64, truth: &str, predictions: &[&str]) -> Utterance {
        let predictions = predictions.iter().map(|text| (*text).to_owned()).collect();
        Utterance { number, ground_truth: truth.to_owned(), predictions }
    }

    #[test]
    fn step_count_comes_from_revealed_or_predicted_events() {
        let actual = log(json!([
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
        assert_eq!(
            actual.unwrap(),
            [
                predicted_utterance(0, "", &["", "c", ""]),
                predicted_utterance(1, "new", &["b", "", ""])
            ]
        );
    }

    #[test]
    fn only_the_last_eof_is_removed() {
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
    fn step_above_the_limit_is_refused() {
        let event = |step: u64| json!([{"event": "revealed", "utterance_index": 0, "step": step}]);
        assert_eq!(log(event(9_999)), Ok(Vec::new()));
        for step in [10_000, u64::MAX] {
            assert_eq!(log(event(step)), Err(StepError { event: 0 }), "{step}");
        }
        let predicted = json!({"event": "predicted", "utterance_index": 0, "prediction": "a"});
        let complete =
            json!({"event": "utterance_complete", "utterance_index": 0, "ground_truth": "a"});
        let predictions =
            |count: usize| json!([vec![predicted.clone(); count], vec![complete.clone()]].concat());
        assert_eq!(log(predictions(10_000)).unwrap()[0].predictions.len(), 10_000);
        assert_eq!(log(predictions(10_001)), Err(StepError { event: 10_000 }));
    }

    /// An event with the step 9 999 and the end of its utterance leave 9 998 steps without an
    /// event.
    #[test]
    fn number_of_steps_without_an_event_is_limited() {
        let events = |index: i64| {
            [
                json!({"event": "revealed", "utterance_index": index, "step": 9_999}),
                json!({"event": "utterance_complete", "utterance_index": index, "ground_truth": "a"}),
            ]
        };
        let log_of = |count: i64| log((0..count).flat_map(events).collect());
        assert_eq!(
            log_of(10).unwrap().iter().map(|utterance| utterance.predictions.len()).sum::<usize>(),
            100_000
        );
        assert_eq!(log_of(11), Err(StepError { event: 20 }));
        // The limit is that of all logs together.
        let one: Vec<Event> = serde_json::from_value(json!(events(0))).unwrap();
        let mut absent = 9_998;
        assert!(utterances(&one, &mut absent).is_ok());
        assert_eq!(utterances(&one, &mut absent), Err(StepError { event: 0 }));
    }
}
