//! Queue in NATS between entry processes and query workers.
//!
//! ```text
//! entry  ── job: its inbox ──────────────▶ JetStream, one work queue per market
//! worker ◀─ one worker pulls the job ────── │ not acknowledged before the first chunk: redelivered if the worker dies
//! worker ── Take ────────────────────────▶ the entry's inbox
//! entry  ── the request ─────────────────▶ the worker's inbox
//! worker ── chunks, Alive, End ──────────▶ the entry's inbox, at most a window ahead of the entry's credit
//! entry  ── credit ──────────────────────▶ the worker's inbox
//! ```
//!
//! JetStream stores only the job, in memory; requests and answers are plain messages between two
//! inboxes. Each message from the worker names the worker's inbox as its reply subject. If the
//! entry no longer exists, because the buyer disconnected or the process exited, NATS reports "no
//! responders" to that inbox, and the worker cancels the miner's work. Frames are numbered: a lost
//! message interrupts the answer instead of corrupting it.
//!
//! The job alone goes through JetStream, because workers then take only as many as they have
//! capacity for, and dead workers are detected; it stores no large or private data. Entry processes
//! and workers read a period's tasks from the database: copies of the task file could differ
//! between machines, and with them the prices.

mod frame;
mod remote;
#[cfg(feature = "testing")]
pub(crate) mod testing;
mod worker;

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Config as ConsumerConfig;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, RetentionPolicy, StorageType, Stream,
};
use async_nats::{Client, ConnectOptions};
use serde::{Deserialize, Serialize};
use taonet_nineteen_core::{KeyWeight, TaskName};
use taonet_nineteen_store::{Store, StoreError};

use crate::{EarlierTasks, Payload, Request};

pub use remote::{RemoteAnswer, Workers};
pub use worker::Worker;

/// Timeout of a connection attempt, and of each request to JetStream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between pings, which detect half-open connections.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between a worker's heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Time after a worker's last progress acknowledgement after which JetStream redelivers the job to
/// another worker.
const REDELIVERY_DELAY: Duration = Duration::from_secs(3);
/// Maximum number of deliveries of a job, so that a request that crashes its worker is not retried
/// forever.
const MAX_DELIVERIES: i64 = 3;
/// Maximum age of a job. Entry processes time out earlier.
const MAX_JOB_AGE: Duration = Duration::from_mins(1);
/// Maximum number of queued jobs, beyond which entry processes reject requests.
const MAX_JOBS: i64 = 10_000;
/// Maximum number of chunks that a worker sends ahead of the entry.
const MAX_UNREAD_CHUNKS: u64 = 64;

/// Why an operation on the queue failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The connection to NATS failed.
    #[error("cannot connect to NATS; hint: check NATS_URL, and that the server runs")]
    Connect(#[source] async_nats::ConnectError),
    /// JetStream refused a request.
    #[error("NATS JetStream failed; hint: start nats-server with --jetstream")]
    JetStream(#[source] async_nats::Error),
    /// NATS did not respond.
    #[error("NATS did not respond within {0:?}")]
    TimedOut(Duration),
    /// The database, which names the queue, failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl QueueError {
    fn jetstream(error: impl Into<async_nats::Error>) -> Self {
        Self::JetStream(error.into())
    }
}

/// A connection to the queue of one market. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    context: Context,
    name: String,
}

impl Queue {
    /// Connects to the queue of the market in `store`; creates the queue if missing. The client
    /// reconnects when NATS restarts.
    ///
    /// # Errors
    /// [`QueueError`] when NATS is unreachable or has no JetStream, or when the database fails.
    pub async fn connect(url: &str, store: &Store) -> Result<Self, QueueError> {
        let options = ConnectOptions::new()
            .name("taonet")
            .connection_timeout(REQUEST_TIMEOUT)
            .ping_interval(PING_INTERVAL);
        let client = with_timeout(options.connect(url)).await?.map_err(QueueError::Connect)?;
        let name = format!("NINETEEN_{}", store.market_id().await?);
        let queue = Self { context: async_nats::jetstream::new(client.clone()), client, name };
        queue.stream().await?;
        Ok(queue)
    }

    fn subject(&self) -> String {
        format!("{}.jobs", self.name.to_lowercase())
    }

    /// Returns the stream of jobs; creates it if missing. The stream is in memory and is lost when
    /// NATS restarts.
    async fn stream(&self) -> Result<Stream, QueueError> {
        let config = StreamConfig {
            name: self.name.clone(),
            description: Some("buyers' requests for Nineteen's query workers".to_owned()),
            subjects: vec![self.subject()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::Memory,
            discard: DiscardPolicy::New,
            max_messages: MAX_JOBS,
            max_age: MAX_JOB_AGE,
            num_replicas: 1,
            ..StreamConfig::default()
        };
        with_timeout(self.context.get_or_create_stream(config))
            .await?
            .map_err(QueueError::jetstream)
    }

    /// Returns the consumer that all workers share.
    async fn consumer(&self) -> Result<PullConsumer, QueueError> {
        let config = ConsumerConfig {
            durable_name: Some("workers".to_owned()),
            ack_wait: REDELIVERY_DELAY,
            max_deliver: MAX_DELIVERIES,
            max_ack_pending: MAX_JOBS,
            ..ConsumerConfig::default()
        };
        let consumer =
            with_timeout(self.stream().await?.get_or_create_consumer("workers", config)).await?;
        consumer.map_err(QueueError::jetstream)
    }

    /// Queues a job, whose payload is the subject of the entry's inbox.
    async fn publish(&self, inbox: &str) -> Result<(), QueueError> {
        let result =
            with_timeout(self.context.publish(self.subject(), inbox.to_owned().into())).await?;
        let result = result.map_err(QueueError::jetstream)?;
        with_timeout(result.into_future()).await?.map(drop).map_err(QueueError::jetstream)
    }
}

/// A buyer's request, as sent to a worker.
#[derive(Debug, Serialize, Deserialize)]
struct JobRequest {
    task: TaskName,
    payload: Payload,
    #[serde(rename = "most_chunks")]
    max_chunks: usize,
    relays_logprobs: bool,
    // The following fields are absent in requests of entry processes of earlier releases.
    #[serde(default)]
    key: String,
    #[serde(default)]
    weight: KeyWeight,
    #[serde(default)]
    is_collected: bool,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_wait: Option<u64>,
    #[serde(default)]
    has_images: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_key: Option<u64>,
    #[serde(default)]
    earlier: EarlierTasks,
}

impl JobRequest {
    fn from_request(request: Request) -> Self {
        let max_wait =
            request.max_wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Self {
            task: request.task,
            payload: request.payload,
            max_chunks: request.max_chunks,
            relays_logprobs: request.relays_logprobs,
            key: request.key.to_string(),
            weight: request.weight,
            is_collected: request.is_collected,
            max_wait,
            has_images: request.has_images,
            cache_key: request.cache_key,
            earlier: request.earlier,
        }
    }
}

async fn with_timeout<T>(operation: impl Future<Output = T>) -> Result<T, QueueError> {
    tokio::time::timeout(REQUEST_TIMEOUT, operation)
        .await
        .map_err(|_| QueueError::TimedOut(REQUEST_TIMEOUT))
}

#[cfg(test)]
mod tests;
