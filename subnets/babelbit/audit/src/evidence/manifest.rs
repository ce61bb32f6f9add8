use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring::Timeline;
use taonet_primitives::{Hotkey, Uid};

use super::FORMAT;
use crate::audit::ChallengeRecord;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::{
    ChallengeRow, ChallengeState, ReplyFailure, ReplyRecord, ResultRow, SourceInfo, StoredScore,
    UtteranceRow, WallClock,
};
use taonet_babelbit_scorer::{AudioHash, ScoringConditions};

/// Maximum number of scoring conditions; each requires a separate thread pool.
const MAX_CONDITIONS: usize = 16;
/// Maximum number of scoring batches; each rescores all earlier replies.
const MAX_BATCHES: u32 = 64;
/// Maximum number of channels.
const MAX_CHANNELS: u16 = 8;
/// Maximum number of samples per channel of an utterance or reply.
const MAX_FRAMES: u64 = 768_000 * 600;

/// Why a manifest is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The text is not JSON, or has an unknown, missing or mistyped field.
    #[error("malformed manifest")]
    Json(#[from] serde_json::Error),
    /// The format or its version is unsupported.
    #[error("unsupported bundle format {0:?}, expected {FORMAT}")]
    Format(String),
    /// The manifest names a validator other than the signer.
    #[error("the manifest names the validator {named}, but {signer} signed it")]
    Validator {
        /// Hotkey in the manifest.
        named: Hotkey,
        /// Hotkey of the signer.
        signer: Hotkey,
    },
    /// A field has an invalid value.
    #[error("the manifest's {location}: {problem}")]
    Field {
        /// Path of the field, e.g. `replies[3].audio_sha256`.
        location: String,
        /// Description of the problem.
        problem: &'static str,
    },
}

impl ManifestError {
    fn field(location: String, problem: &'static str) -> Self {
        Self::Field { location, problem }
    }
}

/// Content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name and version of the manifest format, always [`FORMAT`].
    pub format: String,
    /// Hotkey of the validator.
    pub validator_hotkey: Hotkey,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Start of the run in local time, formatted as in file names.
    pub run_timestamp: String,
    /// Why the engine's delivery is incomplete.
    pub error: Option<String>,
    /// Reference document of the challenge.
    pub reference: Option<Value>,
    /// Source of the reference document.
    pub reference_source: Option<String>,
    /// Utterances, sorted by index.
    pub utterances: Vec<UtteranceEvidence>,
    /// Scoring conditions of the replies, keyed by SHA-256.
    pub conditions: BTreeMap<String, ScoringConditions>,
    /// Replies, sorted by miner and utterance.
    pub replies: Vec<ReplyEvidence>,
}

/// One utterance of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UtteranceEvidence {
    /// Position in the challenge, from 0.
    pub index: u32,
    /// The engine's ID of the utterance.
    pub utterance_id: String,
    /// Language of the source speech.
    pub language: String,
    /// Format and hash of the source; null if it was unplayable, with the reason in `error`.
    pub source: Option<SourceInfo>,
    /// Why the source was unplayable.
    pub error: Option<String>,
}

/// A miner's reply to one utterance, with its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyEvidence {
    /// Uid of the miner.
    pub miner_uid: Uid,
    /// Hotkey of the miner.
    pub miner_hotkey: Hotkey,
    /// Position of the utterance in the challenge, from 0.
    pub utterance_index: u32,
    /// ID of the session opened by the miner.
    pub session_id: Option<String>,
    /// Number of source frames sent to the miner.
    pub frames_in: u32,
    /// Arrival times on the virtual clock.
    pub timeline: Timeline,
    /// Wall-clock times of the reply.
    pub wall: WallClock,
    /// Number of samples per channel.
    pub frames: u64,
    /// Size of the reply's WAV file in bytes; 0 when the reply failed.
    pub wav_bytes: u64,
    /// SHA-256 of the reply's WAV file, lowercase hex; null when the reply failed, with the reason
    /// in `error`.
    pub audio_sha256: Option<String>,
    /// Why the reply failed.
    pub error: Option<String>,
    /// Score, transcript and key of the conditions; null for a failed or unscored reply.
    pub score: Option<StoredScore>,
}

impl Manifest {
    /// Builds the manifest of a record, to be signed by `validator`.
    pub(super) fn of(record: &ChallengeRecord, validator: Hotkey) -> Self {
        let ChallengeRow {
            challenge_uid,
            challenge_type,
            run_timestamp,
            error,
            reference,
            reference_source,
            ..
        } = record.challenge.clone();
        Self {
            format: FORMAT.to_owned(),
            validator_hotkey: validator,
            challenge_uid,
            challenge_type,
            run_timestamp,
            error,
            reference,
            reference_source,
            utterances: record
                .challenge
                .utterances
                .iter()
                .cloned()
                .map(UtteranceEvidence::from)
                .collect(),
            conditions: record.conditions.clone(),
            replies: record.rows.iter().cloned().map(ReplyEvidence::from).collect(),
        }
    }

    /// Parses and validates the bytes of a manifest signed by `signer`.
    ///
    /// # Errors
    /// [`ManifestError`] when the manifest is malformed or inconsistent.
    pub fn parse(bytes: &[u8], signer: Hotkey) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.format != FORMAT {
            return Err(ManifestError::Format(manifest.format.chars().take(100).collect()));
        }
        if manifest.validator_hotkey != signer {
            return Err(ManifestError::Validator { named: manifest.validator_hotkey, signer });
        }
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.conditions.len() > MAX_CONDITIONS {
            return Err(ManifestError::field("conditions".to_owned(), "more than 16 entries"));
        }
        for (name, conditions) in &self.conditions {
            if *name != conditions.sha256() {
                return Err(ManifestError::field(
                    format!("conditions.{name:.16}"),
                    "not the SHA-256 of the conditions",
                ));
            }
        }
        let mut indices = HashSet::new();
        for (position, utterance) in self.utterances.iter().enumerate() {
            let location = format!("utterances[{position}]");
            if !indices.insert(utterance.index) {
                return Err(ManifestError::field(location, "duplicate index"));
            }
            if utterance.source.is_some() == utterance.error.is_some() {
                return Err(ManifestError::field(location, "expected either source or error"));
            }
            if utterance.source.as_ref().is_some_and(|source| {
                !(1..=MAX_CHANNELS).contains(&source.channels)
                    || source.sample_rate_hz == 0
                    || source.frames > MAX_FRAMES
            }) {
                return Err(ManifestError::field(location, "invalid audio format"));
            }
        }
        let mut keys = HashSet::new();
        for (position, reply) in self.replies.iter().enumerate() {
            let location = |field: &str| format!("replies[{position}].{field}");
            if !keys.insert((reply.miner_uid, reply.miner_hotkey, reply.utterance_index)) {
                return Err(ManifestError::field(location("utterance_index"), "duplicate reply"));
            }
            if !indices.contains(&reply.utterance_index) {
                return Err(ManifestError::field(location("utterance_index"), "unknown utterance"));
            }
            if reply.audio_sha256.is_some() == reply.error.is_some() {
                return Err(ManifestError::field(
                    location("audio_sha256"),
                    "expected either audio_sha256 or error",
                ));
            }
            if reply.audio_sha256.as_deref().is_some_and(|hash| !is_hash(hash)) {
                return Err(ManifestError::field(
                    location("audio_sha256"),
                    "expected 64 lower-case hexadecimal digits",
                ));
            }
            if reply.score.is_some() && reply.error.is_some() {
                return Err(ManifestError::field(location("score"), "a failed reply has no score"));
            }
            if reply.frames > MAX_FRAMES {
                return Err(ManifestError::field(location("frames"), "the reply is too long"));
            }
            if reply.score.as_ref().is_some_and(|score| score.batch > MAX_BATCHES) {
                return Err(ManifestError::field(
                    location("score.batch"),
                    "the batch number is too large",
                ));
            }
            let named = reply.score.as_ref().and_then(|score| score.conditions.as_ref());
            if named.is_some_and(|name| !self.conditions.contains_key(name)) {
                return Err(ManifestError::field(
                    location("score.conditions"),
                    "unknown conditions",
                ));
            }
        }
        Ok(())
    }

    /// Converts the manifest back to a record.
    pub(super) fn into_record(self) -> ChallengeRecord {
        let state =
            if self.error.is_some() { ChallengeState::Partial } else { ChallengeState::Finished };
        let utterances = self.utterances.into_iter().map(|utterance| UtteranceRow {
            index: utterance.index,
            utterance_id: utterance.utterance_id,
            language: utterance.language,
            source: utterance.source.ok_or(utterance.error.unwrap_or_default()),
        });
        let challenge = ChallengeRow {
            // The record does not come from a ledger.
            id: 0,
            challenge_uid: self.challenge_uid,
            // For display only, so not part of the evidence.
            title: None,
            challenge_type: self.challenge_type,
            run_timestamp: self.run_timestamp,
            state,
            error: self.error,
            main_challenge_uid: None,
            reference: self.reference,
            reference_source: self.reference_source,
            utterances: utterances.collect(),
        };
        let rows = self.replies.into_iter().map(ResultRow::from).collect();
        ChallengeRecord { challenge, rows, finished: HashSet::new(), conditions: self.conditions }
    }
}

fn is_hash(text: &str) -> bool {
    AudioHash::from_hex(text).is_some_and(|hash| hash.to_string() == text)
}

impl From<UtteranceRow> for UtteranceEvidence {
    fn from(row: UtteranceRow) -> Self {
        let (source, error) = match row.source {
            Ok(source) => (Some(source), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            index: row.index,
            utterance_id: row.utterance_id,
            language: row.language,
            source,
            error,
        }
    }
}

impl From<ResultRow> for ReplyEvidence {
    fn from(row: ResultRow) -> Self {
        let ReplyRecord { session_id, frames_in, timeline, wall, frames, wav_bytes } = row.reply;
        let (audio_sha256, error) = match row.outcome {
            Ok(hash) => (Some(hash), None),
            Err(ReplyFailure(error)) => (None, Some(error)),
        };
        Self {
            miner_uid: row.miner.uid,
            miner_hotkey: row.miner.hotkey,
            utterance_index: row.utterance_index,
            session_id,
            frames_in,
            timeline,
            wall,
            frames,
            wav_bytes,
            audio_sha256,
            error,
            score: row.score,
        }
    }
}

impl From<ReplyEvidence> for ResultRow {
    fn from(reply: ReplyEvidence) -> Self {
        let ReplyEvidence { session_id, frames_in, timeline, wall, frames, wav_bytes, .. } = reply;
        Self {
            miner: MinerKey { uid: reply.miner_uid, hotkey: reply.miner_hotkey },
            utterance_index: reply.utterance_index,
            reply: ReplyRecord { session_id, frames_in, timeline, wall, frames, wav_bytes },
            outcome: reply.audio_sha256.ok_or(ReplyFailure(reply.error.unwrap_or_default())),
            score: reply.score,
        }
    }
}
