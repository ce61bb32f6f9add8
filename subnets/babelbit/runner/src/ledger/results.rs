use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Acquire, Row, SqliteConnection};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::scoring::{Gate, ScoreResult, Timeline};
use taonet_primitives::Uid;

use super::{ChallengeRow, Ledger, LedgerError, from_json, to_json};
use crate::player::WallClock;
use taonet_babelbit_scorer::{ScoringConditions, Transcription};

/// Metadata of a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyRecord {
    /// ID of the session opened by the miner.
    pub session_id: Option<String>,
    /// Number of source frames sent to the miner.
    pub frames_in: u32,
    /// Arrival times on the virtual clock.
    pub timeline: Timeline,
    /// Wall-clock times of the reply.
    pub wall: WallClock,
    /// Number of samples per channel of the reply.
    pub frames: u64,
    /// Size of the WAV file in bytes; 0 when the reply failed.
    pub wav_bytes: u64,
}

/// A score and the gates that the reply failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredScore {
    /// The score with all its components.
    pub result: ScoreResult,
    /// Failed gates; empty if the reply passed all of them.
    pub failed_gates: Vec<Gate>,
    /// Transcript of the reply; `None` if recognition was skipped or failed.
    #[serde(rename = "heard", default, skip_serializing_if = "Option::is_none")]
    pub transcription: Option<Transcription>,
    /// SHA-256 of the scoring conditions ([`Ledger::conditions`]); `None` if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<String>,
    /// Number of the scoring batch within the utterance. The duplication penalty compares a reply
    /// with the replies of the same batch and of earlier batches.
    #[serde(default)]
    pub batch: u32,
}

impl From<ScoreResult> for StoredScore {
    fn from(result: ScoreResult) -> Self {
        Self {
            failed_gates: result.failed_gates().to_vec(),
            result,
            transcription: None,
            conditions: None,
            batch: 0,
        }
    }
}

/// Why a miner gave no complete reply to an utterance. The ledger stores the text only, of the
/// error that ended the reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReplyFailure(pub String);

impl From<String> for ReplyFailure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for ReplyFailure {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A miner's result for one utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// Uid and hotkey of the miner.
    pub miner: MinerKey,
    /// Position of the utterance in the challenge, from 0.
    pub utterance_index: u32,
    /// Metadata of the reply, or of the part received before a failure.
    pub reply: ReplyRecord,
    /// SHA-256 of the reply's WAV file, or why the reply failed.
    pub outcome: Result<String, ReplyFailure>,
    /// The score; `None` for a reply that failed or is unscored.
    pub score: Option<StoredScore>,
}

impl ResultRow {
    /// Returns the score; 0 for a failed or unscored reply.
    pub fn score_or_zero(&self) -> f64 {
        self.score.as_ref().map_or(0.0, |score| score.result.score)
    }

    /// Whether the reply is complete and unscored.
    pub fn awaits_score(&self) -> bool {
        self.outcome.is_ok() && self.score.is_none()
    }
}

impl Ledger {
    /// Inserts the result of an utterance; returns false, without a change, if the row already
    /// exists.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn record(
        &self,
        challenge: &ChallengeRow,
        result: &ResultRow,
    ) -> Result<bool, LedgerError> {
        let statement = sqlx::query(
            "INSERT INTO result (challenge_id, miner_uid, miner_hotkey, utterance_index, state, reply, wav_sha256, error)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(challenge.id)
        .bind(result.miner.uid.0)
        .bind(result.miner.hotkey.to_string())
        .bind(result.utterance_index)
        // Scoring skips failed replies.
        .bind(if result.outcome.is_ok() { "played" } else { "scored" })
        .bind(to_json("result.reply", &result.reply)?)
        .bind(result.outcome.as_ref().ok())
        .bind(result.outcome.as_ref().err().map(|failure| failure.0.as_str()));
        self.execute(statement).await.map(|changed| changed > 0)
    }

    /// Deletes an unscored row, so that the run plays the utterance again.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn delete_reply(
        &self,
        challenge: &ChallengeRow,
        miner: MinerKey,
        index: u32,
    ) -> Result<(), LedgerError> {
        let statement = sqlx::query(
            "DELETE FROM result WHERE challenge_id = ? AND miner_uid = ? AND miner_hotkey = ? AND utterance_index = ?
             AND state = 'played'",
        )
        .bind(challenge.id)
        .bind(miner.uid.0)
        .bind(miner.hotkey.to_string())
        .bind(index);
        self.execute(statement).await.map(drop)
    }

    /// Clears the scores of an utterance, so that the run scores its replies again.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn clear_scores(
        &self,
        challenge: &ChallengeRow,
        index: u32,
    ) -> Result<(), LedgerError> {
        let statement = sqlx::query(
            "UPDATE result SET state = 'played', score = NULL
             WHERE challenge_id = ? AND utterance_index = ? AND wav_sha256 IS NOT NULL",
        )
        .bind(challenge.id)
        .bind(index);
        self.execute(statement).await.map(drop)
    }

    /// Records the scores of one utterance with their conditions in one transaction.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn score(
        &self,
        challenge: &ChallengeRow,
        index: u32,
        scores: &[(MinerKey, StoredScore)],
        conditions: Option<&ScoringConditions>,
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        if let Some(conditions) = conditions {
            sqlx::query("INSERT INTO scoring_conditions (sha256, conditions) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(conditions.sha256())
                .bind(to_json("scoring_conditions.conditions", conditions)?)
                .execute(&mut *transaction)
                .await?;
        }
        for (miner, score) in scores {
            sqlx::query(
                "UPDATE result SET state = 'scored', score = ?
                 WHERE challenge_id = ? AND miner_uid = ? AND miner_hotkey = ? AND utterance_index = ? AND state = 'played'",
            )
            .bind(to_json("result.score", score)?)
            .bind(challenge.id)
            .bind(miner.uid.0)
            .bind(miner.hotkey.to_string())
            .bind(index)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Returns all result rows of a challenge, sorted by miner and utterance.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn results(&self, challenge: &ChallengeRow) -> Result<Vec<ResultRow>, LedgerError> {
        let rows = sqlx::query(
            "SELECT * FROM result WHERE challenge_id = ? ORDER BY miner_uid, miner_hotkey, utterance_index",
        )
        .bind(challenge.id)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.iter().map(read_result).collect()
    }

    /// Returns the miners with result rows in a challenge.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn played_miners(
        &self,
        challenge: &ChallengeRow,
    ) -> Result<HashSet<MinerKey>, LedgerError> {
        let rows = sqlx::query(
            "SELECT DISTINCT miner_uid, miner_hotkey FROM result WHERE challenge_id = ?",
        )
        .bind(challenge.id)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.iter().map(read_miner).collect()
    }

    /// Returns all scoring conditions, keyed by their SHA-256.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn conditions(&self) -> Result<BTreeMap<String, ScoringConditions>, LedgerError> {
        let rows = sqlx::query("SELECT sha256, conditions FROM scoring_conditions")
            .fetch_all(&mut *self.connection.lock().await)
            .await?;
        let read_conditions = |row: &SqliteRow| {
            let text: String = row.try_get("conditions")?;
            Ok((row.try_get("sha256")?, from_json("scoring_conditions.conditions", &text)?))
        };
        rows.iter().map(read_conditions).collect()
    }

    /// Returns the finished miners of a challenge, whose result files are all written.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn finished_miners(
        &self,
        challenge: &ChallengeRow,
    ) -> Result<HashSet<MinerKey>, LedgerError> {
        let rows = sqlx::query(
            "SELECT miner_uid, miner_hotkey FROM finished_miner WHERE challenge_id = ?",
        )
        .bind(challenge.id)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.iter().map(read_miner).collect()
    }

    /// Marks a miner as finished: all its result files are written.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn finish_miner(
        &self,
        challenge: &ChallengeRow,
        miner: MinerKey,
    ) -> Result<(), LedgerError> {
        insert_finished(&mut *self.connection.lock().await, challenge, miner).await
    }
}

pub(super) async fn insert_finished(
    connection: &mut SqliteConnection,
    challenge: &ChallengeRow,
    miner: MinerKey,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO finished_miner (challenge_id, miner_uid, miner_hotkey) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(challenge.id)
    .bind(miner.uid.0)
    .bind(miner.hotkey.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn read_miner(row: &SqliteRow) -> Result<MinerKey, LedgerError> {
    let hotkey: String = row.try_get("miner_hotkey")?;
    let hotkey = hotkey
        .parse()
        .map_err(|_| LedgerError::Value { column: "result.miner_hotkey", value: hotkey })?;
    Ok(MinerKey { uid: Uid(row.try_get("miner_uid")?), hotkey })
}

pub(super) fn read_result(row: &SqliteRow) -> Result<ResultRow, LedgerError> {
    let hash: Option<String> = row.try_get("wav_sha256")?;
    let error: Option<String> = row.try_get("error")?;
    let score: Option<String> = row.try_get("score")?;
    Ok(ResultRow {
        miner: read_miner(row)?,
        utterance_index: row.try_get("utterance_index")?,
        reply: from_json("result.reply", &row.try_get::<String, _>("reply")?)?,
        outcome: hash.ok_or_else(|| ReplyFailure(error.unwrap_or_default())),
        score: score.map(|text| from_json("result.score", &text)).transpose()?,
    })
}
