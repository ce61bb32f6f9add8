use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::SubmissionKind;
use taonet_primitives::Hotkey;

/// A submission that is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSubmission {
    /// Whose it is.
    pub key: SubmissionKey,
    /// When it was signed, in seconds since 1970.
    pub signed_unix: i64,
    /// When it came.
    pub received_unix: i64,
    /// What was signed.
    pub payload: String,
    /// The signature.
    pub signature: String,
    /// Where the file is that belongs to it.
    pub artifact: Option<String>,
    /// The miner's score in the challenge, where the submission says it.
    pub mean_score: Option<f64>,
}

/// What makes a submission the same as another: the newer one replaces the older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionKey {
    /// Who submitted.
    pub validator: Hotkey,
    /// Of which challenge.
    pub challenge_uid: String,
    /// Of which contest.
    pub challenge_type: ChallengeType,
    /// Whose result it is; nobody's that is known without one.
    pub miner_hotkey: Option<Hotkey>,
    /// The miner's slot.
    pub miner_uid: u16,
    /// What it is.
    pub kind: SubmissionKind,
    /// Of which dialogue; empty where it is of the whole challenge.
    pub dialogue_uid: String,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    New {
        /// The file of the one that it replaces, which nothing names any more.
        replaced: Option<String>,
    },
    /// One that was signed later is kept, or the same file.
    Older,
}

/// The score that one validator gave one miner.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenScore {
    /// Who gave it.
    pub validator: Hotkey,
    /// In which contest.
    pub challenge_type: ChallengeType,
    /// To whom.
    pub miner_hotkey: String,
    /// The miner's slot.
    pub miner_uid: u16,
    /// How much.
    pub score: f64,
    /// When it was signed, in seconds since 1970.
    pub signed_unix: i64,
}
