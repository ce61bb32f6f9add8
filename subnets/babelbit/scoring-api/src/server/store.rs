use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _};
use taonet_babelbit_core::records::ChallengeType;

use super::record::{GivenScore, Kept, NewSubmission, SubmissionKey};

mod loan;

use loan::{Loan, within};

/// Maximum number of database connections.
const CONNECTIONS: u32 = 8;
/// Timeout for a connection, for SQLite's lock, and for a PostgreSQL statement.
const WAIT: Duration = Duration::from_secs(5);
/// Timeout of schema migrations.
const MIGRATION: Duration = Duration::from_mins(1);

/// The schema's migrations. `sqlx::migrate!` would compile the database drivers a second time, for the host.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = include_str!("../../migrations/0001_submissions.sql").into_sql_str();
    Migrator::with_migrations(vec![Migration::new(1, "submissions".into(), MigrationType::Simple, sql, false)])
});

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is not one of a supported database.
    #[error("DATABASE_URL: expected postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE")]
    Url,
    /// The database has another schema version, or belongs to another program.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] MigrateError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database did not respond.
    #[error("the database timed out after {0:?}")]
    NoAnswer(Duration),
    /// The database failed while confirming a submission, which may or may not be stored.
    #[error("{0}; it is unknown whether the submission was stored")]
    Unsure(#[source] Box<StoreError>),
    /// A column has an invalid value.
    #[error("invalid value {value:?} in column {column} of the database")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The invalid value.
        value: String,
    },
}

/// Validators' submissions, in SQLite or PostgreSQL. Both execute the same statements.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    wait: Duration,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Expands one body for either database, with a connection and a timeout.
macro_rules! on {
    ($store:expr, $connection:ident => $body:expr) => {
        match &$store.pool {
            Pool::Sqlite(pool) => {
                let mut loan = Loan::new(pool, $store.wait).await?;
                let $connection = loan.connection();
                within($store.wait * 2, async { $body }).await
            }
            Pool::Postgres(pool) => {
                let mut loan = Loan::new(pool, $store.wait).await?;
                let $connection = loan.connection();
                within($store.wait * 2, async { $body }).await
            }
        }
    };
}

impl Store {
    /// Opens a database (`postgres://…` or `sqlite:FILE`) and migrates its schema.
    ///
    /// # Errors
    /// [`StoreError`] when it is unreachable, does not respond, or belongs to another program.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, WAIT).await
    }

    /// Like [`Self::open`], with a timeout for a connection, and twice that for a response: the database itself should
    /// give up earlier.
    pub(crate) async fn open_with(url: &str, wait: Duration) -> Result<Self, StoreError> {
        let pool = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url)?.disable_statement_logging();
            let pool = |connections| PgPoolOptions::new().max_connections(connections).acquire_timeout(wait);
            // A migration of all rows may exceed the statement timeout.
            let unlimited = pool(1).connect_with(options.clone()).await?;
            within(MIGRATION, async { Ok(MIGRATIONS.run(&unlimited).await?) }).await?;
            Pool::Postgres(pool(CONNECTIONS).connect_lazy_with(options.options([
                ("statement_timeout", wait.as_millis()),
                // An idle transaction of a vanished client would lock its rows forever.
                ("idle_in_transaction_session_timeout", wait.as_millis() * 2),
            ])))
        } else if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)
                .map_err(|_| StoreError::Url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // The sender discards a submission once it is acknowledged.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(wait)
                .disable_statement_logging();
            let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(wait);
            let pool = pool.connect_with(options).await?;
            within(MIGRATION, async { Ok(MIGRATIONS.run(&pool).await?) }).await?;
            Pool::Sqlite(pool)
        } else {
            return Err(StoreError::Url);
        };
        let store = Self { pool, wait };
        store.ping().await?;
        Ok(store)
    }

    /// Checks that the database responds.
    ///
    /// # Errors
    /// [`StoreError`] when it does not respond.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self, connection => Ok(sqlx::query("SELECT 1").execute(connection).await.map(drop)?))
    }

    /// Stores a submission and its score in one transaction. One signed before the stored one changes nothing, nor does
    /// another file with the same signature.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; [`StoreError::Unsure`] if it may be stored nevertheless.
    pub async fn put(&self, new: &NewSubmission) -> Result<Kept, StoreError> {
        let key = &new.key;
        let miner = key.miner_hotkey.map(|miner| miner.to_string()).unwrap_or_default();
        let (validator, kind) = (key.validator.to_string(), key.challenge_type.as_str());
        let is_confirming = AtomicBool::new(false);
        let kept = async {
            on!(self, connection => {
                let mut transaction = connection.begin().await?;
                let put = |statement: &'static str| {
                    sqlx::query(statement)
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
                };
                let mut replaced = None;
                // The replaced file must be known: the row is inserted or locked before it is read.
                let is_new = new.artifact.is_some()
                    && put(PUT_NEW_SUBMISSION).execute(&mut *transaction).await?.rows_affected() > 0;
                if new.artifact.is_some() && !is_new {
                    let before: Option<Option<String>> = sqlx::query_scalar(LOCK_SUBMISSION)
                        .bind(&validator)
                        .bind(&key.challenge_uid)
                        .bind(kind)
                        .bind(&miner)
                        .bind(i64::from(key.miner_uid))
                        .bind(key.kind.as_str())
                        .bind(&key.dialogue_uid)
                        .fetch_optional(&mut *transaction)
                        .await?;
                    replaced = before.flatten();
                }
                let is_kept = is_new || put(PUT_SUBMISSION).execute(&mut *transaction).await?.rows_affected() > 0;
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
                is_confirming.store(true, Ordering::Relaxed);
                transaction.commit().await?;
                Ok(if is_kept { Kept::New { replaced } } else { Kept::Older })
            })
        };
        kept.await.map_err(|error| {
            if is_confirming.load(Ordering::Relaxed) { StoreError::Unsure(Box::new(error)) } else { error }
        })
    }

    /// Time of signing of the submission stored under a key.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn signed_at(&self, key: &SubmissionKey) -> Result<Option<i64>, StoreError> {
        let miner = key.miner_hotkey.map(|miner| miner.to_string()).unwrap_or_default();
        on!(self, connection => Ok(sqlx::query_scalar(SIGNED_AT)
            .bind(key.validator.to_string())
            .bind(&key.challenge_uid)
            .bind(key.challenge_type.as_str())
            .bind(miner)
            .bind(i64::from(key.miner_uid))
            .bind(key.kind.as_str())
            .bind(&key.dialogue_uid)
            .fetch_optional(connection)
            .await?))
    }

    /// All scores in a challenge, of one contest or of all.
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
            on!(self, connection => Ok(sqlx::query_as(QUERY).bind(challenge_uid).fetch_all(connection).await?))?;
        let mut scores = rows.into_iter().map(read_score).collect::<Result<Vec<GivenScore>, _>>()?;
        scores.retain(|score| contest.is_none_or(|contest| score.challenge_type == contest));
        Ok(scores)
    }

    /// Files of submissions received before a time: at most `max`, sorted by name, those after `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn expired_artifacts(
        &self,
        before_unix: i64,
        after: &str,
        max: i64,
    ) -> Result<Vec<String>, StoreError> {
        const QUERY: &str =
            "SELECT artifact FROM submission WHERE received_unix < $1 AND artifact > $2 ORDER BY artifact LIMIT $3";
        on!(self, connection => {
            let query = sqlx::query_scalar(QUERY).bind(before_unix).bind(after).bind(max);
            Ok(query.fetch_all(connection).await?)
        })
    }

    /// Whether a submission refers to a file.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn names_artifact(&self, artifact: &str) -> Result<bool, StoreError> {
        const QUERY: &str = "SELECT count(*) FROM submission WHERE artifact = $1";
        let found: i64 =
            on!(self, connection => Ok(sqlx::query_scalar(QUERY).bind(artifact).fetch_one(connection).await?))?;
        Ok(found > 0)
    }

    /// Clears the reference to a removed file.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn clear_artifact(&self, artifact: &str) -> Result<(), StoreError> {
        const QUERY: &str = "UPDATE submission SET artifact = NULL WHERE artifact = $1";
        on!(self, connection => Ok(sqlx::query(QUERY).bind(artifact).execute(connection).await.map(drop)?))
    }

    /// Deletes submissions and scores received before a time; returns the number of submissions.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn purge(&self, before_unix: i64) -> Result<u64, StoreError> {
        on!(self, connection => {
            let mut transaction = connection.begin().await?;
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

    /// Number of submissions.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn count(&self) -> Result<i64, StoreError> {
        const QUERY: &str = "SELECT count(*) FROM submission";
        on!(self, connection => Ok(sqlx::query_scalar(QUERY).fetch_one(connection).await?))
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
