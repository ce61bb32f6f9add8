use taonet_primitives::Transcript;

use super::result::{
    DuplicatePenalty, Gate, LatencyRow, Margins, SCORE_METHOD, SCORE_METHOD_ERROR, ScoreResult,
    SpeechRate,
};
use super::{
    Latency, Rate, ScoreError, ScoreOptions, Timing, accuracy, duplication, duration_rate, latency,
    speaks_other_language, speech_rate,
};
use crate::Rules;
use crate::reference::Reference;
use crate::rounding::{round3, round4, round6};

/// Why no reply to an utterance can be scored.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchFailure {
    /// Error for every reply to the utterance.
    pub error: ScoreError,
    /// File or URL from which the reference was requested, as recorded in the results; `None` if
    /// unknown.
    pub source: Option<String>,
}

/// Result of speech recognition for a reply.
#[derive(Debug, Clone)]
pub enum Evidence<'a> {
    /// The reply was transcribed.
    Transcribed {
        /// Transcript of the reply.
        transcript: &'a Transcript,
        /// Confidence of the recogniser in the complete text, 0 to 1, if the recogniser reports a
        /// confidence.
        confidence: Option<f32>,
    },
    /// Recognition or embedding failed.
    Failed(ScoreError),
    /// The reply has no audio; recognition was skipped.
    NoAudio,
    /// The reply ended too late; recognition was skipped.
    TooLate,
}

/// A reply to an utterance, ready to be scored.
#[derive(Debug, Clone)]
pub struct Reply<'a> {
    /// Duration and completion of the reply.
    pub timing: Timing,
    /// Result of speech recognition.
    pub evidence: Evidence<'a>,
    /// Sentence vector of the transcript, or of the empty text if there is no transcript; empty if
    /// no vector was computed.
    pub vector: &'a [f32],
}

/// Scores one reply without the duplication step. `reference_vector` is the sentence vector of the
/// reference text.
///
/// If the reference is unusable, the result contains the error.
pub fn score_one(
    reference: Result<&Reference, &BatchFailure>,
    reference_vector: &[f32],
    reply: &Reply<'_>,
    options: &ScoreOptions,
) -> ScoreResult {
    let inputs = CommonInputs { reference, timing: &reply.timing, options };
    match (&reply.evidence, reference) {
        (_, Err(failure)) => inputs.error_result(&failure.error),
        (Evidence::Failed(error), _) => inputs.error_result(error),
        (Evidence::NoAudio, _) => {
            ScoreResult { gate: Some(Gate::NoAudio), ..inputs.error_result(&ScoreError::NoAudio) }
        }
        (Evidence::TooLate, _) => inputs.too_late_result(),
        (Evidence::Transcribed { transcript, confidence }, Ok(reference)) => {
            let seconds = reply.timing.predicted_duration.get();
            if transcript.is_silent() && seconds > 0.0 {
                return inputs.error_result(&ScoreError::NoSpeech { seconds });
            }
            let is_blank = transcript.text.trim().is_empty();
            let is_other_language = speaks_other_language(
                &transcript.detected_language,
                *confidence,
                reference,
                options,
            );
            let transcribed = TranscribedReply {
                text: &transcript.text,
                accuracy: if is_blank || is_other_language {
                    0.0
                } else {
                    accuracy(reference_vector, reply.vector)
                },
                is_other_language: is_other_language && !is_blank,
                rate: match options.rules {
                    Rules::Strict if transcript.words.is_empty() => {
                        duration_rate(transcript, seconds, reference.wps, options)
                    }
                    _ => speech_rate(&transcript.words, reference.wps, options),
                },
            };
            inputs.score_transcribed(&transcribed)
        }
    }
}

/// Scores all replies to one utterance, in order, including the duplication step.
///
/// `reference_vector` is the sentence vector of the reference text. Replies too late for
/// recognition are excluded from the duplication step. If the reference is unusable, all replies
/// get error results; under reference rules, these results have no duplication record.
pub fn score_batch(
    reference: Result<&Reference, &BatchFailure>,
    reference_vector: &[f32],
    replies: &[Reply<'_>],
    options: &ScoreOptions,
) -> Vec<ScoreResult> {
    let mut results: Vec<_> = replies
        .iter()
        .map(|reply| score_one(reference, reference_vector, reply, options))
        .collect();
    if reference.is_err() && options.rules == Rules::Reference {
        return results;
    }
    let mut scored_replies = Vec::with_capacity(replies.len());
    for (result, reply) in results.iter_mut().zip(replies) {
        result.raw_score = Some(result.score);
        if result.gate == Some(Gate::TooLate) {
            result.duplicate_penalty = Some(DuplicatePenalty::absent(options));
        } else {
            scored_replies.push((result, reply.vector));
        }
    }
    let scores_and_vectors: Vec<_> =
        scored_replies.iter().map(|(result, vector)| (result.score, *vector)).collect();
    for ((result, _), row) in
        scored_replies.into_iter().zip(duplication(&scores_and_vectors, options))
    {
        let penalty = DuplicatePenalty::of(&row, options);
        result.score = penalty.final_score;
        result.duplicate_penalty = Some(penalty);
    }
    results
}

/// Assessment of a transcribed reply.
struct TranscribedReply<'a> {
    text: &'a str,
    accuracy: f64,
    is_other_language: bool,
    rate: Rate,
}

/// Inputs common to all results.
struct CommonInputs<'a> {
    reference: Result<&'a Reference, &'a BatchFailure>,
    timing: &'a Timing,
    options: &'a ScoreOptions,
}

impl CommonInputs<'_> {
    fn latency(&self) -> Latency {
        latency(
            self.timing.effective_completion.get(),
            self.timing.source_duration.get(),
            self.options,
        )
    }

    fn reference_wps(&self) -> Option<f64> {
        self.reference.ok().map(|reference| round3(reference.wps))
    }

    /// Creates a result with score 0 that contains only the latency, the durations and the
    /// reference's data.
    fn empty_result(&self, latency: &Latency) -> ScoreResult {
        let completion = round4(self.timing.effective_completion.get());
        let source = round4(self.timing.source_duration.get());
        ScoreResult {
            score: 0.0,
            raw_score: None,
            accuracy: None,
            accuracy_pass: None,
            speech_rate: SpeechRate::Measured {
                penalty: None,
                miner_wps: None,
                reference_wps: self.reference_wps(),
                ratio: None,
                reason: None,
            },
            latency: LatencyRow {
                score: latency.score,
                completion_sec: completion,
                source_duration_sec: source,
                overshoot_sec: round4(latency.overshoot),
                allowed_overshoot_sec: Some(round4(latency.allowed)),
            },
            stt_text: None,
            gt_text: self
                .reference
                .map_or_else(|_| String::new(), |reference| reference.text.clone()),
            predicted_duration_sec: round4(self.timing.predicted_duration.get()),
            effective_completion_sec: completion,
            source_duration_sec: source,
            score_is_fallback: false,
            score_method: SCORE_METHOD.to_owned(),
            scoring_metadata_source: match self.reference {
                Ok(reference) => reference.source.clone(),
                Err(failure) => failure.source.clone(),
            },
            duplicate_penalty: None,
            score_error: None,
            gate: None,
            margins: None,
            failed_gates: Vec::new(),
        }
    }

    fn score_transcribed(&self, transcribed: &TranscribedReply<'_>) -> ScoreResult {
        let TranscribedReply { accuracy, rate, .. } = transcribed;
        let latency = self.latency();
        let is_accurate = *accuracy >= self.options.accuracy_threshold;
        let mut failed_gates = Vec::new();
        match (is_accurate, transcribed.is_other_language) {
            (_, true) => failed_gates.push(Gate::Language),
            (false, false) => failed_gates.push(Gate::Accuracy),
            (true, false) => {}
        }
        if !rate.passes() {
            failed_gates.push(Gate::Rate);
        }
        if latency.score <= 0.0 {
            failed_gates.push(Gate::TooLate);
        }
        let is_strict = self.options.rules == Rules::Strict;
        let distance_to_bound =
            |ratio: f64| (ratio - self.options.rate_lower).min(self.options.rate_upper - ratio);
        ScoreResult {
            score: if is_accurate && rate.passes() { latency.score } else { 0.0 },
            accuracy: Some(round6(*accuracy)),
            accuracy_pass: Some(is_accurate),
            speech_rate: SpeechRate::Measured {
                penalty: Some(round6(rate.penalty)),
                miner_wps: rate.miner_wps.map(round3),
                reference_wps: self.reference_wps(),
                ratio: rate.ratio.map(round3),
                reason: None,
            },
            stt_text: Some(transcribed.text.to_owned()),
            margins: is_strict.then(|| Margins {
                accuracy: round6(accuracy - self.options.accuracy_threshold),
                rate: rate.ratio.map(|ratio| round6(distance_to_bound(ratio))),
            }),
            failed_gates,
            ..self.empty_result(&latency)
        }
    }

    fn too_late_result(&self) -> ScoreResult {
        ScoreResult {
            gate: Some(Gate::TooLate),
            failed_gates: vec![Gate::TooLate],
            ..self.empty_result(&self.latency())
        }
    }

    /// Creates an error result. Under reference rules some fields are missing, the source of a
    /// usable reference is not recorded, and the latency score is always 1. Strict rules include
    /// all known values.
    fn error_result(&self, error: &ScoreError) -> ScoreResult {
        let reason = "scoring_error".to_owned();
        let empty = self.empty_result(&self.latency());
        let failed_gate = match error {
            ScoreError::NoAudio => Gate::NoAudio,
            ScoreError::NoSpeech { .. } => Gate::NoSpeech,
            _ => Gate::ScoringError,
        };
        let mut result = ScoreResult {
            accuracy: Some(0.0),
            accuracy_pass: Some(false),
            stt_text: Some(String::new()),
            score_method: SCORE_METHOD_ERROR.to_owned(),
            score_error: Some(error.to_string()),
            failed_gates: vec![failed_gate],
            ..empty
        };
        match self.options.rules {
            Rules::Reference => {
                result.speech_rate = SpeechRate::Unknown { penalty: 0, reason };
                result.latency.score = 1.0;
                result.latency.allowed_overshoot_sec = None;
                if self.reference.is_ok() {
                    result.scoring_metadata_source = None;
                }
            }
            Rules::Strict => {
                result.speech_rate = SpeechRate::Measured {
                    penalty: Some(0.0),
                    miner_wps: None,
                    reference_wps: self.reference_wps(),
                    ratio: None,
                    reason: Some(reason),
                };
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;
