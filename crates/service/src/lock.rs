use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Long enough for a process that is just ending to let go.
const LETS_GO_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Takes the lock that one process at a time has, on a file that is made where it is missing. It goes with the process,
/// however that ends; `None` where another one keeps it for longer than a second.
///
/// # Errors
/// What kept the file from being made or locked. File systems without locks are none: there everybody has it.
pub async fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if waited >= LETS_GO_WITHIN => return Ok(None),
            Err(TryLockError::WouldBlock) => {
                tokio::time::sleep(LOOK_EVERY).await;
                waited += LOOK_EVERY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock_file(&path).await.unwrap();
        assert!(first.is_some());
        assert!(lock_file(&path).await.unwrap().is_none());
        // Who is just ending is waited for.
        let (second, ()) = tokio::join!(lock_file(&path), async {
            tokio::time::sleep(LOOK_EVERY * 2).await;
            drop(first);
        });
        assert!(second.unwrap().is_some());
        assert!(lock_file(&folder.path().join("no/such/folder")).await.is_err());
    }
}
