//! Database of a Nineteen validator: miners and their sessions, periods with their counters, queued answers to check,
//! rewards, API keys and credits.
//!
//! The database is SQLite (WAL, synced), or PostgreSQL, which several processes share. Both run the same statements.
//!
//! Two rules make it crash-safe: counters are stored as absolute values, and the result of a check replaces its sample
//! in one transaction, keyed by the job. One makes it safe to share: a transaction that decides on what it has read
//! first locks a row, of the API key or of the period, with an update that changes nothing.
//!
//! Uses `taonet-database`, `taonet-nineteen-core` and `taonet-nineteen-transport` (sessions).
//! Used by query, control, entry and `tao nineteen`.

// Tests compare counters and scores exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod credits;
mod error;
mod idempotency;
mod keys;
mod nodes;
mod periods;
mod rates;
mod samples;

use std::path::Path;
use std::sync::LazyLock;

use taonet_database::{Database, Migrator, migrations};

pub use credits::{HoldRefusal, Usage, UsageRow};
pub use error::StoreError;
pub use idempotency::{Claim, StoredAnswer};
pub use keys::{ApiKey, KeyTerms, NewKey};
pub use nodes::Node;
pub use periods::{BudgetRow, ContenderRow, HistoryRow, NewContender, PeriodId, PeriodRow};
pub use rates::RateUsage;
pub use samples::{Reward, RewardRow, Sample};

/// Name of the database file in its directory.
const FILE: &str = "nineteen.sqlite";
/// Migrations of the schema.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    migrations(&[
        (1, "market", include_str!("../migrations/0001_market.sql")),
        (2, "credits", include_str!("../migrations/0002_credits.sql")),
        (3, "idempotency", include_str!("../migrations/0003_idempotency.sql")),
        (4, "rates", include_str!("../migrations/0004_rates.sql")),
    ])
});

/// The validator's database. Clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the SQLite database in a directory; creates both if missing. Only the owner can read them: they contain
    /// keys.
    ///
    /// # Errors
    /// [`StoreError`] when the directory is unusable, or the database has a newer schema.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        make_private(directory, &path)
            .map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
        let database = Database::sqlite(&path, &MIGRATIONS).await;
        Ok(Self { database: database.map_err(|source| StoreError::File { path, source })? })
    }

    /// Connects to a PostgreSQL database (`postgres://…`), which other processes can share; creates the tables if
    /// missing.
    ///
    /// # Errors
    /// [`StoreError::Postgres`] when the URL is invalid, or the database is unreachable, has a newer schema, or belongs
    /// to another program.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Ok(Self { database: Database::postgres(url, &MIGRATIONS).await.map_err(StoreError::Postgres)? })
    }

    /// Returns whether other processes can share the database: PostgreSQL.
    pub const fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

fn make_private(directory: &Path, file: &Path) -> std::io::Result<()> {
    use std::fs::{DirBuilder, OpenOptions, Permissions};
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};

    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(file)?.set_permissions(Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests;
