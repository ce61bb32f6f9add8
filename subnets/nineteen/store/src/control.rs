//! Lock of the process that runs the periods, and ID of the market.

use std::time::Duration;

use taonet_database::{Database, DatabaseError, DatabaseLock, statement};

use crate::{Store, StoreError};

/// Maximum time until the lock of a killed process is released.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between attempts to acquire the lock.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between checks that the lock is still held.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Exclusive lock on a database, held by the process that runs its scoring periods. It is released
/// when the process exits.
#[derive(Debug)]
pub struct ControlLock {
    database: Database,
    lock: DatabaseLock,
}

impl Store {
    /// Locks the database for the process that runs its scoring periods. Waits up to 5 s until the
    /// lock of a previous process is released.
    ///
    /// # Errors
    /// [`StoreError::ControlLockHeld`] if another process holds the lock; [`StoreError::Database`] when
    /// the database fails.
    pub async fn lock_control(&self) -> Result<ControlLock, StoreError> {
        let lock = acquire(&self.database).await?;
        Ok(ControlLock { database: self.database.clone(), lock })
    }

    /// Returns the random ID of the market in this database; creates it if missing.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn market_id(&self) -> Result<String, StoreError> {
        let id = hex::encode(rand::random::<[u8; 8]>());
        statement("INSERT INTO market (number, id) VALUES (1, $1) ON CONFLICT (number) DO NOTHING")
            .bind(&id)
            .execute(&self.database)
            .await?;
        Ok(statement("SELECT id FROM market").value(&self.database).await?.unwrap_or(id))
    }
}

impl ControlLock {
    /// Checks the lock every second, and acquires it again after an outage of the database. Returns
    /// an error only when another process has acquired the lock meanwhile.
    pub async fn hold(mut self) -> StoreError {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let Err(error) = self.lock.check().await else { continue };
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "lost the database lock; acquiring it again"
            );
            self.lock = loop {
                match acquire(&self.database).await {
                    Ok(lock) => break lock,
                    Err(error @ StoreError::ControlLockHeld) => return error,
                    Err(_) => tokio::time::sleep(CHECK_INTERVAL).await,
                }
            };
        }
    }
}

async fn acquire(database: &Database) -> Result<DatabaseLock, StoreError> {
    let attempts = async {
        loop {
            if let Some(lock) = database.lock().await? {
                return Ok::<_, DatabaseError>(lock);
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    };
    match tokio::time::timeout(RELEASE_TIMEOUT, attempts).await {
        Ok(lock) => Ok(lock?),
        Err(_) => Err(StoreError::ControlLockHeld),
    }
}
