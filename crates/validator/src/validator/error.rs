use std::error::Error;

use crate::weight_service::ReadError;

/// Why no decision was made for an epoch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The chain is unreachable.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Required scores are unavailable, and there is time for a retry.
    #[error("scores are unavailable: {0}")]
    Scores(#[source] Box<dyn Error + Send + Sync>),
}
