use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Postgres, SqlSafeStr as _};
use tokio::runtime::Handle;

use crate::error::StoreError;
use crate::job::JobId;

/// Maximum number of database connections.
const CONNECTIONS: u32 = 4;
/// Timeout for a connection and for a statement.
const WAIT: Duration = Duration::from_secs(5);
/// Timeout of schema migrations.
const MIGRATION: Duration = Duration::from_mins(1);

/// The schema's migrations, in a table of their own: the scoring API may use the same database.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = include_str!("../migrations/0001_jobs.sql").into_sql_str();
    let mut migrator =
        Migrator::with_migrations(vec![Migration::new(1, "jobs".into(), MigrationType::Simple, sql, false)]);
    migrator.dangerous_set_table_name("_scorer_migrations");
    migrator
});

/// A job in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) job: String,
    pub(crate) tries: i64,
    pub(crate) worker: String,
    /// The encoded result, if a worker is done.
    pub(crate) result: Option<Vec<u8>>,
}

/// Tries and results of jobs, in PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

/// Runs statements on a connection, with a timeout.
macro_rules! on {
    ($store:expr, $connection:ident => $body:expr) => {{
        let mut loan = Loan(within(WAIT * 2, $store.pool.acquire()).await?);
        let $connection: &mut PgConnection = &mut loan.0;
        within(WAIT * 2, $body).await
    }};
}

impl Store {
    /// Connects and migrates the schema.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::Url);
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url)?.disable_statement_logging();
        let pool = |connections| PgPoolOptions::new().max_connections(connections).acquire_timeout(WAIT);
        let unlimited = within(WAIT * 2, pool(1).connect_with(options.clone())).await?;
        let migrated = tokio::time::timeout(MIGRATION, MIGRATIONS.run(&unlimited)).await;
        migrated.map_err(|_| StoreError::NoAnswer(MIGRATION))??;
        let limits = [
            ("statement_timeout", WAIT.as_millis()),
            // An idle transaction of a vanished client would lock its rows forever.
            ("idle_in_transaction_session_timeout", WAIT.as_millis() * 2),
        ];
        Ok(Self { pool: pool(CONNECTIONS).connect_lazy_with(options.options(limits)) })
    }

    /// Finds the rows of jobs.
    pub(crate) async fn look(&self, jobs: &[String]) -> Result<Vec<Row>, StoreError> {
        const QUERY: &str = "SELECT job, tries, worker, result FROM scorer_job WHERE job = ANY($1)";
        let rows: Vec<(String, i64, String, Option<Vec<u8>>)> =
            on!(self, connection => sqlx::query_as(QUERY).bind(jobs).fetch_all(connection))?;
        Ok(rows.into_iter().map(|(job, tries, worker, result)| Row { job, tries, worker, result }).collect())
    }

    /// Records that a worker begins a job, and returns the number of tries so far; `None` if the job has a result.
    pub(crate) async fn begin(&self, job: &JobId, worker: &str) -> Result<Option<i64>, StoreError> {
        const QUERY: &str = "
            INSERT INTO scorer_job (job, tries, worker, result, is_failure, changed_unix)
            VALUES ($1, 1, $2, NULL, FALSE, extract(epoch FROM now())::bigint)
            ON CONFLICT (job) DO UPDATE SET
                tries = scorer_job.tries + 1, worker = excluded.worker, changed_unix = excluded.changed_unix
            WHERE scorer_job.result IS NULL
            RETURNING tries";
        on!(self, connection => sqlx::query_scalar(QUERY).bind(job.to_string()).bind(worker).fetch_optional(connection))
    }

    /// Takes back a try of a job that its worker hands to another one.
    pub(crate) async fn hand_back(&self, job: &JobId) -> Result<(), StoreError> {
        const QUERY: &str = "UPDATE scorer_job SET tries = tries - 1 WHERE job = $1 AND result IS NULL AND tries > 0";
        on!(self, connection => sqlx::query(QUERY).bind(job.to_string()).execute(connection)).map(drop)
    }

    /// Stores the result of a job, unless it has one; returns whether it was stored.
    pub(crate) async fn finish(&self, job: &JobId, result: &[u8], is_failure: bool) -> Result<bool, StoreError> {
        const QUERY: &str = "
            UPDATE scorer_job
            SET result = $2, is_failure = $3, changed_unix = extract(epoch FROM now())::bigint
            WHERE job = $1 AND result IS NULL";
        let query = sqlx::query(QUERY).bind(job.to_string()).bind(result).bind(is_failure);
        let done = on!(self, connection => query.execute(connection))?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes failures older than an age, so that their jobs are tried again.
    pub(crate) async fn forget_failures(&self, jobs: &[String], age: Duration) -> Result<(), StoreError> {
        const QUERY: &str = "
            DELETE FROM scorer_job
            WHERE job = ANY($1) AND is_failure AND changed_unix <= extract(epoch FROM now())::bigint - $2";
        let query = sqlx::query(QUERY).bind(jobs).bind(seconds(age));
        on!(self, connection => query.execute(connection)).map(drop)
    }

    /// Deletes a job.
    pub(crate) async fn forget(&self, job: &JobId) -> Result<(), StoreError> {
        const QUERY: &str = "DELETE FROM scorer_job WHERE job = $1";
        on!(self, connection => sqlx::query(QUERY).bind(job.to_string()).execute(connection)).map(drop)
    }

    /// Deletes jobs that have not changed for an age.
    pub(crate) async fn purge(&self, age: Duration) -> Result<(), StoreError> {
        const QUERY: &str = "DELETE FROM scorer_job WHERE changed_unix < extract(epoch FROM now())::bigint - $1";
        on!(self, connection => sqlx::query(QUERY).bind(seconds(age)).execute(connection)).map(drop)
    }
}

fn seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
}

async fn within<T>(time: Duration, work: impl Future<Output = sqlx::Result<T>>) -> Result<T, StoreError> {
    tokio::time::timeout(time, work).await.map_err(|_| StoreError::NoAnswer(time))?.map_err(StoreError::from)
}

/// A connection that is returned to its pool, or closed if the database no longer responds on it.
struct Loan(PoolConnection<Postgres>);

impl Drop for Loan {
    /// The pool pings each returned connection without a timeout: a few half-open ones would exhaust it.
    fn drop(&mut self) {
        let returning = self.0.return_to_pool();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(WAIT, returning));
        }
    }
}
