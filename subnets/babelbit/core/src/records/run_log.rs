use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_primitives::{Hotkey, Uid};

use super::ChallengeType;

/// `run.json`: everything about one miner's part of one challenge, beside its audio files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLog {
    /// The challenge.
    pub challenge_uid: String,
    /// Its contest.
    pub challenge_type: ChallengeType,
    /// The miner's slot.
    pub miner_uid: Uid,
    /// The miner's key.
    pub miner_hotkey: Hotkey,
    /// Always [`crate::protocol::PROTOCOL`].
    pub protocol: String,
    /// Always false.
    pub score_is_fallback: bool,
    /// How the utterances were scored.
    pub score_method: String,
    /// Whether every utterance was played to its end and the challenge itself had no error.
    pub completed: bool,
    /// Mean of the utterances' scores, not rounded.
    pub score: f64,
    /// One entry per utterance, by index.
    pub utterances: Vec<RunLogUtterance>,
    /// What cut the challenge short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One utterance in a [`RunLog`].
///
/// An utterance that failed on the way has 0 in the four `frame_` fields, and null where there is no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLogUtterance {
    /// The challenge.
    pub challenge_uid: String,
    /// Position in the challenge, from 0.
    pub utterance_index: u32,
    /// The engine's name for the utterance.
    pub utterance_id: String,
    /// Language of the source speech.
    pub language: String,
    /// The miner's slot.
    pub miner_uid: Uid,
    /// The miner's key.
    pub miner_hotkey: Hotkey,
    /// Session that the miner opened.
    pub miner_session_id: Option<String>,
    /// WAV of the source, relative to the file.
    pub source_audio_path: String,
    /// WAV of the reply, relative to the file.
    pub predicted_audio_path: Option<String>,
    /// Samples per second of the source.
    pub sample_rate_hz: u32,
    /// Channels of the source.
    pub channels: u16,
    /// Bytes of one sample of the source.
    pub sample_width_bytes: u16,
    /// Samples of the source: `int8`, `int16` or `int32`.
    pub dtype: String,
    /// Frames per second.
    pub frame_rate_hz: f64,
    /// Samples per channel in one frame.
    pub frame_samples: u32,
    /// Frames sent.
    pub frame_count_in: u32,
    /// Bytes received, in whole frames.
    pub frame_count_out: u64,
    /// Size of the source's WAV file.
    pub source_num_bytes: u64,
    /// Size of the reply's WAV file.
    pub predicted_num_bytes: u64,
    /// Whether the reply came to its end.
    pub completed: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// Completion on the frame clock, or wall time to the failure, in milliseconds.
    pub latency_ms: f64,
    /// The score, 0 to 1.
    pub score: f64,
    /// Always false.
    pub score_is_fallback: bool,
    /// How it was scored.
    pub score_method: String,
    /// Closeness of meaning, 0 to 1.
    pub accuracy: f64,
    /// Length of the source.
    pub source_duration_sec: f64,
    /// Length of the reply.
    pub predicted_duration_sec: f64,
    /// When the listener has heard the reply.
    pub effective_completion_sec: f64,
    /// The expected translation.
    pub reference_text: String,
    /// What the recogniser heard in the reply.
    pub transcript_text: String,
    /// Where the expected translation came from.
    pub scoring_metadata_source: Option<String>,
    /// How the score came about: `speech_rate`, `latency`, `duplication`, `score_error` and `gate` as far as they apply,
    /// or `prediction_error` alone.
    pub score_breakdown: Value,
}
