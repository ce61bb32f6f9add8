//! The queue: the only module that uses `async-nats`.
//!
//! A work-queue stream with one message per subject, and a subject per job: JetStream refuses a second message while the
//! first is pending. A durable pull consumer per recogniser delivers each message to one worker.

use std::time::{Duration, SystemTime};

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::{Batch, Config as ConsumerConfig};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt as _;
use taonet_babelbit_scorer::{AudioHash, EngineIdentity};

use crate::error::QueueError;
use crate::job::{Job, JobId, group};
use crate::services::Pace;

/// Name of the stream.
const STREAM: &str = "BABELBIT_STT";
/// Prefix of all subjects.
const SUBJECTS: &str = "babelbit.stt";
/// Timeout of connecting, and of each request.
const WAIT: Duration = Duration::from_secs(10);
/// Interval of pings, by which a half-open connection is found.
const PING: Duration = Duration::from_secs(10);
/// Maximum time that a pull request waits for messages.
const PULL: Duration = Duration::from_secs(2);
/// Age at which abandoned jobs are dropped; a runner that still needs one publishes it again.
const MAX_AGE: Duration = Duration::from_hours(24);
/// Maximum size of the stream: about 100 000 jobs.
const MAX_BYTES: i64 = 64 << 20;
/// Maximum number of jobs that all workers of a recogniser process at a time.
const MAX_IN_FLIGHT: i64 = 10_000;

/// A connection to the queue of one recogniser.
pub(crate) struct Queue {
    context: Context,
    stream: Stream,
    group: String,
}

/// State of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Depth {
    /// Jobs that are queued or in process.
    pub(crate) jobs: u64,
    /// Age of the oldest one.
    pub(crate) oldest: Duration,
}

impl Queue {
    /// Connects, and creates the stream if it is missing. An existing one is used as it is, so an operator can create it
    /// with replicas.
    pub(crate) async fn connect(url: &str, recognizer: &EngineIdentity) -> Result<Self, QueueError> {
        let options = ConnectOptions::new().name("taonet").connection_timeout(WAIT).ping_interval(PING);
        let client = within(options.connect(url)).await?.map_err(QueueError::Connect)?;
        let context = async_nats::jetstream::new(client);
        let config = StreamConfig {
            name: STREAM.to_owned(),
            description: Some("Babelbit's pending transcriptions".to_owned()),
            subjects: vec![format!("{SUBJECTS}.>")],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_bytes: MAX_BYTES,
            max_age: MAX_AGE,
            num_replicas: 1,
            ..StreamConfig::default()
        };
        let stream = within(context.get_or_create_stream(config)).await?.map_err(QueueError::jetstream)?;
        Ok(Self { context, stream, group: group(recognizer) })
    }

    /// Publishes a job, unless it is pending; returns whether it was not.
    pub(crate) async fn publish(&self, id: &JobId, job: &Job) -> Result<bool, QueueError> {
        let subject = format!("{SUBJECTS}.{}.{id}", self.group);
        let sent = within(self.context.publish(subject, job.payload().into())).await?.map_err(QueueError::jetstream)?;
        match within(sent.into_future()).await? {
            Ok(_) => Ok(true),
            // The client has no kind for this refusal.
            Err(error) if error.to_string().contains("maximum messages per subject exceeded") => Ok(false),
            Err(error) => Err(QueueError::jetstream(error)),
        }
    }

    /// The consumer of this recogniser's jobs, created if it is missing.
    pub(crate) async fn consumer(&self, pace: &Pace) -> Result<Consumer, QueueError> {
        let name = format!("stt-{}", self.group);
        let config = ConsumerConfig {
            durable_name: Some(name.clone()),
            filter_subject: format!("{SUBJECTS}.{}.*", self.group),
            ack_wait: pace.redeliver_after,
            max_ack_pending: MAX_IN_FLIGHT,
            ..ConsumerConfig::default()
        };
        let consumer = within(self.stream.get_or_create_consumer(&name, config)).await?;
        Ok(Consumer(consumer.map_err(QueueError::jetstream)?))
    }

    /// Number and age of pending jobs, of all recognisers.
    pub(crate) async fn depth(&self) -> Result<Depth, QueueError> {
        let state = within(self.stream.get_info()).await?.map_err(QueueError::jetstream)?.state;
        let oldest = SystemTime::now().duration_since(state.first_timestamp.into()).unwrap_or_default();
        Ok(Depth { jobs: state.messages, oldest: if state.messages == 0 { Duration::ZERO } else { oldest } })
    }
}

/// Receives jobs.
pub(crate) struct Consumer(PullConsumer);

impl Consumer {
    /// Checks that the consumer still exists: pulls from one that was deleted get no error, and no jobs.
    pub(crate) async fn check(&self) -> Result<(), QueueError> {
        within(self.0.get_info()).await?.map(drop).map_err(QueueError::jetstream)
    }

    /// Requests up to `most` jobs; the deliveries end after a while, whether there were any or not.
    pub(crate) async fn pull(&self, most: usize) -> Result<Deliveries, QueueError> {
        let batch = within(self.0.batch().max_messages(most).expires(PULL).messages()).await?;
        Ok(Deliveries(batch.map_err(QueueError::jetstream)?))
    }
}

/// Jobs on their way to this worker.
pub(crate) struct Deliveries(Batch);

impl Deliveries {
    pub(crate) async fn next(&mut self) -> Option<Result<Delivery, QueueError>> {
        Some(self.0.next().await?.map(Delivery).map_err(QueueError::JetStream))
    }
}

/// A job of this worker. Another worker receives it unless it is acknowledged or extended in time.
pub(crate) struct Delivery(Message);

impl Delivery {
    /// The job; `None` if the message is malformed.
    pub(crate) fn job(&self, recognizer: &EngineIdentity) -> Option<(JobId, AudioHash)> {
        Job::parse(&self.0.subject, &self.0.payload, recognizer)
    }

    /// Number of jobs that are queued behind this one.
    pub(crate) fn backlog(&self) -> u64 {
        self.0.info().map(|info| info.pending).unwrap_or_default()
    }

    /// Removes the job from the queue.
    pub(crate) async fn done(&self) {
        self.answer(AckKind::Ack).await;
    }

    /// Puts the job back for a while.
    pub(crate) async fn later(&self, pause: Duration) {
        self.answer(AckKind::Nak(Some(pause))).await;
    }

    /// Extends the deadline of the job.
    pub(crate) async fn extend(&self) {
        self.answer(AckKind::Progress).await;
    }

    /// A lost answer has the job delivered again, which changes nothing.
    async fn answer(&self, kind: AckKind) {
        if let Err(error) = self.0.ack_with(kind).await {
            tracing::debug!(%error, "cannot acknowledge a job");
        }
    }
}

async fn within<T>(work: impl Future<Output = T>) -> Result<T, QueueError> {
    tokio::time::timeout(WAIT, work).await.map_err(|_| QueueError::NoAnswer(WAIT))
}
