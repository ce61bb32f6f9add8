mod job;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use taonet_babelbit_scorer::EngineIdentity;
use taonet_service::Shutdown;
use taonet_speech::Recognizer;
use tokio::sync::{RwLock, Semaphore};
use tokio_util::task::TaskTracker;

use crate::error::WorkError;
use crate::queue::{Consumer, Queue};
use crate::services::Services;
use crate::store::Store;

/// Pause between two attempts to reach the services.
const RECONNECT: Duration = Duration::from_secs(1);
/// Interval at which the queue is checked and measured.
const LOOK: Duration = Duration::from_secs(5);
/// A pull requests at most this fraction of the backlog, so that workers share the last jobs evenly.
const SHARE: u64 = 4;

/// Transcribes jobs from the queue with one recogniser. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    name: Arc<str>,
    recognizer: Arc<dyn Recognizer>,
    identity: EngineIdentity,
    services: Services,
    /// Read for a first try, written for a later one, which runs alone.
    turns: Arc<RwLock<()>>,
    /// One permit for each job in process, also for those that outlive a connection.
    slots: Arc<Semaphore>,
    /// Audio transcribed since the start, in milliseconds.
    heard: Arc<AtomicU64>,
}

impl Worker {
    /// A worker under a name, which the database and the log mention.
    pub fn new(name: &str, recognizer: Arc<dyn Recognizer>, services: Services) -> Self {
        let identity = EngineIdentity::of_recognizer(&*recognizer);
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let slots = Arc::new(Semaphore::new(recognizer.concurrency().unwrap_or(cores).get()));
        let (turns, heard) = (Arc::default(), Arc::default());
        Self { name: name.into(), recognizer, identity, services, turns, slots, heard }
    }

    /// Registers the metrics' descriptions.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_scorer_jobs_total", "jobs by result");
        metrics::describe_counter!("taonet_scorer_audio_seconds_total", "seconds of audio transcribed");
        metrics::describe_histogram!("taonet_scorer_job_seconds", "time to transcribe a recording");
        metrics::describe_gauge!("taonet_scorer_running", "jobs in process on this worker");
        metrics::describe_gauge!("taonet_scorer_queue_jobs", "jobs queued or in process on any worker");
        metrics::describe_gauge!("taonet_scorer_queue_age_seconds", "age of the oldest of these jobs");
    }

    /// Processes jobs until a shutdown is requested; `on_ready` is called each time that the services were
    /// reached.
    ///
    /// A stopping worker takes [`crate::Pace::grace`] to finish its jobs and hands the others back.
    pub async fn run(&self, stop: &Shutdown, on_ready: impl Fn()) {
        let tasks = TaskTracker::new();
        while !stop.is_requested() {
            let served = tokio::select! {
                served = self.connect_and_serve(stop, &tasks, &on_ready) => served,
                () = stop.requested() => break,
            };
            if let Err(error) = served {
                tracing::warn!(%error, "the worker lost its services; reconnecting");
                tokio::select! {
                    () = tokio::time::sleep(RECONNECT) => {}
                    () = stop.requested() => {}
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn connect_and_serve(
        &self,
        stop: &Shutdown,
        tasks: &TaskTracker,
        on_ready: &impl Fn(),
    ) -> Result<(), WorkError> {
        let store = Store::open(&self.services.database_url).await?;
        let queue = Queue::connect(&self.services.nats_url, &self.identity).await?;
        let consumer = queue.consumer(&self.services.pace).await?;
        tracing::info!(worker = %self.name, recognizer = self.identity.name, "waiting for jobs");
        on_ready();
        tokio::select! {
            ended = self.serve(&consumer, &store, stop, tasks) => ended,
            ended = observe(&queue, &consumer) => ended,
        }
    }

    async fn serve(
        &self,
        consumer: &Consumer,
        store: &Store,
        stop: &Shutdown,
        tasks: &TaskTracker,
    ) -> Result<(), WorkError> {
        let mut backlog = 0;
        loop {
            // The semaphore is never closed.
            let Ok(first) = Arc::clone(&self.slots).acquire_owned().await else { return Ok(()) };
            let share = usize::try_from(backlog / SHARE).unwrap_or(usize::MAX);
            let most = (self.slots.available_permits() + 1).min(share.max(1));
            let mut deliveries = consumer.pull(most).await?;
            let mut slot = Some(first);
            while let Some(delivery) = deliveries.next().await {
                let delivery = delivery?;
                backlog = delivery.backlog();
                let slot = match slot.take() {
                    Some(slot) => slot,
                    None => match Arc::clone(&self.slots).acquire_owned().await {
                        Ok(slot) => slot,
                        Err(_) => return Ok(()),
                    },
                };
                let (worker, store, stop) = (self.clone(), store.clone(), stop.clone());
                tasks.spawn(async move {
                    worker.handle(delivery, &store, &stop).await;
                    drop(slot);
                });
            }
        }
    }
}

/// Updates the queue's metrics, and ends when the queue has lost its state.
async fn observe(queue: &Queue, consumer: &Consumer) -> Result<(), WorkError> {
    loop {
        consumer.check().await?;
        let depth = queue.depth().await?;
        // Exact up to 2^53 jobs.
        metrics::gauge!("taonet_scorer_queue_jobs").set(depth.jobs as f64);
        metrics::gauge!("taonet_scorer_queue_age_seconds").set(depth.oldest.as_secs_f64());
        tokio::time::sleep(LOOK).await;
    }
}
