use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Timeout for acquiring the lock: long enough for a previous process to exit.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Poll interval while waiting for the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Acquires an exclusive lock on a file, which is created if missing. The operating system releases
/// the lock when the process exits, even after a crash. Returns `None` when another process holds
/// the lock for longer than a second.
///
/// # Errors
/// I/O errors when creating or locking the file. On a file system without lock support, every
/// process gets the lock.
pub async fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // Some network file systems do not support locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(Some(file));
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if waited >= LOCK_TIMEOUT => return Ok(None),
            Err(TryLockError::WouldBlock) => {
                tokio::time::sleep(POLL_INTERVAL).await;
                waited += POLL_INTERVAL;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lock_file_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock_file(&path).await.unwrap();
        assert!(first.is_some());
        assert!(lock_file(&path).await.unwrap().is_none());
        // The second call waits for a lock that is released shortly afterwards.
        let (second, ()) = tokio::join!(lock_file(&path), async {
            tokio::time::sleep(POLL_INTERVAL * 2).await;
            drop(first);
        });
        assert!(second.unwrap().is_some());
        assert!(lock_file(&folder.path().join("no/such/folder")).await.is_err());
    }
}
