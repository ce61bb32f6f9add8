//! Speech protocol `s2s_audio_v1` between validator and miner: two kinds of message, sent to one
//! URL.
//!
//! The validator sends `init` once per utterance and then one `predict` per 80 ms frame of source
//! speech; the miner answers each frame with any amount of translated speech. After the last frame,
//! the validator drains the reply: it sends empty `predict` requests until the miner ends the
//! reply. Fields are serialised in the order of the structs, and signatures that cover the message
//! body depend on this order.

use serde::{Deserialize, Serialize};

/// Name of the protocol in files and submissions.
pub const PROTOCOL: &str = "s2s_audio_v1";
/// Sample rate in Hz, in both directions.
pub const SAMPLE_RATE_HZ: u32 = 24_000;
/// Number of samples per channel in one frame of 80 ms.
pub const FRAME_SAMPLES: u32 = 1_920;
/// Frames per second.
pub const FRAME_RATE_HZ: f64 = 12.5;
/// Sample format: 32-bit floats, little-endian.
pub const DTYPE: &str = "float32le";
/// Size of one sample of one channel in bytes.
pub const SAMPLE_BYTES: usize = 4;

/// A request to `v1/predict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MinerRequest {
    /// Request that opens a session for one utterance.
    Init(InitRequest),
    /// Request that sends one frame of source speech or, after the last frame, fetches more of the
    /// reply.
    Predict(PredictRequest),
}

/// Request that opens a session for one utterance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InitRequest {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// ID of the utterance.
    pub utterance_id: String,
    /// Language of the source speech, e.g. `fr`.
    #[serde(default)]
    pub language: Option<String>,
    /// Sample rate in Hz, always [`SAMPLE_RATE_HZ`].
    pub sample_rate_hz: u32,
    /// Frames per second, always [`FRAME_RATE_HZ`].
    #[serde(deserialize_with = "crate::number::float")]
    pub frame_rate_hz: f64,
    /// Number of samples per channel in one frame, always [`FRAME_SAMPLES`].
    pub frame_samples: u32,
    /// Sample format, always [`DTYPE`].
    pub dtype: String,
    /// Number of channels of the source, interleaved.
    pub channels: u16,
}

impl InitRequest {
    /// Creates a request with the protocol's frame rate, frame size and sample format.
    pub fn new(
        challenge_uid: impl Into<String>,
        utterance_id: impl Into<String>,
        language: Option<String>,
        channels: u16,
    ) -> Self {
        Self {
            challenge_uid: challenge_uid.into(),
            utterance_id: utterance_id.into(),
            language,
            sample_rate_hz: SAMPLE_RATE_HZ,
            frame_rate_hz: FRAME_RATE_HZ,
            frame_samples: FRAME_SAMPLES,
            dtype: DTYPE.to_owned(),
            channels,
        }
    }
}

/// Response to [`InitRequest`]; it echoes the request's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InitResponse {
    /// Whether the session is ready; must be true.
    pub ready: bool,
    /// The miner's own name, for logs.
    #[serde(default)]
    pub miner_id: Option<String>,
    /// ID of the session, for every [`PredictRequest`].
    pub session_id: String,
    /// Echoed challenge ID.
    pub challenge_uid: String,
    /// Echoed utterance ID.
    pub utterance_id: String,
    /// Echoed language.
    #[serde(default)]
    pub language: Option<String>,
    /// Echoed sample rate.
    pub sample_rate_hz: u32,
    /// Frame rate, above 0. The validator ignores it and uses [`FRAME_RATE_HZ`].
    pub frame_rate_hz: f64,
    /// Frame size, above 0. The validator ignores it and uses [`FRAME_SAMPLES`].
    pub frame_samples: u32,
    /// Echoed sample format.
    pub dtype: String,
    /// Echoed number of channels.
    pub channels: u16,
}

/// Request that sends one frame of source speech or, after the last frame, fetches more of the
/// reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictRequest {
    /// Copied from [`InitResponse::session_id`].
    pub session_id: String,
    /// Base64 of the frame's samples in [`DTYPE`]; empty after the last frame.
    pub audio_b64: String,
    /// Whether the source ends with this frame, or has already ended.
    #[serde(default)]
    pub in_eos: bool,
    /// Sequence number of the predict request within its session, from 0; `None` if the sender does
    /// not number its requests. A miner that supports the field repeats its response to a repeated
    /// frame, and refuses an out-of-order frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_index: Option<u64>,
}

/// Response to [`PredictRequest`], with the speech that is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictResponse {
    /// ID of the session.
    pub session_id: String,
    /// Base64 of any number of samples in [`DTYPE`].
    #[serde(default)]
    pub audio_b64: String,
    /// Whether the reply is complete.
    #[serde(default)]
    pub out_eos: bool,
    /// Number of decoded bytes in `audio_b64`.
    #[serde(default)]
    pub n_bytes: u64,
}

/// Error response of a miner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinerError {
    /// Why the miner refused the request.
    pub error: String,
}
