use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::SubmissionKind;
use taonet_primitives::Hotkey;

/// A submission to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSubmission {
    /// Key of the submission.
    pub key: SubmissionKey,
    /// Time of signing in seconds since the Unix epoch.
    pub signed_unix: i64,
    /// Time at which the server received the submission, in seconds since the Unix epoch.
    pub received_unix: i64,
    /// The signed text, in canonical JSON.
    pub payload: String,
    /// Signature over the payload, in hex.
    pub signature: String,
    /// Name of the stored file, if any.
    pub artifact: Option<String>,
    /// The miner's score in the challenge, if the submission contains it.
    pub mean_score: Option<f64>,
}

/// Identifies a submission: a newer submission with the same key replaces the older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionKey {
    /// Hotkey of the submitting validator.
    pub validator: Hotkey,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Hotkey of the miner that the result refers to, if known.
    pub miner_hotkey: Option<Hotkey>,
    /// Uid of the miner.
    pub miner_uid: u16,
    /// Kind of the result.
    pub kind: SubmissionKind,
    /// ID of the dialogue; empty for a result of the complete challenge.
    pub dialogue_uid: String,
}

/// Outcome of storing a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// The submission was stored.
    Stored {
        /// The file of the replaced submission, which is no longer referenced.
        replaced: Option<String>,
    },
    /// The submission was not stored: one with the same key that was signed later (or, for a file,
    /// in the same second) is already stored.
    Outdated,
}

/// A validator's score for a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatorScore {
    /// Hotkey of the validator.
    pub validator: Hotkey,
    /// Contest in which the miner was scored.
    pub challenge_type: ChallengeType,
    /// Hotkey of the miner.
    pub miner_hotkey: String,
    /// Uid of the miner.
    pub miner_uid: u16,
    /// Mean score of the miner in the challenge, 0 to 1.
    pub score: f64,
    /// Time of signing in seconds since the Unix epoch.
    pub signed_unix: i64,
}
