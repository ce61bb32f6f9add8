//! Played challenges of the text contest, and their result files in the outbox.

use sqlx::Acquire;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::submission_api::ResultFile;

use super::{Ledger, LedgerError, NamedFile};

/// A played challenge of the text contest.
#[derive(Debug, Clone, Copy)]
pub struct TextChallenge<'a> {
    /// ID of the challenge, as in submissions.
    pub challenge_uid: &'a str,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Local time of the run, as in file names.
    pub run_timestamp: &'a str,
    /// Time of the run in seconds since the Unix epoch.
    pub started_unix: i64,
    /// ID of the main challenge that a solo challenge accompanies.
    pub main_challenge_uid: Option<&'a str>,
}

/// A written result file of the text contest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// Kind of the file.
    pub file: ResultFile,
    /// Uid and hotkey of the miner.
    pub miner: MinerKey,
    /// Name and dialogue of the file.
    pub named: NamedFile,
    /// SHA-256 of the content, lowercase hex.
    pub sha256: String,
}

impl Ledger {
    /// Whether a challenge of the text contest is recorded as played.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn is_played(
        &self,
        challenge_uid: &str,
        challenge_type: ChallengeType,
    ) -> Result<bool, LedgerError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM challenge WHERE challenge_uid = ? AND challenge_type = ?",
        )
        .bind(challenge_uid)
        .bind(challenge_type.as_str())
        .fetch_one(&mut *self.connection.lock().await)
        .await?;
        Ok(count > 0)
    }

    /// Records in one transaction that a challenge of the text contest was played, and queues its
    /// files for submission. An existing outbox entry stays unchanged unless the file's hash
    /// differs.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn record_text(
        &self,
        challenge: TextChallenge<'_>,
        files: &[TextFile],
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO challenge
                 (challenge_uid, challenge_type, run_timestamp, started_unix, state, main_challenge_uid)
             VALUES (?, ?, ?, ?, 'finished', ?)
             ON CONFLICT (challenge_uid, challenge_type) DO UPDATE SET
                 run_timestamp = excluded.run_timestamp, started_unix = excluded.started_unix
             RETURNING id",
        )
        .bind(challenge.challenge_uid)
        .bind(challenge.challenge_type.as_str())
        .bind(challenge.run_timestamp)
        .bind(challenge.started_unix)
        .bind(challenge.main_challenge_uid)
        .fetch_one(&mut *transaction)
        .await?;
        for file in files {
            sqlx::query(
                "INSERT INTO outbox
                     (challenge_id, miner_uid, miner_hotkey, file, name, dialogue_uid, run_sha256, score_method, state)
                 VALUES (?, ?, ?, ?, ?, ?, ?, '', 'waiting')
                 ON CONFLICT (challenge_id, miner_uid, miner_hotkey, file, name) DO UPDATE SET
                     run_sha256 = excluded.run_sha256, state = 'waiting', s3_path = NULL, attempts = 0,
                     due_unix_ms = 0, error = NULL
                 WHERE run_sha256 <> excluded.run_sha256",
            )
            .bind(id)
            .bind(file.miner.uid.0)
            .bind(file.miner.hotkey.to_string())
            .bind(file.file.file_type())
            .bind(&file.named.name)
            .bind(&file.named.dialogue_uid)
            .bind(&file.sha256)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        self.notify_outbox();
        Ok(())
    }
}
