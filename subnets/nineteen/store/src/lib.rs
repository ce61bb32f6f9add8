//! Database of a Nineteen validator: registered neurons, miners and their sessions, periods with
//! their counters, queued answers to check, rewards, API keys and their teams, credits and deposits
//! of TAO.
//!
//! The database is SQLite (WAL, synced), or PostgreSQL, which several processes can share. Both run
//! the same statements.
//!
//! Most operations are methods of [`Store`]:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_nineteen_store::{KeyTerms, Store, StoreError};
//!
//! # async fn example(random: [u8; 40], now_ms: i64) -> Result<(), StoreError> {
//! let store = Store::open(Path::new("nineteen")).await?;
//! let terms = KeyTerms::new("alice", 60);
//! let key = store.create_key(&terms, &random, now_ms).await?;
//! store.grant(&key.id, 1_000_000, "first payment", now_ms).await?;
//! assert!(store.is_balanced().await?);
//! # Ok(())
//! # }
//! ```
//!
//! Two rules make the database crash-safe: each process stores its part of a period's counters as
//! absolute values ([`Process`]), and the result of a check replaces its sample in one
//! transaction, keyed by the job. A third rule makes it safe to share: a transaction whose writes
//! depend on its reads begins by locking the row of the API key or of the period, with an update
//! that changes nothing. One process at a time runs the periods ([`Store::lock_control`]).
//!
//! Credits are integers in double-entry bookkeeping, of which at most [`MAX_CREDITS`] can be
//! granted in total: a request's maximum price is reserved ([`Store::hold`]), then the delivered
//! work is charged at most once ([`Store::charge`]). A process leases credits and rate-limit
//! admissions of a busy API key for many requests in one step, and pending charges share one
//! transaction. TAO that a buyer sends to the deposit address of a key ([`Store::deposit_address`])
//! becomes credits: the transfers of finalized blocks are recorded together with the last block
//! ([`Store::record_transfers`]), each once. Callers pass times, in milliseconds since the Unix
//! epoch. The secret of an API key is never stored. Only the owner can read the SQLite file, which
//! contains the miners' session keys. The formulas of scores and prices are in
//! `taonet-nineteen-core`. [`ReferenceDatabase`] reads the database of the reference's validator,
//! and [`Store::import`] continues its API keys, rewards and period scores.
//!
//! With the feature `testing`, processes of a simulation can share a SQLite file.
//!
//! Uses `taonet-database`, `taonet-nineteen-core`, `taonet-nineteen-transport` (sessions),
//! `taonet-wire` and `taonet-primitives`. Used by `taonet-nineteen-query`,
//! `taonet-nineteen-control`, `taonet-nineteen-entry`, `taonet-nineteen-dashboard` and `tao
//! nineteen`.

// Tests compare counters and scores exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod budgets;
mod control;
mod credit_leases;
mod credits;
mod error;
mod idempotency;
mod invoices;
mod keys;
mod nodes;
mod parts;
mod periods;
mod processes;
mod rates;
mod reference;
mod samples;
mod teams;
mod token_rates;
mod topups;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use taonet_database::{Database, Migrator, migrations, statement};

pub use budgets::{BudgetPeriod, BudgetScope, BudgetUse};
pub use control::ControlLock;
use credit_leases::CreditLeases;
#[cfg(any(test, feature = "testing"))]
pub use credits::Charge;
pub use credits::{HoldRefusal, KeySpend, MAX_CREDITS, Usage, UsageRow};
pub use error::StoreError;
pub use idempotency::{Claim, StoredResponse};
pub use invoices::{Invoice, InvoiceGrant, InvoiceLine, Month, MonthError, usage_csv};
pub use keys::{ApiKey, KeyTerms, NewKey};
pub use nodes::Node;
pub use parts::{Process, SpentBudget};
pub use periods::{BudgetRow, ContenderRow, HistoryRow, NewContender, PeriodId, PeriodRow};
pub use processes::ProcessRow;
pub use rates::RateUsage;
pub use reference::{
    ImportReport, ReadTerms, ReferenceDatabase, ReferenceError, ReferenceRecords, RowRemark,
    TableReport,
};
pub use samples::{Reward, RewardRow, Sample};
pub use teams::{BudgetChange, Team};
pub use token_rates::TokenUsage;
pub use topups::{Deposit, DepositAddress, TopUpTerms, TopUps, Transfer};

/// Name of the database file in its directory.
const DATABASE_FILE: &str = "nineteen.sqlite";
/// Version, name and SQL of a migration.
type Migration = (i64, &'static str, &'static str);

/// Migrations of the schema, for both databases.
const MIGRATIONS: [Migration; 7] = [
    (1, "market", include_str!("../migrations/0001_market.sql")),
    (2, "credits", include_str!("../migrations/0002_credits.sql")),
    (3, "idempotency", include_str!("../migrations/0003_idempotency.sql")),
    (4, "rates", include_str!("../migrations/0004_rates.sql")),
    (5, "parts", include_str!("../migrations/0005_parts.sql")),
    (6, "config", include_str!("../migrations/0006_config.sql")),
    (7, "credit_limit", include_str!("../migrations/0007_credit_limit.sql")),
];
/// Migration of SQLite only, whose columns otherwise have no fixed types.
const STRICT_MIGRATION: Migration =
    (8, "strict", include_str!("../migrations/0008_strict_sqlite.sql"));
/// Later migrations of PostgreSQL. They differ from those of SQLite, whose strict tables have no
/// `BIGINT`.
const LATER_POSTGRES_MIGRATIONS: [Migration; 11] = [
    (9, "concurrency", include_str!("../migrations/0009_concurrency_postgres.sql")),
    (10, "key_weight", include_str!("../migrations/0010_key_weight_postgres.sql")),
    (11, "processes", include_str!("../migrations/0011_processes_postgres.sql")),
    (12, "registered", include_str!("../migrations/0012_registered_postgres.sql")),
    (13, "topups", include_str!("../migrations/0013_topups_postgres.sql")),
    (14, "key_limits", include_str!("../migrations/0014_key_limits_postgres.sql")),
    (15, "token_rates", include_str!("../migrations/0015_token_rates_postgres.sql")),
    (16, "key_log", include_str!("../migrations/0016_key_log_postgres.sql")),
    (17, "teams", include_str!("../migrations/0017_teams_postgres.sql")),
    (18, "deleted_teams", include_str!("../migrations/0018_deleted_teams_postgres.sql")),
    (19, "usage_by_day", include_str!("../migrations/0019_usage_by_day_postgres.sql")),
];
/// Later migrations of SQLite.
const LATER_SQLITE_MIGRATIONS: [Migration; 12] = [
    (9, "concurrency", include_str!("../migrations/0009_concurrency_sqlite.sql")),
    (10, "key_weight", include_str!("../migrations/0010_key_weight_sqlite.sql")),
    (11, "processes", include_str!("../migrations/0011_processes_sqlite.sql")),
    (12, "registered", include_str!("../migrations/0012_registered_sqlite.sql")),
    (13, "topups", include_str!("../migrations/0013_topups_sqlite.sql")),
    (14, "key_limits", include_str!("../migrations/0014_key_limits_sqlite.sql")),
    (15, "token_rates", include_str!("../migrations/0015_token_rates_sqlite.sql")),
    (16, "key_log", include_str!("../migrations/0016_key_log_sqlite.sql")),
    (17, "teams", include_str!("../migrations/0017_teams_sqlite.sql")),
    (18, "deleted_teams", include_str!("../migrations/0018_deleted_teams_sqlite.sql")),
    (19, "usage_by_day", include_str!("../migrations/0019_usage_by_day_sqlite.sql")),
    (20, "posting", include_str!("../migrations/0020_posting_sqlite.sql")),
];
static POSTGRES: LazyLock<Migrator> =
    LazyLock::new(|| migrations(&[MIGRATIONS.as_slice(), &LATER_POSTGRES_MIGRATIONS].concat()));
static SQLITE: LazyLock<Migrator> = LazyLock::new(|| {
    migrations(&[MIGRATIONS.as_slice(), &[STRICT_MIGRATION], &LATER_SQLITE_MIGRATIONS].concat())
});

/// The validator's database. Clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    /// Leases, holds and charges of this process.
    leases: Arc<CreditLeases>,
    rates: Arc<rates::RateLeases>,
    token_rates: Arc<token_rates::TokenRates>,
    key_cache: Arc<keys::KeyCache>,
}

impl Store {
    /// Opens the SQLite database in a directory; creates both if missing. Only the owner can read
    /// the file, which contains keys.
    ///
    /// # Errors
    /// [`StoreError`] when the directory is unusable, or the database has a newer schema.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(open_database(directory).await?))
    }

    /// Opens the SQLite database in a directory like [`Self::open`], for one of several processes
    /// of a simulation, which share the file in place of a PostgreSQL database.
    ///
    /// # Errors
    /// [`StoreError`] when the directory is unusable, or the database has a newer schema.
    #[cfg(any(test, feature = "testing"))]
    pub async fn open_shared(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(open_database(directory).await?.shared()))
    }

    /// Opens the SQLite database in a directory read-only, even while a validator uses it.
    /// Operations that write fail.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the directory has no database, [`StoreError::Unreadable`] when
    /// the directory may not be searched, [`StoreError::File`] when the database is unusable, or
    /// has the schema of another version.
    pub async fn read(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(DATABASE_FILE);
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(StoreError::Missing(path)),
            Err(source) => return Err(StoreError::Unreadable { path, source }),
        }
        let database = Database::sqlite_read_only(&path, &SQLITE).await;
        let database = database.map_err(|source| StoreError::File { path, source })?;
        Ok(Self::new(database))
    }

    /// Returns whether a directory contains a SQLite database.
    pub fn exists(directory: &Path) -> bool {
        directory.join(DATABASE_FILE).is_file()
    }

    /// Connects to a PostgreSQL database (`postgres://…`), which other processes can share; creates
    /// the tables if missing.
    ///
    /// # Errors
    /// [`StoreError::Postgres`] when the URL is invalid, or the database is unreachable, has a
    /// newer schema, or belongs to another program.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let database = Database::postgres(url, &POSTGRES).await.map_err(StoreError::Postgres)?;
        Ok(Self::new(database))
    }

    /// Opens a PostgreSQL database read-only, even while a validator uses it; returns `None` if it
    /// has no tables of a validator. Operations that write fail.
    ///
    /// # Errors
    /// [`StoreError::Postgres`] when the URL is invalid, or the database is unreachable or has the
    /// schema of another version.
    pub async fn read_shared(url: &str) -> Result<Option<Self>, StoreError> {
        let database = Database::postgres_read_only(url).await.map_err(StoreError::Postgres)?;
        let migration_tables = statement(
            "SELECT COUNT(*) FROM information_schema.tables
             WHERE table_schema::text = ANY (current_schemas(false)::text[]) AND table_name = '_sqlx_migrations'",
        );
        if migration_tables.number(&database).await.map_err(StoreError::Postgres)? == 0 {
            return Ok(None);
        }
        database.check_schema(&POSTGRES).await.map_err(StoreError::Postgres)?;
        Ok(Some(Self::new(database)))
    }

    fn new(database: Database) -> Self {
        Self {
            database,
            leases: Arc::new(CreditLeases::new()),
            rates: Arc::default(),
            token_rates: Arc::default(),
            key_cache: Arc::default(),
        }
    }

    /// Returns whether other processes can share the database, which is true for PostgreSQL.
    pub const fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    /// Closes all connections to the database.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Opens the SQLite database in a directory; creates both if missing.
async fn open_database(directory: &Path) -> Result<Database, StoreError> {
    let path = directory.join(DATABASE_FILE);
    create_private(directory, &path)
        .map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
    let database = Database::sqlite(&path, &SQLITE).await;
    database.map_err(|source| StoreError::File { path, source })
}

fn create_private(directory: &Path, file: &Path) -> std::io::Result<()> {
    use std::fs::{DirBuilder, OpenOptions, Permissions};
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};

    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?
        .set_permissions(Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests;
