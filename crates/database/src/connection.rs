use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Postgres, SqlStr, Sqlite};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::{Database, DatabaseError, Limits, statement};

pub(crate) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A borrowed connection: returned to its pool, or closed if the database no longer responds. By
/// itself, the pool waits without a timeout for each returned connection, so a few half-open
/// connections would exhaust the pool.
pub(crate) struct PooledConnection {
    /// `None` once the connection was returned or closed.
    connection: Option<Connection>,
    limits: Limits,
    is_in_transaction: bool,
}

impl PooledConnection {
    pub(crate) fn new(connection: Connection, limits: Limits) -> Self {
        Self { connection: Some(connection), limits, is_in_transaction: false }
    }

    /// Returns the connection, and the timeout of a statement on it.
    pub(crate) fn connection(&mut self) -> Result<(&mut Connection, Duration), DatabaseError> {
        Ok((self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?, self.limits.response))
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => {
                drop(runtime.spawn(return_connection(
                    connection,
                    self.is_in_transaction,
                    self.limits.acquire_timeout,
                )));
            }
            Err(_) => connection.abandon(),
        }
    }
}

async fn return_connection(mut connection: Connection, is_in_transaction: bool, wait: Duration) {
    if is_in_transaction && !connection.try_roll_back(wait).await {
        return connection.abandon();
    }
    // On a timeout, the connection is closed.
    let _returned_or_closed = match &mut connection {
        Connection::Sqlite(connection) => timeout(wait, connection.return_to_pool()).await,
        Connection::Postgres(connection) => timeout(wait, connection.return_to_pool()).await,
    };
}

impl Connection {
    /// Rolls back; returns whether the database responded in time. Without a transaction, the
    /// response is an error or a warning, which is ignored.
    async fn try_roll_back(&mut self, wait: Duration) -> bool {
        let rollback = "ROLLBACK";
        match self {
            Self::Sqlite(connection) => {
                timeout(wait, sqlx::query(rollback).execute(&mut **connection)).await.is_ok()
            }
            Self::Postgres(connection) => {
                timeout(wait, sqlx::query(rollback).execute(&mut **connection)).await.is_ok()
            }
        }
    }

    /// Closes the connection without notifying the server, which may not respond.
    fn abandon(self) {
        match self {
            Self::Sqlite(connection) => drop(connection.detach()),
            Self::Postgres(connection) => drop(connection.detach()),
        }
    }
}

/// A transaction. Dropping it without [`Self::commit`] rolls it back.
pub struct Transaction(PooledConnection);

impl Transaction {
    pub(crate) async fn begin(
        mut loan: PooledConnection,
        begin: SqlStr,
    ) -> Result<Self, DatabaseError> {
        // If this future is dropped, the transaction may already have begun.
        loan.is_in_transaction = true;
        let mut transaction = Self(loan);
        statement(begin).execute(&mut transaction).await?;
        Ok(transaction)
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// [`DatabaseError`]; it is then unknown whether the transaction was committed.
    pub async fn commit(mut self) -> Result<(), DatabaseError> {
        statement("COMMIT").execute(&mut self).await?;
        self.0.is_in_transaction = false;
        Ok(())
    }
}

/// Executor of a statement: any connection of a database, or a transaction.
pub enum Executor<'a> {
    /// Any connection of the database's pool.
    Database(&'a Database),
    /// The connection of a transaction.
    Transaction(&'a mut Transaction),
}

impl<'a> From<&'a Database> for Executor<'a> {
    fn from(database: &'a Database) -> Self {
        Self::Database(database)
    }
}

impl<'a> From<&'a mut Transaction> for Executor<'a> {
    fn from(transaction: &'a mut Transaction) -> Self {
        Self::Transaction(transaction)
    }
}

impl<'a> Executor<'a> {
    pub(crate) async fn borrow_connection(self) -> Result<StatementConnection<'a>, DatabaseError> {
        Ok(match self {
            Self::Database(database) => {
                StatementConnection::Own(database.borrow_connection().await?)
            }
            Self::Transaction(transaction) => StatementConnection::Transaction(&mut transaction.0),
        })
    }

    /// As [`Self::borrow_connection`], for a statement that writes.
    pub(crate) async fn borrow_writer(self) -> Result<StatementConnection<'a>, DatabaseError> {
        Ok(match self {
            Self::Database(database) => StatementConnection::Own(database.borrow_writer().await?),
            Self::Transaction(transaction) => StatementConnection::Transaction(&mut transaction.0),
        })
    }
}

/// Connection that runs a statement.
pub(crate) enum StatementConnection<'a> {
    Own(PooledConnection),
    Transaction(&'a mut PooledConnection),
}

impl StatementConnection<'_> {
    pub(crate) fn connection(&mut self) -> Result<(&mut Connection, Duration), DatabaseError> {
        match self {
            Self::Own(loan) => loan.connection(),
            Self::Transaction(loan) => loan.connection(),
        }
    }
}

/// Applies a timeout to an operation.
pub(crate) async fn with_timeout<T>(
    time: Duration,
    work: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    timeout(time, work).await.unwrap_or(Err(DatabaseError::NoResponse(time)))
}
