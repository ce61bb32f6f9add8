//! What validators and the scoring API say to each other about results (`POST /v1/submit`, `POST /v1/submit-artifact`).
//!
//! What is signed is Python's `json.dumps(…, sort_keys=True, separators=(",", ":"))` of a [`Submission`]:
//! `taonet_wire::sorted_json` writes it. The body is the same object with `signature` and `kind` added.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_primitives::{Hotkey, Uid};

/// What kind of result is submitted. Nothing else is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubmissionKind {
    /// A miner's scores in a challenge.
    ChallengeScores,
    /// What a miner said in a challenge, and how it scored.
    DialogueScores,
    /// A run log.
    DialogueLogs,
    /// The sound of a miner's replies; the only artifact.
    AudioBundle,
}

impl SubmissionKind {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChallengeScores => "challenge_scores",
            Self::DialogueScores => "dialogue_scores",
            Self::DialogueLogs => "dialogue_logs",
            Self::AudioBundle => "audio_bundle",
        }
    }

    /// Whether it is a file that goes to `/v1/submit-artifact`.
    pub const fn is_artifact(self) -> bool {
        matches!(self, Self::AudioBundle)
    }
}

impl fmt::Display for SubmissionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no kind of submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kind: expected challenge_scores, dialogue_scores, dialogue_logs or audio_bundle")]
pub struct UnknownKind;

impl FromStr for SubmissionKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "challenge_scores" => Ok(Self::ChallengeScores),
            "dialogue_scores" => Ok(Self::DialogueScores),
            // What older programs call a run log.
            "dialogue_logs" | "dialogue_run" => Ok(Self::DialogueLogs),
            "audio_bundle" => Ok(Self::AudioBundle),
            _ => Err(UnknownKind),
        }
    }
}

/// A file of one miner's results, in the order in which they are submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResultFile {
    /// `run.json`.
    RunLog,
    /// `audio.tar`.
    Audio,
    /// `challenge_run_….json`.
    ChallengeRun,
    /// `challenge_score_….json`.
    ChallengeScore,
}

impl ResultFile {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::RunLog, Self::Audio, Self::ChallengeRun, Self::ChallengeScore];

    /// `file_type` of its submission.
    pub const fn file_type(self) -> &'static str {
        match self {
            Self::RunLog => "dialogue_log",
            Self::Audio => "artifact",
            Self::ChallengeRun => "challenge_run",
            Self::ChallengeScore => "challenge_scores",
        }
    }

    /// The file with this `file_type`.
    pub fn of_file_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.file_type() == name)
    }

    /// The kind that it is submitted as.
    pub const fn kind(self) -> SubmissionKind {
        match self {
            Self::RunLog => SubmissionKind::DialogueLogs,
            Self::Audio => SubmissionKind::AudioBundle,
            Self::ChallengeRun => SubmissionKind::DialogueScores,
            Self::ChallengeScore => SubmissionKind::ChallengeScores,
        }
    }
}

/// The part of a submission that is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Who submits.
    pub vali_hotkey: String,
    /// Whose result it is; empty where that is not known.
    pub miner_hotkey: String,
    /// The miner's slot; 0 where that is not known.
    pub miner_uid: u16,
    /// When, in seconds since 1970.
    pub timestamp: i64,
    /// Of which challenge.
    pub challenge_id: String,
    /// The result.
    pub data: Value,
}

impl Submission {
    /// A submission of `validator`'s for a miner, or for nobody who is known.
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

    /// What is signed.
    pub fn signed(&self) -> Value {
        serde_json::json!({
            "vali_hotkey": self.vali_hotkey, "miner_hotkey": self.miner_hotkey, "miner_uid": self.miner_uid,
            "timestamp": self.timestamp, "challenge_id": self.challenge_id, "data": self.data,
        })
    }

    /// What is sent: the same with a signature (hex without `0x`) and the kind.
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

    /// file · file type · kind
    #[test]
    fn each_file_has_its_type_and_kind() {
        for (file, file_type, kind) in [
            (ResultFile::RunLog, "dialogue_log", "dialogue_logs"),
            (ResultFile::Audio, "artifact", "audio_bundle"),
            (ResultFile::ChallengeRun, "challenge_run", "dialogue_scores"),
            (ResultFile::ChallengeScore, "challenge_scores", "challenge_scores"),
        ] {
            assert_eq!((file.file_type(), file.kind().as_str()), (file_type, kind));
            assert_eq!(ResultFile::of_file_type(file_type), Some(file));
            assert_eq!(kind.parse(), Ok(file.kind()));
        }
        assert!(ResultFile::ALL.is_sorted());
    }

    #[test]
    fn other_kinds_are_none() {
        assert_eq!("dialogue_run".parse(), Ok(SubmissionKind::DialogueLogs));
        for kind in ["", "scores", "Audio_bundle", "audio_bundle "] {
            assert_eq!(kind.parse::<SubmissionKind>(), Err(UnknownKind), "{kind}");
        }
    }

    #[test]
    fn nobody_is_empty() {
        let validator = Hotkey::from_bytes([1; 32]);
        let nobody = Submission::new(&validator, None, 7, "c", json!({}));
        assert_eq!((nobody.miner_uid, nobody.miner_hotkey.as_str()), (0, ""));
        let sent = nobody.with_signature("ab".to_owned(), SubmissionKind::DialogueLogs);
        assert_eq!((&sent["signature"], &sent["kind"]), (&json!("ab"), &json!("dialogue_logs")));
        assert_eq!(serde_json::from_value::<Submission>(sent).unwrap(), nobody);
    }
}
