//! Start of an arena round: the round waits until its miners are healthy, and the first prediction
//! of each miner has a longer timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use taonet_babelbit_core::text_api::PredictedUtterance;
use taonet_babelbit_runner::{CallError, ChainView, ListArenaMiners, MinerSource, RoundError};
use taonet_service::{MonotonicClock, Sleeper, monotonic_clock, sleeper};

use super::{TextConnection, TextMiner, TextMiners};

/// Timeout of one health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two health checks, and between two attempts at a first prediction.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Statuses that end the attempts at a first prediction.
const FINAL_STATUSES: [u16; 5] = [400, 401, 403, 404, 422];

/// Time that arena miners have to start.
#[derive(Clone)]
pub struct Startup {
    /// Time for all miners to become healthy, and time of each miner for its first prediction. 0
    /// disables both.
    pub budget: Duration,
    /// Timeout of one attempt at a first prediction.
    pub request_timeout: Duration,
    /// Source of monotonic time.
    pub now: MonotonicClock,
    /// Function that sleeps for a given duration.
    pub sleeper: Sleeper,
}

impl Startup {
    /// Creates the settings with the system's clock.
    pub fn new(budget: Duration, request_timeout: Duration) -> Self {
        Self { budget, request_timeout, now: monotonic_clock(), sleeper: sleeper() }
    }

    /// Waits until each miner is healthy, for at most the budget. Omits miners that are not healthy
    /// by then.
    async fn wait_for_healthy(&self, miners: Vec<TextMiner>) -> Vec<TextMiner> {
        if self.budget.is_zero() {
            return miners;
        }
        let checks = miners.into_iter().map(|miner| async move {
            let is_healthy = self.wait_until_healthy(&*miner.connection).await;
            if !is_healthy {
                tracing::warn!(uid = %miner.key.uid, "arena miner skipped: not healthy before the timeout");
            }
            is_healthy.then_some(miner)
        });
        join_all(checks).await.into_iter().flatten().collect()
    }

    async fn wait_until_healthy(&self, miner: &dyn TextConnection) -> bool {
        let start = (self.now)();
        loop {
            let remaining =
                self.budget.saturating_sub((self.now)().saturating_duration_since(start));
            if remaining.is_zero() {
                return false;
            }
            let check = miner.is_healthy(HEALTH_TIMEOUT.min(remaining));
            if tokio::time::timeout(remaining, check).await == Ok(true) {
                return true;
            }
            (self.sleeper)(CHECK_INTERVAL.min(remaining)).await;
        }
    }

    /// Extends the timeout of a miner's first prediction.
    fn with_startup_timeout(&self, miner: TextMiner) -> TextMiner {
        let connection = StartupConnection {
            miner: miner.connection,
            has_started: AtomicBool::new(self.budget.is_zero()),
            startup: self.clone(),
        };
        TextMiner { connection: Arc::new(connection), ..miner }
    }
}

impl std::fmt::Debug for Startup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Startup").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Source of an arena round's miners: those of the arena that become healthy.
pub struct TextArena {
    /// Function that lists the arena's miners.
    pub arena: ListArenaMiners<TextMiner>,
    /// Source of the registered miners.
    pub source: MinerSource,
    /// Source of the metagraph.
    pub chain: Arc<ChainView>,
    /// Time that the miners have to start.
    pub startup: Startup,
}

impl TextMiners for TextArena {
    fn miners(&self) -> BoxFuture<'_, Result<Vec<TextMiner>, RoundError>> {
        async {
            let registered = self.source.registered(&self.chain).await?;
            let miners = (self.arena)(registered).await?;
            let healthy = self.startup.wait_for_healthy(miners).await;
            Ok(healthy.into_iter().map(|miner| self.startup.with_startup_timeout(miner)).collect())
        }
        .boxed()
    }
}

/// A connection whose first call is retried until it has a prediction or the startup budget is used
/// up. A cancelled call leaves the budget to the next one.
struct StartupConnection {
    miner: Arc<dyn TextConnection>,
    startup: Startup,
    /// Whether the first call has ended.
    has_started: AtomicBool,
}

impl StartupConnection {
    async fn first_prediction(&self, request: &PredictedUtterance) -> Result<String, CallError> {
        let Startup { budget, request_timeout, now, sleeper } = &self.startup;
        let start = now();
        let mut remaining = *budget;
        loop {
            let error = match self.miner.predict(request, remaining.min(*request_timeout)).await {
                Ok(prediction) if !prediction.trim().is_empty() => return Ok(prediction),
                // A miner that is still loading its model predicts nothing.
                Ok(_) => CallError::Timeout(*budget),
                Err(CallError::Status { status, body }) if FINAL_STATUSES.contains(&status) => {
                    return Err(CallError::Status { status, body });
                }
                Err(error) => error,
            };
            remaining = budget
                .saturating_sub(now().saturating_duration_since(start))
                .saturating_sub(CHECK_INTERVAL);
            if remaining.is_zero() {
                return Err(error);
            }
            sleeper(CHECK_INTERVAL).await;
        }
    }
}

impl TextConnection for StartupConnection {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        async move {
            if self.has_started.load(Ordering::Relaxed) {
                return self.miner.predict(request, timeout).await;
            }
            let answer = self.first_prediction(request).await;
            self.has_started.store(true, Ordering::Relaxed);
            answer
        }
        .boxed()
    }

    fn is_healthy(&self, timeout: Duration) -> BoxFuture<'_, bool> {
        self.miner.is_healthy(timeout)
    }
}

#[cfg(test)]
mod tests;
