//! Routing and failover, up to the first chunk of an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taonet_nineteen_core::TaskName;
use taonet_nineteen_core::period::RequestOutcome;
use taonet_nineteen_store::Sample;
use taonet_nineteen_transport::FiberClient;
use taonet_service::{Clock, MonotonicClock};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::answer::{Answer, Attempt, FailedAttempt};
use crate::{Market, QueryDeadlines, measures};

/// Maximum number of attempts of an organic request.
const ATTEMPTS: usize = 5;

/// Number of miners that must reject a buyer's request as malformed until the request is at fault.
const REJECTIONS: usize = 2;

/// Number of miners that must fail at a buyer's request, as their model's server did, until the request is at fault. More
/// than rejections, because servers also fail by themselves.
const SERVER_ERRORS: usize = 3;

/// Origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A buyer's request.
    Organic,
    /// A test request by the validator.
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
    pub payload: Map<String, Value>,
    /// Origin of the request.
    pub kind: RequestKind,
    /// Maximum number of content chunks; an answer with more counts as failed.
    pub most_chunks: usize,
    /// Whether the caller relays the log-probabilities of the answer's tokens. Otherwise they are not parsed, except for
    /// samples: every payload asks for them, because the checker needs them.
    pub relays_logprobs: bool,
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
    /// No query worker took the request, or NATS is unreachable.
    #[error("no query worker is free for {0}")]
    NoWorker(TaskName),
    /// All attempts were answered with 429.
    #[error("all attempts were rate-limited: the miners are at capacity")]
    Limited(Attempts),
    /// All attempts failed.
    #[error("all attempts failed; last error: {last}")]
    Failed {
        /// Counts of the failed attempts.
        attempts: Attempts,
        /// Error of the last attempt.
        last: String,
        /// HTTP status with which miners rejected the request as malformed: 400, 404, 413 or 422.
        refused: Option<u16>,
    },
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
    /// Maximum number of requests in flight per contender.
    pub(crate) most_running: usize,
    pub(crate) clock: Clock,
    monotonic: MonotonicClock,
    began: Instant,
    samples: mpsc::Sender<Sample>,
}

impl Inner {
    /// Returns the monotonic time since the querier was created, in seconds.
    pub(crate) fn now(&self) -> f64 {
        (self.monotonic)().saturating_duration_since(self.began).as_secs_f64()
    }

    pub(crate) fn keep(&self, sample: Sample) {
        if self.samples.try_send(sample).is_err() {
            measures::sample_dropped();
        }
    }
}

impl Querier {
    /// Creates a querier. `samples` is the queue of answers to check; while it is full, further answers are not queued.
    pub fn new(
        client: FiberClient,
        market: Market,
        deadlines: QueryDeadlines,
        most_running: usize,
        clocks: (Clock, MonotonicClock),
        samples: mpsc::Sender<Sample>,
    ) -> Self {
        let (clock, monotonic) = clocks;
        let began = monotonic();
        Self { inner: Arc::new(Inner { client, market, deadlines, most_running, clock, monotonic, began, samples }) }
    }

    /// Returns the handle to the market's open period.
    pub fn market(&self) -> &Market {
        &self.inner.market
    }

    /// Returns whether any miner can accept an organic request for a task now.
    pub fn is_served(&self, task: &str) -> bool {
        let now = self.inner.now();
        self.inner.market.roster().is_some_and(|roster| roster.floor(task).is_some_and(|floor| floor.is_served(now)))
    }

    /// Sends a request; returns the answer once its first chunk has arrived.
    ///
    /// # Errors
    /// [`QueryError`] when the task is not offered, or no miner answers.
    pub async fn ask(&self, request: Request) -> Result<Answer, QueryError> {
        let unknown = || QueryError::UnknownTask(request.task.clone());
        let roster = self.inner.market.roster().ok_or_else(unknown)?;
        let floor = roster.floor(request.task.as_str()).ok_or_else(unknown)?;
        let (order, most, sent) = match request.kind {
            RequestKind::Organic => {
                floor.spend();
                (floor.for_organic(self.inner.now(), rand::random), ATTEMPTS, 0.0)
            }
            RequestKind::Synthetic => (floor.for_synthetic(), 1, floor.task.volume_to_requests_conversion),
        };
        let mut tried = 0;
        let mut order = order.into_iter();
        // Starts an attempt at the next contender with a free slot.
        let mut start = || {
            if tried == most {
                return None;
            }
            // Skip miners with the maximum number of requests in flight.
            let contender = order.find(|contender| contender.enter(self.inner.most_running, sent))?;
            tried += 1;
            let attempt = Attempt::new(&self.inner, &roster, floor, &request, contender);
            Some(attempt.start(&request))
        };
        let (mut attempts, mut last, mut refused) = (Attempts::default(), None, None);
        // Attempts whose failure the request itself may have caused. One miner may fail at a valid request; if several do,
        // the request is at fault, and none of them: otherwise buyers could lower the miners' scores, and close the market
        // for others.
        let (mut disputed, mut rejections) = (Vec::new(), 0);
        let mut running: FuturesUnordered<_> = start().into_iter().collect();
        let hedge = self.inner.deadlines.hedge.filter(|_| request.kind == RequestKind::Organic);
        let mut hedge = std::pin::pin!(hedge.map(tokio::time::sleep));
        loop {
            let ended = tokio::select! {
                biased;
                ended = running.next() => ended,
                // The first attempt is slow: start another one; the faster one wins.
                () = expired(hedge.as_mut()) => {
                    hedge.set(None);
                    if let Some(second) = start() {
                        measures::hedged();
                        running.push(second);
                    }
                    continue;
                }
            };
            match ended {
                None => break,
                // Dropping the other attempts cancels them.
                Some(Ok(answer)) => {
                    disputed.into_iter().for_each(Attempt::fail);
                    return Ok(answer);
                }
                Some(Err(FailedAttempt { error, disputed: attempt })) => {
                    match error.outcome() {
                        RequestOutcome::RateLimited => attempts.limited += 1,
                        _ => attempts.failed += 1,
                    }
                    refused = error.refused();
                    tracing::debug!(task = %request.task, %error, "attempt failed");
                    last = Some(error);
                    rejections += usize::from(refused.is_some());
                    disputed.extend(attempt);
                    if rejections == REJECTIONS || disputed.len() == SERVER_ERRORS {
                        break;
                    }
                    if running.is_empty() {
                        running.extend(start());
                    }
                }
            }
        }
        if disputed.len() == 1 {
            disputed.into_iter().for_each(Attempt::fail_alone);
        }
        Err(match last {
            None => QueryError::NoContender(request.task.clone()),
            Some(_) if attempts.failed == 0 => QueryError::Limited(attempts),
            Some(last) => QueryError::Failed { attempts, last: last.to_string(), refused },
        })
    }

    /// Returns the timeouts of the first chunk and between two chunks.
    pub(crate) fn timeouts(inner: &Inner, contender_timeout: Duration) -> (Duration, Duration) {
        let QueryDeadlines { first, between, .. } = inner.deadlines;
        (first.unwrap_or(contender_timeout), between.unwrap_or(contender_timeout))
    }
}

impl std::fmt::Debug for Querier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Querier").field("market", &self.inner.market).finish_non_exhaustive()
    }
}

/// Waits until the timer expires, or forever without one.
async fn expired(timer: Pin<&mut Option<Sleep>>) {
    match timer.as_pin_mut() {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}
