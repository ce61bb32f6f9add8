//! Validators' submissions of results to the scoring API (`POST /v1/submit`, `POST
//! /v1/submit-artifact`).
//!
//! The signed text is Python's `json.dumps(…, sort_keys=True, separators=(",", ":"))` of a
//! [`Submission`]: `taonet_wire::sorted_json` renders it. The body is the same object with
//! `signature` and `kind` added.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_primitives::{Hotkey, Uid};

/// Kind of a submitted result; the scoring API rejects other kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubmissionKind {
    /// A miner's scores in a challenge.
    ChallengeScores,
    /// Transcripts and scores of a miner in a challenge.
    DialogueScores,
    /// Run log of a miner in a challenge.
    DialogueLogs,
    /// Audio of a miner's replies; the only kind that is submitted as an artifact.
    AudioBundle,
}

impl SubmissionKind {
    /// Returns the name of the kind in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChallengeScores => "challenge_scores",
            Self::DialogueScores => "dialogue_scores",
            Self::DialogueLogs => "dialogue_logs",
            Self::AudioBundle => "audio_bundle",
        }
    }

    /// Whether the result is a file for `/v1/submit-artifact`.
    pub const fn is_artifact(self) -> bool {
        matches!(self, Self::AudioBundle)
    }
}

impl fmt::Display for SubmissionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a known kind of submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kind: expected challenge_scores, dialogue_scores, dialogue_logs or audio_bundle")]
pub struct UnknownKind;

impl FromStr for SubmissionKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "challenge_scores" => Ok(Self::ChallengeScores),
            "dialogue_scores" => Ok(Self::DialogueScores),
            // Older programs use this name for a run log.
            "dialogue_logs" | "dialogue_run" => Ok(Self::DialogueLogs),
            "audio_bundle" => Ok(Self::AudioBundle),
            _ => Err(UnknownKind),
        }
    }
}

/// A result file of one miner. The variants are in the order in which a miner's files are queued;
/// queued challenge scores are submitted before all other files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResultFile {
    /// The run log, `run.json`.
    RunLog,
    /// The audio bundle, `audio.tar`.
    Audio,
    /// Transcripts and scores, `challenge_run_….json`.
    ChallengeRun,
    /// Scores of a dialogue, `dialogue_run_…-score.json`; only in the text contest.
    DialogueScore,
    /// Scores alone: `challenge_score_….json`, or `challenge_run_….json` in the text contest.
    ChallengeScore,
}

impl ResultFile {
    /// All result files, in the order of the variants.
    pub const ALL: [Self; 5] =
        [Self::RunLog, Self::Audio, Self::ChallengeRun, Self::DialogueScore, Self::ChallengeScore];
    /// The four files of a miner in the speech contest.
    pub const SPEECH_FILES: [Self; 4] =
        [Self::RunLog, Self::Audio, Self::ChallengeRun, Self::ChallengeScore];

    /// Returns the `file_type` of the file's submission.
    pub const fn file_type(self) -> &'static str {
        match self {
            Self::RunLog => "dialogue_log",
            Self::Audio => "artifact",
            Self::ChallengeRun => "challenge_run",
            Self::DialogueScore => "dialogue_scores",
            Self::ChallengeScore => "challenge_scores",
        }
    }

    /// Parses a `file_type`.
    pub fn from_file_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.file_type() == name)
    }

    /// Returns the kind of the file's submission.
    pub const fn kind(self) -> SubmissionKind {
        match self {
            Self::RunLog => SubmissionKind::DialogueLogs,
            Self::Audio => SubmissionKind::AudioBundle,
            Self::ChallengeRun | Self::DialogueScore => SubmissionKind::DialogueScores,
            Self::ChallengeScore => SubmissionKind::ChallengeScores,
        }
    }
}

/// The signed part of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Hotkey of the submitting validator.
    pub vali_hotkey: String,
    /// Hotkey of the result's miner; empty if unknown.
    pub miner_hotkey: String,
    /// Uid of the miner; 0 if unknown.
    pub miner_uid: u16,
    /// Time of signing in seconds since the Unix epoch.
    pub timestamp: i64,
    /// ID of the challenge.
    pub challenge_id: String,
    /// The submitted result.
    pub data: Value,
}

impl Submission {
    /// Creates a submission by `validator`; `miner` is `None` if the miner of the result is
    /// unknown.
    pub fn new(
        validator: &Hotkey,
        miner: Option<(Uid, Hotkey)>,
        timestamp: i64,
        challenge_id: &str,
        data: Value,
    ) -> Self {
        Self {
            vali_hotkey: validator.to_string(),
            miner_hotkey: miner.map(|(_, hotkey)| hotkey.to_string()).unwrap_or_default(),
            miner_uid: miner.map_or(0, |(uid, _)| uid.0),
            timestamp,
            challenge_id: challenge_id.to_owned(),
            data,
        }
    }

    /// Returns the object to sign.
    pub fn signed(&self) -> Value {
        serde_json::json!({
            "vali_hotkey": self.vali_hotkey, "miner_hotkey": self.miner_hotkey, "miner_uid": self.miner_uid,
            "timestamp": self.timestamp, "challenge_id": self.challenge_id, "data": self.data,
        })
    }

    /// Returns the request body: the signed object with its signature (hex without `0x`) and kind.
    pub fn with_signature(&self, signature: String, kind: SubmissionKind) -> Value {
        let mut body = self.signed();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("signature".to_owned(), signature.into());
            fields.insert("kind".to_owned(), kind.as_str().into());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Columns: file · file type · kind
    #[test]
    fn each_file_has_its_type_and_kind() {
        for (file, file_type, kind) in [
            (ResultFile::RunLog, "dialogue_log", "dialogue_logs"),
            (ResultFile::Audio, "artifact", "audio_bundle"),
            (ResultFile::ChallengeRun, "challenge_run", "dialogue_scores"),
            (ResultFile::DialogueScore, "dialogue_scores", "dialogue_scores"),
            (ResultFile::ChallengeScore, "challenge_scores", "challenge_scores"),
        ] {
            assert_eq!((file.file_type(), file.kind().as_str()), (file_type, kind));
            assert_eq!(ResultFile::from_file_type(file_type), Some(file));
            assert_eq!(kind.parse(), Ok(file.kind()));
        }
        assert!(ResultFile::ALL.is_sorted());
    }

    #[test]
    fn unknown_submission_kind_is_an_error() {
        assert_eq!("dialogue_run".parse(), Ok(SubmissionKind::DialogueLogs));
        for kind in ["", "scores", "Audio_bundle", "audio_bundle "] {
            assert_eq!(kind.parse::<SubmissionKind>(), Err(UnknownKind), "{kind}");
        }
    }

    #[test]
    fn submission_without_miner_has_empty_fields() {
        let validator = Hotkey::from_bytes([1; 32]);
        let without_miner = Submission::new(&validator, None, 7, "c", json!({}));
        assert_eq!((without_miner.miner_uid, without_miner.miner_hotkey.as_str()), (0, ""));
        let submission =
            without_miner.with_signature("ab".to_owned(), SubmissionKind::DialogueLogs);
        assert_eq!(
            (&submission["signature"], &submission["kind"]),
            (&json!("ab"), &json!("dialogue_logs"))
        );
        assert_eq!(serde_json::from_value::<Submission>(submission).unwrap(), without_miner);
    }
}
