//! The database file: commits survive a crash of the process, and are flushed to disk on demand.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend, StorageError};

/// Whether each commit is flushed to disk.
///
/// If flushing is disabled, a commit is only in the operating system's page cache when it returns:
/// the commit survives `kill -9`, but possibly not a power failure. Flushing each block would take
/// milliseconds, far longer than producing it; a flush every few seconds costs little.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlushOnCommit(Arc<AtomicBool>);

impl FlushOnCommit {
    /// Enables flushing of each commit.
    pub(crate) fn enable(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Disables flushing of each commit.
    pub(crate) fn disable(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A file that flushes commits to disk only while [`FlushOnCommit`] is enabled.
#[derive(Debug)]
pub(crate) struct LazyFile<B = FileBackend> {
    file: B,
    flush_on_commit: FlushOnCommit,
    /// The file, which the caller has locked.
    lock_file: Option<File>,
}

impl LazyFile {
    /// Takes a locked file, and unlocks it when the database is closed.
    pub(crate) fn new(file: File, flush_on_commit: FlushOnCommit) -> Result<Self, DatabaseError> {
        let lock_file = file.try_clone().map_err(StorageError::from)?;
        Ok(Self { file: FileBackend::new(file)?, flush_on_commit, lock_file: Some(lock_file) })
    }
}

#[cfg(test)]
impl<B> LazyFile<B> {
    pub(crate) fn on_backend(file: B, flush_on_commit: FlushOnCommit) -> Self {
        Self { file, flush_on_commit, lock_file: None }
    }
}

impl<B: StorageBackend> StorageBackend for LazyFile<B> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.flush_on_commit.0.load(Ordering::SeqCst) { self.file.sync_data() } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()?;
        // Closing alone does not unlock the file while a child of this process, which another
        // thread has just started, still has it open.
        self.lock_file.as_ref().map_or(Ok(()), File::unlock)
    }
}
