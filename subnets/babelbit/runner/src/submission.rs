//! Submission of results from the ledger's outbox to the scoring API.
//!
//! One transaction queues a miner's four result files in the outbox and, once its results are
//! complete, marks the miner as finished ([`Ledger::enqueue`]). The [`Outbox`] submits several
//! files concurrently, score files first. It retries transient failures (network, 5xx, 408, 429)
//! without limit, with backoff. A refused or missing file stays in the ledger with the reason, and
//! the outbox retries it every hour. After a restart, the outbox repeats interrupted attempts; this
//! is safe, since submissions to the scoring API are idempotent.
//!
//! Each attempt is signed again: the scoring API rejects old signatures, and an outbox can be days
//! late. Results are identified by validator and content, not by signature.

mod client;
mod payload;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_babelbit_core::submission_api::ResultFile;
use taonet_primitives::Backoff;
use taonet_wallet::Keypair;
use tokio::task::JoinSet;
use url::Url;

use crate::{Ledger, LedgerError, OutboxCounts, OutboxEntry, RunPaths};
use taonet_objects::ObjectStorage;
use taonet_service::{Clock, Shutdown, millis, system_clock, unix_millis};

pub use client::SubmitError;
use client::{Acceptance, ScoringApi};
use payload::LocalFile;

/// Interval at which the outbox requeues refused files.
const REQUEUE_INTERVAL: Duration = Duration::from_hours(1);
/// Pause after a ledger error.
const LEDGER_PAUSE: Duration = Duration::from_secs(5);
/// Maximum accepted `Retry-After` of the scoring API.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Settings of an [`Outbox`].
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// URL of the scoring API.
    pub api: Url,
    /// Timeout of one submission; for an audio bundle, plus its transfer time at 256 KiB/s.
    pub timeout: Duration,
    /// Maximum number of concurrent submissions.
    pub concurrency: usize,
    /// Directories of the runner's files.
    pub paths: RunPaths,
    /// Initial backoff after a failure; it doubles with each further failure.
    pub initial_backoff: Duration,
    /// Maximum backoff.
    pub max_backoff: Duration,
    /// Time limit of [`Outbox::drain`], which does not wait for attempts that are due later.
    pub drain_timeout: Duration,
    /// Retention period of delivered entries.
    pub keep_delivered: Duration,
}

impl OutboxSettings {
    /// Returns the default settings: 8 concurrent submissions, a timeout of 30 s, backoff from 1 s
    /// to 5 min.
    pub fn new(api: Url, paths: RunPaths) -> Self {
        Self {
            api,
            timeout: Duration::from_secs(30),
            concurrency: 8,
            paths,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_mins(5),
            drain_timeout: Duration::from_secs(10),
            keep_delivered: Duration::from_hours(7 * 24),
        }
    }
}

/// Submits the result files in a ledger's outbox to the scoring API. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    ledger: Arc<Ledger>,
    api: Arc<ScoringApi>,
    storage: Option<ObjectStorage>,
    settings: OutboxSettings,
    clock: Clock,
}

impl Outbox {
    /// Creates an outbox that signs submissions with `keypair`. With `storage`, it first uploads
    /// each file to the bucket.
    ///
    /// # Errors
    /// [`reqwest::Error`] when TLS initialisation fails.
    pub fn new(
        ledger: Arc<Ledger>,
        keypair: Arc<Keypair>,
        storage: Option<ObjectStorage>,
        settings: OutboxSettings,
    ) -> Result<Self, reqwest::Error> {
        let api = Arc::new(ScoringApi::new(&settings.api, keypair, settings.timeout)?);
        Ok(Self { ledger, api, storage, settings, clock: system_clock() })
    }

    /// Submits queued files until shutdown. Requeues refused files at startup and every hour, since
    /// the cause may be gone: for example, a clock has been corrected or a validator admitted. A
    /// restart repeats in-flight submissions.
    pub async fn run(&self, shutdown: &Shutdown) {
        let submit_loop = async {
            let mut last_requeue = None;
            loop {
                if last_requeue.is_none_or(|at: Instant| at.elapsed() >= REQUEUE_INTERVAL) {
                    last_requeue = Some(Instant::now());
                    if let Err(error) = self.ledger.requeue_refused().await {
                        tracing::warn!(%error, "cannot requeue refused submissions");
                    }
                }
                let pause = match self.submit_due().await {
                    Ok(None) => self.settings.max_backoff,
                    Ok(Some(due_at)) => self.time_until(due_at).min(self.settings.max_backoff),
                    Err(error) => {
                        tracing::error!(%error, "cannot access the outbox, retrying");
                        LEDGER_PAUSE
                    }
                };
                tokio::select! {
                    () = self.ledger.wait_for_files() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = submit_loop => {}
        }
    }

    /// Submits files until the queue is empty, or until the next attempt is due later than
    /// [`OutboxSettings::drain_timeout`] after the start.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn drain(&self) -> Result<OutboxCounts, LedgerError> {
        let drain_deadline = tokio::time::Instant::now() + self.settings.drain_timeout;
        while let Some(due_at) = self.submit_due().await? {
            let pause = self.time_until(due_at);
            if tokio::time::Instant::now() + pause > drain_deadline {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        self.ledger.outbox_counts().await
    }

    /// Attempts to submit each due file once. Returns the due time of the next queued file in
    /// milliseconds since the Unix epoch; `None` if the queue is empty.
    async fn submit_due(&self) -> Result<Option<i64>, LedgerError> {
        let now = self.now_ms();
        let mut started_ids = HashSet::new();
        // Separate tasks, since attempts that wait for the ledger must make progress while this
        // loop waits for the ledger, too.
        let mut in_flight = JoinSet::new();
        loop {
            // Each iteration queries again, so that new score files overtake queued files. The
            // query also returns in-flight files.
            let limit =
                u32::try_from(self.settings.concurrency.saturating_mul(2)).unwrap_or(u32::MAX);
            for entry in self.ledger.due(now, limit).await? {
                if in_flight.len() >= self.settings.concurrency {
                    break;
                }
                if started_ids.insert(entry.id) {
                    let outbox = self.clone();
                    in_flight.spawn(async move { outbox.attempt(entry).await });
                }
            }
            metrics::gauge!("taonet_submission_waiting")
                .set(self.ledger.queued_count().await? as f64);
            match in_flight.join_next().await {
                None => break,
                Some(Ok(attempt)) => attempt?,
                Some(Err(error)) => tracing::error!(%error, "submission attempt aborted"),
            }
        }
        let retention_ms = millis(self.settings.keep_delivered);
        self.ledger.purge_delivered(self.now_ms().saturating_sub(retention_ms)).await?;
        self.ledger.next_due_time().await
    }

    /// Attempts to submit a file; records the outcome in the ledger.
    async fn attempt(&self, entry: OutboxEntry) -> Result<(), LedgerError> {
        let kind = entry.file.kind().as_str();
        let describe_file = || {
            format!(
                "{}, miner {}, {}",
                entry.challenge_uid,
                entry.miner.uid,
                entry.file.file_type()
            )
        };
        match self.submit(&entry).await {
            Ok(acceptance) => {
                self.ledger.record_outcome(&entry, self.now_ms(), None).await?;
                metrics::counter!("taonet_submission_delivered_total", "kind" => kind).increment(1);
                if acceptance == Acceptance::Superseded {
                    tracing::info!(
                        file = describe_file(),
                        "superseded: the scoring API already has this submission or one signed later; hint: check \
                         for another runner with this hotkey, and for a clock that was set back"
                    );
                    metrics::counter!("taonet_submission_superseded_total", "kind" => kind)
                        .increment(1);
                }
            }
            Err(AttemptFailure::Ledger(error)) => return Err(error),
            Err(AttemptFailure::Submit(error)) if error.is_retryable() => {
                let pause = self
                    .backoff(entry.attempts)
                    .max(error.retry_after().unwrap_or_default().min(MAX_RETRY_AFTER));
                let due_ms = self.now_ms().saturating_add(millis(pause));
                if entry.attempts == 0 {
                    tracing::warn!(file = describe_file(), %error, "submission failed, retrying");
                } else {
                    tracing::debug!(
                        file = describe_file(), %error, attempts = entry.attempts,
                        "submission failed, retrying"
                    );
                }
                self.ledger.reschedule(&entry, due_ms, &error.to_string()).await?;
                metrics::counter!("taonet_submission_retries_total", "kind" => kind).increment(1);
            }
            Err(AttemptFailure::Submit(error)) => {
                let reason = error.to_string();
                if entry.error.as_ref() == Some(&reason) {
                    tracing::debug!(file = describe_file(), %error, "submission still refused");
                } else {
                    tracing::warn!(
                        file = describe_file(), %error, "submission refused, retrying every hour"
                    );
                }
                self.ledger.record_outcome(&entry, self.now_ms(), Some(&reason)).await?;
                metrics::counter!("taonet_submission_refused_total", "kind" => kind).increment(1);
            }
        }
        Ok(())
    }

    async fn submit(&self, entry: &OutboxEntry) -> Result<Acceptance, AttemptFailure> {
        let file = LocalFile::of(entry, &self.settings.paths);
        let mut s3_path = entry.s3_path.clone();
        if let (Some(storage), None) = (&self.storage, &s3_path)
            && file.exists().await.map_err(AttemptFailure::Submit)?
        {
            let key = file.object_key(entry, storage);
            match storage.upload(&key, file.path()).await {
                Ok(()) => {
                    self.ledger
                        .record_uploaded(entry, &key)
                        .await
                        .map_err(AttemptFailure::Ledger)?;
                    s3_path = Some(key);
                }
                // A bucket that denies access must not block the submission of a score.
                Err(error) if error.is_refusal() => {
                    tracing::warn!(
                        key, %error,
                        "upload to the bucket denied, submitting the file without an object key"
                    );
                }
                Err(error) => return Err(AttemptFailure::Submit(SubmitError::Storage(error))),
            }
        }
        let timestamp = self.now_ms().div_euclid(1_000);
        self.api
            .submit(entry, &file, s3_path.as_deref(), timestamp)
            .await
            .map_err(AttemptFailure::Submit)
    }

    fn backoff(&self, attempts: u32) -> Duration {
        Backoff::new(self.settings.initial_backoff, self.settings.max_backoff)
            .jittered(attempts, rand::random())
    }

    fn time_until(&self, due_unix_ms: i64) -> Duration {
        Duration::from_millis(
            u64::try_from(due_unix_ms.saturating_sub(self.now_ms())).unwrap_or_default(),
        )
    }

    fn now_ms(&self) -> i64 {
        unix_millis((self.clock)())
    }

    /// Registers the help texts of the outbox's metrics. Call it after the metrics recorder is
    /// installed.
    pub fn describe_metrics() {
        metrics::describe_gauge!("taonet_submission_waiting", "Result files queued for submission");
        metrics::describe_counter!(
            "taonet_submission_delivered_total",
            "Result files submitted, by kind"
        );
        metrics::describe_counter!(
            "taonet_submission_superseded_total",
            "Result files that the scoring API already had in the same or a later version, by kind"
        );
        metrics::describe_counter!(
            "taonet_submission_refused_total",
            "Result files refused by the scoring API or missing, by kind"
        );
        metrics::describe_counter!(
            "taonet_submission_retries_total",
            "Failed submission attempts that are retried, by kind"
        );
        // Initialise the counters to 0, so that rate queries include the first increase.
        for file in ResultFile::ALL {
            metrics::counter!("taonet_submission_refused_total", "kind" => file.kind().as_str())
                .increment(0);
        }
    }
}

/// Why an attempt failed.
enum AttemptFailure {
    Submit(SubmitError),
    Ledger(LedgerError),
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
