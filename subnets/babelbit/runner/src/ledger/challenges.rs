use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Acquire, Row, SqliteConnection};
use taonet_babelbit_core::records::ChallengeType;

use super::{Ledger, LedgerError, from_json, to_json};

/// Progress of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeState {
    /// The challenge is completely fetched, but not yet completely played, scored and written.
    Playing,
    /// The engine delivered only part of the challenge.
    Partial,
    /// All result files are written.
    Finished,
}

impl ChallengeState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Playing => "playing",
            Self::Partial => "partial",
            Self::Finished => "finished",
        }
    }
}

impl FromStr for ChallengeState {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        match text {
            "playing" => Ok(Self::Playing),
            "partial" => Ok(Self::Partial),
            "finished" => Ok(Self::Finished),
            other => Err(LedgerError::Value { column: "challenge.state", value: other.to_owned() }),
        }
    }
}

/// A challenge as delivered by the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChallenge {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Title of the challenge, for display; `None` keeps the one in the ledger.
    pub title: Option<String>,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Local start time in file names: `YYYYMMDD_HHMMSS`. Ignored for a challenge that is already
    /// in the ledger.
    pub run_timestamp: String,
    /// Start time in seconds since the Unix epoch. Ignored for a challenge that is already in the
    /// ledger.
    pub started_unix: i64,
    /// Why the engine's delivery is incomplete; `None` if complete.
    pub error: Option<String>,
    /// ID of the main challenge that a solo challenge accompanies. Ignored if the ledger already
    /// has one.
    pub main_challenge_uid: Option<String>,
    /// The reference document, if available.
    pub reference: Option<Value>,
    /// Source of the reference document or, if there is none, path of the unreadable file.
    pub reference_source: Option<String>,
    /// The delivered utterances.
    pub utterances: Vec<UtteranceRow>,
}

/// Ledger record of a challenge and its utterances.
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengeRow {
    /// Row ID in the ledger; 0 for a challenge that is not in a ledger.
    pub id: i64,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Title of the challenge, for display, if known.
    pub title: Option<String>,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Local start time of the first run, as in file names.
    pub run_timestamp: String,
    /// Progress of the challenge.
    pub state: ChallengeState,
    /// Why the engine's delivery is incomplete; `None` if complete.
    pub error: Option<String>,
    /// ID of the main challenge that a solo challenge accompanies.
    pub main_challenge_uid: Option<String>,
    /// The reference document, if available.
    pub reference: Option<Value>,
    /// Source of the reference document or, if there is none, path of the unreadable file.
    pub reference_source: Option<String>,
    /// The utterances, sorted by index.
    pub utterances: Vec<UtteranceRow>,
}

/// Ledger record of an utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct UtteranceRow {
    /// Position in the challenge, from 0.
    pub index: u32,
    /// The engine's ID of the utterance.
    pub utterance_id: String,
    /// Language of the source speech.
    pub language: String,
    /// Metadata of the source, or why the source is unplayable.
    pub source: Result<SourceInfo, String>,
}

/// Metadata of an utterance's source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Sample rate in Hz.
    pub sample_rate_hz: u32,
    /// Number of channels.
    pub channels: u16,
    /// Size of one sample of one channel in bytes.
    pub sample_width_bytes: u16,
    /// Number of samples per channel.
    pub frames: u64,
    /// Size of the WAV file in bytes.
    pub wav_bytes: u64,
    /// SHA-256 of the WAV file, lowercase hex.
    pub wav_sha256: String,
}

impl SourceInfo {
    /// Returns the duration of the source in seconds.
    pub fn duration_sec(&self) -> f64 {
        self.frames as f64 / f64::from(self.sample_rate_hz.max(1))
    }
}

impl Ledger {
    /// Inserts a challenge, or completes an existing one: adds missing utterances, and sets a
    /// partial challenge to playing once it is complete. Other existing data stays unchanged,
    /// except for the reference and the title.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn begin(&self, challenge: &NewChallenge) -> Result<ChallengeRow, LedgerError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        let state = if challenge.error.is_some() {
            ChallengeState::Partial
        } else {
            ChallengeState::Playing
        };
        let reference = challenge
            .reference
            .as_ref()
            .map(|value| to_json("challenge.reference", value))
            .transpose()?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO challenge (challenge_uid, challenge_type, run_timestamp, started_unix, state, error, reference,
                                    reference_source, main_challenge_uid, title)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (challenge_uid, challenge_type) DO UPDATE SET
                 state = CASE WHEN state = 'partial' THEN excluded.state ELSE state END,
                 error = CASE WHEN state = 'partial' THEN excluded.error ELSE error END,
                 main_challenge_uid = coalesce(main_challenge_uid, excluded.main_challenge_uid),
                 reference = coalesce(excluded.reference, reference),
                 reference_source = coalesce(excluded.reference_source, reference_source),
                 title = coalesce(excluded.title, title)
             RETURNING id",
        )
        .bind(&challenge.challenge_uid)
        .bind(challenge.challenge_type.as_str())
        .bind(&challenge.run_timestamp)
        .bind(challenge.started_unix)
        .bind(state.as_str())
        .bind(&challenge.error)
        .bind(reference)
        .bind(&challenge.reference_source)
        .bind(&challenge.main_challenge_uid)
        .bind(&challenge.title)
        .fetch_one(&mut *transaction)
        .await?;
        for utterance in &challenge.utterances {
            let (source, error) = match &utterance.source {
                Ok(source) => (Some(to_json("utterance.source", source)?), None),
                Err(error) => (None, Some(error)),
            };
            sqlx::query(
                "INSERT INTO utterance (challenge_id, utterance_index, utterance_id, language, source, error)
                 VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(id)
            .bind(utterance.index)
            .bind(&utterance.utterance_id)
            .bind(&utterance.language)
            .bind(source)
            .bind(error)
            .execute(&mut *transaction)
            .await?;
        }
        let row = read_challenge(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(row)
    }

    /// Looks up a challenge by uid and contest.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn find(
        &self,
        uid: &str,
        challenge_type: ChallengeType,
    ) -> Result<Option<ChallengeRow>, LedgerError> {
        let mut connection = self.connection.lock().await;
        let id = sqlx::query_scalar(
            "SELECT id FROM challenge WHERE challenge_uid = ? AND challenge_type = ?",
        )
        .bind(uid)
        .bind(challenge_type.as_str())
        .fetch_optional(&mut *connection)
        .await?;
        match id {
            Some(id) => read_challenge(&mut connection, id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the uids of a contest's latest challenges, at most `limit`, latest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn latest(
        &self,
        kind: ChallengeType,
        limit: u32,
    ) -> Result<Vec<String>, LedgerError> {
        let uids = sqlx::query_scalar(
            "SELECT challenge_uid FROM challenge WHERE challenge_type = ? ORDER BY id DESC LIMIT ?",
        )
        .bind(kind.as_str())
        .bind(limit)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        Ok(uids)
    }

    /// Returns the unfinished challenges of a contest that are completely fetched, started at
    /// `since` (Unix seconds) or later, and resumed fewer than `max_resumes` times; oldest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn unfinished(
        &self,
        kind: ChallengeType,
        since: i64,
        max_resumes: u32,
    ) -> Result<Vec<ChallengeRow>, LedgerError> {
        let mut connection = self.connection.lock().await;
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM challenge
             WHERE challenge_type = ? AND state = 'playing' AND started_unix >= ? AND take_ups < ? ORDER BY id",
        )
        .bind(kind.as_str())
        .bind(since)
        .bind(max_resumes)
        .fetch_all(&mut *connection)
        .await?;
        let mut unfinished = Vec::new();
        for id in ids {
            unfinished.push(read_challenge(&mut connection, id).await?);
        }
        Ok(unfinished)
    }

    /// Increments the number of resumes of a challenge; returns the new number.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn record_resume(&self, challenge: &ChallengeRow) -> Result<u32, LedgerError> {
        let resumes = sqlx::query_scalar(
            "UPDATE challenge SET take_ups = take_ups + 1 WHERE id = ? RETURNING take_ups",
        )
        .bind(challenge.id)
        .fetch_one(&mut *self.connection.lock().await)
        .await?;
        Ok(resumes)
    }

    /// Marks a challenge as finished.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn finish(&self, challenge: &ChallengeRow) -> Result<(), LedgerError> {
        let statement = sqlx::query(
            "UPDATE challenge SET state = 'finished' WHERE id = ? AND state = 'playing'",
        );
        self.execute(statement.bind(challenge.id)).await.map(drop)
    }
}

pub(super) async fn read_challenge(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<ChallengeRow, LedgerError> {
    let row = sqlx::query("SELECT * FROM challenge WHERE id = ?")
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
    let utterances =
        sqlx::query("SELECT * FROM utterance WHERE challenge_id = ? ORDER BY utterance_index")
            .bind(id)
            .fetch_all(connection)
            .await?;
    let reference: Option<String> = row.try_get("reference")?;
    Ok(ChallengeRow {
        id,
        challenge_uid: row.try_get("challenge_uid")?,
        title: row.try_get("title")?,
        challenge_type: read_contest(&row)?,
        run_timestamp: row.try_get("run_timestamp")?,
        state: row.try_get::<String, _>("state")?.parse()?,
        error: row.try_get("error")?,
        main_challenge_uid: row.try_get("main_challenge_uid")?,
        reference: reference.map(|text| from_json("challenge.reference", &text)).transpose()?,
        reference_source: row.try_get("reference_source")?,
        utterances: utterances.iter().map(read_utterance).collect::<Result<_, _>>()?,
    })
}

pub(super) fn read_contest(row: &SqliteRow) -> Result<ChallengeType, LedgerError> {
    let value: String = row.try_get("challenge_type")?;
    let contest = value.parse();
    contest.map_err(|_| LedgerError::Value { column: "challenge.challenge_type", value })
}

fn read_utterance(row: &SqliteRow) -> Result<UtteranceRow, LedgerError> {
    let source: Option<String> = row.try_get("source")?;
    let error: Option<String> = row.try_get("error")?;
    Ok(UtteranceRow {
        index: row.try_get("utterance_index")?,
        utterance_id: row.try_get("utterance_id")?,
        language: row.try_get("language")?,
        source: match source {
            Some(text) => Ok(from_json("utterance.source", &text)?),
            None => Err(error.unwrap_or_default()),
        },
    })
}
