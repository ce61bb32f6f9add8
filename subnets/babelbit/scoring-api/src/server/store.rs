use std::error::Error as _;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taonet_babelbit_core::records::ChallengeType;
use taonet_database::{Database, DatabaseError, Migrator, PoolOptions, Row, migrations, statement};

use super::record::{NewSubmission, PutOutcome, SubmissionKey, ValidatorScore};

/// Maximum number of connections to PostgreSQL.
const MAX_CONNECTIONS: u32 = 8;
/// Timeout for a connection, and for SQLite's lock. A statement may take four times as long.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Schema migrations.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    migrations(&[(1, "submissions", include_str!("../../migrations/0001_submissions.sql"))])
});

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL does not name a SQLite or PostgreSQL database.
    #[error("DATABASE_URL: expected postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE")]
    Url,
    /// The database failed, timed out, or has a different schema.
    // Without a source: the message already contains the causes.
    #[error("the database failed: {}", reason(.0))]
    Database(DatabaseError),
    /// The database failed while confirming a submission, which may or may not be stored.
    #[error("{0}; it is unknown whether the submission was stored")]
    UnknownOutcome(#[source] Box<StoreError>),
    /// A column has an invalid value.
    #[error("invalid value {value:?} in column {column} of the database")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The invalid value of the column.
        value: String,
    },
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Url => Self::Url,
            error => Self::Database(error),
        }
    }
}

/// Returns the message of an error and its causes: logs show only an error's own message.
fn reason(error: &DatabaseError) -> String {
    match (error, error.source()) {
        // Its own message adds nothing to the cause.
        (DatabaseError::Failed(cause), _) => cause.to_string(),
        (error, Some(cause)) => format!("{error}: {cause}"),
        (error, None) => error.to_string(),
    }
}

/// Validators' submissions, in SQLite or PostgreSQL. Both execute the same statements.
#[derive(Debug, Clone)]
pub struct Store(Database);

impl Store {
    /// Opens a database (`postgres://…` or `sqlite:FILE`) and migrates its schema.
    ///
    /// # Errors
    /// [`StoreError`] when the database is unreachable, does not respond, or belongs to another
    /// program.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, ACQUIRE_TIMEOUT).await
    }

    /// Opens a database with the timeout `wait` for a connection, and four times `wait` for a
    /// response.
    pub(crate) async fn open_with(url: &str, wait: Duration) -> Result<Self, StoreError> {
        let file = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        let database = match file {
            Some(file) => Database::sqlite_within(Path::new(file), &MIGRATIONS, wait).await?,
            None => {
                Database::postgres_with(
                    url,
                    &MIGRATIONS,
                    PoolOptions { connections: MAX_CONNECTIONS, acquire_timeout: wait },
                )
                .await?
            }
        };
        let store = Self(database);
        store.ping().await?;
        Ok(store)
    }

    /// Checks that the database responds.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not respond.
    pub async fn ping(&self) -> Result<(), StoreError> {
        statement("SELECT 1").execute(&self.0).await?;
        Ok(())
    }

    /// Stores a submission and its score in one transaction, unless a submission with the same key
    /// that was signed later (or, for a file, in the same second) is already stored.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; [`StoreError::UnknownOutcome`] if the commit fails,
    /// so that it is unknown whether the submission was stored.
    pub async fn put(&self, new: &NewSubmission) -> Result<PutOutcome, StoreError> {
        let is_confirming = AtomicBool::new(false);
        self.put_confirming(new, &is_confirming).await.map_err(|error| {
            let error = StoreError::from(error);
            if is_confirming.load(Ordering::Relaxed) {
                StoreError::UnknownOutcome(Box::new(error))
            } else {
                error
            }
        })
    }

    /// Stores a submission; sets `is_confirming` before it commits the transaction.
    async fn put_confirming(
        &self,
        new: &NewSubmission,
        is_confirming: &AtomicBool,
    ) -> Result<PutOutcome, DatabaseError> {
        let key = &new.key;
        let miner = key.miner_hotkey.map(|miner| miner.to_string()).unwrap_or_default();
        let (validator, kind) = (key.validator.to_string(), key.challenge_type.as_str());
        let with_key = |sql: &'static str| {
            statement(sql)
                .bind(&validator)
                .bind(&key.challenge_uid)
                .bind(kind)
                .bind(&miner)
                .bind(i64::from(key.miner_uid))
                .bind(key.kind.as_str())
                .bind(&key.dialogue_uid)
        };
        let put = |sql: &'static str| {
            with_key(sql)
                .bind(new.signed_unix)
                .bind(new.received_unix)
                .bind(&new.payload)
                .bind(&new.signature)
                .bind(new.artifact.clone())
        };
        let mut transaction = self.0.begin().await?;
        let mut replaced = None;
        // The row is inserted or locked before it is read, so that the replaced file is known.
        let is_new =
            new.artifact.is_some() && put(PUT_NEW_SUBMISSION).execute(&mut transaction).await? > 0;
        if new.artifact.is_some() && !is_new {
            replaced = with_key(LOCK_SUBMISSION)
                .value::<Option<String>>(&mut transaction)
                .await?
                .flatten();
        }
        let is_stored = is_new || put(PUT_SUBMISSION).execute(&mut transaction).await? > 0;
        if let Some(score) = new.mean_score.filter(|_| key.miner_hotkey.is_some()) {
            statement(PUT_SCORE)
                .bind(&key.challenge_uid)
                .bind(kind)
                .bind(&miner)
                .bind(&validator)
                .bind(i64::from(key.miner_uid))
                .bind(score)
                .bind(new.signed_unix)
                .bind(new.received_unix)
                .execute(&mut transaction)
                .await?;
        }
        is_confirming.store(true, Ordering::Relaxed);
        transaction.commit().await?;
        Ok(if is_stored { PutOutcome::Stored { replaced } } else { PutOutcome::Outdated })
    }

    /// Returns the signing time of the submission stored under a key, in seconds since the Unix
    /// epoch.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn signed_at(&self, key: &SubmissionKey) -> Result<Option<i64>, StoreError> {
        let miner = key.miner_hotkey.map(|miner| miner.to_string()).unwrap_or_default();
        let signed_at = statement(SIGNED_AT)
            .bind(key.validator.to_string())
            .bind(&key.challenge_uid)
            .bind(key.challenge_type.as_str())
            .bind(miner)
            .bind(i64::from(key.miner_uid))
            .bind(key.kind.as_str())
            .bind(&key.dialogue_uid);
        Ok(signed_at.value(&self.0).await?)
    }

    /// Returns all scores in a challenge, for one contest or, without `contest`, for all.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn scores(
        &self,
        challenge_uid: &str,
        contest: Option<ChallengeType>,
    ) -> Result<Vec<ValidatorScore>, StoreError> {
        const QUERY: &str =
            "SELECT validator, challenge_type, miner_hotkey, miner_uid, mean_score, signed_unix FROM score
                             WHERE challenge_uid = $1 ORDER BY challenge_type, miner_hotkey, validator";
        let rows = statement(QUERY).bind(challenge_uid).rows(&self.0).await?;
        let mut scores = rows.iter().map(read_score).collect::<Result<Vec<ValidatorScore>, _>>()?;
        scores.retain(|score| contest.is_none_or(|contest| score.challenge_type == contest));
        Ok(scores)
    }

    /// Returns the names of files whose submissions were received before a time: at most `max`
    /// names greater than `after`, sorted.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn expired_artifacts(
        &self,
        before_unix: i64,
        after: &str,
        max: i64,
    ) -> Result<Vec<String>, StoreError> {
        const QUERY: &str = "SELECT artifact FROM submission WHERE received_unix < $1 AND artifact > $2 ORDER BY artifact LIMIT $3";
        Ok(statement(QUERY).bind(before_unix).bind(after).bind(max).values(&self.0).await?)
    }

    /// Returns whether a submission refers to a file.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn names_artifact(&self, artifact: &str) -> Result<bool, StoreError> {
        const QUERY: &str = "SELECT count(*) FROM submission WHERE artifact = $1";
        Ok(statement(QUERY).bind(artifact).number(&self.0).await? > 0)
    }

    /// Clears the reference to a removed file.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn clear_artifact(&self, artifact: &str) -> Result<(), StoreError> {
        const QUERY: &str = "UPDATE submission SET artifact = NULL WHERE artifact = $1";
        statement(QUERY).bind(artifact).execute(&self.0).await?;
        Ok(())
    }

    /// Deletes submissions and scores received before a time. Returns the number of deleted
    /// submissions.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn purge(&self, before_unix: i64) -> Result<u64, StoreError> {
        const SUBMISSIONS: &str =
            "DELETE FROM submission WHERE received_unix < $1 AND artifact IS NULL";
        const SCORES: &str = "DELETE FROM score WHERE received_unix < $1";
        let mut transaction = self.0.begin().await?;
        let deleted = statement(SUBMISSIONS).bind(before_unix).execute(&mut transaction).await?;
        statement(SCORES).bind(before_unix).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(deleted)
    }

    /// Returns the number of stored submissions.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn count(&self) -> Result<i64, StoreError> {
        Ok(statement("SELECT count(*) FROM submission").number(&self.0).await?)
    }
}

fn read_score(row: &Row) -> Result<ValidatorScore, StoreError> {
    let validator: String = row.get("validator")?;
    let challenge_type: String = row.get("challenge_type")?;
    let miner_uid: i64 = row.get("miner_uid")?;
    Ok(ValidatorScore {
        validator: validator
            .parse()
            .map_err(|_| StoreError::Value { column: "score.validator", value: validator })?,
        challenge_type: challenge_type.parse().map_err(|_| StoreError::Value {
            column: "score.challenge_type",
            value: challenge_type,
        })?,
        miner_hotkey: row.get("miner_hotkey")?,
        miner_uid: u16::try_from(miner_uid).map_err(|_| StoreError::Value {
            column: "score.miner_uid",
            value: miner_uid.to_string(),
        })?,
        score: row.get("mean_score")?,
        signed_unix: row.get("signed_unix")?,
    })
}

macro_rules! put_submission {
    ($on_conflict:literal) => {
        concat!(
            "INSERT INTO submission (validator, challenge_uid, challenge_type, miner_hotkey, miner_uid, kind,
                dialogue_uid, signed_unix, received_unix, payload, signature, artifact)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            ON CONFLICT (validator, challenge_uid, challenge_type, miner_hotkey, miner_uid, kind, dialogue_uid) DO ",
            $on_conflict
        )
    };
}

const PUT_NEW_SUBMISSION: &str = put_submission!("NOTHING");

const PUT_SUBMISSION: &str = put_submission!(
    "UPDATE SET
        signed_unix = excluded.signed_unix, received_unix = excluded.received_unix, payload = excluded.payload,
        signature = excluded.signature, artifact = excluded.artifact
    WHERE submission.signed_unix < excluded.signed_unix
        OR submission.signed_unix = excluded.signed_unix AND excluded.artifact IS NULL"
);

const PUT_SCORE: &str = "
    INSERT INTO score (challenge_uid, challenge_type, miner_hotkey, validator, miner_uid, mean_score, signed_unix,
        received_unix)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (challenge_uid, challenge_type, miner_hotkey, validator) DO UPDATE SET
        miner_uid = excluded.miner_uid, mean_score = excluded.mean_score, signed_unix = excluded.signed_unix,
        received_unix = excluded.received_unix
    WHERE score.signed_unix <= excluded.signed_unix";

const SIGNED_AT: &str = "
    SELECT signed_unix FROM submission WHERE validator = $1 AND challenge_uid = $2 AND challenge_type = $3
        AND miner_hotkey = $4 AND miner_uid = $5 AND kind = $6 AND dialogue_uid = $7";

const LOCK_SUBMISSION: &str = "
    UPDATE submission SET signed_unix = signed_unix WHERE validator = $1 AND challenge_uid = $2 AND challenge_type = $3
        AND miner_hotkey = $4 AND miner_uid = $5 AND kind = $6 AND dialogue_uid = $7
    RETURNING artifact";

#[cfg(test)]
mod tests;
