use std::time::Duration;

use taonet_babelbit_core::qualifying::winners;
use taonet_babelbit_core::scoring_api::Contest;
use taonet_service::Shutdown;

use super::ArenaGateway;
use taonet_babelbit_engine::client::{EngineClient, EngineError};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_http::JsonCallError;

/// Number of the latest challenges whose scores are fetched again, because validators submit scores
/// at different times.
const OPEN_CHALLENGES: usize = 4;

/// Source of qualifying results.
#[derive(Clone)]
pub struct Results {
    /// Client of the engine, which names the current challenge.
    pub engine: EngineClient,
    /// Client of the scoring API.
    pub scores: ScoresClient,
    /// Poll interval of both services.
    pub interval: Duration,
}

/// Why results are unavailable.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error("cannot get the current challenge from the engine: {0}")]
    Engine(#[from] EngineError),
    #[error("cannot get scores of challenge {challenge_uid}: {source}")]
    Scores { challenge_uid: String, source: JsonCallError },
    #[error(transparent)]
    Write(#[from] taonet_service::WriteError),
}

impl ArenaGateway {
    /// Polls for qualifying results until shutdown.
    pub async fn follow(&self, results: &Results, shutdown: &Shutdown) {
        loop {
            let poll_and_wait = async {
                self.poll(results).await;
                tokio::time::sleep(results.interval).await;
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = poll_and_wait => {}
            }
        }
    }

    /// Polls once for qualifying results. Failures are logged; known results remain.
    pub async fn poll(&self, results: &Results) {
        // Fetch the scores of known challenges even if the engine fails.
        for outcome in [self.record_current(results).await, self.read_scores(results).await] {
            let result = if outcome.is_ok() { "ok" } else { "failed" };
            metrics::counter!("taonet_arena_gateway_looks_total", "result" => result).increment(1);
            if let Err(error) = outcome {
                tracing::warn!(%error, "cannot refresh the qualifying results");
            }
        }
    }

    async fn record_current(&self, results: &Results) -> Result<(), PollError> {
        let challenge_uid = results.engine.current_main().await?;
        Ok(self.state.entries.record_challenge(&challenge_uid, self.state.now()).await?)
    }

    async fn read_scores(&self, results: &Results) -> Result<(), PollError> {
        let (state, window) = (&self.state, self.state.config.window);
        for challenge_uid in state.entries.newest_challenges(OPEN_CHALLENGES).await {
            let rows = results.scores.rows(&challenge_uid, Some(Contest::Main)).await;
            let rows = rows.map_err(|source| PollError::Scores {
                challenge_uid: challenge_uid.clone(),
                source,
            })?;
            // Before the first submission of a validator there are no scores; known results remain
            // valid.
            if !rows.is_empty() {
                state
                    .entries
                    .set_winners(&challenge_uid, winners(&rows), state.now(), window)
                    .await?;
            }
        }
        Ok(())
    }
}
