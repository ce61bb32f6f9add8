//! Recomputes the scores of a challenge from what was kept, and names whatever differs from the record.
//!
//! The record is the ledger's ([`Record`]): replies by their hash, when their parts arrived, what was heard, the score,
//! and the conditions under which it came about. [`audit`] hashes every kept reply, recognises it anew, scores it in the
//! company that it was scored in, and compares the outcome with the ledger and with the result files. A reply that was
//! changed is named; the others of its utterance are held against what was heard in it back then, so that nobody else
//! is named for it.
//!
//! Floats count as equal within [`TOLERANCE`]: sentence vectors depend on the sentences beside them, and on the
//! machine, in their last digits.

mod compare;
mod files;
mod kept;
mod recompute;
mod report;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Instant;

use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::{Uid, counted};

use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::files::Layout;
use taonet_babelbit_runner::{ChallengeRow, Ledger, LedgerError, ResultRow, RunPaths};
use taonet_babelbit_scorer::{ScorerError, ScoringConditions};

pub use compare::TOLERANCE;
pub(crate) use kept::{Kept, MAX_REPLY_BYTES, examine};
pub use recompute::Engines;
pub(crate) use recompute::recompute;
pub use report::{AuditReport, Mismatch, Place};

/// Challenges that are named where the one asked for is not there.
const SUGGESTIONS: u32 = 5;

/// Why an audit could not be made. What it finds is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger has no such challenge.
    #[error("the ledger has no {kind} challenge {uid:?}{}", known(.latest))]
    UnknownChallenge {
        /// What was asked for.
        uid: String,
        /// Its contest.
        kind: ChallengeType,
        /// The latest ones that it has.
        latest: Vec<String>,
    },
    /// The threads for recognition could not be started.
    #[error(transparent)]
    Scorer(#[from] ScorerError),
    /// The recorded options are none that a score can be computed with.
    #[error("the recorded options cannot be used")]
    Options(#[from] taonet_babelbit_core::scoring::OptionsError),
    /// The scorer gave another number of scores than there are replies.
    #[error("the scorer gave {} for {}", counted(.got, "score"), counted(.expected, "reply"))]
    ScoreCount {
        /// Replies.
        expected: usize,
        /// Scores.
        got: usize,
    },
}

fn known(latest: &[String]) -> String {
    if latest.is_empty() { String::new() } else { format!("; it has {}", latest.join(", ")) }
}

/// What is on record about a challenge: everything that its scores follow from, but the sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub(crate) challenge: ChallengeRow,
    /// By miner and utterance.
    pub(crate) rows: Vec<ResultRow>,
    /// Whose result files are written.
    pub(crate) finished: HashSet<MinerKey>,
    /// Those that the rows name, by SHA-256.
    pub(crate) conditions: BTreeMap<String, ScoringConditions>,
}

impl Record {
    /// Reads what the ledger of a state directory holds of a challenge, while a runner works there or not.
    ///
    /// # Errors
    /// [`AuditError::Ledger`] and [`AuditError::UnknownChallenge`].
    pub async fn read(state: &Path, uid: &str, kind: ChallengeType) -> Result<Self, AuditError> {
        let ledger = Ledger::read(state).await?;
        let Some(challenge) = ledger.find(uid, kind).await? else {
            let latest = ledger.latest(kind, SUGGESTIONS).await?;
            return Err(AuditError::UnknownChallenge { uid: uid.to_owned(), kind, latest });
        };
        // In this order a runner that goes on meanwhile leaves nothing unexplained: files come after rows, and rows
        // after the conditions that they name.
        let finished = ledger.finished_miners(&challenge).await?;
        let rows = ledger.results(&challenge).await?;
        let mut conditions = ledger.conditions().await?;
        let named: HashSet<_> = names(&rows).collect();
        conditions.retain(|name, _| named.contains(name.as_str()));
        Ok(Self { challenge, rows, finished, conditions })
    }

    /// The conditions under which its replies were scored.
    pub fn conditions(&self) -> impl Iterator<Item = &ScoringConditions> {
        self.conditions.values()
    }

    /// The conditions of a reply's score, where they are known.
    pub(crate) fn conditions_of(&self, row: &ResultRow) -> Option<&ScoringConditions> {
        self.conditions.get(row.score.as_ref()?.conditions.as_deref()?)
    }

    /// What the engine calls an utterance.
    pub(crate) fn utterance_id(&self, index: u32) -> Option<&str> {
        let utterance = self.challenge.utterances.iter().find(|utterance| utterance.index == index);
        utterance.map(|utterance| utterance.utterance_id.as_str())
    }

    /// Channels of an utterance's source; none where it could not be played.
    pub(crate) fn channels(&self, index: u32) -> Option<u16> {
        let utterance = self.challenge.utterances.iter().find(|utterance| utterance.index == index)?;
        utterance.source.as_ref().ok().map(|source| source.channels)
    }

    /// The miners, each once, in order.
    pub(crate) fn miners(&self) -> Vec<MinerKey> {
        let mut miners: Vec<_> = self.rows.iter().map(|row| row.miner).collect();
        miners.sort_unstable();
        miners.dedup();
        miners
    }
}

fn names(rows: &[ResultRow]) -> impl Iterator<Item = &str> {
    rows.iter().filter_map(|row| row.score.as_ref()?.conditions.as_deref())
}

/// Kept replies by miner and utterance.
pub(crate) type KeptReplies = HashMap<(MinerKey, u32), Kept>;

/// Recomputes a challenge from the files of `paths` and compares. Blocks for as long as recognition takes: call it on a
/// thread for heavy work.
///
/// # Errors
/// [`AuditError`] when it could not be made at all.
pub fn audit(record: &Record, paths: &RunPaths, engines: &Engines) -> Result<AuditReport, AuditError> {
    let started = Instant::now();
    let layout = Layout::new(paths, &record.challenge);
    let kept = kept::examine_all(record, &layout);
    let recomputed = recompute(record, &kept, engines)?;
    let mut mismatches = recomputed.mismatches;
    mismatches.extend(files::compare(record, &layout, &recomputed.rows, engines));
    let mut report = AuditReport::new(record, engines, recomputed.replies, mismatches);
    report.wall_sec = started.elapsed().as_secs_f64();
    Ok(report)
}

/// The order in which findings are told: by miner, utterance and place.
fn order(mismatch: &Mismatch) -> (Option<Uid>, Option<u32>, Place) {
    (mismatch.miner_uid, mismatch.utterance_index, mismatch.place)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
