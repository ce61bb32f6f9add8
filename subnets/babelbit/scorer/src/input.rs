//! Parses and scores the JSON documents of the validator's tools. Errors name the path in the
//! document.
//!
//! Unknown fields are skipped and reported as [`Warning`]s.

mod documents;
mod read;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::reference::{Reference, ReferenceDocument, ReferenceError};
use taonet_babelbit_core::scoring::{BatchFailure, ScoreResult, Timeline};
use taonet_babelbit_core::text::MAX_ABSENT_STEPS;
use taonet_babelbit_core::weights::{ArenaShare, compute_weights};
use taonet_primitives::Uid;
use taonet_primitives::Weights;
use taonet_speech::WavHeader;

use super::{Audio, BatchScorer, Candidate};
use documents::{
    ArrivalsDocument, BatchDocument, TextDocument, TranscriptDocument, WeightsDocument,
};

/// Why a document is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A field is missing, has the wrong type or is out of range.
    #[error("{document}{at}: {problem}", at = if path.is_empty() { String::new() } else { format!(" at {path}") })]
    Field {
        /// Name of the document, e.g. `the batch`.
        document: &'static str,
        /// Path in the document, e.g. `predictions[2].arrivals`.
        path: String,
        /// Description of the problem, with a hint.
        problem: String,
    },
    /// A file is unreadable.
    #[error(
        "cannot read {path}; hint: relative paths are resolved from {base}",
        path = path.display(),
        base = base.display()
    )]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Base directory of relative paths.
        base: PathBuf,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The source is not a WAV file.
    #[error("the source {} is not a readable WAV file", path.display())]
    Source {
        /// Path of the file.
        path: PathBuf,
        /// The decoding error.
        #[source]
        source: taonet_speech::WavError,
    },
}

impl InputError {
    /// Prefixes the path of a nested document's error.
    fn with_parent(self, parent: &str) -> Self {
        match self {
            Self::Field { document, path, problem } => {
                Self::Field { document, path: join_path(parent, &path), problem }
            }
            other => other,
        }
    }
}

/// A problem in a document that does not prevent scoring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A field is unknown.
    #[error("{document} at {path}: unknown field, ignored")]
    UnknownField {
        /// Name of the document.
        document: &'static str,
        /// Path in the document.
        path: String,
    },
    /// The arrivals are missing, so the reply is timed as if it started with the source.
    #[error("no arrivals: the reply is timed from the start of the source")]
    NoArrivals,
}

impl Warning {
    /// Prefixes the path of a nested document's warning.
    fn with_parent(self, parent: &str) -> Self {
        match self {
            Self::UnknownField { document, path } => {
                Self::UnknownField { document, path: join_path(parent, &path) }
            }
            other @ Self::NoArrivals => other,
        }
    }
}

fn join_path(parent: &str, path: &str) -> String {
    let dot = if parent.is_empty() || path.is_empty() { "" } else { "." };
    format!("{parent}{dot}{path}")
}

/// Result of processing a document, with its warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<T> {
    /// Result of the processing.
    pub value: T,
    /// Warnings for the user.
    pub warnings: Vec<Warning>,
}

/// Results of one batch, in the order of its predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchResults {
    /// One result per prediction.
    pub results: Vec<ScoreResult>,
}

/// Inputs of `bb score`.
#[derive(Debug, Clone)]
pub struct PairInput {
    /// Path of the source speech, a WAV file.
    pub source: PathBuf,
    /// Path of the reply, a WAV file.
    pub predicted: PathBuf,
    /// A reference document with one utterance.
    pub reference: Value,
    /// Arrival times, `{"first_output_frame", "frame_rate_hz", "arrivals": [[frame, bytes], …],
    /// "eos_frame"}`, as in a batch.
    pub arrivals: Option<Value>,
    /// Known transcript, `{"text", "words": [{"word", "start", "end"}], "detected_language"}`,
    /// which replaces recognition.
    pub transcript: Option<Value>,
}

/// Scores a single reply like a batch of one.
///
/// # Errors
/// [`InputError`] when a document or file is unusable. A reply that cannot be scored gets an error
/// result instead.
pub fn score_pair(
    input: PairInput,
    scorer: &BatchScorer,
) -> Result<Outcome<ScoreResult>, InputError> {
    let base = Path::new(".");
    let mut warnings = Vec::new();
    let source = read::read_file(&input.source, base)?;
    let source = WavHeader::read(&source)
        .map_err(|error| InputError::Source { path: input.source.clone(), source: error })?;
    let predicted = read::read_file(&input.predicted, base)?;
    let channels = WavHeader::read(&predicted).map_or(1, |header| header.channels);
    let timeline = if let Some(arrivals) = input.arrivals {
        read::parse_document::<ArrivalsDocument>("the arrivals", arrivals, &mut warnings)?
            .timeline()
    } else {
        warnings.push(Warning::NoArrivals);
        Timeline::default()
    };
    let transcript = input
        .transcript
        .map(|transcript| {
            read::parse_document::<TranscriptDocument>("the transcript", transcript, &mut warnings)
        })
        .transpose()?;
    let candidate = Candidate {
        wav: Some(Audio::from(predicted)),
        duration: None,
        timeline,
        channels,
        source_duration: source.duration(),
        transcript: transcript.map(Into::into),
    };
    let reference = reference_of(input.reference, None, scorer);
    let mut results =
        scorer.score(reference.as_ref(), std::slice::from_ref(&candidate)).into_iter();
    let value = results.next().ok_or_else(|| read::field_error("the reply", "", "no result"))?;
    Ok(Outcome { value, warnings })
}

/// Scores a batch document, or a list of them; the result has the same structure.
///
/// A batch has the mono replies of several miners to one utterance: `{"challenge_uid",
/// "utterance_id", "source_duration_sec", "reference", "predictions": [{"miner", "wav",
/// "duration_sec", "first_output_frame", "frame_rate_hz", "arrivals": [[frame, bytes], …],
/// "eos_frame", "transcript"}]}`. `wav` is a path, relative to `base`; without `wav`, the duration
/// of the reply is `duration_sec`, or else that of the arrived bytes. The result of a batch is
/// [`BatchResults`]. Errors and warnings name their path, which in a list includes the number of
/// the batch: `[3].predictions[0].wav`.
///
/// # Errors
/// [`InputError`] when the document or a file it names is unusable. Problems with the reference or
/// a reply give error results instead.
pub fn score_batch_document(
    value: Value,
    base: &Path,
    scorer: &BatchScorer,
) -> Result<Outcome<Value>, InputError> {
    let (documents, is_list) = match value {
        Value::Array(documents) => (documents, true),
        document => (vec![document], false),
    };
    let mut warnings = Vec::new();
    let mut batches = Vec::with_capacity(documents.len());
    for (index, document) in documents.into_iter().enumerate() {
        let path = if is_list { format!("[{index}]") } else { String::new() };
        let mut batch_warnings = Vec::new();
        let batch = read::parse_document("the batch", document, &mut batch_warnings)
            .and_then(BatchDocument::checked);
        batches.push(batch.map_err(|error| error.with_parent(&path))?);
        warnings.extend(batch_warnings.into_iter().map(|warning| warning.with_parent(&path)));
    }
    // Recognition of the next batch overlaps with scoring of the current one; at most two batches
    // are in memory.
    let mut results = Vec::with_capacity(batches.len());
    let mut pending = None;
    for batch in batches.into_iter().map(Some).chain([None]) {
        let next = batch.map(|batch| prepare_batch(batch, base, scorer)).transpose()?;
        if let Some((reference, candidates)) = std::mem::replace(&mut pending, next) {
            let scored = BatchResults { results: scorer.score(reference.as_ref(), &candidates) };
            let result = serde_json::to_value(scored);
            results.push(
                result.map_err(|error| read::field_error("the answer", "", &error.to_string()))?,
            );
        }
    }
    let value = if is_list { Value::Array(results) } else { results.pop().unwrap_or_default() };
    Ok(Outcome { value, warnings })
}

/// Reads a batch's files and starts recognising them.
fn prepare_batch(
    batch: BatchDocument,
    base: &Path,
    scorer: &BatchScorer,
) -> Result<(Result<Reference, BatchFailure>, Vec<Candidate>), InputError> {
    let candidates = batch.candidates(base)?;
    for candidate in &candidates {
        scorer.prepare(candidate);
    }
    let id = batch.utterance_id();
    Ok((reference_of(batch.reference, id.as_deref(), scorer), candidates))
}

/// Computes weights from `{"main": [[uid, score], …], "arena": [[uid, score], …], "arena_percent",
/// "burn_uid"}`.
///
/// Null scores are ignored. A missing or non-numeric `arena_percent` means 90; without `burn_uid`,
/// nothing is burned.
///
/// # Errors
/// [`InputError`] when the document is unusable.
pub fn compute_weights_document(
    value: Value,
    rules: Rules,
) -> Result<Outcome<Weights>, InputError> {
    let mut warnings = Vec::new();
    let document: WeightsDocument = read::parse_document("the scores", value, &mut warnings)?;
    let scored = |scores: Vec<(Uid, Option<f64>)>| -> Vec<(Uid, f64)> {
        scores.into_iter().filter_map(|(uid, score)| Some((uid, score?))).collect()
    };
    let arena_share = match document.arena_percent {
        Value::Number(percent) => {
            percent.as_f64().map_or_else(ArenaShare::default, ArenaShare::from_percent)
        }
        Value::String(percent) => ArenaShare::from_setting(Some(&percent)),
        _ => ArenaShare::default(),
    };
    let value = compute_weights(
        &scored(document.main),
        &scored(document.arena),
        arena_share,
        document.burn_uid,
        rules,
    );
    Ok(Outcome { value, warnings })
}

/// Scores a dialogue of the text-prediction contest, or a list of them; the result has the same
/// structure.
///
/// A document is `{"dialogue_uid", "events": [lines of the dialogue's log], "vectors": {text:
/// [number, …]}, "lex_weight"}`; all fields except `events` are optional. A line is an object, or a
/// string that contains it; blank lines are skipped. Without vectors, all cosines are 0. The result
/// of a document is a [`DialogueScore`](taonet_babelbit_core::text::DialogueScore), with the edge
/// cases that `rules` decide.
///
/// # Errors
/// [`InputError`] when the document is unusable.
pub fn score_text_document(value: Value, rules: Rules) -> Result<Outcome<Value>, InputError> {
    let (documents, is_list) = match value {
        Value::Array(documents) => (documents, true),
        document => (vec![document], false),
    };
    let (mut warnings, mut absent_steps) = (Vec::new(), MAX_ABSENT_STEPS);
    let mut results = Vec::with_capacity(documents.len());
    for (index, mut document) in documents.into_iter().enumerate() {
        let path = if is_list { format!("[{index}]") } else { String::new() };
        let mut document_warnings = Vec::new();
        let parsed = parse_lines(&mut document)
            .and_then(|()| read::parse_document("the dialogue", document, &mut document_warnings));
        let score =
            parsed.and_then(|document: TextDocument| document.score(&mut absent_steps, rules));
        let result = serde_json::to_value(score.map_err(|error| error.with_parent(&path))?);
        results.push(
            result.map_err(|error| read::field_error("the answer", &path, &error.to_string()))?,
        );
        warnings.extend(document_warnings.into_iter().map(|warning| warning.with_parent(&path)));
    }
    let value = if is_list { Value::Array(results) } else { results.pop().unwrap_or_default() };
    Ok(Outcome { value, warnings })
}

/// Parses the lines of a log that are strings, as in the log's file. A blank line becomes an event
/// without a kind, so that the indexes of the other lines stay the same.
fn parse_lines(document: &mut Value) -> Result<(), InputError> {
    let events = document.get_mut("events").and_then(Value::as_array_mut);
    for (index, event) in events.into_iter().flatten().enumerate() {
        if let Value::String(line) = event {
            *event = if line.trim().is_empty() {
                Value::Object(serde_json::Map::new())
            } else {
                serde_json::from_str(line).map_err(|error| {
                    invalid_event(index, &format!("a string that is not JSON: {error}"))
                })?
            };
        }
        if !event.is_object() {
            return Err(invalid_event(index, "another value"));
        }
    }
    Ok(())
}

fn invalid_event(index: usize, actual: &str) -> InputError {
    let problem =
        format!("expected an object, or a string that contains a line of the log; found {actual}");
    read::field_error("the dialogue", &format!("events[{index}]"), &problem)
}

/// Finds the reference of an utterance. Without an ID, the document must have exactly one
/// utterance.
fn reference_of(
    document: Value,
    id: Option<&str>,
    scorer: &BatchScorer,
) -> Result<Reference, BatchFailure> {
    let language = &scorer.options().target_language;
    let find = |document: ReferenceDocument| match id {
        Some(id) if !document.is_single_utterance() => document.find(id, language),
        _ => document.sole(language),
    };
    ReferenceDocument::parse(document)
        .and_then(find)
        .map_err(|error: ReferenceError| BatchFailure { error: error.into(), source: None })
}

#[cfg(test)]
mod tests;
