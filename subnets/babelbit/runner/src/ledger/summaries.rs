use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::scoring::Gate;
use taonet_database::DatabaseError;

use super::challenges::{read_challenge, read_contest};
use super::results::{read_miner, read_result};
use super::{ChallengeRow, ChallengeState, Ledger, LedgerError, ResultRow, from_json};

/// Summary of a challenge in the ledger, without its utterances and reference.
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengeHeader {
    /// Row ID in the ledger.
    pub id: i64,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Title of the challenge, for display, if known.
    pub title: Option<String>,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Start time of the first run in seconds since the Unix epoch.
    pub started_unix: i64,
    /// Progress of the challenge.
    pub state: ChallengeState,
    /// Why the engine's delivery is incomplete; `None` if complete.
    pub error: Option<String>,
    /// Number of utterances in the challenge.
    pub utterances: u32,
    /// Number of resumes by later rounds.
    pub resumes: u32,
}

/// Summary of a result row, without reply metadata and transcript.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultSummary {
    /// Uid and hotkey of the miner.
    pub miner: MinerKey,
    /// Position of the utterance in the challenge, from 0.
    pub utterance_index: u32,
    /// Why the reply failed.
    pub error: Option<String>,
    /// The score; `None` for a reply that failed or is unscored.
    pub score: Option<ScoreSummary>,
    /// Wall-clock time from the last sent frame to the end of the reply, in seconds.
    pub wall_after_source_sec: Option<f64>,
}

/// Main components of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreSummary {
    /// The score, 0 to 1.
    pub score: f64,
    /// Semantic similarity, 0 to 1; `None` if not computed.
    pub accuracy: Option<f64>,
    /// Ratio of the reply's speaking rate to the reference's; `None` if not computed.
    pub rate_ratio: Option<f64>,
    /// Time from the end of the source to the end of the reply, in seconds on the virtual clock; 0
    /// if the reply ends earlier.
    pub overshoot_sec: Option<f64>,
    /// Scoring gates that the reply failed.
    pub failed_gates: Vec<Gate>,
}

impl Ledger {
    /// Returns a version number that changes whenever another connection commits. Cheap to query.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn data_version(&self) -> Result<i64, LedgerError> {
        Ok(sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut *self.connection.lock().await)
            .await?)
    }

    /// Returns summaries of the latest challenges of all contests, at most `limit`, latest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn challenge_headers(&self, limit: u32) -> Result<Vec<ChallengeHeader>, LedgerError> {
        let rows = sqlx::query(
            "SELECT id, challenge_uid, title, challenge_type, started_unix, state, error, take_ups,
                    (SELECT count(*) FROM utterance WHERE challenge_id = challenge.id) AS utterances
             FROM challenge ORDER BY id DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.iter().map(read_header).collect()
    }

    /// Looks up a challenge by its row ID.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn find_by_id(&self, id: i64) -> Result<Option<ChallengeRow>, LedgerError> {
        match read_challenge(&mut *self.connection.lock().await, id).await {
            Err(LedgerError::Database(DatabaseError::Failed(sqlx::Error::RowNotFound))) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Returns summaries of all results of a challenge, sorted by miner and utterance.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn result_summaries(
        &self,
        challenge_id: i64,
    ) -> Result<Vec<ResultSummary>, LedgerError> {
        let rows = sqlx::query(
            "SELECT miner_uid, miner_hotkey, utterance_index, error,
                    json_extract(score, '$.result.score', '$.result.accuracy', '$.result.speech_rate.ratio',
                                 '$.result.latency.overshoot_sec', '$.failed_gates') AS score,
                    json_extract(reply, '$.wall.after_source_sec') AS wall
             FROM result WHERE challenge_id = ? ORDER BY miner_uid, miner_hotkey, utterance_index",
        )
        .bind(challenge_id)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.iter().map(read_summary).collect()
    }

    /// Returns the SHA-256 of the scoring conditions of one scored result of a challenge; `None` if
    /// no result is scored, or the conditions are unknown.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn conditions_of(&self, challenge_id: i64) -> Result<Option<String>, LedgerError> {
        let conditions: Option<Option<String>> = sqlx::query_scalar(
            "SELECT json_extract(score, '$.conditions') FROM result
             WHERE challenge_id = ? AND score IS NOT NULL LIMIT 1",
        )
        .bind(challenge_id)
        .fetch_optional(&mut *self.connection.lock().await)
        .await?;
        Ok(conditions.flatten())
    }

    /// Looks up a miner's result for one utterance.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn result(
        &self,
        challenge_id: i64,
        miner: MinerKey,
        utterance_index: u32,
    ) -> Result<Option<ResultRow>, LedgerError> {
        let row = sqlx::query(
            "SELECT * FROM result
             WHERE challenge_id = ? AND miner_uid = ? AND miner_hotkey = ? AND utterance_index = ?",
        )
        .bind(challenge_id)
        .bind(miner.uid.0)
        .bind(miner.hotkey.to_string())
        .bind(utterance_index)
        .fetch_optional(&mut *self.connection.lock().await)
        .await?;
        row.as_ref().map(read_result).transpose()
    }
}

fn read_header(row: &SqliteRow) -> Result<ChallengeHeader, LedgerError> {
    Ok(ChallengeHeader {
        id: row.try_get("id")?,
        challenge_uid: row.try_get("challenge_uid")?,
        title: row.try_get("title")?,
        challenge_type: read_contest(row)?,
        started_unix: row.try_get("started_unix")?,
        state: row.try_get::<String, _>("state")?.parse()?,
        error: row.try_get("error")?,
        utterances: row.try_get("utterances")?,
        resumes: row.try_get("take_ups")?,
    })
}

/// Values of the JSON paths that [`Ledger::result_summaries`] extracts, in the same order.
type ScoreColumns = (f64, Option<f64>, Option<f64>, Option<f64>, Vec<Gate>);

fn read_summary(row: &SqliteRow) -> Result<ResultSummary, LedgerError> {
    let score: Option<String> = row.try_get("score")?;
    let score = score.map(|text| from_json::<ScoreColumns>("result.score", &text)).transpose()?;
    Ok(ResultSummary {
        miner: read_miner(row)?,
        utterance_index: row.try_get("utterance_index")?,
        error: row.try_get("error")?,
        score: score.map(|(score, accuracy, rate_ratio, overshoot_sec, failed_gates)| {
            ScoreSummary { score, accuracy, rate_ratio, overshoot_sec, failed_gates }
        }),
        wall_after_source_sec: row.try_get("wall")?,
    })
}
