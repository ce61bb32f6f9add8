use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_primitives::{Hotkey, Uid};

use super::ChallengeType;

/// `run.json`: the full log of one miner in one challenge, without the audio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLog {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Uid of the miner.
    pub miner_uid: Uid,
    /// Hotkey of the miner.
    pub miner_hotkey: Hotkey,
    /// Name of the protocol, always [`crate::protocol::PROTOCOL`].
    pub protocol: String,
    /// Whether the score is a fallback; always false.
    pub score_is_fallback: bool,
    /// Scoring method of the utterances.
    pub score_method: String,
    /// Whether every utterance was played completely and the challenge itself had no error.
    pub completed: bool,
    /// Mean of the utterances' scores, not rounded.
    pub score: f64,
    /// One entry per utterance, sorted by index.
    pub utterances: Vec<RunLogUtterance>,
    /// Error that aborted the challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One utterance in a [`RunLog`].
///
/// A failed utterance has 0 in the four `frame_` fields, and null in fields without a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLogUtterance {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Position in the challenge, from 0.
    pub utterance_index: u32,
    /// The engine's ID of the utterance.
    pub utterance_id: String,
    /// Language of the source speech.
    pub language: String,
    /// Uid of the miner.
    pub miner_uid: Uid,
    /// Hotkey of the miner.
    pub miner_hotkey: Hotkey,
    /// ID of the session opened by the miner.
    pub miner_session_id: Option<String>,
    /// Path of the source's WAV file, relative to this file.
    pub source_audio_path: String,
    /// Path of the reply's WAV file, relative to this file.
    pub predicted_audio_path: Option<String>,
    /// Sample rate of the source in Hz.
    pub sample_rate_hz: u32,
    /// Channels of the source.
    pub channels: u16,
    /// Size of one sample of the source in bytes.
    pub sample_width_bytes: u16,
    /// Sample format of the source: `int8`, `int16` or `int32`.
    pub dtype: String,
    /// Frames per second.
    pub frame_rate_hz: f64,
    /// Number of samples per channel in one frame.
    pub frame_samples: u32,
    /// Number of source frames sent to the miner.
    pub frame_count_in: u32,
    /// Number of complete frames in the received audio.
    pub frame_count_out: u64,
    /// Size of the source's WAV file in bytes.
    pub source_num_bytes: u64,
    /// Size of the reply's WAV file in bytes.
    pub predicted_num_bytes: u64,
    /// Whether the reply is complete.
    pub completed: bool,
    /// Why the reply is incomplete.
    pub error: Option<String>,
    /// Time of completion on the virtual clock, or wall-clock time until the failure, in
    /// milliseconds.
    pub latency_ms: f64,
    /// Score of the utterance, 0 to 1.
    pub score: f64,
    /// Whether the score is a fallback; always false.
    pub score_is_fallback: bool,
    /// Scoring method of the utterance.
    pub score_method: String,
    /// Semantic similarity, 0 to 1.
    pub accuracy: f64,
    /// Duration of the source in seconds.
    pub source_duration_sec: f64,
    /// Duration of the reply in seconds.
    pub predicted_duration_sec: f64,
    /// Time from the start of the source until a listener has heard the complete reply, in seconds.
    pub effective_completion_sec: f64,
    /// The expected translation.
    pub reference_text: String,
    /// Transcript of the reply from the recogniser.
    pub transcript_text: String,
    /// File or URL from which the expected translation was requested.
    pub scoring_metadata_source: Option<String>,
    /// Components of the score: `speech_rate`, `latency`, `duplication`, `score_error` and `gate`
    /// as applicable, or only `prediction_error`.
    pub score_breakdown: Value,
}
