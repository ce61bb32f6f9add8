use std::path::PathBuf;
use taonet_primitives::counted;

use taonet_speech::WavError;

use super::ledger::LedgerError;
use taonet_babelbit_engine::client::EngineError;

/// Why a run stopped. The ledger retains the rows of the run, and the next run resumes from them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A ledger operation failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The engine's challenge could not be fetched.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The challenge's uid is not a safe file name.
    #[error("the engine's challenge_uid {0:?} is not a safe file name")]
    ChallengeUid(String),
    /// A file could not be read or written.
    #[error("cannot read or write {}", path.display())]
    File {
        /// Path of the file or directory.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// A reply could not be encoded as WAV.
    #[error("cannot encode a reply as WAV")]
    Wav(#[from] WavError),
    /// The number of scores from the scorer differs from the number of replies.
    #[error("the scorer returned {} for {}", counted(.got, "score"), counted(.expected, "reply"))]
    ScoreCount {
        /// Number of replies.
        expected: usize,
        /// Number of scores.
        got: usize,
    },
    /// A task of the run panicked.
    #[error("a task of the run failed")]
    Task(#[source] tokio::task::JoinError),
}
