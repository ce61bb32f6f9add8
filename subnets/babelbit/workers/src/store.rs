use std::sync::LazyLock;
use std::time::Duration;

use taonet_database::{Database, DatabaseError, Migrator, PoolOptions, migrations, statement};

use crate::job::JobId;

/// Connections of a worker or runner. Many of them share one server, so each has few.
const POOL: PoolOptions = PoolOptions { connections: 4, acquire_timeout: Duration::from_secs(5) };

/// Schema migrations, recorded in a separate table, since the scoring API may use the same
/// database.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = migrations(&[(1, "jobs", include_str!("../migrations/0001_jobs.sql"))]);
    migrator.dangerous_set_table_name("_scorer_migrations");
    migrator
});

/// A job in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) job: String,
    pub(crate) tries: i64,
    pub(crate) worker: String,
    /// The encoded result; `None` until a worker has finished the job.
    pub(crate) result: Option<Vec<u8>>,
}

/// Number of attempts and result of each job, in PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Store(Database);

impl Store {
    /// Connects and migrates the schema.
    pub(crate) async fn open(url: &str) -> Result<Self, DatabaseError> {
        Ok(Self(Database::postgres_with(url, &MIGRATIONS, POOL).await?))
    }

    /// Looks up the rows of jobs; omits unknown jobs.
    pub(crate) async fn find_rows(&self, jobs: &[String]) -> Result<Vec<Row>, DatabaseError> {
        const QUERY: &str = "SELECT job, tries, worker, result FROM scorer_job WHERE job = ANY($1)";
        statement(QUERY).bind(jobs).rows(&self.0).await?.iter().map(read_row).collect()
    }

    /// Looks up the started jobs without a result.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn unfinished(&self) -> Result<Vec<Row>, DatabaseError> {
        const QUERY: &str =
            "SELECT job, tries, worker, result FROM scorer_job WHERE result IS NULL";
        statement(QUERY).rows(&self.0).await?.iter().map(read_row).collect()
    }

    /// Records an attempt of a job by a worker; returns the number of attempts, including this one,
    /// or `None` if the job has a result.
    pub(crate) async fn begin_attempt(
        &self,
        job: &JobId,
        worker: &str,
    ) -> Result<Option<i64>, DatabaseError> {
        const QUERY: &str = "
            INSERT INTO scorer_job (job, tries, worker, result, is_failure, changed_unix)
            VALUES ($1, 1, $2, NULL, FALSE, extract(epoch FROM now())::bigint)
            ON CONFLICT (job) DO UPDATE SET
                tries = scorer_job.tries + 1, worker = excluded.worker, changed_unix = excluded.changed_unix
            WHERE scorer_job.result IS NULL
            RETURNING tries";
        statement(QUERY).bind(job.to_string()).bind(worker).value(&self.0).await
    }

    /// Decrements the number of attempts of a job that its worker returns to the queue.
    pub(crate) async fn return_attempt(&self, job: &JobId) -> Result<(), DatabaseError> {
        const QUERY: &str = "UPDATE scorer_job SET tries = tries - 1 WHERE job = $1 AND result IS NULL AND tries > 0";
        statement(QUERY).bind(job.to_string()).execute(&self.0).await.map(drop)
    }

    /// Stores the result of a job, unless it has one; returns whether it was stored.
    pub(crate) async fn store_result(
        &self,
        job: &JobId,
        result: &[u8],
        is_failure: bool,
    ) -> Result<bool, DatabaseError> {
        const QUERY: &str = "
            UPDATE scorer_job
            SET result = $2, is_failure = $3, changed_unix = extract(epoch FROM now())::bigint
            WHERE job = $1 AND result IS NULL";
        let update = statement(QUERY).bind(job.to_string()).bind(result).bind(is_failure);
        Ok(update.execute(&self.0).await? > 0)
    }

    /// Deletes failures of `jobs` that are older than `age`, so that workers repeat these jobs.
    pub(crate) async fn delete_old_failures(
        &self,
        jobs: &[String],
        age: Duration,
    ) -> Result<(), DatabaseError> {
        const QUERY: &str = "
            DELETE FROM scorer_job
            WHERE job = ANY($1) AND is_failure AND changed_unix <= extract(epoch FROM now())::bigint - $2";
        statement(QUERY).bind(jobs).bind(seconds(age)).execute(&self.0).await.map(drop)
    }

    /// Deletes the row of a job.
    pub(crate) async fn delete_job(&self, job: &JobId) -> Result<(), DatabaseError> {
        const QUERY: &str = "DELETE FROM scorer_job WHERE job = $1";
        statement(QUERY).bind(job.to_string()).execute(&self.0).await.map(drop)
    }

    /// Deletes the rows of jobs that have not changed for `age`.
    pub(crate) async fn purge(&self, age: Duration) -> Result<(), DatabaseError> {
        const QUERY: &str =
            "DELETE FROM scorer_job WHERE changed_unix < extract(epoch FROM now())::bigint - $1";
        statement(QUERY).bind(seconds(age)).execute(&self.0).await.map(drop)
    }
}

fn read_row(row: &taonet_database::Row) -> Result<Row, DatabaseError> {
    Ok(Row {
        job: row.get("job")?,
        tries: row.get("tries")?,
        worker: row.get("worker")?,
        result: row.get("result")?,
    })
}

fn seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
}
