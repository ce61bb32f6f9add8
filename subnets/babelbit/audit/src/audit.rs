//! Audit of a challenge: recomputes its scores from stored data, and reports every difference from
//! the record.
//!
//! The record comes from the ledger ([`ChallengeRecord`]): hashes of replies, arrival times,
//! transcripts, scores, and their scoring conditions. [`audit`] hashes every stored reply,
//! transcribes it again, scores it in its original batch, and compares the result with the ledger
//! and the result files. A changed reply is reported. Scores of other replies to the same utterance
//! are recomputed with the recorded transcript of the changed reply, so that the change causes no
//! further mismatches.
//!
//! Floats are equal within [`TOLERANCE`]: the last digits of sentence vectors depend on the
//! machine, and on the other sentences in the batch.

mod compare;
mod files;
mod recompute;
mod report;
mod stored_replies;

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
pub use recompute::Engines;
pub(crate) use recompute::recompute;
pub use report::{AuditReport, Mismatch, MismatchLocation};
pub(crate) use stored_replies::{MAX_REPLY_BYTES, StoredReply, check_reply};

/// Number of suggested challenges when the requested one is missing.
const MAX_SUGGESTIONS: u32 = 5;

/// Why an audit could not be completed. Mismatches that an audit finds are not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The ledger is unreadable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger does not contain the challenge.
    #[error(
        "no {kind} challenge {uid:?} in the ledger{}; hint: select another contest with --type main, solo or arena",
        known_challenges(.latest)
    )]
    UnknownChallenge {
        /// Uid of the requested challenge.
        uid: String,
        /// Contest of the requested challenge.
        kind: ChallengeType,
        /// Uids of the latest challenges in the ledger.
        latest: Vec<String>,
    },
    /// The recognition thread pool could not be started.
    #[error(transparent)]
    Scorer(#[from] ScorerError),
    /// The recorded options are invalid.
    #[error("invalid recorded scoring options")]
    Options(#[from] taonet_babelbit_core::scoring::OptionsError),
    /// The number of scores from the scorer differs from the number of replies.
    #[error("the scorer returned {} for {}", counted(.got, "score"), counted(.expected, "reply"))]
    ScoreCount {
        /// Number of replies.
        expected: usize,
        /// Number of scores.
        got: usize,
    },
}

fn known_challenges(latest: &[String]) -> String {
    if latest.is_empty() {
        String::new()
    } else {
        format!("; the ledger has {}", latest.join(", "))
    }
}

/// The record of a challenge: all inputs of its scores, except for the audio.
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengeRecord {
    pub(crate) challenge: ChallengeRow,
    /// Result rows, sorted by miner and utterance.
    pub(crate) rows: Vec<ResultRow>,
    /// Miners whose result files are written.
    pub(crate) finished: HashSet<MinerKey>,
    /// Scoring conditions of the rows, keyed by SHA-256.
    pub(crate) conditions: BTreeMap<String, ScoringConditions>,
}

impl ChallengeRecord {
    /// Reads the record of a challenge from the ledger in a state directory, even while a runner
    /// uses the ledger.
    ///
    /// # Errors
    /// [`AuditError::Ledger`] when the ledger is unreadable, [`AuditError::UnknownChallenge`] when
    /// it lacks the challenge.
    pub async fn read(state: &Path, uid: &str, kind: ChallengeType) -> Result<Self, AuditError> {
        let ledger = Ledger::read(state).await?;
        let Some(challenge) = ledger.find(uid, kind).await? else {
            let latest = ledger.latest(kind, MAX_SUGGESTIONS).await?;
            return Err(AuditError::UnknownChallenge { uid: uid.to_owned(), kind, latest });
        };
        // This order tolerates a concurrent runner: files are written after rows, and rows after
        // the conditions to which they refer.
        let finished = ledger.finished_miners(&challenge).await?;
        let rows = ledger.results(&challenge).await?;
        let mut conditions = ledger.conditions().await?;
        let named_conditions: HashSet<_> = names(&rows).collect();
        conditions.retain(|name, _| named_conditions.contains(name.as_str()));
        Ok(Self { challenge, rows, finished, conditions })
    }

    /// Returns the scoring conditions of the replies.
    pub fn conditions(&self) -> impl Iterator<Item = &ScoringConditions> {
        self.conditions.values()
    }

    /// Returns the scoring conditions of a reply, if known.
    pub(crate) fn conditions_of(&self, row: &ResultRow) -> Option<&ScoringConditions> {
        self.conditions.get(row.score.as_ref()?.conditions.as_deref()?)
    }

    /// Returns the engine's ID of an utterance.
    pub(crate) fn utterance_id(&self, index: u32) -> Option<&str> {
        let utterance = self.challenge.utterances.iter().find(|utterance| utterance.index == index);
        utterance.map(|utterance| utterance.utterance_id.as_str())
    }

    /// Returns the number of channels of an utterance's source; `None` if the source was
    /// unplayable.
    pub(crate) fn channels(&self, index: u32) -> Option<u16> {
        let utterance =
            self.challenge.utterances.iter().find(|utterance| utterance.index == index)?;
        utterance.source.as_ref().ok().map(|source| source.channels)
    }

    /// Returns the miners, sorted, without duplicates.
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

/// Stored replies by miner and utterance.
pub(crate) type StoredReplies = HashMap<(MinerKey, u32), StoredReply>;

/// Recomputes a challenge's scores from the files of `paths`, and compares them with the record.
/// Blocks during recognition: call it on a blocking thread.
///
/// # Errors
/// [`AuditError`] when the audit cannot be completed.
pub fn audit(
    record: &ChallengeRecord,
    paths: &RunPaths,
    engines: &Engines,
) -> Result<AuditReport, AuditError> {
    let started = Instant::now();
    let layout = Layout::new(paths, &record.challenge);
    let replies = stored_replies::check_replies(record, &layout);
    let recomputed = recompute(record, &replies, engines)?;
    let mut mismatches = recomputed.mismatches;
    mismatches.extend(files::compare(record, &layout, &recomputed.rows, engines));
    let mut report = AuditReport::new(record, engines, recomputed.replies, mismatches);
    report.wall_sec = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Returns the sort key of findings: miner, utterance and location.
fn order(mismatch: &Mismatch) -> (Option<Uid>, Option<u32>, MismatchLocation) {
    (mismatch.miner_uid, mismatch.utterance_index, mismatch.location)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
