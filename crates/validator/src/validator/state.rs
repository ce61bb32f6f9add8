use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taonet_service::{Access, WriteError, atomic_write};

use crate::policy::PolicyState;

/// Version of the file format.
const VERSION: u32 = 1;

/// Contents of the state file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedState {
    pub(super) version: u32,
    /// The last processed epoch, whether or not weights were set.
    pub(super) last_epoch: Option<u64>,
    /// Time of the last weight submission, in seconds since the Unix epoch.
    pub(super) last_set: Option<u64>,
    pub(super) policy: PolicyState,
}

/// Why the state file is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file is unreadable.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is malformed.
    #[error("{} is not a state file of the validator; hint: remove it to start from scratch", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// The deserialisation error.
        source: serde_json::Error,
    },
    /// The file has a newer format version.
    #[error(
        "a newer version of this program wrote {}; hint: update the program, or remove the file to start from \
         scratch", .0.display())]
    Newer(PathBuf),
    /// The directory cannot be created.
    #[error("cannot create the directory of {}; hint: check the owner of its parent", path.display())]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
}

/// State file of a validator, replaced atomically.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    saved: SavedState,
}

impl StateFile {
    /// Opens the state file at `path`, creating its directory if missing. Without a file, the state
    /// is empty.
    ///
    /// # Errors
    /// [`StateError`] when the file is unreadable, malformed or too new, or its directory cannot be
    /// created.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|source| StateError::Directory { path: path.to_owned(), source })?;
        }
        let saved = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice::<SavedState>(&bytes)
                .map_err(|source| StateError::Damaged { path: path.to_owned(), source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => SavedState {
                version: VERSION,
                last_epoch: None,
                last_set: None,
                policy: PolicyState::default(),
            },
            Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
        };
        if saved.version > VERSION {
            return Err(StateError::Newer(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), saved })
    }

    pub(super) const fn saved(&self) -> &SavedState {
        &self.saved
    }

    /// Replaces the state. When the write fails, the new state still applies for the life of the
    /// process.
    pub(super) fn replace(&mut self, saved: SavedState) -> Result<(), WriteError> {
        let bytes = serde_json::to_vec_pretty(&saved).unwrap_or_default();
        self.saved = saved;
        atomic_write(&self.path, &bytes, Access::Everyone)
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::PreviousWeights;
    use taonet_primitives::BlockNumber;

    use super::*;

    #[test]
    fn state_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state.json");
        let mut state = StateFile::open(&path).unwrap();
        let hotkeys = vec!["a".to_owned(), "b".to_owned()];
        let previous =
            PreviousWeights { hotkeys, weights: vec![0.1, 0.9], block: BlockNumber::new(742) };
        let policy = PolicyState {
            round: Some("c".into()),
            epochs_without_scores: 3,
            previous: Some(previous),
        };
        let saved = SavedState {
            last_epoch: Some(7),
            last_set: Some(1_700_000_000),
            policy,
            ..state.saved().clone()
        };
        state.replace(saved.clone()).unwrap();
        assert_eq!(*StateFile::open(&path).unwrap().saved(), saved);
    }

    #[test]
    fn unreadable_state_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for (text, message) in [
            ("{\"version\": 1", "not a state file of the validator"),
            (r#"{"version":2,"last_epoch":null,"last_set":null,"policy":{}}"#, "newer version"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = StateFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(matches!(StateFile::open(folder.path()), Err(StateError::Read { .. })));
    }
}
