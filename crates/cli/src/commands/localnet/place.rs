//! Where the chain's state is, and which process has it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use taonet_service::{Access, atomic_write};

/// Says which process runs the chain of this folder.
const RUNNING: &str = "running.json";

/// Where the state is
#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// Folder of the chain's state [default: taonet/localnet in the user's state directory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgs {
    pub(super) fn directory(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| {
            let state = dirs::state_dir().or_else(dirs::data_local_dir).unwrap_or_else(std::env::temp_dir);
            state.join("taonet").join("localnet")
        })
    }
}

/// The process that runs a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) url: String,
}

impl Running {
    /// What the folder says; `None` where no process runs its chain, or one that was killed did.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        let file = directory.join(RUNNING);
        match fs::read(&file) {
            Ok(bytes) => {
                let running = serde_json::from_slice(&bytes);
                running.map(Some).with_context(|| format!("{} is damaged: remove it", file.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Forgets a process that is gone.
    pub(super) fn forget(directory: &Path) -> io::Result<()> {
        fs::remove_file(directory.join(RUNNING))
    }

    /// Says that this process runs the chain.
    pub(super) fn announce(&self, directory: &Path) -> anyhow::Result<Announced> {
        let file = directory.join(RUNNING);
        let bytes = serde_json::to_vec(self).context("the process's description does not fit into JSON")?;
        atomic_write(&file, &bytes, Access::Everyone).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Announced(file))
    }
}

/// The word that a process runs the chain, taken back at its end.
pub(super) struct Announced(PathBuf);

impl Drop for Announced {
    fn drop(&mut self) {
        // Left behind, it names a process that no longer answers.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_a_chain_is_told_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Running::read(folder.path()).unwrap(), None);
        let running = Running { pid: 7, url: "ws://127.0.0.1:1".to_owned() };
        let announced = running.announce(folder.path()).unwrap();
        assert_eq!(Running::read(folder.path()).unwrap(), Some(running));
        drop(announced);
        assert_eq!(Running::read(folder.path()).unwrap(), None);
        fs::write(folder.path().join(RUNNING), "{").unwrap();
        let error = format!("{:#}", Running::read(folder.path()).unwrap_err());
        assert!(error.contains("is damaged: remove it"), "{error}");
    }
}
