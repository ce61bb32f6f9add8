//! Routing and failover, up to the first chunk of an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use taonet_nineteen_core::period::RequestOutcome;
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_core::{KeyWeight, Task, TaskName};
use taonet_nineteen_store::Sample;
use taonet_nineteen_transport::FiberClient;
use taonet_primitives::Hotkey;
use taonet_service::{Clock, MonotonicClock};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::answer::Answer;
use crate::attempt::Attempt;
use crate::backlog::{Backlog, NoSlot, SlotRequest};
use crate::failure::{AttemptError, DisputedFailures, FailedAttempt};
use crate::metrics::AttemptMetrics;
use crate::prefix::PromptPrefix;
use crate::slot::Slot;
use crate::{Market, Payload, QueryDeadlines, QueueSettings, TaskMiners, metrics};

/// Maximum number of attempts of an organic request, without those that a miner rejected with
/// status 429.
const MAX_ATTEMPTS: usize = 5;

/// Share of the buyers' text requests whose miner does not depend on the prompt, even with prefix
/// affinity. They are sampled and replace synthetic requests.
const INDEPENDENT_SHARE: f64 = 1.0 / 8.0;

/// Origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A buyer's request.
    Organic,
    /// A synthetic request by the validator.
    Synthetic,
}

impl RequestKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Organic => "organic",
            Self::Synthetic => "synthetic",
        }
    }
}

/// A request to send to a miner.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the task.
    pub task: TaskName,
    /// JSON payload for the miner.
    pub payload: Payload,
    /// Whether the payload is a chat with images, which not all miners of a task may read.
    pub has_images: bool,
    /// Origin of the request.
    pub kind: RequestKind,
    /// Maximum number of content chunks; an answer with more counts as failed.
    pub max_chunks: usize,
    /// API key of an organic request, among which the queue is fair; empty for a synthetic one.
    pub key: Arc<str>,
    /// Weight of the API key in the queue.
    pub weight: KeyWeight,
    /// Whether the caller needs the complete answer at once. The request then fails over to another
    /// miner until the answer is complete, because nothing is delivered before.
    pub is_collected: bool,
    /// Whether the caller relays the log-probabilities of the answer's tokens. Otherwise they are
    /// not parsed, except for samples: every payload asks for them, because the checker needs them.
    pub relays_logprobs: bool,
    /// Maximum time that a buyer's request waits in the queue; `None` for that of
    /// [`QueueSettings`].
    pub max_wait: Option<Duration>,
    /// Hash of the buyer's `prompt_cache_key`. With [`Querier::set_prefix_affinity`], it selects
    /// the miner together with the beginning of the prompt.
    pub cache_key: Option<u64>,
    /// The tasks whose miners were asked before.
    pub earlier: EarlierTasks,
}

/// Tasks of an alias whose miners were asked before those of the current task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EarlierTasks {
    /// Time since the first of them was asked, which reduces the time for the complete answer.
    pub elapsed: Duration,
    /// Whether miners of one of them have failed at the request or refused it. A failure that the
    /// request may have caused then counts against a miner only if another one answers.
    pub have_failed: bool,
}

/// Counts of a request's failed attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// Number of attempts answered with HTTP 429.
    pub limited: usize,
    /// Number of other failures.
    pub failed: usize,
}

/// Why no miner answered a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum QueryError {
    /// The task is not offered.
    #[error("task {0} is not offered")]
    UnknownTask(TaskName),
    /// No miner has remaining capacity for the task.
    #[error("no miner has remaining capacity for {0}")]
    NoContender(TaskName),
    /// All miners are busy, and the request has waited too long or the queue is full.
    #[error("all miners are busy with {task}")]
    Busy {
        /// Name of the task.
        task: TaskName,
        /// Estimated time until a new request would be sent to a miner.
        #[serde(rename = "retry")]
        retry_after: Duration,
    },
    /// No query worker took the request, or NATS is unreachable.
    #[error("no query worker is free for {0}")]
    NoWorker(TaskName),
    /// All attempts were answered with 429, and no miner accepts requests soon.
    #[error("all attempts were rate-limited: the miners are at capacity")]
    Limited(Attempts),
    /// All attempts failed.
    #[error("all attempts failed; last error: {last}")]
    Failed {
        /// Counts of the failed attempts.
        attempts: Attempts,
        /// Error of the last attempt.
        last: String,
        /// HTTP status with which miners rejected the request as malformed: 400, 404, 413, 415 or
        /// 422.
        #[serde(rename = "refused")]
        rejection_status: Option<u16>,
        /// Whether the request itself may be the cause of a failure, so that other models may fail
        /// at it as well.
        #[serde(default)]
        is_disputed: bool,
    },
    /// The embeddings of two miners have the same number of dimensions, and not the requested one.
    #[error("the model's embeddings have {0} dimensions, and not as many as requested")]
    Dimensions(usize),
}

/// Sends requests to miners, with routing and failover. Clones share state.
#[derive(Clone)]
pub struct Querier {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: FiberClient,
    pub(crate) market: Market,
    pub(crate) deadlines: QueryDeadlines,
    /// Maximum number of requests in flight per miner, whatever it announces.
    pub(crate) max_running: usize,
    pub(crate) backlog: Backlog,
    pub(crate) attempt_metrics: AttemptMetrics,
    has_prefix_affinity: AtomicBool,
    pub(crate) clock: Clock,
    monotonic_clock: MonotonicClock,
    created_at: std::time::Instant,
    samples: mpsc::Sender<Sample>,
}

impl Inner {
    /// Returns the monotonic time since the querier was created, in seconds.
    pub(crate) fn now(&self) -> f64 {
        (self.monotonic_clock)().saturating_duration_since(self.created_at).as_secs_f64()
    }

    /// Returns the prefix of a buyer's prompt, if it selects the miner.
    fn prompt_prefix(&self, request: &Request, task: &Task) -> Option<PromptPrefix> {
        let uses_affinity =
            self.has_prefix_affinity.load(Ordering::Relaxed) && task.task_type == TaskType::Text;
        if uses_affinity && rand::random::<f64>() >= INDEPENDENT_SHARE {
            PromptPrefix::from_request(request)
        } else {
            None
        }
    }

    /// Returns the miners of a request's task that have refused images, if the request has images
    /// and not all of the miners have.
    fn miners_refusing_images(&self, request: &Request) -> Vec<Hotkey> {
        if !request.has_images {
            return Vec::new();
        }
        let period_miners = self.market.period_miners();
        let task_miners = period_miners
            .as_ref()
            .and_then(|period_miners| period_miners.task(request.task.as_str()));
        let contenders = task_miners.map(TaskMiners::contenders).unwrap_or_default();
        let refusing_miners =
            contenders.iter().filter(|contender| contender.refuses_images.load(Ordering::Relaxed));
        let refusing_miners: Vec<Hotkey> =
            refusing_miners.map(|contender| contender.offer.hotkey).collect();
        if refusing_miners.len() < contenders.len() { refusing_miners } else { Vec::new() }
    }

    pub(crate) fn queue_sample(&self, sample: Sample) {
        if self.samples.try_send(sample).is_err() {
            metrics::record_dropped_sample();
        }
    }
}

impl Querier {
    /// Creates a querier. `max_running` limits the requests in flight per miner, whatever it
    /// announces. `samples` is the queue of answers to check; while it is full, further answers are
    /// not queued.
    pub fn new(
        client: FiberClient,
        market: Market,
        deadlines: QueryDeadlines,
        max_running: usize,
        clocks: (Clock, MonotonicClock),
        samples: mpsc::Sender<Sample>,
    ) -> Self {
        let (clock, monotonic_clock) = clocks;
        let start = monotonic_clock();
        let backlog = Backlog::new(QueueSettings::default());
        Self {
            inner: Arc::new(Inner {
                client,
                market,
                deadlines,
                max_running,
                backlog,
                attempt_metrics: AttemptMetrics::default(),
                has_prefix_affinity: AtomicBool::new(false),
                clock,
                monotonic_clock,
                created_at: start,
                samples,
            }),
        }
    }

    /// Sets the limits of the queue of buyers' requests. Has no effect once the querier has been
    /// cloned.
    #[must_use]
    pub fn with_queue(mut self, settings: QueueSettings) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.backlog = Backlog::new(settings);
        }
        self
    }

    /// Sets whether buyers' text requests whose prompts begin alike, with at least 1 KiB, are sent
    /// to the same miner.
    ///
    /// A buyer who is also a miner could send requests with known answers to itself. So these
    /// requests do not replace synthetic requests, and an answer is sampled only as often as the
    /// miner would get the request without affinity. One of 8 requests goes to any miner, as
    /// without affinity.
    pub fn set_prefix_affinity(&self, has_prefix_affinity: bool) {
        self.inner.has_prefix_affinity.store(has_prefix_affinity, Ordering::Relaxed);
    }

    /// Returns the number of buyers' requests for a task that wait for a miner.
    pub fn queued(&self, task: &str) -> usize {
        self.inner.backlog.len(task)
    }

    /// Returns how many more buyers' requests can be in flight.
    pub(crate) fn free_permits(&self) -> usize {
        self.inner.backlog.in_flight_permits.available_permits()
    }

    /// Returns the handle to the market's open period.
    pub fn market(&self) -> &Market {
        &self.inner.market
    }

    /// Returns whether any miner can accept an organic request for a task now.
    pub fn is_served(&self, task: &str) -> bool {
        let now = self.inner.now();
        self.inner.market.period_miners().is_some_and(|period_miners| {
            period_miners.task(task).is_some_and(|task_miners| task_miners.is_served(now))
        })
    }

    /// Sends a request; returns the answer once its first chunk has arrived, or, of a collected
    /// request, once it is complete. While no miner has a free slot, a buyer's request waits in the
    /// queue.
    ///
    /// # Errors
    /// [`QueryError`] when the task is not offered, or no miner answers.
    pub async fn query(&self, request: Request) -> Result<Answer, QueryError> {
        let period_miners = self.inner.market.period_miners();
        let period_miners =
            period_miners.ok_or_else(|| QueryError::UnknownTask(request.task.clone()))?;
        let task_miners = period_miners.task(request.task.as_str());
        let task_miners =
            task_miners.ok_or_else(|| QueryError::UnknownTask(request.task.clone()))?;
        match request.kind {
            RequestKind::Organic => {
                self.inner.market.count_buyers_request();
                let prefix = self.inner.prompt_prefix(&request, &task_miners.task);
                if prefix.is_none() {
                    task_miners.spend();
                }
                drop(period_miners);
                self.query_miners(&request, prefix).await
            }
            RequestKind::Synthetic => self.query_synthetic(&request).await,
        }
    }

    /// Sends a synthetic request to one miner with a free slot. If the miner rejects it and was
    /// free to do so, repeats it in a slot in which the miner must accept it: otherwise, a miner
    /// could avoid synthetic requests by rejecting those that exceed its announcement.
    async fn query_synthetic(&self, request: &Request) -> Result<Answer, QueryError> {
        let inner = &self.inner;
        let mut slot = Slot::acquire_synthetic(inner, &request.task).await;
        let mut is_first = true;
        let mut last_error = None;
        while let Some(free_slot) = slot.take() {
            let attempt = Attempt::new(inner, request, free_slot, &Arc::default());
            let deadline = Instant::now() + inner.deadlines.max_total;
            let failure = match attempt.start(request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if std::mem::take(&mut is_first) && failure.is_excused {
                slot = Slot::acquire_repeated(inner, &request.task, &failure.hotkey).await;
            }
            last_error = Some(failure.error);
        }
        let error = last_error.ok_or_else(|| QueryError::NoContender(request.task.clone()))?;
        let mut attempts = Attempts::default();
        attempts.count(&error);
        Err(query_failure(attempts, &error, false))
    }

    /// Sends a buyer's request to one miner after the other, until one answers.
    async fn query_miners(
        &self,
        request: &Request,
        prefix: Option<PromptPrefix>,
    ) -> Result<Answer, QueryError> {
        let inner = &self.inner;
        let mut slot_request = SlotRequest::new(inner, request, prefix);
        let remaining_time = inner.deadlines.max_total.saturating_sub(request.earlier.elapsed);
        let deadline = Instant::now() + remaining_time;
        let (mut attempts, mut last_error) = (Attempts::default(), None::<AttemptError>);
        // Number of dimensions of two miners' embeddings.
        let mut dimensions = None;
        // Miners that are excluded, followed by those of the failed and running attempts.
        let mut tried = inner.miners_refusing_images(request);
        let excluded_count = tried.len();
        let mut disputed = DisputedFailures::new(request.earlier.have_failed);
        let mut running = FuturesUnordered::new();
        let mut hedge_timer = std::pin::pin!(None);
        let mut has_first_chunk = Arc::new(AtomicBool::new(false));
        let has_answer = Arc::new(AtomicBool::new(false));
        let no_slot = loop {
            if running.is_empty() {
                if tried.len() >= excluded_count + MAX_ATTEMPTS || Instant::now() >= deadline {
                    break NoSlot::NoMiner;
                }
                let slot = match inner.acquire_slot(&mut slot_request, &tried, deadline).await {
                    Ok(slot) => slot,
                    Err(no_slot) => break no_slot,
                };
                if tried.len() == excluded_count {
                    hedge_timer.set(inner.deadlines.hedge.map(tokio::time::sleep));
                }
                tried.push(slot.contender.offer.hotkey);
                let attempt = Attempt::new(inner, request, slot, &has_answer);
                has_first_chunk = attempt.first_chunk_flag();
                running.push(attempt.start(request, deadline));
            }
            let outcome = tokio::select! {
                biased;
                outcome = running.next() => outcome,
                // The first attempt is slow: start another one; the faster one wins.
                () = wait_for_timer(hedge_timer.as_mut()) => {
                    hedge_timer.set(None);
                    // A collected answer may have begun.
                    if has_first_chunk.load(Ordering::Relaxed)
                        || tried.len() >= excluded_count + MAX_ATTEMPTS
                    {
                        continue;
                    }
                    // Queued requests have no slot at all, so they come first.
                    let is_queued = inner.backlog.has_queue(&request.task);
                    let slot = if is_queued {
                        None
                    } else {
                        inner.try_acquire_slot(&mut slot_request, &tried)
                    };
                    if let Some(slot) = slot {
                        metrics::record_hedge();
                        tried.push(slot.contender.offer.hotkey);
                        running.push(Attempt::new(inner, request, slot, &has_answer).start(request, deadline));
                    }
                    continue;
                }
            };
            match outcome {
                None => {}
                // Dropping the other attempts cancels them.
                Some(Ok(answer)) => {
                    disputed.count_all();
                    return Ok(answer);
                }
                Some(Err(FailedAttempt { error, disputed: failure, hotkey, .. })) => {
                    attempts.count(&error);
                    tracing::debug!(task = %request.task, %error, "attempt failed");
                    // The miner is busy, and may accept the request later.
                    if error.outcome() == RequestOutcome::RateLimited {
                        tried.retain(|tried| *tried != hotkey);
                        continue;
                    }
                    if let (
                        Some(AttemptError::WrongDimensions(first)),
                        AttemptError::WrongDimensions(second),
                    ) = (&last_error, &error)
                        && first == second
                    {
                        dimensions = Some(*second);
                    }
                    last_error = Some(error);
                    if let Some(failure) = failure {
                        disputed.push(failure);
                    }
                    if disputed.show_request_fault() {
                        break NoSlot::NoMiner;
                    }
                }
            }
        };
        let is_disputed = disputed.may_be_request_fault();
        disputed.count_first();
        if let Some(dimensions) = dimensions {
            return Err(QueryError::Dimensions(dimensions));
        }
        // If the miners that the request has not tried are busy, those that have failed are the
        // cause.
        Err(match (last_error, no_slot) {
            (Some(last), _) => query_failure(attempts, &last, is_disputed),
            (None, NoSlot::Busy(retry_after)) => {
                QueryError::Busy { task: request.task.clone(), retry_after }
            }
            (None, NoSlot::NoMiner) if attempts.limited > 0 => QueryError::Limited(attempts),
            (None, NoSlot::NoMiner) => QueryError::NoContender(request.task.clone()),
        })
    }

    /// Returns the timeouts of the first chunk and between two chunks.
    pub(crate) fn timeouts(inner: &Inner, task_timeout: Duration) -> (Duration, Duration) {
        let QueryDeadlines { first_chunk, between_chunks, .. } = inner.deadlines;
        (first_chunk.unwrap_or(task_timeout), between_chunks.unwrap_or(task_timeout))
    }
}

impl std::fmt::Debug for Querier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Querier").field("market", &self.inner.market).finish_non_exhaustive()
    }
}

impl Attempts {
    fn count(&mut self, error: &AttemptError) {
        match error.outcome() {
            RequestOutcome::RateLimited => self.limited += 1,
            _ => self.failed += 1,
        }
    }
}

/// Returns why a request failed, after attempts of which the last one ended with `last`.
fn query_failure(attempts: Attempts, last: &AttemptError, is_disputed: bool) -> QueryError {
    if attempts.failed == 0 {
        return QueryError::Limited(attempts);
    }
    QueryError::Failed {
        attempts,
        last: last.to_string(),
        rejection_status: last.rejection_status(),
        is_disputed,
    }
}

/// Waits until the timer expires, or forever without one.
async fn wait_for_timer(timer: Pin<&mut Option<Sleep>>) {
    match timer.as_pin_mut() {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}
