//! Messages between the utterance engine and its clients.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Response to `POST /auth`: a text to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthChallenge {
    /// The text that the hotkey signs, byte for byte.
    pub challenge: String,
    /// Timestamp to return in [`AuthVerify`]; any JSON value.
    #[serde(default)]
    pub timestamp: Value,
}

/// Body of `POST /auth/verify`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthVerify {
    /// Address of the signing hotkey.
    pub hotkey: String,
    /// sr25519 signature over the challenge text: lowercase hex without `0x`.
    pub signature: String,
    /// Copied from [`AuthChallenge::timestamp`].
    #[serde(default)]
    pub timestamp: Value,
    /// Copied from [`AuthChallenge::challenge`].
    pub message: String,
}

/// Response to `POST /auth/verify`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthToken {
    /// Bearer token for later calls.
    pub access_token: String,
    /// Remaining lifetime of the token in seconds.
    #[serde(default = "AuthToken::default_expiry")]
    pub expires_in: u64,
    /// The validator's uid, if known to the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator_uid: Option<u16>,
}

impl AuthToken {
    const fn default_expiry() -> u64 {
        86_400
    }
}

impl std::fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// Body of `POST /source-audio/next` and `POST /solo/next`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRequest {
    /// Copied from [`UtterancePayload::session_id`].
    pub session_id: String,
}

/// Body of `POST /next`, and of `POST /solo/next` for text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextNextRequest {
    /// Copied from [`TextToken::session_id`] of the session's first token.
    pub session_id: String,
    /// Prediction; any JSON value. The engine ignores it.
    #[serde(default)]
    pub prediction: Value,
}

/// One token of a text challenge: response of the text routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextToken {
    /// ID of the session, for [`TextNextRequest`]; only in the response of the start route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The token; takes precedence over `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// The token: a word, [`Self::EOF`] or [`Self::EOF_EOF`]; `None` at the end of the challenge.
    #[serde(default)]
    pub token: Option<String>,
    /// Whether the challenge is complete; if so, there is no token.
    #[serde(default)]
    pub done: bool,
    /// ID of the challenge.
    #[serde(default)]
    pub challenge_uid: Option<String>,
    /// ID of the dialogue.
    #[serde(default)]
    pub dialogue_uid: Option<String>,
    /// Position of the dialogue in the challenge, from 0.
    #[serde(default)]
    pub dialogue_index: u32,
    /// Position of the utterance in the dialogue, from 0; at the end of the dialogue, the number of
    /// its utterances.
    #[serde(default)]
    pub utterance_index: u32,
    /// Position of the token in the utterance, from 0.
    #[serde(default)]
    pub token_index: u32,
}

impl TextToken {
    /// Token that ends an utterance.
    pub const EOF: &'static str = "EOF";
    /// Token that ends a dialogue, after the [`EOF`](Self::EOF) of its last utterance. Some engines
    /// send it in place of that `EOF`.
    pub const EOF_EOF: &'static str = "EOF EOF";

    /// Returns the token: `word`, else `token`.
    pub fn text(&self) -> Option<&str> {
        self.word.as_deref().or(self.token.as_deref())
    }
}

/// One utterance of a challenge: response of the start and next routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UtterancePayload {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// ID of the session, for [`NextRequest`].
    pub session_id: String,
    /// ID of the utterance, usually `<challenge_uid>:<n>`.
    pub utterance_id: String,
    /// Language of the source speech.
    pub language: String,
    /// Position in the challenge, from 0.
    pub utterance_index: u32,
    /// Sample rate in Hz.
    pub sample_rate_hz: u32,
    /// Number of channels.
    pub channels: u16,
    /// Size of one sample of one channel in bytes.
    pub sample_width_bytes: u16,
    /// Number of samples per channel.
    pub utterance_frames: u64,
    /// Whether the utterance ends with this payload.
    #[serde(default = "default_true")]
    pub end_of_utterance: bool,
    /// Whether the challenge ends here: true for its last utterance, and for the end marker after
    /// it.
    #[serde(default)]
    pub done: bool,
    /// Base64 of a WAV file, or of headerless PCM samples in the declared format.
    #[serde(default)]
    pub audio_b64: String,
    /// Reference data in the [`target` schema](mod@crate::reference).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Value>,
    /// Reference text in the [flat schema](mod@crate::reference).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_text: Option<Value>,
    /// Reference words in the [flat schema](mod@crate::reference).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_words: Option<Value>,
    /// Reference speaking rate in the [flat schema](mod@crate::reference), in words per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_wps: Option<Value>,
    /// Reference data in the [translations schema](mod@crate::reference).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utterance_translations: Option<Value>,
}

const fn default_true() -> bool {
    true
}

/// Response to `GET /transcription`: the reference of a complete challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranscriptionPayload {
    /// ID of the document's challenge.
    pub challenge_uid: String,
    /// Reference document of the challenge.
    pub metadata: Value,
}
