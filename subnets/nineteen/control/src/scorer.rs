//! Worker that checks stored answers.

use std::time::Duration;

use rand::Rng as _;
use serde_json::{Map, Value};
use taonet_nineteen_checker::{CheckError, CheckResult, Reference};
use taonet_nineteen_core::routing::Ewma;
use taonet_nineteen_core::sampling::{pick_task, retry_delay};
use taonet_nineteen_core::work::speed;
use taonet_nineteen_core::{MarketConfig, Task};
use taonet_nineteen_query::Market;
use taonet_nineteen_store::{Reward, Sample, Store, StoreError};
use taonet_service::{Clock, Shutdown, unix_millis};
use tokio::time::Instant;

use crate::{MarketFile, References, metrics};

/// Poll interval while no answer is queued.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Checks stored answers one after the other.
pub struct Scorer {
    store: Store,
    market: MarketFile,
    live_market: Market,
    references: References,
    clock: Clock,
}

impl Scorer {
    /// Creates a scorer. The qualities of checked answers also update the miners' qualities in
    /// `live_market`, which determine the routing of organic requests.
    pub const fn new(
        store: Store,
        market: MarketFile,
        live_market: Market,
        references: References,
        clock: Clock,
    ) -> Self {
        Self { store, market, live_market, references, clock }
    }

    /// Checks answers until shutdown. Retries failed checks with increasing backoff.
    pub async fn run(&self, shutdown: &Shutdown) {
        let mut failures = 0_u32;
        loop {
            let delay = match self.check_next().await {
                Ok(true) => {
                    failures = 0;
                    Duration::ZERO
                }
                Ok(false) => POLL_INTERVAL,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        failures,
                        "failed to check an answer; retrying"
                    );
                    retry_delay(failures)
                }
            };
            if !shutdown.sleep(delay).await {
                return;
            }
        }
    }

    /// Checks one stored answer. Returns `false` when no queued answer belongs to a task with a
    /// reference.
    ///
    /// # Errors
    /// [`ScoreError`] when the check or the database fails; the answer stays in the queue. If a
    /// retry of the check would fail again, the answer is removed from the queue without a quality
    /// instead.
    pub async fn check_next(&self) -> Result<bool, ScoreError> {
        let config = self.market.current();
        let sample_counts = self.store.samples_by_task().await?;
        let checkable = sample_counts.iter().filter_map(|(name, count)| {
            let task = config.task(name.as_str())?;
            Some((task, self.references.for_task(task)?, *count))
        });
        let checkable: Vec<_> = checkable.collect();
        let counts: Vec<_> = checkable.iter().map(|(_, _, count)| *count).collect();
        let draw = rand::rng().random();
        let picked_task = pick_task(&counts, draw).and_then(|index| checkable.get(index));
        let Some((task, reference, _)) = picked_task else { return Ok(false) };
        let name = &task.task;
        let Some(sample) = self.store.next_sample(name).await? else { return Ok(false) };
        let start = Instant::now();
        let (quality, reason) = match check(task, reference, &sample, &config).await {
            Ok(CheckResult { quality, reason }) => (quality, reason),
            // A retry would fail again, and block the checks of all other answers.
            Err(error) if error.is_final() => {
                tracing::warn!(error = &error as &dyn std::error::Error, task = %name, uid = %sample.uid, "answer not checked");
                (None, error.to_string())
            }
            Err(error) => {
                metrics::record_check(name.as_str(), "error", start.elapsed());
                return Err(error.into());
            }
        };
        metrics::record_check(
            name.as_str(),
            if quality.is_some() { "checked" } else { "unchecked" },
            start.elapsed(),
        );
        let now_ms = unix_millis((self.clock)());
        let metric = speed(sample.work, sample.response_time);
        tracing::debug!(task = %name, uid = %sample.uid, quality, reason, "answer checked");
        self.store
            .put_reward(&sample, &Reward { quality, metric, reason, created_ms: now_ms })
            .await?;
        self.update_routing_quality(&sample, quality);
        Ok(true)
    }

    /// Updates the miner's quality for the routing of organic requests, and enables sampling of the
    /// task again.
    fn update_routing_quality(&self, sample: &Sample, quality: Option<f64>) {
        let Some(period_miners) = self.live_market.period_miners() else { return };
        let Some(task_miners) = period_miners.task(sample.task.as_str()) else { return };
        task_miners.set_keeps_samples(true);
        let contender = task_miners
            .contenders()
            .iter()
            .find(|contender| contender.offer.hotkey == sample.hotkey);
        if let (Some(contender), Some(quality)) = (contender, quality) {
            let mut average = Ewma::with_initial(contender.quality());
            average.push(quality);
            contender.set_quality(average.get());
        }
    }
}

async fn check(
    task: &Task,
    reference: &Reference,
    sample: &Sample,
    config: &MarketConfig,
) -> Result<CheckResult, CheckError> {
    let request: Map<String, Value> = serde_json::from_str(&sample.request)
        .map_err(|_| CheckError::MalformedSample("request is not a JSON object"))?;
    let answer: Vec<Value> = serde_json::from_str(&sample.answer)
        .map_err(|_| CheckError::MalformedSample("answer is not a JSON array"))?;
    let draw = |count: usize| rand::rng().random_range(0..count.max(1));
    reference.check(task.endpoint, &request, &answer, config.scoring_profile, draw).await
}

/// Why the check of an answer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The check failed.
    #[error(transparent)]
    Check(#[from] CheckError),
}
