//! Processes that send requests to miners.

use taonet_database::{Row, statement};

use crate::{Process, Store, StoreError};

/// A process that sends requests to miners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    /// ID of the process.
    pub process: Process,
    /// Counter that a live process increases.
    pub heartbeats: i64,
    /// Whether the process serves buyers.
    pub serves: bool,
}

impl Store {
    /// Stores the row of a process; returns those of all processes, which may include dead ones.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn heartbeat(&self, row: &ProcessRow) -> Result<Vec<ProcessRow>, StoreError> {
        statement(
            "INSERT INTO query_process (process, heartbeats, serves) VALUES ($1, $2, $3)
             ON CONFLICT (process) DO UPDATE SET heartbeats = excluded.heartbeats, serves = excluded.serves",
        )
        .bind(row.process.as_str())
        .bind(row.heartbeats)
        .bind(i64::from(row.serves))
        .execute(&self.database)
        .await?;
        let rows =
            statement("SELECT process, heartbeats, serves FROM query_process ORDER BY process")
                .rows(&self.database);
        rows.await?.iter().map(parse_row).collect()
    }

    /// Deletes the row of a process that has ended.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn delete_process(&self, process: &Process) -> Result<(), StoreError> {
        statement("DELETE FROM query_process WHERE process = $1")
            .bind(process.as_str())
            .execute(&self.database)
            .await?;
        Ok(())
    }
}

fn parse_row(row: &Row) -> Result<ProcessRow, StoreError> {
    let (process, serves): (String, i64) = (row.get("process")?, row.get("serves")?);
    Ok(ProcessRow {
        process: Process::new(process),
        heartbeats: row.get("heartbeats")?,
        serves: serves != 0,
    })
}
