//! Task weights that the subnet's validators vote for.

mod ballot;
mod peers;

use std::collections::HashMap;
use std::time::Duration;

use taonet_chain::ChainError;
use taonet_http::{JsonCallError, JsonClient, parse_fields};
use taonet_service::Shutdown;
use url::Url;

pub use self::ballot::{Ballot, BallotError, Voter};
pub use self::peers::PeerVotes;
use crate::MarketFile;

/// Path of the votes below the service's URL.
const WEIGHTS_PATH: &str = "v1/weights";
/// Interval between two fetches.
const FETCH_INTERVAL: Duration = Duration::from_mins(10);
/// Timeout of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// Why the votes cannot be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VotesError {
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client for the votes")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The service did not respond, or its response is not a map from tasks to numbers.
    #[error("the votes cannot be fetched")]
    Call(#[from] JsonCallError),
    /// The vote of a validator is invalid.
    #[error("the vote is invalid")]
    Ballot(#[from] BallotError),
    /// The stakes of the validators cannot be read from the chain.
    #[error("the stakes of the validators cannot be read")]
    Stakes(#[from] ChainError),
}

/// Client that updates a market's task weights from the validators' votes.
///
/// The service returns `{task: weight}`. The weights apply from the next reload of the market, at
/// the start of a period. While the service fails, the last valid weights remain in effect.
#[derive(Debug)]
pub struct VotesFeed {
    client: JsonClient,
    market: MarketFile,
}

impl VotesFeed {
    /// Creates a feed from the service at a base URL: the votes are at `URL/v1/weights`.
    ///
    /// # Errors
    /// [`VotesError::Setup`] when TLS cannot be initialised.
    pub fn new(url: &Url, market: MarketFile) -> Result<Self, VotesError> {
        let client = JsonClient::new(url, None, MAX_RESPONSE_BYTES)
            .map_err(|error| VotesError::Setup(error.into()))?;
        Ok(Self { client, market })
    }

    /// Fetches the votes once.
    ///
    /// # Errors
    /// [`VotesError::Call`] when the service fails; the last votes remain.
    pub async fn fetch(&self) -> Result<(), VotesError> {
        let votes: HashMap<String, f64> =
            parse_fields(self.client.get(WEIGHTS_PATH, &[], FETCH_TIMEOUT).await?)?;
        tracing::debug!(tasks = votes.len(), "votes fetched");
        self.market.set_votes(votes);
        Ok(())
    }

    /// Fetches the votes immediately and then every ten minutes, until shutdown. Logs failures.
    pub async fn run(&self, shutdown: &Shutdown) {
        loop {
            if let Err(error) = self.fetch().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "votes not fetched; the last ones remain"
                );
            }
            if !shutdown.sleep(FETCH_INTERVAL).await {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::response::IntoResponse as _;
    use axum::routing::get;
    use taonet_http::testing::listen;
    use taonet_nineteen_core::MarketConfig;

    use super::*;

    /// A vote of 0 disables a task; while votes fail, the last ones remain.
    #[tokio::test]
    async fn last_valid_votes_apply_while_vote_requests_fail() {
        let replies = [
            (200, "{\"avatar\": 0, \"chat-llama-3-1-8b\": 0.5, \"unknown\": 1}"),
            (503, "{\"avatar\": 1}"),
            (200, "{\"avatar\": \"much\"}"),
            (200, "[]"),
            (200, "{}"),
            (200, "{\"avatar\": 0.5}"),
        ];
        let next = Arc::new(AtomicUsize::new(0));
        let reply = move || {
            let (status, body) = replies[next.fetch_add(1, Ordering::SeqCst)];
            async move { (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response() }
        };
        let router = Router::new().route("/base/v1/weights", get(reply));
        let url = format!("http://{}/base/", listen(router).await).parse().unwrap();
        let market = MarketFile::from_config(MarketConfig::default());
        let feed = VotesFeed::new(&url, market.clone()).unwrap();
        let weight = |task: &str| {
            let task = market.current().task(task).unwrap().clone();
            (task.weight, task.enabled)
        };
        feed.fetch().await.unwrap();
        assert_eq!(weight("avatar"), (0.15, true), "the running period keeps its weights");
        market.reload();
        // The default weights sum to 1.04; the votes replace 0.15 with 0, and 0.15 with 0.5.
        let voted_weight = weight("chat-llama-3-1-8b");
        assert_eq!(weight("avatar"), (0.0, false));
        assert!((voted_weight.0 - 0.5 / 1.24).abs() < 1e-12, "{voted_weight:?}");
        for failure in ["503", "no number", "no object"] {
            feed.fetch().await.unwrap_err();
            market.reload();
            assert_eq!(
                (weight("avatar"), weight("chat-llama-3-1-8b")),
                ((0.0, false), voted_weight),
                "{failure}"
            );
        }
        feed.fetch().await.unwrap();
        market.reload();
        assert_eq!(weight("avatar"), (0.0, false), "an empty vote changes nothing");
        feed.fetch().await.unwrap();
        market.reload();
        assert!(weight("avatar").1);
    }
}
