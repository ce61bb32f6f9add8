//! Computes the scores of a played dialogue.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;

use serde_json::json;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::text::{
    DialogueScore, Event, MAX_ABSENT_STEPS, SentenceVectors, StepError, Utterance, VectorError,
    VectorOptions, score_dialogue, utterances,
};
use taonet_speech::{EmbedError, Embedding, SentenceEmbedder};

use super::play::PlayedDialogue;

/// Weight of the lexical similarity in the reference's runner.
const LEXICAL_WEIGHT: f64 = 0.0;
/// Maximum number of texts per call of the embedder, which sorts them by length: in a large call,
/// texts of equal length share products, and the threads wait for each other less often.
const MAX_BATCH_TEXTS: usize = 4_096;

/// Why predictions could not be scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoringError {
    /// The sentence embedder failed.
    #[error(transparent)]
    Embedder(#[from] EmbedError),
    /// A sentence vector is missing, or its length differs from that of the other vectors.
    #[error(transparent)]
    Vectors(#[from] VectorError),
    /// A log has too many steps.
    #[error(transparent)]
    Steps(#[from] StepError),
}

/// Steps of a miner in one utterance, and the utterance's text.
struct LoggedUtterance<'a> {
    index: u32,
    predictions: Vec<&'a str>,
    ground_truth: String,
}

/// Returns the utterances of a miner's log.
///
/// By the reference's rules, the log counts the utterances with steps of this miner. An utterance
/// without such steps replaces the text of the one before: the reference's runner completes the
/// miner's last step, whichever utterance it belongs to. By the strict rules, missing steps are
/// empty predictions, and utterances have the engine's numbers.
fn logged_utterances(
    dialogue: &PlayedDialogue,
    miner: usize,
    rules: Rules,
) -> Vec<LoggedUtterance<'_>> {
    let mut utterances: Vec<LoggedUtterance<'_>> = Vec::new();
    for utterance in &dialogue.utterances {
        let ground_truth = utterance.words.join(" ");
        let steps = utterance.predictions.get(miner).into_iter().flatten();
        let mut predictions: Vec<&str> = steps.map(String::as_str).collect();
        let index = match rules {
            Rules::Reference if predictions.is_empty() => {
                if let Some(last) = utterances.last_mut() {
                    last.ground_truth = ground_truth;
                }
                continue;
            }
            Rules::Reference => utterances.len() as u32,
            Rules::Strict => {
                predictions
                    .resize(utterance.predictions.iter().map(Vec::len).max().unwrap_or(0), "");
                utterance.index
            }
        };
        utterances.push(LoggedUtterance { index, predictions, ground_truth });
    }
    utterances
}

/// Builds a miner's log of a dialogue: its predictions, then the complete utterance, for each
/// utterance.
pub(super) fn events(dialogue: &PlayedDialogue, miner: usize, rules: Rules) -> Vec<Event> {
    let event = |kind: &str, utterance: u32| Event {
        event: Some(kind.to_owned()),
        utterance_index: Some(i64::from(utterance)),
        step: None,
        prediction: None,
        ground_truth: None,
        challenge_type: None,
    };
    let mut events = Vec::new();
    for LoggedUtterance { index, predictions, ground_truth } in
        logged_utterances(dialogue, miner, rules)
    {
        for (step, prediction) in predictions.into_iter().enumerate() {
            let prediction = Some(prediction.to_owned());
            events.push(Event { step: Some(json!(step)), prediction, ..event("predicted", index) });
        }
        events
            .push(Event { ground_truth: Some(ground_truth), ..event("utterance_complete", index) });
    }
    events
}

/// Computes each miner's scores of a dialogue, in the order of `logs`. A prediction that cannot be
/// embedded has a cosine of 0, so that it does not affect other miners; so has an empty one by the
/// strict rules, while the reference embeds it like any other. Blocks the calling thread.
///
/// # Errors
/// [`ScoringError`] when the embedder fails on an utterance, or a log has too many steps.
pub fn score_logs(
    dialogue_uid: &str,
    logs: &[Vec<Event>],
    embedder: &dyn SentenceEmbedder,
    options: VectorOptions,
    rules: Rules,
) -> Result<Vec<DialogueScore>, ScoringError> {
    let mut remaining_absent_steps = MAX_ABSENT_STEPS;
    let logs = logs
        .iter()
        .map(|log| utterances(log, &mut remaining_absent_steps))
        .collect::<Result<Vec<_>, _>>()?;
    let vectors = SentenceVectors::with_options(
        vectors(&logs, embedder, options.dimensions, rules)?,
        options,
    )?;
    let score = |log: Vec<Utterance>| -> Result<DialogueScore, ScoringError> {
        let scored_utterances: Vec<_> =
            log.into_iter().filter(|utterance| !utterance.ground_truth.is_empty()).collect();
        let scored = score_dialogue(scored_utterances, Some(&vectors), LEXICAL_WEIGHT, rules)?;
        Ok(DialogueScore { dialogue_uid: Some(dialogue_uid.to_owned()), ..scored })
    };
    logs.into_iter().map(score).collect()
}

/// Embeds each distinct text of the logs, truncated to `dimensions` if set. The strict rules skip
/// the empty text.
fn vectors(
    logs: &[Vec<Utterance>],
    embedder: &dyn SentenceEmbedder,
    dimensions: Option<NonZeroUsize>,
    rules: Rules,
) -> Result<BTreeMap<String, Vec<f64>>, EmbedError> {
    let utterances = logs.iter().flatten();
    let truths: HashSet<&str> =
        utterances.clone().map(|utterance| utterance.ground_truth.as_str()).collect();
    let predictions = utterances.flat_map(|utterance| &utterance.predictions).map(String::as_str);
    let mut texts: Vec<&str> = predictions.chain(truths.iter().copied()).collect();
    texts.retain(|text| rules == Rules::Reference || !text.is_empty());
    texts.sort_unstable();
    texts.dedup();
    let dimensions = dimensions.map_or(usize::MAX, NonZeroUsize::get);
    let (mut vectors, mut unusable) = (BTreeMap::new(), Vec::new());
    for batch in texts.chunks(MAX_BATCH_TEXTS) {
        for (text, vector) in batch.iter().zip(embed(batch, &truths, embedder)?) {
            let numbers = |vector: Embedding| {
                vector.0.iter().take(dimensions).copied().map(f64::from).collect::<Vec<f64>>()
            };
            match vector.map(numbers) {
                Some(numbers) if truths.contains(text) || is_finite(&numbers) => {
                    vectors.insert((*text).to_owned(), numbers);
                }
                _ => unusable.push(*text),
            }
        }
    }
    if !unusable.is_empty() {
        tracing::warn!(
            texts = unusable.len(),
            "predictions cannot be embedded, and have a cosine of 0"
        );
    }
    let length = vectors.values().next().map_or(0, Vec::len);
    vectors.extend(unusable.into_iter().map(|text| (text.to_owned(), vec![0.0; length])));
    Ok(vectors)
}

fn is_finite(numbers: &[f64]) -> bool {
    numbers.iter().all(|number| number.is_finite())
}

/// Embeds texts. If the embedder fails, embeds each text separately, and returns `None` for a
/// prediction on which it fails.
fn embed(
    texts: &[&str],
    truths: &HashSet<&str>,
    embedder: &dyn SentenceEmbedder,
) -> Result<Vec<Option<Embedding>>, EmbedError> {
    let error = match embedder.embed(texts) {
        Ok(vectors) => return Ok(vectors.into_iter().map(Some).collect()),
        Err(error) => error,
    };
    tracing::warn!(%error, "batch embedding failed, embedding the texts one by one");
    let embed_one = |text: &&str| match embedder.embed(&[*text]) {
        Ok(vectors) => Ok(vectors.into_iter().next()),
        Err(error) if truths.contains(text) => Err(error),
        Err(_) => Ok(None),
    };
    texts.iter().map(embed_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::PlayedUtterance;
    use crate::tests::WordVectors;

    #[test]
    fn empty_and_eof_utterances_are_not_scored() {
        let utterance = |index: u32, words: &str, prediction: &str| PlayedUtterance {
            index,
            words: vec![words.to_owned()],
            predictions: vec![vec![prediction.to_owned()]],
        };
        let utterances =
            vec![utterance(0, "one", "one"), utterance(1, "", "two"), utterance(2, "EOF", "two")];
        let dialogue = PlayedDialogue { uid: "d".to_owned(), index: 0, utterances };
        let rules = Rules::Reference;
        let logs = [events(&dialogue, 0, rules)];
        let scored = score_logs("d", &logs, &WordVectors, VectorOptions::default(), rules).unwrap();
        let numbers: Vec<_> =
            scored[0].utterances.iter().map(|utterance| utterance.utterance_number).collect();
        assert_eq!((numbers, scored[0].dialogue_summary.average_best), (vec![0], 1.0));
    }

    /// The vectors of "one" and "two" are orthogonal, and differ in the first two dimensions only.
    #[test]
    fn vectors_have_the_configured_dimensions() {
        let utterance = PlayedUtterance {
            index: 0,
            words: vec!["one".to_owned(), "three".to_owned()],
            predictions: vec![vec!["one six".to_owned(), "two".to_owned()]],
        };
        let dialogue =
            PlayedDialogue { uid: "d".to_owned(), index: 0, utterances: vec![utterance] };
        let cosines = |dimensions| {
            let options = VectorOptions {
                dimensions: NonZeroUsize::new(dimensions),
                ..VectorOptions::default()
            };
            let logs = [events(&dialogue, 0, Rules::Reference)];
            let scored = score_logs("d", &logs, &WordVectors, options, Rules::Reference).unwrap();
            scored[0].utterances[0]
                .steps
                .iter()
                .map(|step| step.semantic_cosine_raw)
                .collect::<Vec<_>>()
        };
        assert_eq!(cosines(0), [0.5, 0.0]);
        assert_eq!(cosines(2), [1.0, 0.0]);
    }

    /// The vector of the empty text has a direction, as in sentence-transformers.
    struct UnitEmptyVector;

    impl SentenceEmbedder for UnitEmptyVector {
        fn name(&self) -> &'static str {
            "empty"
        }

        fn fingerprint(&self) -> &'static str {
            "empty"
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
            let texts: Vec<&str> =
                texts.iter().map(|text| if text.is_empty() { "one" } else { text }).collect();
            WordVectors.embed(&texts)
        }
    }

    /// Columns: rules · cosines of a failed and of a correct prediction
    #[test]
    fn empty_prediction_is_embedded_under_reference_rules() {
        for (rules, expected) in [(Rules::Reference, [0.5, 1.0]), (Rules::Strict, [0.0, 1.0])] {
            let utterance = PlayedUtterance {
                index: 0,
                words: ["one", "two", "three", "four"].map(str::to_owned).to_vec(),
                predictions: vec![vec![String::new(), "one two three four".to_owned()]],
            };
            let dialogue =
                PlayedDialogue { uid: "d".to_owned(), index: 0, utterances: vec![utterance] };
            let logs = [events(&dialogue, 0, rules)];
            let scored =
                score_logs("d", &logs, &UnitEmptyVector, VectorOptions::default(), rules).unwrap();
            let steps = scored[0].utterances[0].steps.iter();
            assert_eq!(
                steps.map(|step| step.semantic_cosine_raw).collect::<Vec<_>>(),
                expected,
                "{rules}"
            );
        }
    }

    /// The second miner drops out after the first word, the third before the first.
    #[test]
    fn dropped_out_miner_has_no_further_steps_under_reference_rules() {
        let utterance = |index: u32, words: &str, predictions: [&[&str]; 3]| PlayedUtterance {
            index,
            words: words.split(' ').map(str::to_owned).collect(),
            predictions: predictions
                .map(|steps| steps.iter().map(|&step| step.to_owned()).collect())
                .to_vec(),
        };
        let utterances = vec![
            utterance(0, "one two", [&["a", "b"], &[""], &[]]),
            utterance(2, "three", [&["c"], &[], &[]]),
        ];
        let dialogue = PlayedDialogue { uid: "d".to_owned(), index: 0, utterances };
        let log = |miner, rules| {
            let lines = events(&dialogue, miner, rules).into_iter();
            let line = |event: Event| {
                let text =
                    event.prediction.or(event.ground_truth.map(|truth| format!("= {truth}")));
                format!("{} {}", event.utterance_index.unwrap_or(-1), text.unwrap_or_default())
            };
            lines.map(line).collect::<Vec<_>>()
        };
        assert_eq!(log(0, Rules::Reference), ["0 a", "0 b", "0 = one two", "1 c", "1 = three"]);
        assert_eq!(log(0, Rules::Strict), ["0 a", "0 b", "0 = one two", "2 c", "2 = three"]);
        assert_eq!(log(1, Rules::Reference), ["0 ", "0 = three"]);
        assert_eq!(log(1, Rules::Strict), ["0 ", "0 ", "0 = one two", "2 ", "2 = three"]);
        assert_eq!(log(2, Rules::Reference), [""; 0]);
        assert_eq!(log(2, Rules::Strict), log(1, Rules::Strict));
    }

    /// Fails on "bad", and gives no direction to "nan".
    struct UnstableEmbedder;

    impl SentenceEmbedder for UnstableEmbedder {
        fn name(&self) -> &'static str {
            "unsteady"
        }

        fn fingerprint(&self) -> &'static str {
            "unsteady"
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
            if texts.contains(&"bad") {
                return Err(EmbedError::Tokenizer("expected by the test".to_owned()));
            }
            let vectors = texts.iter().zip(WordVectors.embed(texts)?);
            let unstable = |(text, vector): (&&str, Embedding)| match *text {
                "nan" => Embedding([f32::NAN; 6].into()),
                _ => vector,
            };
            Ok(vectors.map(unstable).collect())
        }
    }

    /// Columns: ground truth · scores of the miners; none if the dialogue cannot be scored
    #[test]
    fn unembeddable_prediction_does_not_affect_other_miners() {
        for (truth, expected) in [("one", Some(vec![1.0, 0.0, 0.0])), ("bad", None), ("nan", None)]
        {
            let utterance = PlayedUtterance {
                index: 0,
                words: vec![truth.to_owned()],
                predictions: ["one", "bad", "nan"].map(|text| vec![text.to_owned()]).to_vec(),
            };
            let dialogue =
                PlayedDialogue { uid: "d".to_owned(), index: 0, utterances: vec![utterance] };
            let logs: Vec<_> =
                (0..3).map(|miner| events(&dialogue, miner, Rules::Reference)).collect();
            let scored = score_logs(
                "d",
                &logs,
                &UnstableEmbedder,
                VectorOptions::default(),
                Rules::Reference,
            )
            .ok();
            let best = |scored: Vec<DialogueScore>| {
                scored.iter().map(|one| one.dialogue_summary.average_best).collect::<Vec<_>>()
            };
            assert_eq!(scored.map(best), expected, "{truth}");
        }
    }
}
