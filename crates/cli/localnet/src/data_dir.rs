//! Data directory of a localnet, and the record of the process that runs it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use taonet_service::{Access, atomic_write};

/// Database file, which holds all state of a data directory.
pub(crate) const DATABASE: &str = "chain.redb";
/// File that records the process running the chain of a data directory.
const PROCESS_FILE: &str = "running.json";

/// Argument that selects the data directory
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Data directory of the chain [default: taonet/localnet in the user's state directory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgs {
    pub(crate) fn directory(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| {
            let state =
                dirs::state_dir().or_else(dirs::data_local_dir).unwrap_or_else(std::env::temp_dir);
            state.join("taonet").join("localnet")
        })
    }
}

/// Record of the process that runs a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    pub(crate) pid: u32,
    pub(crate) url: String,
}

impl ProcessRecord {
    /// Reads the record; `None` if no process is recorded.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        let file = directory.join(PROCESS_FILE);
        match fs::read(&file) {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes);
                record
                    .map(Some)
                    .with_context(|| format!("{} is damaged\nhint: delete it", file.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Removes the record of a process that no longer runs.
    pub(crate) fn remove(directory: &Path) -> io::Result<()> {
        fs::remove_file(directory.join(PROCESS_FILE))
    }

    /// Records that this process runs the chain, until the guard is dropped.
    pub(crate) fn record(&self, directory: &Path) -> anyhow::Result<RecordGuard> {
        let file = directory.join(PROCESS_FILE);
        let bytes = serde_json::to_vec(self).context("cannot serialise the process record")?;
        atomic_write(&file, &bytes, Access::Everyone)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(RecordGuard(file))
    }
}

/// Guard that removes the record on drop.
pub(crate) struct RecordGuard(PathBuf);

impl Drop for RecordGuard {
    fn drop(&mut self) {
        // A stale record is harmless: the process no longer answers.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_record_is_removed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ProcessRecord::read(folder.path()).unwrap(), None);
        let record = ProcessRecord { pid: 7, url: "ws://127.0.0.1:1".to_owned() };
        let guard = record.record(folder.path()).unwrap();
        assert_eq!(ProcessRecord::read(folder.path()).unwrap(), Some(record));
        drop(guard);
        assert_eq!(ProcessRecord::read(folder.path()).unwrap(), None);
        fs::write(folder.path().join(PROCESS_FILE), "{").unwrap();
        let error = format!("{:#}", ProcessRecord::read(folder.path()).unwrap_err());
        assert!(error.contains("is damaged"), "{error}");
    }
}
