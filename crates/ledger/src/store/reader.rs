use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use tokio::sync::Mutex;

use super::extrinsics::extrinsic_from_row;
use super::intents::read_intent;
use super::{BUSY_TIMEOUT, FILE, Intent, LedgerError, MIGRATIONS, StoredExtrinsic};
use crate::{State, Step};

/// A read-only connection to a ledger, which another process may be using.
#[derive(Debug)]
pub struct LedgerReader {
    connection: Mutex<SqliteConnection>,
}

/// An intent with its extrinsics and the times of their states.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The intent.
    pub intent: Intent,
    /// When the intent was stored, in seconds since the Unix epoch; `None` for intents of older
    /// versions.
    pub intended_unix: Option<i64>,
    /// The extrinsics signed for the intent, oldest first.
    pub extrinsics: Vec<RecordedExtrinsic>,
}

/// A signed extrinsic with the times of its states.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedExtrinsic {
    /// The step that the extrinsic performs.
    pub step: Step,
    /// The extrinsic.
    pub signed: StoredExtrinsic,
    /// The states that the extrinsic reached, each with its time in seconds since the Unix epoch,
    /// oldest first.
    pub states: Vec<(State, i64)>,
}

impl LedgerReader {
    /// Opens the ledger in a directory, even while a gateway uses it.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] when the file does not exist, [`LedgerError::Version`] when its
    /// schema version is not the current one, or another [`LedgerError`] when opening it fails.
    pub async fn open(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join(FILE);
        if !path.is_file() {
            return Err(LedgerError::Missing(path));
        }
        let options =
            SqliteConnectOptions::new().filename(&path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let mut connection =
            SqliteConnection::connect_with(&options.disable_statement_logging()).await?;
        check_version(&mut connection, path).await?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Returns the latest intents with their extrinsics, newest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger is unreadable.
    pub async fn latest(&self, limit: u32) -> Result<Vec<Record>, LedgerError> {
        let mut connection = self.connection.lock().await;
        // One transaction, so that the results of the three queries are consistent.
        let mut transaction = connection.begin().await?;
        let rows = sqlx::query("SELECT * FROM intent ORDER BY id DESC LIMIT ?")
            .bind(limit)
            .fetch_all(&mut *transaction)
            .await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let intent = read_intent(&row)?;
            let rows = sqlx::query("SELECT * FROM extrinsic WHERE intent_id = ? ORDER BY id")
                .bind(intent.id)
                .fetch_all(&mut *transaction)
                .await?;
            let mut extrinsics = Vec::with_capacity(rows.len());
            for row in rows {
                let step: String = row.try_get("step")?;
                let step =
                    Step::ALL.into_iter().find(|candidate| candidate.as_str() == step).ok_or(step);
                let step = step.map_err(|value| LedgerError::Value { column: "step", value })?;
                let signed = extrinsic_from_row(&row)?;
                let states: Vec<(String, i64)> = sqlx::query_as(
                    "SELECT state, at_unix FROM transition WHERE extrinsic_id = ? ORDER BY id",
                )
                .bind(signed.id)
                .fetch_all(&mut *transaction)
                .await?;
                let states: Result<_, LedgerError> = states
                    .into_iter()
                    .map(|(state, at_unix)| Ok((state.parse()?, at_unix)))
                    .collect();
                extrinsics.push(RecordedExtrinsic { step, signed, states: states? });
            }
            records.push(Record {
                intended_unix: row.try_get("intended_unix")?,
                intent,
                extrinsics,
            });
        }
        Ok(records)
    }
}

async fn check_version(
    connection: &mut SqliteConnection,
    path: PathBuf,
) -> Result<(), LedgerError> {
    let query = "SELECT max(version) FROM _sqlx_migrations";
    let version: Option<i64> = sqlx::query_scalar(query).fetch_one(connection).await?;
    let version = version.unwrap_or_default();
    let expected = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    if version == expected {
        Ok(())
    } else {
        Err(LedgerError::Version { path, actual: version, expected })
    }
}
