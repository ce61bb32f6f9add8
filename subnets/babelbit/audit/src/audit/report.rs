use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::{Hotkey, Uid};

use super::{Engines, Record, order};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_scorer::{ConditionDifference, ScoringConditions};

/// Where a mismatch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Place {
    /// The kept sound of a reply.
    Reply,
    /// The kept sound of an utterance's source.
    Source,
    /// The ledger's score.
    Ledger,
    /// `run.json`.
    RunLog,
    /// `audio.tar`.
    Bundle,
    /// `challenge_run_….json`.
    ChallengeRun,
    /// `challenge_score_….json`.
    ChallengeScore,
    /// The note that the challenge was processed.
    Status,
}

impl Place {
    /// What a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reply => "kept reply",
            Self::Source => "kept source",
            Self::Ledger => "ledger",
            Self::RunLog => "run.json",
            Self::Bundle => "audio.tar",
            Self::ChallengeRun => "challenge_run",
            Self::ChallengeScore => "challenge_score",
            Self::Status => "status",
        }
    }
}

/// Something that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mismatch {
    /// Where it stands.
    pub place: Place,
    /// The miner's slot, where it concerns one.
    pub miner_uid: Option<Uid>,
    /// The miner's key.
    pub miner_hotkey: Option<Hotkey>,
    /// Position of the utterance in the challenge, where it concerns one.
    pub utterance_index: Option<u32>,
    /// The engine's name for it.
    pub utterance_id: Option<String>,
    /// What differs, e.g. `audio.sha256` or `latency.score`.
    pub field: String,
    /// What is on record.
    pub recorded: Value,
    /// What was found or computed.
    pub recomputed: Value,
}

impl Mismatch {
    pub(crate) fn new(place: Place, field: impl Into<String>, recorded: Value, recomputed: Value) -> Self {
        let field = field.into();
        Self {
            place,
            miner_uid: None,
            miner_hotkey: None,
            utterance_index: None,
            utterance_id: None,
            field,
            recorded,
            recomputed,
        }
    }

    pub(crate) fn of_miner(self, miner: MinerKey) -> Self {
        Self { miner_uid: Some(miner.uid), miner_hotkey: Some(miner.hotkey), ..self }
    }

    pub(crate) fn of_utterance(self, record: &Record, index: u32) -> Self {
        let utterance_id = record.utterance_id(index).map(str::to_owned);
        Self { utterance_index: Some(index), utterance_id, ..self }
    }
}

/// What an audit found. Serialises as the document of `bb audit --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReport {
    /// `taonet.audit/1`.
    pub schema: &'static str,
    /// The challenge.
    pub challenge_uid: String,
    /// Its contest.
    pub challenge_type: ChallengeType,
    /// Miners with a row.
    pub miners: usize,
    /// Utterances of the challenge.
    pub utterances: usize,
    /// Scores that were recomputed and compared.
    pub recomputed: usize,
    /// Replies that failed, of which nothing is kept.
    pub failed: usize,
    /// Replies that have no score yet.
    pub unscored: usize,
    /// Scores of which it is not known how they came about; they are recomputed as this machine would score.
    pub unknown_conditions: usize,
    /// Under which conditions the replies were scored.
    pub conditions: Vec<ScoringConditions>,
    /// What this machine would score under.
    pub here: ScoringConditions,
    /// In what they differ: scores were recomputed with the recorded options, but with the engines of this machine.
    pub different_conditions: Vec<ConditionDifference>,
    /// What is not as it was recorded.
    pub mismatches: Vec<Mismatch>,
    /// Real time, in seconds.
    pub wall_sec: f64,
}

impl AuditReport {
    pub(crate) fn new(record: &Record, engines: &Engines, recomputed: usize, mut mismatches: Vec<Mismatch>) -> Self {
        let here = engines.conditions();
        let mut different_conditions = Vec::new();
        for difference in record.conditions().flat_map(|recorded| recorded.differences(&here)) {
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
            here,
            different_conditions,
            mismatches,
            wall_sec: 0.0,
        }
    }

    /// Whether everything was recomputed under the recorded conditions and found as recorded.
    pub fn is_clean(&self) -> bool {
        self.mismatches.is_empty() && self.different_conditions.is_empty()
    }

    /// Miner and utterance of each kept reply that is not the recorded one.
    pub fn changed_replies(&self) -> HashSet<(Uid, u32)> {
        let replies = self.mismatches.iter().filter(|mismatch| mismatch.place == Place::Reply);
        replies.filter_map(|mismatch| Some((mismatch.miner_uid?, mismatch.utterance_index?))).collect()
    }
}
