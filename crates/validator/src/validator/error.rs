use crate::engine_client::EngineError;
use crate::json_client::JsonCallError;
use crate::subtensor_gateway::GatewayError;

/// Why nothing was decided for an epoch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The chain cannot be asked.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// Scores that count are not known, and there is time to ask again.
    #[error("nothing is decided yet, since {0}; ask again, or check engine and scoring API")]
    Scores(#[from] MissingScores),
}

/// What of the current challenge could not be had. That there are no scores is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MissingScores {
    /// Which one it is.
    #[error("the engine does not say which challenge is current: {0}")]
    Challenge(#[source] EngineError),
    /// The scores of a contest.
    #[error("the scores ({contest}) are not known: scoring API {source}")]
    Scores {
        /// Which contest's, in the words of the API.
        contest: &'static str,
        /// How the call failed.
        source: JsonCallError,
    },
}
