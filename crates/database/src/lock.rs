use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnection;

use crate::connection::with_timeout;
use crate::{Database, DatabaseError, Pool};

/// Key of the advisory lock in PostgreSQL, where each database has its own keys.
const LOCK_KEY: i64 = 0x7461_6f6e_6574;

/// The exclusive lock of a database. Released when it is dropped, or when the process exits.
#[derive(Debug)]
pub struct DatabaseLock(LockHandle);

#[derive(Debug)]
enum LockHandle {
    /// SQLite: a locked file next to the database.
    File(#[expect(dead_code, reason = "closing the file releases the lock")] File),
    /// PostgreSQL: an advisory lock, which the server releases when this connection ends.
    Session(Box<PgConnection>, Duration),
}

impl Database {
    /// Acquires the database's exclusive lock; returns `None` if another process holds it. The lock
    /// is advisory: statements ignore it. With SQLite on a file system that has no locks, it is
    /// always granted.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database or, with SQLite, the lock file is unusable.
    pub async fn lock(&self) -> Result<Option<DatabaseLock>, DatabaseError> {
        match &self.pool {
            Pool::Sqlite { writer, .. } => {
                let mut name = writer.connect_options().get_filename().as_os_str().to_owned();
                name.push(".lock");
                lock_file(name.into())
            }
            Pool::Postgres(pool) => {
                let mut session = pool.acquire().await?.detach();
                let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK_KEY);
                let is_held: bool = with_timeout(self.limits.response, async {
                    Ok(lock.fetch_one(&mut session).await?)
                })
                .await?;
                Ok(is_held.then(|| {
                    DatabaseLock(LockHandle::Session(Box::new(session), self.limits.response))
                }))
            }
        }
    }
}

impl DatabaseLock {
    /// Checks that the lock is still held: a restart of PostgreSQL releases it.
    ///
    /// # Errors
    /// [`DatabaseError`] when the lock is lost; it can be acquired again.
    pub async fn check(&mut self) -> Result<(), DatabaseError> {
        match &mut self.0 {
            LockHandle::File(_) => Ok(()),
            LockHandle::Session(session, limit) => {
                let check = sqlx::query("SELECT 1").execute(&mut **session);
                with_timeout(*limit, async { Ok(check.await.map(drop)?) }).await
            }
        }
    }
}

fn io_failed(error: io::Error) -> DatabaseError {
    DatabaseError::Failed(sqlx::Error::Io(error))
}

fn lock_file(path: PathBuf) -> Result<Option<DatabaseLock>, DatabaseError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.map_err(io_failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(DatabaseLock(LockHandle::File(file)))),
        // Some network file systems do not support locks.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            Ok(Some(DatabaseLock(LockHandle::File(file))))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(io_failed(error)),
    }
}
