//! The database file: commits survive the death of the process, and are flushed to disk on demand.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend};

/// Whether each commit is flushed to disk.
///
/// When disabled, a commit is in the operating system's page cache when it returns: `kill -9` loses nothing of it, a
/// power cut may. A flush for each block would cost milliseconds where a block costs a fraction of one; the cost of one
/// every few seconds is negligible.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flushing(Arc<AtomicBool>);

impl Flushing {
    /// Enables flushing of each commit.
    pub(crate) fn on(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Disables flushing of each commit.
    pub(crate) fn off(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A file that flushes commits only while [`Flushing`] is enabled.
#[derive(Debug)]
pub(crate) struct LazyFile<B = FileBackend> {
    file: B,
    flushing: Flushing,
}

impl LazyFile {
    pub(crate) fn new(file: File, flushing: Flushing) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, flushing })
    }
}

#[cfg(test)]
impl<B> LazyFile<B> {
    pub(crate) fn on(file: B, flushing: Flushing) -> Self {
        Self { file, flushing }
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
        if self.flushing.0.load(Ordering::SeqCst) { self.file.sync_data() } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
