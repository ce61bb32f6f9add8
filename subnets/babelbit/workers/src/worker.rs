mod job;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of checks of the queue and updates of its metrics.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Divisor of the backlog: a pull requests at most a quarter of the backlog, so that workers share
/// the last jobs evenly.
const BACKLOG_DIVISOR: u64 = 4;

/// Transcribes jobs from the queue with one recogniser. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    name: Arc<str>,
    recognizer: Arc<dyn Recognizer>,
    identity: EngineIdentity,
    services: Services,
    /// Lock held shared by first attempts, and exclusively by later attempts, so that a later
    /// attempt runs alone.
    attempt_lock: Arc<RwLock<()>>,
    /// One permit per job in progress, including jobs that outlive a connection.
    slots: Arc<Semaphore>,
    /// Audio transcribed since the start, in milliseconds.
    transcribed_ms: Arc<AtomicU64>,
    /// Whether a transcription exceeded its deadline, or the recogniser has stopped.
    is_stuck: Arc<AtomicBool>,
}

impl Worker {
    /// Creates a worker; `name` identifies it in the database and the log.
    pub fn new(name: &str, recognizer: Arc<dyn Recognizer>, services: Services) -> Self {
        let identity = EngineIdentity::for_recognizer(&*recognizer);
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let slots = Arc::new(Semaphore::new(recognizer.concurrency().unwrap_or(cores).get()));
        let (attempt_lock, transcribed_ms, is_stuck) =
            (Arc::default(), Arc::default(), Arc::default());
        Self {
            name: name.into(),
            recognizer,
            identity,
            services,
            attempt_lock,
            slots,
            transcribed_ms,
            is_stuck,
        }
    }

    /// Registers the help texts of the worker's metrics.
    pub fn describe_metrics() {
        metrics::describe_counter!(
            "taonet_scorer_jobs_total",
            "Jobs that the worker has handled, by result"
        );
        metrics::describe_counter!(
            "taonet_scorer_audio_seconds_total",
            "Seconds of audio transcribed"
        );
        metrics::describe_histogram!("taonet_scorer_job_seconds", "Time to transcribe a recording");
        metrics::describe_gauge!("taonet_scorer_running", "Jobs in progress on this worker");
        metrics::describe_gauge!(
            "taonet_scorer_queue_jobs",
            "Jobs of this worker's recogniser, queued or in progress on any worker"
        );
        metrics::describe_gauge!(
            "taonet_scorer_queue_age_seconds",
            "Age of the oldest unfinished job of this worker's recogniser"
        );
        metrics::describe_gauge!(
            "taonet_scorer_other_queue_jobs",
            "Jobs of other recognisers, queued or in progress on any worker"
        );
    }

    /// Processes jobs until shutdown. Calls `on_ready` after each connection to the services.
    ///
    /// At shutdown, jobs in progress have [`crate::JobTiming::shutdown_grace`] to finish; the
    /// worker returns all unfinished jobs to the queue.
    ///
    /// If the recogniser has stopped, or a transcription exceeds its deadline, the worker requests
    /// the shutdown `stop`, because nothing can restart the recogniser or end the transcription's
    /// thread. The attempt counts for its job, and for each job that is unfinished after the grace
    /// period, since the recogniser may have transcribed them together. [`Self::is_stuck`] is then
    /// true, and the process must exit.
    pub async fn run(&self, stop: &Shutdown, on_ready: impl Fn()) {
        let tasks = TaskTracker::new();
        while !stop.is_requested() {
            let result = tokio::select! {
                result = self.connect_and_serve(stop, &tasks, &on_ready) => result,
                () = stop.requested() => break,
            };
            if let Err(error) = result {
                tracing::warn!(%error, "cannot reach the worker's services, reconnecting");
                stop.sleep(RECONNECT_INTERVAL).await;
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Returns whether a transcription exceeded its deadline, or the recogniser has stopped.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    async fn connect_and_serve(
        &self,
        stop: &Shutdown,
        tasks: &TaskTracker,
        on_ready: &impl Fn(),
    ) -> Result<(), WorkError> {
        let store = Store::open(&self.services.database_url).await?;
        let queue = Queue::connect(&self.services.nats_url, &self.identity).await?;
        let consumer = queue.consumer(&self.services.timing).await?;
        let group = queue.group();
        tracing::info!(worker = %self.name, recognizer = self.identity.name, group, "waiting for jobs");
        on_ready();
        tokio::select! {
            result = self.serve(&consumer, &store, stop, tasks) => result,
            result = monitor_queue(&queue, &consumer) => result,
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
            let share = usize::try_from(backlog / BACKLOG_DIVISOR).unwrap_or(usize::MAX);
            let max_jobs = (self.slots.available_permits() + 1).min(share.max(1));
            let mut deliveries = consumer.pull(max_jobs).await?;
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

/// Updates the queue's metrics until the queue fails or loses its consumer.
async fn monitor_queue(queue: &Queue, consumer: &Consumer) -> Result<(), WorkError> {
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        consumer.check().await?;
        let depth = queue.depth().await?;
        // Exact up to 2^53 jobs.
        metrics::gauge!("taonet_scorer_queue_jobs").set(depth.jobs as f64);
        metrics::gauge!("taonet_scorer_queue_age_seconds").set(depth.oldest_age.as_secs_f64());
        // A group whose consumer was deleted must not keep its last value.
        for jobs in others.values_mut() {
            *jobs = 0;
        }
        others.extend(depth.others);
        for (group, jobs) in &others {
            metrics::gauge!("taonet_scorer_other_queue_jobs", "group" => group.clone())
                .set(*jobs as f64);
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}
