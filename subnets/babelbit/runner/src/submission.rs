//! The way of results out of the runner: from the ledger's outbox to the scoring API.
//!
//! A miner's four result files enter the outbox in the transaction that notes that they are written
//! ([`Ledger::hand_over`]). The [`Outbox`] submits several at a time. What is refused for now (network, 5xx, 408, 429) is
//! tried again for ever, later each time; what is refused for good, or has lost its file, stays in the ledger with the
//! reason. Scores go before all other files. An attempt that was killed is made again: the scoring API takes the same
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
use taonet_service::{Clock, since_1970, system_clock};

pub use client::SubmitError;
use client::{Arrived, ScoringApi};
use payload::LocalFile;

/// How often what was refused gets another chance.
const REFUSED_AGAIN: Duration = Duration::from_hours(1);
/// How long to wait after the ledger failed.
const LEDGER_PAUSE: Duration = Duration::from_secs(5);
/// Longest wait that a scoring API may ask for.
const LONGEST_ASKED: Duration = Duration::from_hours(1);

/// How an [`Outbox`] goes about its work.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// The scoring API.
    pub api: Url,
    /// Time for one submission; one with a file has more, by the file's size.
    pub timeout: Duration,
    /// Submissions at a time.
    pub concurrency: usize,
    /// Where the runner's files stand.
    pub paths: RunPaths,
    /// The pause after the first failure; each further one doubles it.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
    /// How long [`Outbox::drain`] waits for a next attempt.
    pub patience: Duration,
    /// What was delivered longer ago is forgotten.
    pub keep_delivered: Duration,
}

impl OutboxSettings {
    /// The usual ones: 8 at a time, 30 s each, pauses of a second to five minutes.
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

/// Submits what is in a ledger's outbox. See the module's head. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    ledger: Arc<Ledger>,
    api: Arc<ScoringApi>,
    storage: Option<ObjectStorage>,
    settings: OutboxSettings,
    clock: Clock,
}

impl Outbox {
    /// Submits in the name of `keypair`; uploads each file to `storage` before, where there is one.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        ledger: Arc<Ledger>,
        keypair: Arc<Keypair>,
        storage: Option<ObjectStorage>,
        settings: OutboxSettings,
    ) -> Result<Self, reqwest::Error> {
        let api = Arc::new(ScoringApi::new(&settings.api, keypair, settings.timeout)?);
        Ok(Self { ledger, api, storage, settings, clock: system_clock() })
    }

    /// Asks this clock for the time.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Submits what waits and what comes, until the end is asked for. What was refused gets
    /// another chance at the start and every hour: clocks are set, permits given. What is on its way in the end is sent again by the next one.
    pub async fn run(&self, shutdown: &Shutdown) {
        let work = async {
            let mut retried = None;
            loop {
                if retried.is_none_or(|at: Instant| at.elapsed() >= REFUSED_AGAIN) {
                    retried = Some(Instant::now());
                    if let Err(error) = self.ledger.retry_refused().await {
                        tracing::warn!(%error, "what was refused is not tried again");
                    }
                }
                let pause = match self.work().await {
                    Ok(None) => self.settings.longest_pause,
                    Ok(Some(due)) => self.until(due).min(self.settings.longest_pause),
                    Err(error) => {
                        tracing::error!(%error, "the outbox cannot be worked on");
                        LEDGER_PAUSE
                    }
                };
                tokio::select! {
                    () = self.ledger.handed_over() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = work => {}
        }
    }

    /// Submits until nothing waits, or until the next attempt is further away than [`OutboxSettings::patience`].
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

    /// Submits everything that is due now, each file once; says when the next is due, where something waits.
    async fn work(&self) -> Result<Option<i64>, LedgerError> {
        let now = self.now_ms();
        let mut started = HashSet::new();
        // Tasks of their own: one that waits for the ledger must go on while this waits for it, too.
        let mut running = JoinSet::new();
        loop {
            // Asked anew each time, so that a score that has just come overtakes the files that wait. What is on its way is
            // among the answers.
            let most = u32::try_from(self.settings.concurrency.saturating_mul(2)).unwrap_or(u32::MAX);
            for entry in self.ledger.due(now, most).await? {
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
                Some(Err(error)) => tracing::error!(%error, "an attempt to submit was cut off"),
            }
        }
        let keep = i64::try_from(self.settings.keep_delivered.as_millis()).unwrap_or(i64::MAX);
        self.ledger.forget_delivered(self.now_ms().saturating_sub(keep)).await?;
        self.ledger.next_due().await
    }

    /// One attempt to submit a file; notes in the ledger what came of it.
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
                        "the scoring API has one that was signed later, or this one: another runner may sign with this \
                         hotkey, or the clock was set back"
                    );
                    metrics::counter!("taonet_submission_superseded_total", "kind" => kind).increment(1);
                }
            }
            Err(Failed::Ledger(error)) => return Err(error),
            Err(Failed::Submit(error)) if error.is_retryable() => {
                let pause = self.pause(entry.attempts).max(error.retry_after().unwrap_or_default().min(LONGEST_ASKED));
                let due = self.now_ms().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
                if entry.attempts == 0 {
                    tracing::warn!(file = named(), %error, "not submitted, trying again");
                } else {
                    tracing::debug!(file = named(), %error, attempts = entry.attempts, "not submitted, trying again");
                }
                self.ledger.put_off(&entry, due, &error.to_string()).await?;
                metrics::counter!("taonet_submission_retries_total", "kind" => kind).increment(1);
            }
            Err(Failed::Submit(error)) => {
                let reason = error.to_string();
                if entry.error.as_ref() == Some(&reason) {
                    tracing::debug!(file = named(), %error, "a result is still not submitted");
                } else {
                    tracing::warn!(file = named(), %error, "a result is not submitted; it gets another chance every hour");
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
                // A bucket that takes nothing from us must not cost a score.
                Err(error) if error.is_refusal() => {
                    tracing::warn!(key, %error, "the bucket refuses a file: it is submitted without being there");
                }
                Err(error) => return Err(Failed::Submit(SubmitError::Storage(error))),
            }
        }
        let timestamp = self.now_ms().div_euclid(1_000);
        self.api.submit(entry, &file, s3_path.as_deref(), timestamp).await.map_err(Failed::Submit)
    }

    /// Twice as long after each failure; a random half of it, so that what failed together does not come together.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.settings.first_pause.saturating_mul(1 << attempts.min(20));
        doubled.min(self.settings.longest_pause).mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn until(&self, due_unix_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(due_unix_ms.saturating_sub(self.now_ms())).unwrap_or_default())
    }

    fn now_ms(&self) -> i64 {
        let since = since_1970((self.clock)());
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Gives the outbox's metrics their help texts. Call after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_gauge!("taonet_submission_waiting", "Result files that wait for their submission");
        metrics::describe_counter!("taonet_submission_delivered_total", "Result files submitted, by kind");
        metrics::describe_counter!(
            "taonet_submission_superseded_total",
            "Result files submitted after one that was signed later, by kind"
        );
        metrics::describe_counter!(
            "taonet_submission_refused_total",
            "Result files refused for good, or gone, by kind"
        );
        metrics::describe_counter!(
            "taonet_submission_retries_total",
            "Attempts that failed and are made again, by kind"
        );
        // What counts from nothing shows its first increase.
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

/// Why an attempt came to nothing.
enum Failed {
    Submit(SubmitError),
    Ledger(LedgerError),
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
