//! Import from the PostgreSQL database of the reference's validator.
//!
//! [`ReferenceDatabase`] reads that database and never writes to it, so that the reference can be
//! started again. [`Store::import`] stores the rows that a validator continues, in one transaction:
//!
//! ```text
//! api_keys            API keys, with their balances as credits
//! reward_data         rewards, by their IDs
//! contenders_history  closed periods with their contenders and scores
//! ```
//!
//! Nothing is imported twice: keys are recognised by their hashes, rewards by their IDs, and
//! periods by the time at which they closed. A row with an invalid value is left out, and the
//! report names its column. `schema::NOT_IMPORTED` has the other tables, with the reasons.

mod import;
mod rows;
mod schema;

use std::collections::HashSet;

use serde::Serialize;
use taonet_database::{Database, DatabaseError};
use taonet_primitives::{Hotkey, NetUid};

use crate::{Reward, Sample};

use rows::{KeyRecord, PeriodRecord};

/// Why the reference's database cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The database is unreachable, or refuses the user.
    #[error(
        "cannot open the reference's database at {server}; hint: check --from, and that the server runs; if it runs in a \
         container, give the container's address with --from-host"
    )]
    Unreachable {
        /// Host and port.
        server: String,
        /// Why the last attempt failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The URL is invalid, or the database failed.
    #[error(
        "cannot open the reference's database; hint: check --from; if the database runs in a container, give the \
         container's address with --from-host"
    )]
    Open(#[source] DatabaseError),
    /// A table does not exist, or the user may not read it.
    #[error(
        "the reference's database has no table {0}; hint: check the name of the database, and that its user may read the \
         table"
    )]
    Table(&'static str),
    /// A column does not exist, or the user may not read it.
    #[error(
        "table {table} of the reference's database has no column {column}; hint: update the reference, whose migrations \
         add the column"
    )]
    Column {
        /// Name of the table.
        table: &'static str,
        /// Name of the column.
        column: &'static str,
    },
    /// A column has another type than in the reference's schema.
    #[error(
        "column {column} of table {table} of the reference's database has the type {actual}, expected {expected}"
    )]
    Type {
        /// Name of the table.
        table: &'static str,
        /// Name of the column.
        column: &'static str,
        /// Type of the column.
        actual: String,
        /// Expected type.
        expected: &'static str,
    },
    /// A statement on a table failed.
    #[error("cannot read table {table} of the reference's database")]
    Read {
        /// Name of the table.
        table: &'static str,
        /// The database's error.
        source: DatabaseError,
    },
}

impl ReferenceError {
    /// Converts the error of a connection. The hint of an unreachable server is that of
    /// [`Self::Unreachable`] alone.
    fn open(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unreachable { server, source } => {
                Self::Unreachable { server, source: source.into() }
            }
            error => Self::Open(error),
        }
    }
}

/// Options of [`ReferenceDatabase::read`]: subnet, current time, and the rule for names of keys.
#[derive(Debug, Clone, Copy)]
pub struct ReadTerms {
    /// Subnet whose periods are read. The tables of keys and rewards have no netuid.
    pub netuid: NetUid,
    /// Current time, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Returns the display name for the name of a key, which can be any text.
    pub display_name: fn(&str) -> String,
}

/// Rows of the reference's database that a validator can continue.
#[derive(Debug)]
pub struct ReferenceRecords {
    now_ms: i64,
    keys: Vec<KeyRecord>,
    rewards: Vec<(Sample, Reward)>,
    /// Closed periods, oldest first.
    periods: Vec<PeriodRecord>,
    /// Hotkeys of the registered neurons.
    registered: HashSet<Hotkey>,
    /// Tables with the number of their rows, and a description of these or why none is imported.
    tables: Vec<(&'static str, u64, &'static str)>,
    left_out: Remarks,
}

/// Report of an import: the rows that it has stored, or would store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// All tables of the reference's validator.
    pub tables: Vec<TableReport>,
    /// Rows of imported tables that are left out, by reason.
    pub left_out: Vec<RowRemark>,
    /// Imported rows that deserve attention, by reason.
    pub notes: Vec<RowRemark>,
    /// Number of imported periods.
    pub periods: u64,
    /// Credits granted to the imported keys.
    pub credits: i64,
}

/// Outcome for one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Name of the table.
    pub table: &'static str,
    /// Number of rows.
    pub rows: u64,
    /// Number of imported rows.
    pub imported: u64,
    /// Number of rows that an earlier import has stored.
    pub present: u64,
    /// Number of rows that are left out.
    pub left_out: u64,
    /// Description of the imported rows, or why none is imported.
    pub note: &'static str,
}

/// Rows of a table with the same remark on a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowRemark {
    /// Name of the table.
    pub table: &'static str,
    /// Name of the column.
    pub column: &'static str,
    /// Remark on the column's value.
    pub reason: &'static str,
    /// Number of rows.
    pub rows: u64,
    /// ID of the first of these rows, or the name of the API key; `None` for rows that were only
    /// counted.
    pub example: Option<String>,
}

/// Remarks on rows, each reason once.
#[derive(Debug, Clone, Default)]
struct Remarks(Vec<RowRemark>);

impl Remarks {
    fn add(
        &mut self,
        table: &'static str,
        column: &'static str,
        reason: &'static str,
        example: &str,
    ) {
        let is_same = |remark: &&mut RowRemark| {
            remark.table == table && remark.column == column && remark.reason == reason
        };
        match self.0.iter_mut().find(is_same) {
            Some(remark) => remark.rows += 1,
            None => self.0.push(RowRemark {
                table,
                column,
                reason,
                rows: 1,
                example: Some(example.to_owned()),
            }),
        }
    }

    /// Adds rows that were only counted.
    fn add_counted(
        &mut self,
        table: &'static str,
        column: &'static str,
        reason: &'static str,
        rows: u64,
    ) {
        if rows > 0 {
            self.0.push(RowRemark { table, column, reason, rows, example: None });
        }
    }

    /// Returns the number of rows of a table.
    fn count_rows_of(&self, table: &str) -> u64 {
        self.0.iter().filter(|remark| remark.table == table).map(|remark| remark.rows).sum()
    }
}

/// The database of the reference's validator, opened read-only.
#[derive(Debug, Clone)]
pub struct ReferenceDatabase(Database);

impl ReferenceDatabase {
    /// Connects to a PostgreSQL database (`postgres://…`). The server rejects every statement of
    /// this connection that writes.
    ///
    /// # Errors
    /// [`ReferenceError::Unreachable`] when the database is unreachable, [`ReferenceError::Open`]
    /// when the URL is invalid.
    pub async fn connect(url: &str) -> Result<Self, ReferenceError> {
        Ok(Self(Database::postgres_read_only(url).await.map_err(ReferenceError::open)?))
    }

    /// Returns whether the database has the tables that an import reads. The target of an import
    /// must not have them.
    ///
    /// # Errors
    /// [`ReferenceError`] when the database fails.
    pub async fn has_tables(&self) -> Result<bool, ReferenceError> {
        let mut transaction = self.0.begin_reading().await.map_err(ReferenceError::open)?;
        let tables = schema::table_names(&mut transaction).await?;
        Ok(schema::IMPORTED.iter().all(|table| tables.contains(table.name)))
    }

    /// Reads the rows that a validator can continue, from one snapshot of all tables, even while
    /// the reference runs.
    ///
    /// # Errors
    /// [`ReferenceError`] when the database fails, or lacks a table or a column.
    pub async fn read(&self, terms: &ReadTerms) -> Result<ReferenceRecords, ReferenceError> {
        let mut transaction = self.0.begin_reading().await.map_err(ReferenceError::open)?;
        rows::read(&mut transaction, terms).await
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::net::TcpListener;
    use std::time::Duration;

    use taonet_database::PoolOptions;
    use taonet_primitives::split_hint;

    use super::*;

    #[tokio::test]
    async fn error_of_unreachable_server_has_one_hint() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let options = PoolOptions { connections: 1, acquire_timeout: Duration::from_millis(200) };
        let url = format!("postgres://user@{address}/vali");
        let error = Database::postgres_with(&url, &crate::POSTGRES, options).await.unwrap_err();
        let error = ReferenceError::open(error);
        let text = error.to_string();
        let (message, hint) = split_hint(&text);
        assert_eq!(message, format!("cannot open the reference's database at {address}"));
        assert!(hint.is_some_and(|hint| hint.contains("--from-host")), "{text}");
        let source = error.source().unwrap().to_string();
        assert_eq!(split_hint(&source).1, None);
    }
}
