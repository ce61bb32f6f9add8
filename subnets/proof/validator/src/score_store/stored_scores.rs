use std::path::Path;
use std::time::SystemTime;

use taonet_proof_core::scoring::Scoreboard;

use super::{ScoreStoreError, load};

/// The scores in a store's directory, read while a validator may have the store open.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredScores {
    /// Scores after the last event.
    pub board: Scoreboard,
    /// Total number of events.
    pub events: u64,
    /// Time of the last write.
    pub written: SystemTime,
}

impl StoredScores {
    /// Reads the scores in a directory, without the lock. Blocks on disk I/O.
    ///
    /// # Errors
    /// When the directory has no scores, or a file cannot be read or is corrupt.
    pub fn read(directory: &Path) -> Result<Self, ScoreStoreError> {
        // Read the journal first: a snapshot that is written in the meantime covers all its events.
        let path = directory.join("scores.journal");
        let metadata = std::fs::metadata(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ScoreStoreError::Missing(directory.to_owned()),
            _ => ScoreStoreError::File { path: path.clone(), source: error },
        })?;
        let modified = metadata.modified().map_err(ScoreStoreError::file(&path))?;
        let text = std::fs::read_to_string(&path).map_err(ScoreStoreError::file(&path))?;
        let (board, _, events) = load(directory, &text)?;
        Ok(Self { board, events, written: modified })
    }
}
