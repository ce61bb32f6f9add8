use std::error::Error;

use crate::subtensor_gateway::GatewayError;

/// Why no decision was made for an epoch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The gateway is unreachable or failed.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// Required scores are unavailable, and there is time for a retry.
    #[error("scores are unavailable: {0}")]
    Scores(#[source] Box<dyn Error + Send + Sync>),
}
