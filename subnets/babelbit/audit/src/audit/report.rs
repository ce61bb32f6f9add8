use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::{Hotkey, Uid};

use super::{ChallengeRecord, Engines, order};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_scorer::{ConditionDifference, ScoringConditions};

/// Location of a mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MismatchLocation {
    /// Stored audio of a reply.
    Reply,
    /// Stored audio of an utterance's source.
    Source,
    /// Score in the ledger.
    Ledger,
    /// The run log, `run.json`.
    RunLog,
    /// The audio bundle, `audio.tar`.
    Bundle,
    /// Transcripts and scores, `challenge_run_….json`.
    ChallengeRun,
    /// Scores alone, `challenge_score_….json`.
    ChallengeScore,
    /// Status file of the challenge.
    Status,
}

impl MismatchLocation {
    /// Returns the name of the location in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reply => "stored reply",
            Self::Source => "stored source",
            Self::Ledger => "ledger",
            Self::RunLog => "run.json",
            Self::Bundle => "audio.tar",
            Self::ChallengeRun => "challenge_run",
            Self::ChallengeScore => "challenge_score",
            Self::Status => "status",
        }
    }
}

/// A difference between the record and the recomputed values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mismatch {
    /// Location of the mismatch.
    #[serde(rename = "place")]
    pub location: MismatchLocation,
    /// Uid of the miner, if the mismatch concerns a miner.
    pub miner_uid: Option<Uid>,
    /// Hotkey of the miner.
    pub miner_hotkey: Option<Hotkey>,
    /// Position of the utterance in the challenge, if the mismatch concerns an utterance.
    pub utterance_index: Option<u32>,
    /// The engine's ID of the utterance.
    pub utterance_id: Option<String>,
    /// Name of the differing field, e.g. `audio.sha256` or `latency.score`.
    pub field: String,
    /// The recorded value.
    pub recorded: Value,
    /// The actual or recomputed value.
    pub recomputed: Value,
}

impl Mismatch {
    pub(crate) fn new(
        location: MismatchLocation,
        field: impl Into<String>,
        recorded: Value,
        recomputed: Value,
    ) -> Self {
        let field = field.into();
        Self {
            location,
            miner_uid: None,
            miner_hotkey: None,
            utterance_index: None,
            utterance_id: None,
            field,
            recorded,
            recomputed,
        }
    }

    pub(crate) fn with_miner(self, miner: MinerKey) -> Self {
        Self { miner_uid: Some(miner.uid), miner_hotkey: Some(miner.hotkey), ..self }
    }

    pub(crate) fn with_utterance(self, record: &ChallengeRecord, index: u32) -> Self {
        let utterance_id = record.utterance_id(index).map(str::to_owned);
        Self { utterance_index: Some(index), utterance_id, ..self }
    }
}

/// Report of an audit. Serialises as the document of `bb audit --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReport {
    /// Name and version of the report format, `taonet.audit/1`.
    pub schema: &'static str,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Number of miners with a row in the ledger.
    pub miners: usize,
    /// Number of utterances in the challenge.
    pub utterances: usize,
    /// Number of recomputed and compared scores.
    pub recomputed: usize,
    /// Number of failed replies, which have no audio.
    pub failed: usize,
    /// Number of unscored replies.
    pub unscored: usize,
    /// Number of scores with unknown conditions; they are recomputed with the conditions of this
    /// machine.
    pub unknown_conditions: usize,
    /// Recorded scoring conditions of the replies.
    pub conditions: Vec<ScoringConditions>,
    /// Scoring conditions of this machine.
    pub here: ScoringConditions,
    /// Differences between the recorded conditions and the conditions of this machine. Scores are
    /// recomputed with the recorded options, but with the engines of this machine.
    pub different_conditions: Vec<ConditionDifference>,
    /// All differences from the record.
    pub mismatches: Vec<Mismatch>,
    /// Wall-clock time in seconds.
    pub wall_sec: f64,
}

impl AuditReport {
    pub(crate) fn new(
        record: &ChallengeRecord,
        engines: &Engines,
        recomputed: usize,
        mut mismatches: Vec<Mismatch>,
    ) -> Self {
        let current = engines.conditions();
        let mut different_conditions = Vec::new();
        for difference in record.conditions().flat_map(|recorded| recorded.differences(&current)) {
            if !different_conditions.contains(&difference) {
                different_conditions.push(difference);
            }
        }
        mismatches.sort_by_key(order);
        let scored = || record.rows.iter().filter(|row| row.score.is_some());
        Self {
            schema: "taonet.audit/1",
            challenge_uid: record.challenge.challenge_uid.clone(),
            challenge_type: record.challenge.challenge_type,
            miners: record.miners().len(),
            utterances: record.challenge.utterances.len(),
            recomputed,
            failed: record.rows.iter().filter(|row| row.outcome.is_err()).count(),
            unscored: record.rows.iter().filter(|row| row.awaits_score()).count(),
            unknown_conditions: scored().filter(|row| record.conditions_of(row).is_none()).count(),
            conditions: record.conditions().cloned().collect(),
            here: current,
            different_conditions,
            mismatches,
            wall_sec: 0.0,
        }
    }

    /// Whether the audit found neither mismatches nor differing scoring conditions.
    pub fn is_clean(&self) -> bool {
        self.mismatches.is_empty() && self.different_conditions.is_empty()
    }

    /// Returns the miner's uid and the utterance's index of each changed reply.
    pub fn changed_replies(&self) -> HashSet<(Uid, u32)> {
        let replies =
            self.mismatches.iter().filter(|mismatch| mismatch.location == MismatchLocation::Reply);
        replies
            .filter_map(|mismatch| Some((mismatch.miner_uid?, mismatch.utterance_index?)))
            .collect()
    }
}
