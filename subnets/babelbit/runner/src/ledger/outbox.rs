use sqlx::sqlite::SqliteRow;
use sqlx::{Acquire, Row};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::ResultFile;

use super::challenges::read_contest;
use super::results::{insert_finished, read_miner};
use super::{ChallengeRow, Ledger, LedgerError};
use taonet_babelbit_core::records::MinerKey;

/// Metadata of the result files written for one miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFiles {
    /// SHA-256 of the run log, which identifies the content of all four files.
    pub run_sha256: String,
    /// Scoring method of the utterances.
    pub score_method: String,
}

/// Name and dialogue of a file of the text contest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Name of the file in the directory of logs or of scores.
    pub name: String,
    /// ID of the dialogue; `None` for a file about the complete challenge.
    pub dialogue_uid: Option<String>,
}

/// A result file queued for submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    pub(crate) id: i64,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Local start time of the challenge's first run, as in file names.
    pub run_timestamp: String,
    /// ID of the main challenge that a solo challenge accompanies.
    pub main_challenge_uid: Option<String>,
    /// Uid and hotkey of the miner.
    pub miner: MinerKey,
    /// Kind of the file.
    pub file: ResultFile,
    /// Name and dialogue of a file of the text contest; `None` for a file of the speech contest.
    pub named: Option<NamedFile>,
    /// SHA-256 of the run log written together with the file, or of the file itself in the text
    /// contest.
    pub run_sha256: String,
    /// Scoring method of the utterances; empty in the text contest.
    pub score_method: String,
    /// Path of the file in the bucket, if uploaded.
    pub s3_path: Option<String>,
    /// Number of failed attempts since the file was queued.
    pub attempts: u32,
    /// Error of the last attempt.
    pub error: Option<String>,
}

/// Number of result files per state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct OutboxCounts {
    /// Files queued for submission.
    pub waiting: u64,
    /// Delivered files that are not yet purged.
    pub delivered: u64,
    /// Refused files, which the outbox requeues every hour.
    pub refused: u64,
}

impl Ledger {
    /// Queues a miner's four result files and, if `is_finished`, marks the miner as finished in the
    /// same transaction. An existing entry, delivered or not, stays unchanged unless the hash of
    /// the run log differs.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn enqueue(
        &self,
        challenge: &ChallengeRow,
        miner: MinerKey,
        files: &WrittenFiles,
        is_finished: bool,
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        for file in ResultFile::SPEECH_FILES {
            sqlx::query(
                "INSERT INTO outbox (challenge_id, miner_uid, miner_hotkey, file, run_sha256, score_method, state)
                 VALUES (?, ?, ?, ?, ?, ?, 'waiting')
                 ON CONFLICT (challenge_id, miner_uid, miner_hotkey, file, name) DO UPDATE SET
                     run_sha256 = excluded.run_sha256, score_method = excluded.score_method, state = 'waiting',
                     s3_path = NULL, attempts = 0, due_unix_ms = 0, error = NULL
                 WHERE run_sha256 <> excluded.run_sha256",
            )
            .bind(challenge.id)
            .bind(miner.uid.0)
            .bind(miner.hotkey.to_string())
            .bind(file.file_type())
            .bind(&files.run_sha256)
            .bind(&files.score_method)
            .execute(&mut *transaction)
            .await?;
        }
        if is_finished {
            insert_finished(&mut transaction, challenge, miner).await?;
        }
        transaction.commit().await?;
        self.notify_outbox();
        Ok(())
    }

    /// Wakes the outbox.
    pub(super) fn notify_outbox(&self) {
        self.enqueued.notify_one();
    }

    /// Waits until files are queued; returns immediately if files were queued since the last call.
    pub(crate) async fn wait_for_files(&self) {
        self.enqueued.notified().await;
    }

    /// Returns files due for submission, at most `max`: score files first, since weights depend on
    /// them, then the other files, each group sorted by due time.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn due(&self, now_unix_ms: i64, max: u32) -> Result<Vec<OutboxEntry>, LedgerError> {
        let rows = sqlx::query(
            "SELECT outbox.*, challenge_uid, challenge_type, run_timestamp, main_challenge_uid
             FROM outbox JOIN challenge ON challenge.id = challenge_id
             WHERE outbox.state = 'waiting' AND due_unix_ms <= ?
             ORDER BY file = ? DESC, due_unix_ms, outbox.id LIMIT ?",
        )
        .bind(now_unix_ms)
        .bind(ResultFile::ChallengeScore.file_type())
        .bind(max)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.iter().map(read_entry).collect()
    }

    /// Returns the time at which the next submission is due, in milliseconds since the Unix epoch;
    /// `None` if the queue is empty.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn next_due_time(&self) -> Result<Option<i64>, LedgerError> {
        let next =
            sqlx::query_scalar("SELECT min(due_unix_ms) FROM outbox WHERE state = 'waiting'")
                .fetch_one(&mut *self.connection.lock().await)
                .await?;
        Ok(next)
    }

    /// Returns the number of queued files.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn queued_count(&self) -> Result<u64, LedgerError> {
        let queued: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE state = 'waiting'")
            .fetch_one(&mut *self.connection.lock().await)
            .await?;
        Ok(queued.unsigned_abs())
    }

    /// Counts the files per state.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn outbox_counts(&self) -> Result<OutboxCounts, LedgerError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT state, count(*) FROM outbox GROUP BY state")
                .fetch_all(&mut *self.connection.lock().await)
                .await?;
        let count = |state| {
            rows.iter().find(|(name, _)| name == state).map_or(0, |(_, count)| count.unsigned_abs())
        };
        Ok(OutboxCounts {
            waiting: count("waiting"),
            delivered: count("delivered"),
            refused: count("refused"),
        })
    }

    /// Records the path of an uploaded file in the bucket.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn record_uploaded(
        &self,
        entry: &OutboxEntry,
        s3_path: &str,
    ) -> Result<(), LedgerError> {
        let statement =
            sqlx::query("UPDATE outbox SET s3_path = ? WHERE id = ? AND run_sha256 = ?")
                .bind(s3_path)
                .bind(entry.id)
                .bind(&entry.run_sha256);
        self.execute(statement).await.map(drop)
    }

    /// Records that a file was delivered, or refused with `error` as the reason. A file rewritten
    /// in the meantime stays queued.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn record_outcome(
        &self,
        entry: &OutboxEntry,
        now_unix_ms: i64,
        error: Option<&str>,
    ) -> Result<(), LedgerError> {
        let statement = sqlx::query("UPDATE outbox SET state = ?, due_unix_ms = ?, error = ? WHERE id = ? AND run_sha256 = ?")
            .bind(if error.is_some() { "refused" } else { "delivered" })
            .bind(now_unix_ms)
            .bind(error)
            .bind(entry.id)
            .bind(&entry.run_sha256);
        self.execute(statement).await.map(drop)
    }

    /// Records a failed attempt and when the next one is due.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn reschedule(
        &self,
        entry: &OutboxEntry,
        due_unix_ms: i64,
        error: &str,
    ) -> Result<(), LedgerError> {
        let statement = sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, due_unix_ms = ?, error = ? WHERE id = ? AND run_sha256 = ?",
        )
        .bind(due_unix_ms)
        .bind(error)
        .bind(entry.id)
        .bind(&entry.run_sha256);
        self.execute(statement).await.map(drop)
    }

    /// Requeues all refused files and returns their number. The cause of a refusal may be gone: for
    /// example, a clock has been corrected or a validator admitted.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn requeue_refused(&self) -> Result<u64, LedgerError> {
        let statement = sqlx::query(
            "UPDATE outbox SET state = 'waiting', attempts = 0, due_unix_ms = 0 WHERE state = 'refused'",
        );
        self.execute(statement).await
    }

    /// Deletes entries delivered before `before_unix_ms`, in milliseconds since the Unix epoch;
    /// returns the number of deleted entries.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn purge_delivered(&self, before_unix_ms: i64) -> Result<u64, LedgerError> {
        let statement =
            sqlx::query("DELETE FROM outbox WHERE state = 'delivered' AND due_unix_ms < ?")
                .bind(before_unix_ms);
        self.execute(statement).await
    }
}

fn read_entry(row: &SqliteRow) -> Result<OutboxEntry, LedgerError> {
    let file: String = row.try_get("file")?;
    let name: String = row.try_get("name")?;
    let dialogue_uid = row.try_get("dialogue_uid")?;
    Ok(OutboxEntry {
        id: row.try_get("id")?,
        challenge_uid: row.try_get("challenge_uid")?,
        challenge_type: read_contest(row)?,
        run_timestamp: row.try_get("run_timestamp")?,
        main_challenge_uid: row.try_get("main_challenge_uid")?,
        miner: read_miner(row)?,
        file: ResultFile::from_file_type(&file)
            .ok_or(LedgerError::Value { column: "outbox.file", value: file })?,
        named: (!name.is_empty()).then_some(NamedFile { name, dialogue_uid }),
        run_sha256: row.try_get("run_sha256")?,
        score_method: row.try_get("score_method")?,
        s3_path: row.try_get("s3_path")?,
        attempts: row.try_get("attempts")?,
        error: row.try_get("error")?,
    })
}

#[cfg(test)]
mod tests;
