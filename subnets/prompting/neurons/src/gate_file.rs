//! The gate on disk.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taonet_prompting_core::{Draws, Gate, GateError};
use taonet_service::{Access, WriteError, atomic_write};

use crate::{Judge, JudgeError};

/// Version of the file.
const VERSION: u32 = 1;

/// Why a gate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateFileError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The file is not a gate.
    #[error("{path} is not a gate; hint: remove it to start with an untrained one")]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// Why it is malformed.
        source: serde_json::Error,
    },
    /// The file was written by another version of the program.
    #[error("{path} has version {version} instead of {VERSION}; hint: update the program", VERSION = VERSION)]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// Version of the file.
        version: u32,
    },
    /// The gate was trained with another embedding model.
    #[error(
        "{path} belongs to another embedding model; hint: remove it to start with an untrained gate"
    )]
    Embedder {
        /// Path of the file.
        path: PathBuf,
    },
    /// The gate has another size, or invalid numbers.
    #[error("{path} is unusable; hint: remove it to start with an untrained gate")]
    Gate {
        /// Path of the file.
        path: PathBuf,
        /// Why the gate is unusable.
        source: GateError,
    },
    /// The embedding model failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The trained gate of a validator, with what the next step needs: the state of its random draws,
/// and a question that was asked about a passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateFile {
    version: u32,
    /// Fingerprint of the embedding model.
    embedder: String,
    pub(crate) draws: Draws,
    /// The next question, if the miners have asked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) question: Option<String>,
    pub(crate) gate: Gate,
}

impl GateFile {
    /// Reads the gate in a validator's directory. Without a file, the gate is untrained, and the
    /// draws begin with `seed`. Blocks: the embedding model computes one text.
    ///
    /// # Errors
    /// [`GateFileError`] when the file cannot be read, or does not fit the judge's embedding model.
    pub fn open(directory: &Path, judge: &Judge, seed: u64) -> Result<Self, GateFileError> {
        let (path, dimensions) = (gate_path(directory), judge.embed("")?.len());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let embedder = judge.fingerprint().to_owned();
                let (draws, gate) = (Draws::new(seed), Gate::new(dimensions));
                return Ok(Self { version: VERSION, embedder, draws, question: None, gate });
            }
            Err(source) => return Err(GateFileError::Read { path, source }),
        };
        let file: Self = match serde_json::from_slice(&bytes) {
            Ok(file) => file,
            Err(source) => return Err(GateFileError::Malformed { path, source }),
        };
        if file.version != VERSION {
            return Err(GateFileError::Version { path, version: file.version });
        }
        if file.embedder != judge.fingerprint() {
            return Err(GateFileError::Embedder { path });
        }
        match file.gate.check(dimensions) {
            Ok(()) => Ok(file),
            Err(source) => Err(GateFileError::Gate { path, source }),
        }
    }

    /// Returns the gate.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Replaces the file in a validator's directory atomically.
    pub(crate) fn save(&self, directory: &Path) -> Result<(), GateFileError> {
        let path = gate_path(directory);
        match serde_json::to_vec(self) {
            // The draws determine the next question, so only the owner may read them.
            Ok(bytes) => Ok(atomic_write(&path, &bytes, Access::Owner)?),
            Err(source) => Err(GateFileError::Malformed { path, source }),
        }
    }
}

fn gate_path(directory: &Path) -> PathBuf {
    directory.join("gate.json")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use taonet_primitives::Hotkey;
    use taonet_prompting_core::GateSettings;

    use super::*;
    use crate::HashedWords;

    fn judge() -> Judge {
        Judge::new(Arc::new(HashedWords), None)
    }

    fn trained(directory: &Path) -> GateFile {
        let mut file = GateFile::open(directory, &judge(), 7).unwrap();
        let embedding = judge().embed("What is the capital of Texas?").unwrap();
        let rewards = [(Hotkey::from_bytes([1; 32]), 1.0), (Hotkey::from_bytes([2; 32]), 0.0)];
        file.gate.train(&embedding, &rewards, GateSettings::default());
        file.draws.next_u64();
        file
    }

    #[test]
    fn saved_gate_is_resumed() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = trained(directory.path());
        file.save(directory.path()).unwrap();
        // The seed of a resumed gate is that of its file.
        let mut resumed = GateFile::open(directory.path(), &judge(), 8).unwrap();
        assert_eq!(resumed.draws.next_u64(), file.draws.next_u64());
        let (embedding, hotkey) =
            (judge().embed("capital").unwrap(), [Hotkey::from_bytes([1; 32])]);
        let scores = [&file, &resumed].map(|file| file.gate.scores(&embedding, &hotkey)[0]);
        assert!(scores[0] > 0.0 && (scores[0] - scores[1]).abs() < 1e-12, "{scores:?}");
    }

    #[test]
    fn incompatible_gate_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = trained(directory.path());
        let open = |file: &GateFile| {
            file.save(directory.path()).unwrap();
            GateFile::open(directory.path(), &judge(), 7)
        };
        let version = GateFile { version: 2, ..file.clone() };
        assert!(matches!(open(&version), Err(GateFileError::Version { version: 2, .. })));
        let embedder = GateFile { embedder: "other".to_owned(), ..file.clone() };
        assert!(matches!(open(&embedder), Err(GateFileError::Embedder { .. })));
        let size = GateFile { gate: Gate::new(384), ..file };
        let error = open(&size).unwrap_err();
        let GateFileError::Gate { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*source, GateError::Dimensions { found: 384, expected: 512 });
        for bytes in [&b""[..], b"{}", b"\xff\xfe", b"{\"version\": 1}"] {
            std::fs::write(gate_path(directory.path()), bytes).unwrap();
            let result = GateFile::open(directory.path(), &judge(), 7);
            assert!(matches!(result, Err(GateFileError::Malformed { .. })), "{bytes:?}");
        }
    }
}
