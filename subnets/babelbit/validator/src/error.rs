use taonet_babelbit_engine::client::EngineError;
use taonet_http::JsonCallError;

/// What of the current challenge could not be had. That there are no scores is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MissingScores {
    /// The current challenge.
    #[error("the engine does not say which challenge is current: {0}; ask again, or check the engine")]
    Challenge(#[source] EngineError),
    /// The scores of a contest.
    #[error("the scores ({contest}) are not known: scoring API {source}; ask again, or check the scoring API")]
    Scores {
        /// Which contest's, in the words of the API.
        contest: &'static str,
        /// How the call failed.
        source: JsonCallError,
    },
}
