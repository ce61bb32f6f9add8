//! Computes the scores of a played dialogue.

use std::collections::BTreeMap;

use serde_json::json;
use taonet_babelbit_core::text::{
    DialogueScore, Event, SentenceVectors, StepError, Utterance, VectorError, VectorOptions, score_dialogue, utterances,
};
use taonet_speech::{EmbedError, SentenceEmbedder};

use super::play::PlayedDialogue;

/// Weight of the lexical similarity in the reference's runner.
const LEXICAL_WEIGHT: f64 = 0.0;
/// Maximum number of texts per call of the embedder, which sorts them by length: in a large call, texts of equal length
/// share products, and the threads wait for each other less often.
const BATCH: usize = 4_096;

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
    /// An utterance has too many steps.
    #[error(transparent)]
    Steps(#[from] StepError),
}

/// Builds a miner's log of a dialogue: its predictions, then the complete utterance, for each utterance.
pub(super) fn events(dialogue: &PlayedDialogue, miner: usize) -> Vec<Event> {
    let event = |kind: &str, utterance: u32| Event {
        event: Some(kind.to_owned()),
        utterance_index: Some(i64::from(utterance)),
        step: None,
        prediction: None,
        ground_truth: None,
        challenge_type: None,
    };
    let mut events = Vec::new();
    for utterance in &dialogue.utterances {
        for (step, prediction) in utterance.predictions.get(miner).into_iter().flatten().enumerate() {
            let prediction = Some(prediction.clone());
            events.push(Event { step: Some(json!(step)), prediction, ..event("predicted", utterance.index) });
        }
        let ground_truth = Some(utterance.words.join(" "));
        events.push(Event { ground_truth, ..event("utterance_complete", utterance.index) });
    }
    events
}

/// Computes each miner's scores of a dialogue, in the order of `logs`. Blocks the calling thread.
///
/// # Errors
/// [`ScoringError`] when the embedder fails, or an utterance has too many steps.
pub fn score_logs(
    dialogue_uid: &str,
    logs: &[Vec<Event>],
    embedder: &dyn SentenceEmbedder,
    options: VectorOptions,
) -> Result<Vec<DialogueScore>, ScoringError> {
    let logs = logs.iter().map(|log| utterances(log)).collect::<Result<Vec<_>, _>>()?;
    let vectors = SentenceVectors::with_options(vectors(&logs, embedder)?, options)?;
    let score = |log: Vec<Utterance>| -> Result<DialogueScore, ScoringError> {
        let said: Vec<_> = log.into_iter().filter(|utterance| !utterance.ground_truth.is_empty()).collect();
        let scored = score_dialogue(said, Some(&vectors), LEXICAL_WEIGHT)?;
        Ok(DialogueScore { dialogue_uid: Some(dialogue_uid.to_owned()), ..scored })
    };
    logs.into_iter().map(score).collect()
}

/// Embeds all distinct texts of the logs.
fn vectors(logs: &[Vec<Utterance>], embedder: &dyn SentenceEmbedder) -> Result<BTreeMap<String, Vec<f64>>, EmbedError> {
    let utterances = logs.iter().flatten();
    let texts = utterances.flat_map(|utterance| utterance.predictions.iter().chain([&utterance.ground_truth]));
    let mut texts: Vec<&str> = texts.map(String::as_str).filter(|text| !text.is_empty()).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut vectors = BTreeMap::new();
    for batch in texts.chunks(BATCH) {
        for (text, vector) in batch.iter().zip(embedder.embed(batch)?) {
            vectors.insert((*text).to_owned(), vector.0.iter().copied().map(f64::from).collect());
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::play::PlayedUtterance;
    use crate::tests::WordVectors;

    #[test]
    fn an_utterance_without_text_is_not_scored() {
        let utterance = |index: u32, words: &str, prediction: &str| PlayedUtterance {
            index,
            words: vec![words.to_owned()],
            predictions: vec![vec![prediction.to_owned()]],
        };
        let utterances = vec![utterance(0, "one", "one"), utterance(1, "", "two"), utterance(2, "EOF", "two")];
        let dialogue = PlayedDialogue { uid: "d".to_owned(), index: 0, utterances };
        let scored = score_logs("d", &[events(&dialogue, 0)], &WordVectors, VectorOptions::default()).unwrap();
        let numbers: Vec<_> = scored[0].utterances.iter().map(|utterance| utterance.utterance_number).collect();
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
        let dialogue = PlayedDialogue { uid: "d".to_owned(), index: 0, utterances: vec![utterance] };
        let cosines = |dimensions| {
            let options = VectorOptions { dimensions: NonZeroUsize::new(dimensions), ..VectorOptions::default() };
            let scored = score_logs("d", &[events(&dialogue, 0)], &WordVectors, options).unwrap();
            scored[0].utterances[0].steps.iter().map(|step| step.semantic_cosine_raw).collect::<Vec<_>>()
        };
        assert_eq!(cosines(0), [0.5, 0.0]);
        assert_eq!(cosines(2), [1.0, 0.0]);
    }
}
