//! Serde types of the input documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::protocol::{FRAME_RATE_HZ, SAMPLE_BYTES, SAMPLE_RATE_HZ};
use taonet_babelbit_core::scoring::Timeline;
use taonet_babelbit_core::text::{self, DialogueScore, Event, SentenceVectors};
use taonet_primitives::{Seconds, Transcript, Uid, Word};

use super::{InputError, read};
use crate::{Audio, Candidate};

/// Replies of several miners to one utterance.
#[derive(Deserialize)]
pub(super) struct BatchDocument {
    #[serde(default, rename = "challenge_uid")]
    _challenge_uid: Value,
    #[serde(default)]
    utterance_id: Value,
    source_duration_sec: Seconds,
    pub(super) reference: Value,
    predictions: Vec<PredictionDocument>,
}

/// One miner's reply.
#[derive(Deserialize)]
struct PredictionDocument {
    #[serde(default, rename = "miner")]
    _miner: Value,
    wav: Option<PathBuf>,
    duration_sec: Option<Seconds>,
    first_output_frame: Option<u64>,
    frame_rate_hz: Option<f64>,
    #[serde(default)]
    arrivals: Option<Vec<(u64, u64)>>,
    eos_frame: Option<u64>,
    transcript: Option<TranscriptDocument>,
}

/// Arrival times of a reply's chunks.
#[derive(Deserialize)]
pub(super) struct ArrivalsDocument {
    first_output_frame: Option<u64>,
    frame_rate_hz: Option<f64>,
    #[serde(default)]
    arrivals: Option<Vec<(u64, u64)>>,
    eos_frame: Option<u64>,
}

/// Transcript of a reply.
#[derive(Deserialize)]
pub(super) struct TranscriptDocument {
    text: Option<String>,
    words: Option<Vec<Word>>,
    detected_language: Option<String>,
}

/// Main and arena scores of a challenge, with the arena's share and the burn uid.
#[derive(Deserialize)]
pub(super) struct WeightsDocument {
    #[serde(default)]
    pub(super) main: Vec<(Uid, Option<f64>)>,
    #[serde(default)]
    pub(super) arena: Vec<(Uid, Option<f64>)>,
    #[serde(default)]
    pub(super) arena_percent: Value,
    pub(super) burn_uid: Option<Uid>,
}

/// The log of a dialogue of the text-prediction contest.
#[derive(Deserialize)]
pub(super) struct TextDocument {
    dialogue_uid: Option<String>,
    events: Vec<Event>,
    vectors: Option<BTreeMap<String, Vec<f64>>>,
    #[serde(default)]
    lex_weight: f64,
}

impl TextDocument {
    /// Scores the dialogue. `absent_steps` is the number of steps without an event that the
    /// documents may still have.
    pub(super) fn score(
        self,
        absent_steps: &mut i64,
        rules: Rules,
    ) -> Result<DialogueScore, InputError> {
        const NAME: &str = "the dialogue";
        if !(0.0..=1.0).contains(&self.lex_weight) {
            return Err(read::field_error(NAME, "lex_weight", "expected a weight from 0 to 1"));
        }
        let utterances = text::utterances(&self.events, absent_steps).map_err(|error| {
            read::field_error(NAME, &format!("events[{}].step", error.event), &error.to_string())
        })?;
        let vectors = self.vectors.map(SentenceVectors::new).transpose();
        let scored = vectors.and_then(|vectors| {
            text::score_dialogue(utterances, vectors.as_ref(), self.lex_weight, rules)
        });
        let scored =
            scored.map_err(|error| read::field_error(NAME, "vectors", &error.to_string()))?;
        Ok(DialogueScore { dialogue_uid: self.dialogue_uid, ..scored })
    }
}

impl BatchDocument {
    /// Returns the utterance ID as text; `None` if missing.
    pub(super) fn utterance_id(&self) -> Option<String> {
        match &self.utterance_id {
            Value::Null => None,
            Value::String(id) => Some(id.clone()),
            id => Some(id.to_string()),
        }
    }

    /// Validates that no duration is negative.
    pub(super) fn checked(self) -> Result<Self, InputError> {
        check_not_negative(self.source_duration_sec, "source_duration_sec")?;
        for (index, prediction) in self.predictions.iter().enumerate() {
            let duration = prediction.duration_sec.unwrap_or_default();
            check_not_negative(duration, &format!("predictions[{index}].duration_sec"))?;
        }
        Ok(self)
    }

    /// Converts the predictions to candidates, reading their files.
    pub(super) fn candidates(&self, base: &Path) -> Result<Vec<Candidate>, InputError> {
        self.predictions
            .iter()
            .map(|prediction| prediction.candidate(self.source_duration_sec, base))
            .collect()
    }
}

impl PredictionDocument {
    fn candidate(&self, source_duration: Seconds, base: &Path) -> Result<Candidate, InputError> {
        let wav = self
            .wav
            .as_deref()
            .map(|path| read::read_file(path, base))
            .transpose()?
            .map(Audio::from);
        let timeline = timeline(
            self.first_output_frame,
            self.frame_rate_hz,
            self.arrivals.as_deref(),
            self.eos_frame,
        );
        let reply_duration =
            timeline.total_bytes() as f64 / (f64::from(SAMPLE_RATE_HZ) * SAMPLE_BYTES as f64);
        Ok(Candidate {
            wav,
            duration: self.duration_sec.or(Seconds::new(reply_duration).ok()),
            timeline,
            channels: 1,
            source_duration,
            transcript: self.transcript.as_ref().map(Into::into),
        })
    }
}

impl ArrivalsDocument {
    pub(super) fn timeline(&self) -> Timeline {
        timeline(
            self.first_output_frame,
            self.frame_rate_hz,
            self.arrivals.as_deref(),
            self.eos_frame,
        )
    }
}

fn timeline(
    first_output_frame: Option<u64>,
    frame_rate_hz: Option<f64>,
    arrivals: Option<&[(u64, u64)]>,
    eos_frame: Option<u64>,
) -> Timeline {
    let mut timeline = Timeline::new(arrivals.unwrap_or_default().to_vec(), eos_frame.unwrap_or(0));
    timeline.first_output_frame = first_output_frame.unwrap_or(timeline.first_output_frame);
    timeline.frame_rate_hz = frame_rate_hz.unwrap_or(FRAME_RATE_HZ);
    timeline
}

fn check_not_negative(duration: Seconds, path: &str) -> Result<(), InputError> {
    if duration < Seconds::ZERO {
        return Err(read::field_error("the batch", path, "a duration must be at least 0"));
    }
    Ok(())
}

impl From<&TranscriptDocument> for Transcript {
    fn from(document: &TranscriptDocument) -> Self {
        Self {
            text: document.text.clone().unwrap_or_default(),
            words: document.words.clone().unwrap_or_default(),
            detected_language: document.detected_language.clone().unwrap_or_default(),
        }
    }
}

impl From<TranscriptDocument> for Transcript {
    fn from(document: TranscriptDocument) -> Self {
        Self::from(&document)
    }
}
