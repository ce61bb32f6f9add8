use taonet_babelbit_engine::client::EngineError;
use taonet_http::JsonCallError;

/// Why a required response about the current challenge is missing. The absence of scores is not an
/// error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MissingScores {
    /// The current challenge is unavailable.
    #[error("cannot get the current challenge from the engine: {0}; hint: check the engine")]
    Challenge(#[source] EngineError),
    /// The scores of a contest are unavailable.
    #[error(
        "cannot get scores ({contest}) from the scoring API: {source}; hint: check the scoring API"
    )]
    Scores {
        /// Name of the contest, in the API's terms.
        contest: &'static str,
        /// The error of the API call.
        source: JsonCallError,
    },
}
