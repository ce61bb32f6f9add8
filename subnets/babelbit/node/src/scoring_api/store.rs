use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use taonet_babelbit_core::records::ChallengeType;

use super::record::{GivenScore, NewSubmission, SubmissionKey};

/// Connections to the database.
const CONNECTIONS: u32 = 8;
/// How long a request waits for one of them, or for SQLite's lock.
const WAIT: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/scoring");

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The address is none of a database that is known.
    #[error("DATABASE_URL: expected postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE")]
    Url,
    /// The database is of another version, or another program's.
    #[error("the database cannot be brought up to date: {0}")]
    Migrate(#[from] MigrateError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what this version does not understand.
    #[error("the database's column {column} holds {value:?}")]
    Value {
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
    },
}

/// What validators submitted, in SQLite or PostgreSQL. Both run the same statements.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs one body on whichever database it is.
macro_rules! on {
    ($store:expr, $pool:ident => $body:expr) => {
        match &$store.pool {
            Pool::Sqlite($pool) => $body,
            Pool::Postgres($pool) => $body,
        }
    };
}

impl Store {
    /// Opens a database (`postgres://…` or `sqlite:FILE`) and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError`] when it is not reached, or is another program's.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let pool = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url)?.disable_statement_logging();
            let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(WAIT);
            Pool::Postgres(pool.connect_with(options).await?)
        } else if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)
                .map_err(|_| StoreError::Url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // What is answered as stored is forgotten by whoever sent it.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(WAIT)
                .disable_statement_logging();
            let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(WAIT);
            Pool::Sqlite(pool.connect_with(options).await?)
        } else {
            return Err(StoreError::Url);
        };
        let store = Self { pool };
        on!(store, pool => MIGRATIONS.run(pool).await)?;
        Ok(store)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Keeps a submission and the score in it, both or none. One that was signed before the one that is there changes
    /// nothing: false then.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database fails.
    pub async fn put(&self, new: &NewSubmission) -> Result<bool, StoreError> {
        let key = &new.key;
        let miner = key.miner_hotkey.map(|miner| miner.to_string()).unwrap_or_default();
        let (validator, kind) = (key.validator.to_string(), key.challenge_type.as_str());
        on!(self, pool => {
            let mut transaction = pool.begin().await?;
            let kept = sqlx::query(PUT_SUBMISSION)
                .bind(&validator)
                .bind(&key.challenge_uid)
                .bind(kind)
                .bind(&miner)
                .bind(i64::from(key.miner_uid))
                .bind(key.kind.as_str())
                .bind(&key.dialogue_uid)
                .bind(new.signed_unix)
                .bind(new.received_unix)
                .bind(&new.payload)
                .bind(&new.signature)
                .bind(&new.artifact)
                .execute(&mut *transaction)
                .await?;
            if let Some(score) = new.mean_score.filter(|_| key.miner_hotkey.is_some()) {
                sqlx::query(PUT_SCORE)
                    .bind(&key.challenge_uid)
                    .bind(kind)
                    .bind(&miner)
                    .bind(&validator)
                    .bind(i64::from(key.miner_uid))
                    .bind(score)
                    .bind(new.signed_unix)
                    .bind(new.received_unix)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(kept.rows_affected() > 0)
        })
    }

    /// When the submission that is kept under a key was signed.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database fails.
    pub async fn signed_at(&self, key: &SubmissionKey) -> Result<Option<i64>, StoreError> {
        let miner = key.miner_hotkey.map(|miner| miner.to_string()).unwrap_or_default();
        let signed = on!(self, pool => sqlx::query_scalar(SIGNED_AT)
            .bind(key.validator.to_string())
            .bind(&key.challenge_uid)
            .bind(key.challenge_type.as_str())
            .bind(miner)
            .bind(i64::from(key.miner_uid))
            .bind(key.kind.as_str())
            .bind(&key.dialogue_uid)
            .fetch_optional(pool)
            .await)?;
        Ok(signed)
    }

    /// Every score in a challenge, of one contest or of all.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn scores(
        &self,
        challenge_uid: &str,
        contest: Option<ChallengeType>,
    ) -> Result<Vec<GivenScore>, StoreError> {
        const QUERY: &str =
            "SELECT validator, challenge_type, miner_hotkey, miner_uid, mean_score, signed_unix FROM score
                             WHERE challenge_uid = $1 ORDER BY challenge_type, miner_hotkey, validator";
        let rows: Vec<(String, String, String, i64, f64, i64)> =
            on!(self, pool => sqlx::query_as(QUERY).bind(challenge_uid).fetch_all(pool).await)?;
        let mut scores = rows.into_iter().map(read_score).collect::<Result<Vec<GivenScore>, _>>()?;
        scores.retain(|score| contest.is_none_or(|contest| score.challenge_type == contest));
        Ok(scores)
    }

    /// Where the files of submissions are that came before a time, some of them.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database fails.
    pub async fn expired_artifacts(&self, before_unix: i64, most: i64) -> Result<Vec<String>, StoreError> {
        const QUERY: &str =
            "SELECT artifact FROM submission WHERE received_unix < $1 AND artifact IS NOT NULL LIMIT $2";
        let found = on!(self, pool => sqlx::query_scalar(QUERY).bind(before_unix).bind(most).fetch_all(pool).await)?;
        Ok(found)
    }

    /// Notes that a file is gone.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database fails.
    pub async fn forget_artifact(&self, artifact: &str) -> Result<(), StoreError> {
        const QUERY: &str = "UPDATE submission SET artifact = NULL WHERE artifact = $1";
        on!(self, pool => sqlx::query(QUERY).bind(artifact).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets submissions and scores that came before a time; returns how many submissions.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database fails.
    pub async fn forget(&self, before_unix: i64) -> Result<u64, StoreError> {
        on!(self, pool => {
            let mut transaction = pool.begin().await?;
            let gone = sqlx::query("DELETE FROM submission WHERE received_unix < $1 AND artifact IS NULL")
                .bind(before_unix)
                .execute(&mut *transaction)
                .await?;
            let scores = sqlx::query("DELETE FROM score WHERE received_unix < $1");
            scores.bind(before_unix).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(gone.rows_affected())
        })
    }

    /// How many submissions there are.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database fails.
    pub async fn count(&self) -> Result<i64, StoreError> {
        Ok(on!(self, pool => sqlx::query_scalar("SELECT count(*) FROM submission").fetch_one(pool).await)?)
    }
}

fn read_score(row: (String, String, String, i64, f64, i64)) -> Result<GivenScore, StoreError> {
    let (validator, challenge_type, miner_hotkey, miner_uid, score, signed_unix) = row;
    let wrong = |column, value: String| StoreError::Value { column, value };
    Ok(GivenScore {
        validator: validator.parse().map_err(|_| wrong("score.validator", validator))?,
        challenge_type: challenge_type.parse().map_err(|_| wrong("score.challenge_type", challenge_type))?,
        miner_hotkey,
        miner_uid: u16::try_from(miner_uid).map_err(|_| wrong("score.miner_uid", miner_uid.to_string()))?,
        score,
        signed_unix,
    })
}

const PUT_SUBMISSION: &str = "
    INSERT INTO submission (validator, challenge_uid, challenge_type, miner_hotkey, miner_uid, kind, dialogue_uid,
        signed_unix, received_unix, payload, signature, artifact)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (validator, challenge_uid, challenge_type, miner_hotkey, miner_uid, kind, dialogue_uid) DO UPDATE SET
        signed_unix = excluded.signed_unix, received_unix = excluded.received_unix, payload = excluded.payload,
        signature = excluded.signature, artifact = excluded.artifact
    WHERE submission.signed_unix <= excluded.signed_unix";

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

#[cfg(test)]
mod tests;
