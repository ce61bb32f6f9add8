//! Checks of stored answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use serde_json::{Map, Value};
use taonet_nineteen_checker::{CheckError, Checked, ReferenceModel, check_text};
use taonet_nineteen_core::routing::Ewma;
use taonet_nineteen_core::sampling::{pause, pick_task};
use taonet_nineteen_core::task::CheckingFunction;
use taonet_nineteen_core::work::metric;
use taonet_nineteen_core::{Task, TaskName};
use taonet_nineteen_query::Market;
use taonet_nineteen_store::{Reward, Sample, Store, StoreError};
use taonet_service::{Clock, Shutdown, unix_time};

use crate::{MarketFile, measures};

/// Poll interval while no answer is queued.
const IDLE: Duration = Duration::from_millis(500);

/// Reference models by task.
#[derive(Clone, Default)]
pub struct References {
    by_task: HashMap<TaskName, Arc<dyn ReferenceModel>>,
    others: Option<Arc<dyn ReferenceModel>>,
}

impl References {
    /// Uses one model for all tasks.
    pub fn for_all(model: Arc<dyn ReferenceModel>) -> Self {
        Self { by_task: HashMap::new(), others: Some(model) }
    }

    /// Sets the model for one task.
    #[must_use]
    pub fn with(mut self, task: TaskName, model: Arc<dyn ReferenceModel>) -> Self {
        self.by_task.insert(task, model);
        self
    }

    /// Returns the model that checks a task.
    pub fn of(&self, task: &TaskName) -> Option<&Arc<dyn ReferenceModel>> {
        self.by_task.get(task).or(self.others.as_ref())
    }
}

/// Checks stored answers one after the other.
pub struct Scorer {
    store: Store,
    market: MarketFile,
    floor: Market,
    references: References,
    clock: Clock,
}

impl Scorer {
    /// Creates a scorer. Its results also update the routing of `floor`.
    pub const fn new(store: Store, market: MarketFile, floor: Market, references: References, clock: Clock) -> Self {
        Self { store, market, floor, references, clock }
    }

    /// Checks answers until shutdown. Failed checks are retried with increasing backoff.
    pub async fn run(&self, shutdown: &Shutdown) {
        let mut failures = 0_u32;
        loop {
            let rest = match self.check_next().await {
                Ok(true) => {
                    failures = 0;
                    Duration::ZERO
                }
                Ok(false) => IDLE,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        failures,
                        "failed to check an answer; retrying"
                    );
                    pause(failures)
                }
            };
            if shutdown.is_requested() {
                return;
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Checks one stored answer. Returns `false` when the queue has none that can be checked.
    ///
    /// # Errors
    /// [`ScoreError`]; the answer stays in the queue.
    pub async fn check_next(&self) -> Result<bool, ScoreError> {
        let config = self.market.current();
        let stored = self.store.samples_by_task().await?;
        let stored: Vec<_> = stored.into_iter().filter(|(task, _)| self.references.of(task).is_some()).collect();
        let counts: Vec<_> = stored.iter().map(|(_, count)| *count).collect();
        let draw = rand::rng().random();
        let Some((name, _)) = pick_task(&counts, draw).and_then(|place| stored.get(place)) else { return Ok(false) };
        let Some(sample) = self.store.next_sample(name).await? else { return Ok(false) };
        let (Some(task), Some(model)) = (config.task(name.as_str()), self.references.of(name)) else {
            return Ok(false);
        };
        let began = Instant::now();
        let checked = match self.check(task, model.as_ref(), &sample, &config).await {
            Ok(checked) => checked,
            Err(error) => {
                measures::check(name.as_str(), "error", began.elapsed());
                return Err(error.into());
            }
        };
        let quality = checked.as_ref().map(|checked| checked.quality);
        measures::check(name.as_str(), if quality.is_some() { "checked" } else { "unchecked" }, began.elapsed());
        let reason = checked.map_or_else(|| "no check for this kind of task".to_owned(), |checked| checked.reason);
        let now = i64::try_from(unix_time((self.clock)()).as_millis()).unwrap_or(i64::MAX);
        let metric = metric(sample.work, sample.response_time);
        tracing::debug!(task = %name, uid = %sample.uid, quality, reason, "answer checked");
        self.store.put_reward(&sample, &Reward { quality, metric, reason, created_ms: now }).await?;
        self.steer(&sample, quality);
        Ok(true)
    }

    async fn check(
        &self,
        task: &Task,
        model: &dyn ReferenceModel,
        sample: &Sample,
        config: &taonet_nineteen_core::MarketConfig,
    ) -> Result<Option<Checked>, CheckError> {
        if task.orchestrator_server_config.checking_function != CheckingFunction::CheckTextResult {
            return Ok(None);
        }
        let request: Map<String, Value> =
            serde_json::from_str(&sample.request).map_err(|_| CheckError::Sample("request is no object"))?;
        let chunks: Vec<Value> =
            serde_json::from_str(&sample.answer).map_err(|_| CheckError::Sample("answer is no array"))?;
        let draw = |count: usize| rand::rng().random_range(0..count.max(1));
        check_text(model, task.endpoint, &request, &chunks, config.scoring_profile, draw).await.map(Some)
    }

    /// Updates the quality that routes organic requests, and enables sampling for the task again.
    fn steer(&self, sample: &Sample, quality: Option<f64>) {
        let Some(roster) = self.floor.roster() else { return };
        let Some(floor) = roster.floor(sample.task.as_str()) else { return };
        floor.set_keeps_samples(true);
        let found = floor.contenders().iter().find(|contender| contender.offer.hotkey == sample.hotkey);
        if let (Some(contender), Some(quality)) = (found, quality) {
            let mut average = Ewma::expecting(contender.quality());
            average.push(quality);
            contender.set_quality(average.get());
        }
    }
}

/// Failure to check an answer.
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
