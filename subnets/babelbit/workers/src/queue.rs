//! The job queue on NATS JetStream; no other module uses `async-nats`.
//!
//! A work-queue stream has one subject per job and at most one message per subject, so JetStream
//! rejects a duplicate while the first message is pending. A durable pull consumer per recogniser
//! delivers each message to one worker.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::{Batch, Config as ConsumerConfig};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, RawMessageErrorKind, RetentionPolicy, StorageType,
    Stream,
};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt as _;
use taonet_babelbit_scorer::{AudioHash, EngineIdentity};

use crate::error::QueueError;
use crate::job::{Job, JobId, recognizer_group};
use crate::services::JobTiming;

/// Name of the stream.
const STREAM: &str = "BABELBIT_STT";
/// Prefix of all subjects.
const SUBJECT_PREFIX: &str = "babelbit.stt";
/// Prefix of the names of consumers; a recogniser's group follows.
const CONSUMER_PREFIX: &str = "stt-";
/// Group of the jobs of recognisers without a consumer: no worker has run with these recognisers
/// for [`CONSUMER_EXPIRY`].
const NO_WORKER: &str = "none";
/// Timeout of the connection setup, and of each request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of pings, which detect a half-open connection.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum time that a pull request waits for messages.
const PULL_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum age of a message; a runner that still needs an expired job publishes it again.
const MAX_MESSAGE_AGE: Duration = Duration::from_hours(24);
/// Maximum size of the stream: about 100 000 jobs.
const MAX_STREAM_BYTES: i64 = 64 << 20;
/// Time after which NATS deletes the consumer of a recogniser with which no worker runs any more.
const CONSUMER_EXPIRY: Duration = Duration::from_hours(30 * 24);
/// Maximum number of unacknowledged jobs of all workers with the same recogniser.
const MAX_IN_FLIGHT: i64 = 10_000;

/// A connection to the queue of one recogniser.
pub(crate) struct Queue {
    context: Context,
    stream: Stream,
    group: String,
}

/// State of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueDepth {
    /// Number of jobs of this recogniser that are queued or in progress.
    pub(crate) jobs: u64,
    /// Age of the oldest of these jobs; 0 without jobs.
    pub(crate) oldest_age: Duration,
    /// Jobs of other recognisers that are queued or in progress, by group.
    pub(crate) others: BTreeMap<String, u64>,
}

impl Queue {
    /// Connects, and creates the stream if it is missing. The settings of an existing stream stay
    /// unchanged, so that an operator can create it with replicas.
    pub(crate) async fn connect(
        url: &str,
        recognizer: &EngineIdentity,
    ) -> Result<Self, QueueError> {
        let options = ConnectOptions::new()
            .name("taonet")
            .connection_timeout(REQUEST_TIMEOUT)
            .ping_interval(PING_INTERVAL);
        let client = with_timeout(options.connect(url)).await?.map_err(QueueError::Connect)?;
        let context = async_nats::jetstream::new(client);
        let config = StreamConfig {
            name: STREAM.to_owned(),
            description: Some("Babelbit's pending transcriptions".to_owned()),
            subjects: vec![format!("{SUBJECT_PREFIX}.>")],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_bytes: MAX_STREAM_BYTES,
            max_age: MAX_MESSAGE_AGE,
            num_replicas: 1,
            ..StreamConfig::default()
        };
        let stream = with_timeout(context.get_or_create_stream(config))
            .await?
            .map_err(QueueError::jetstream)?;
        Ok(Self { context, stream, group: recognizer_group(recognizer) })
    }

    /// Publishes a job; returns false if the job is already pending.
    pub(crate) async fn publish(&self, id: &JobId, job: &Job) -> Result<bool, QueueError> {
        let subject = format!("{SUBJECT_PREFIX}.{}.{id}", self.group);
        let publication = with_timeout(self.context.publish(subject, job.payload().into()))
            .await?
            .map_err(QueueError::jetstream)?;
        match with_timeout(publication.into_future()).await? {
            Ok(_) => Ok(true),
            // The client has no error kind for this rejection.
            Err(error) if error.to_string().contains("maximum messages per subject exceeded") => {
                Ok(false)
            }
            Err(error) => Err(QueueError::jetstream(error)),
        }
    }

    /// Returns the consumer of this recogniser's jobs; creates it if missing.
    pub(crate) async fn consumer(&self, timing: &JobTiming) -> Result<Consumer, QueueError> {
        let name = format!("{CONSUMER_PREFIX}{}", self.group);
        let config = ConsumerConfig {
            durable_name: Some(name.clone()),
            filter_subject: format!("{SUBJECT_PREFIX}.{}.*", self.group),
            ack_wait: timing.redeliver_after,
            max_ack_pending: MAX_IN_FLIGHT,
            inactive_threshold: CONSUMER_EXPIRY,
            ..ConsumerConfig::default()
        };
        let consumer = with_timeout(self.stream.get_or_create_consumer(&name, config)).await?;
        Ok(Consumer(consumer.map_err(QueueError::jetstream)?))
    }

    /// Returns the group of this recogniser's jobs.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// Queries the number of jobs by recogniser, and the age of this recogniser's oldest job.
    pub(crate) async fn depth(&self) -> Result<QueueDepth, QueueError> {
        let total_jobs = with_timeout(self.stream.get_info())
            .await?
            .map_err(QueueError::jetstream)?
            .state
            .messages;
        let mut others = BTreeMap::new();
        let mut consumers = self.stream.consumers();
        while let Some(consumer) = with_timeout(consumers.next()).await? {
            let consumer = consumer.map_err(QueueError::jetstream)?;
            if let Some(group) = consumer.name.strip_prefix(CONSUMER_PREFIX) {
                let unacknowledged = u64::try_from(consumer.num_ack_pending).unwrap_or(u64::MAX);
                others
                    .insert(group.to_owned(), consumer.num_pending.saturating_add(unacknowledged));
            }
        }
        let assigned = others.values().fold(0_u64, |sum, jobs| sum.saturating_add(*jobs));
        others.insert(NO_WORKER.to_owned(), total_jobs.saturating_sub(assigned));
        let jobs = others.remove(&self.group).unwrap_or_default();
        let oldest_age = if jobs == 0 { Duration::ZERO } else { self.oldest_age().await? };
        Ok(QueueDepth { jobs, oldest_age, others })
    }

    /// Queries the age of this recogniser's oldest job; 0 without jobs.
    async fn oldest_age(&self) -> Result<Duration, QueueError> {
        let subjects = format!("{SUBJECT_PREFIX}.{}.*", self.group);
        match with_timeout(self.stream.get_first_raw_message_by_subject(subjects, 1)).await? {
            Ok(message) => {
                Ok(SystemTime::now().duration_since(message.time.into()).unwrap_or_default())
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(Duration::ZERO),
            Err(error) => Err(QueueError::jetstream(error)),
        }
    }
}

/// Receiver of the jobs of one recogniser.
pub(crate) struct Consumer(PullConsumer);

impl Consumer {
    /// Checks that the consumer exists: a pull from a deleted consumer returns neither an error nor
    /// a job.
    pub(crate) async fn check(&self) -> Result<(), QueueError> {
        with_timeout(self.0.get_info()).await?.map(drop).map_err(QueueError::jetstream)
    }

    /// Requests up to `max_jobs` jobs; the deliveries end after [`PULL_TIMEOUT`] at the latest.
    pub(crate) async fn pull(&self, max_jobs: usize) -> Result<Deliveries, QueueError> {
        let batch =
            with_timeout(self.0.batch().max_messages(max_jobs).expires(PULL_TIMEOUT).messages())
                .await?;
        Ok(Deliveries(batch.map_err(QueueError::jetstream)?))
    }
}

/// Stream of jobs delivered to this worker.
pub(crate) struct Deliveries(Batch);

impl Deliveries {
    pub(crate) async fn next(&mut self) -> Option<Result<Delivery, QueueError>> {
        Some(self.0.next().await?.map(Delivery).map_err(QueueError::JetStream))
    }
}

/// A job delivered to this worker. Without a timely acknowledgement or extension, another worker
/// receives it.
pub(crate) struct Delivery(Message);

impl Delivery {
    /// Parses ID and audio hash of the job; returns `None` if the message is malformed.
    pub(crate) fn job(&self, recognizer: &EngineIdentity) -> Option<(JobId, AudioHash)> {
        Job::parse(&self.0.subject, &self.0.payload, recognizer)
    }

    /// Returns the number of jobs that are queued behind this one.
    pub(crate) fn backlog(&self) -> u64 {
        self.0.info().map(|info| info.pending).unwrap_or_default()
    }

    /// Removes the job from the queue.
    pub(crate) async fn acknowledge(&self) {
        self.send_acknowledgement(AckKind::Ack).await;
    }

    /// Returns the job to the queue, which delivers it again after `pause`.
    pub(crate) async fn requeue_after(&self, pause: Duration) {
        self.send_acknowledgement(AckKind::Nak(Some(pause))).await;
    }

    /// Extends the deadline of the job.
    pub(crate) async fn extend(&self) {
        self.send_acknowledgement(AckKind::Progress).await;
    }

    /// Acknowledges the message. After a lost acknowledgement, the queue delivers the job again,
    /// which is harmless.
    async fn send_acknowledgement(&self, kind: AckKind) {
        if let Err(error) = self.0.ack_with(kind).await {
            tracing::debug!(%error, "cannot acknowledge a job");
        }
    }
}

async fn with_timeout<T>(work: impl Future<Output = T>) -> Result<T, QueueError> {
    tokio::time::timeout(REQUEST_TIMEOUT, work)
        .await
        .map_err(|_| QueueError::TimedOut(REQUEST_TIMEOUT))
}
