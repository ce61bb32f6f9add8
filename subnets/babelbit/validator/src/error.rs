use taonet_babelbit_engine::client::EngineError;
use taonet_http::JsonCallError;

/// A missing response about the current challenge. The absence of scores is not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MissingScores {
    /// The current challenge is unavailable.
    #[error("the engine does not say which challenge is current: {0}; ask again, or check the engine")]
    Challenge(#[source] EngineError),
    /// The scores of a contest are unavailable.
    #[error("the scores ({contest}) are not known: scoring API {source}; ask again, or check the scoring API")]
    Scores {
        /// Name of the contest, in the API's terms.
        contest: &'static str,
        /// The call's error.
        source: JsonCallError,
    },
}
