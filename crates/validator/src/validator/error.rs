use std::error::Error;

use crate::subtensor_gateway::GatewayError;

/// Why nothing was decided for an epoch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The chain cannot be asked.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// Scores that count are not known, and there is time to ask again.
    #[error("nothing is decided yet, since {0}")]
    Scores(#[source] Box<dyn Error + Send + Sync>),
}
