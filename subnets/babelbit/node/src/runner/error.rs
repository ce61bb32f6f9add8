use std::path::PathBuf;
use taonet_primitives::counted;

use taonet_speech::WavError;

use super::ledger::LedgerError;
use crate::engine_client::EngineError;

/// Why a run stopped. What is in the ledger by then stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The engine has not given a challenge.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine's name for the challenge cannot be a file name.
    #[error("the engine's challenge_uid {0:?} is no safe name for files")]
    ChallengeUid(String),
    /// A file cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A reply cannot be a WAV file.
    #[error("a reply cannot be stored")]
    Wav(#[from] WavError),
    /// The scorer gave another number of scores than there are replies.
    #[error("the scorer gave {} for {}", counted(.got, "score"), counted(.expected, "reply"))]
    ScoreCount {
        /// Replies.
        expected: usize,
        /// Scores.
        got: usize,
    },
    /// A part of the run panicked.
    #[error("a part of the run failed")]
    Task(#[source] tokio::task::JoinError),
}

/// An error with its causes, as far as it does not tell them itself.
pub(super) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
