//! Submission of results from the ledger's outbox to the scoring API.
//!
//! A miner's four result files enter the outbox in the transaction that marks them as written ([`Ledger::enqueue`]).
//! The [`Outbox`] submits several at a time. Transient failures (network, 5xx, 408, 429) are retried forever, with
//! backoff; a permanently refused file, or one that is missing, stays in the ledger with the reason. Scores precede all
//! other files. An interrupted attempt is repeated: submissions to the scoring API are idempotent.
//! submission any number of times.

mod client;
mod multipart;
mod payload;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use taonet_babelbit_core::submission_api::ResultFile;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use tokio::task::JoinSet;
use url::Url;

use crate::{Ledger, LedgerError, OutboxCounts, OutboxEntry, RunPaths};
use taonet_objects::ObjectStorage;
use taonet_service::{Clock, system_clock, unix_time};

pub use client::SubmitError;
use client::{Arrived, ScoringApi};
use payload::LocalFile;

/// Interval at which refused files are requeued.
const REFUSED_AGAIN: Duration = Duration::from_hours(1);
/// Pause after the ledger failed.
const LEDGER_PAUSE: Duration = Duration::from_secs(5);
/// Maximum accepted `Retry-After` of a scoring API.
const MAX_ASKED: Duration = Duration::from_hours(1);

/// Settings of an [`Outbox`].
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// URL of the scoring API.
    pub api: Url,
    /// Timeout of one submission; one with a file has a longer one, by the file's size.
    pub timeout: Duration,
    /// Maximum number of concurrent submissions.
    pub concurrency: usize,
    /// Directories of the runner's files.
    pub paths: RunPaths,
    /// Initial backoff after a failure; it doubles with each one.
    pub first_pause: Duration,
    /// Maximum backoff.
    pub longest_pause: Duration,
    /// Maximum delay until the next attempt for which [`Outbox::drain`] waits.
    pub patience: Duration,
    /// Retention period of delivered entries.
    pub keep_delivered: Duration,
}

impl OutboxSettings {
    /// Default settings: 8 at a time, a timeout of 30 s, backoff from a second to five minutes.
    pub fn new(api: Url, paths: RunPaths) -> Self {
        Self {
            api,
            timeout: Duration::from_secs(30),
            concurrency: 8,
            paths,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(5),
            patience: Duration::from_secs(10),
            keep_delivered: Duration::from_hours(7 * 24),
        }
    }
}

/// Submits the files in a ledger's outbox; see the module documentation. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    ledger: Arc<Ledger>,
    api: Arc<ScoringApi>,
    storage: Option<ObjectStorage>,
    settings: OutboxSettings,
    clock: Clock,
}

impl Outbox {
    /// Creates an outbox that signs with `keypair`, and first uploads each file to `storage`, if given.
    ///
    /// # Errors
    /// When TLS initialization fails.
    pub fn new(
        ledger: Arc<Ledger>,
        keypair: Arc<Keypair>,
        storage: Option<ObjectStorage>,
        settings: OutboxSettings,
    ) -> Result<Self, reqwest::Error> {
        let api = Arc::new(ScoringApi::new(&settings.api, keypair, settings.timeout)?);
        Ok(Self { ledger, api, storage, settings, clock: system_clock() })
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Submits queued files until shutdown. Refused files are requeued at startup and every hour: clocks may have been
    /// corrected and validators admitted. In-flight submissions are repeated after a restart.
    pub async fn run(&self, shutdown: &Shutdown) {
        let work = async {
            let mut retried = None;
            loop {
                if retried.is_none_or(|at: Instant| at.elapsed() >= REFUSED_AGAIN) {
                    retried = Some(Instant::now());
                    if let Err(error) = self.ledger.retry_refused().await {
                        tracing::warn!(%error, "cannot reset refused submissions for a retry");
                    }
                }
                let pause = match self.work().await {
                    Ok(None) => self.settings.longest_pause,
                    Ok(Some(due)) => self.until(due).min(self.settings.longest_pause),
                    Err(error) => {
                        tracing::error!(%error, "the outbox failed");
                        LEDGER_PAUSE
                    }
                };
                tokio::select! {
                    () = self.ledger.enqueued() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = work => {}
        }
    }

    /// Submits until the queue is empty, or the next attempt is further away than [`OutboxSettings::patience`].
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger fails.
    pub async fn drain(&self) -> Result<OutboxCounts, LedgerError> {
        let patience = tokio::time::Instant::now() + self.settings.patience;
        while let Some(due) = self.work().await? {
            let pause = self.until(due);
            if tokio::time::Instant::now() + pause > patience {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        self.ledger.outbox_counts().await
    }

    /// Submits everything that is due, each file once; returns when the next one is due, if any is queued.
    async fn work(&self) -> Result<Option<i64>, LedgerError> {
        let now = self.now_ms();
        let mut started = HashSet::new();
        // Separate tasks: one that waits for the ledger must make progress while this waits for it too.
        let mut running = JoinSet::new();
        loop {
            // Queried again each time, so that a new score overtakes queued files. The result includes in-flight files.
            let max = u32::try_from(self.settings.concurrency.saturating_mul(2)).unwrap_or(u32::MAX);
            for entry in self.ledger.due(now, max).await? {
                if running.len() >= self.settings.concurrency {
                    break;
                }
                if started.insert(entry.id) {
                    let outbox = self.clone();
                    running.spawn(async move { outbox.attempt(entry).await });
                }
            }
            metrics::gauge!("taonet_submission_waiting").set(self.ledger.waiting().await? as f64);
            match running.join_next().await {
                None => break,
                Some(Ok(attempt)) => attempt?,
                Some(Err(error)) => tracing::error!(%error, "submission attempt aborted"),
            }
        }
        let keep = i64::try_from(self.settings.keep_delivered.as_millis()).unwrap_or(i64::MAX);
        self.ledger.purge_delivered(self.now_ms().saturating_sub(keep)).await?;
        self.ledger.next_due().await
    }

    /// Attempts to submit a file; records the outcome in the ledger.
    async fn attempt(&self, entry: OutboxEntry) -> Result<(), LedgerError> {
        let kind = entry.file.kind().as_str();
        let named = || format!("{}, miner {}, {}", entry.challenge_uid, entry.miner.uid, entry.file.file_type());
        match self.submit(&entry).await {
            Ok(arrived) => {
                self.ledger.note_outcome(&entry, self.now_ms(), None).await?;
                metrics::counter!("taonet_submission_delivered_total", "kind" => kind).increment(1);
                if arrived == Arrived::Superseded {
                    tracing::info!(
                        file = named(),
                        "superseded: the scoring API has this submission, or one signed later; another runner may \
                         sign with this hotkey, or the clock was set back"
                    );
                    metrics::counter!("taonet_submission_superseded_total", "kind" => kind).increment(1);
                }
            }
            Err(Failed::Ledger(error)) => return Err(error),
            Err(Failed::Submit(error)) if error.is_retryable() => {
                let pause = self.pause(entry.attempts).max(error.retry_after().unwrap_or_default().min(MAX_ASKED));
                let due = self.now_ms().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
                if entry.attempts == 0 {
                    tracing::warn!(file = named(), %error, "submission failed, retrying");
                } else {
                    tracing::debug!(file = named(), %error, attempts = entry.attempts, "submission failed, retrying");
                }
                self.ledger.reschedule(&entry, due, &error.to_string()).await?;
                metrics::counter!("taonet_submission_retries_total", "kind" => kind).increment(1);
            }
            Err(Failed::Submit(error)) => {
                let reason = error.to_string();
                if entry.error.as_ref() == Some(&reason) {
                    tracing::debug!(file = named(), %error, "submission still refused");
                } else {
                    tracing::warn!(file = named(), %error, "submission refused, retrying every hour");
                }
                self.ledger.note_outcome(&entry, self.now_ms(), Some(&reason)).await?;
                metrics::counter!("taonet_submission_refused_total", "kind" => kind).increment(1);
            }
        }
        Ok(())
    }

    async fn submit(&self, entry: &OutboxEntry) -> Result<Arrived, Failed> {
        let file = LocalFile::of(entry, &self.settings.paths);
        let mut s3_path = entry.s3_path.clone();
        if let (Some(storage), None) = (&self.storage, &s3_path)
            && file.exists().await.map_err(Failed::Submit)?
        {
            let key = file.key(entry, storage);
            match storage.upload(&key, file.path()).await {
                Ok(()) => {
                    self.ledger.note_uploaded(entry, &key).await.map_err(Failed::Ledger)?;
                    s3_path = Some(key);
                }
                // A bucket without permission must not cost a score.
                Err(error) if error.is_refusal() => {
                    tracing::warn!(key, %error, "the bucket refuses the file, submitting without it");
                }
                Err(error) => return Err(Failed::Submit(SubmitError::Storage(error))),
            }
        }
        let timestamp = self.now_ms().div_euclid(1_000);
        self.api.submit(entry, &file, s3_path.as_deref(), timestamp).await.map_err(Failed::Submit)
    }

    /// Exponential backoff; a random half of it, so that files that failed together are not retried together.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.settings.first_pause.saturating_mul(1 << attempts.min(20));
        doubled.min(self.settings.longest_pause).mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn until(&self, due_unix_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(due_unix_ms.saturating_sub(self.now_ms())).unwrap_or_default())
    }

    fn now_ms(&self) -> i64 {
        let since = unix_time((self.clock)());
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Registers help texts of the outbox's metrics. Call after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_gauge!("taonet_submission_waiting", "Result files in the queue");
        metrics::describe_counter!("taonet_submission_delivered_total", "Result files submitted, by kind");
        metrics::describe_counter!(
            "taonet_submission_superseded_total",
            "Result files superseded by one signed later, by kind"
        );
        metrics::describe_counter!(
            "taonet_submission_refused_total",
            "Result files refused permanently, or missing, by kind"
        );
        metrics::describe_counter!("taonet_submission_retries_total", "Submission retries by kind");
        // A counter that starts at 0 shows its first increase.
        for file in ResultFile::ALL {
            metrics::counter!("taonet_submission_refused_total", "kind" => file.kind().as_str()).increment(0);
        }
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why an attempt failed.
enum Failed {
    Submit(SubmitError),
    Ledger(LedgerError),
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
