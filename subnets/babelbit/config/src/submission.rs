use std::time::Duration;

use taonet_settings::Secret;
use taonet_settings::value::Expected;

use super::Config;

/// Settings for submitting results to the scoring API, and for the scoring API's database.
#[derive(Debug, Clone)]
pub struct SubmissionSettings {
    /// Whether to submit results; `None` if not configured, see [`Config::submits`].
    pub enabled: Option<bool>,
    /// Timeout of one submission; for an audio bundle, plus its transfer time at 256 KiB/s.
    pub timeout: Duration,
    /// Maximum number of concurrent submissions.
    pub concurrency: usize,
    /// Database URL of `bb scoring-api`, which defaults to a SQLite file in its state directory, and of the
    /// transcription workers, which need PostgreSQL.
    pub database_url: Option<Secret>,
}

impl SubmissionSettings {
    pub(super) const fn defaults() -> Self {
        Self { enabled: None, timeout: Duration::from_secs(30), concurrency: 8, database_url: None }
    }
}

impl Config {
    /// Whether to submit results. If not configured, results are submitted if a scoring API is configured or the
    /// network is not `local`.
    pub fn submits(&self) -> bool {
        let named = self.submit_api_url.is_some() || !self.network.is_local();
        self.submission.enabled.unwrap_or(named)
    }
}

/// Parses the maximum number of concurrent submissions.
pub(super) fn concurrency(text: &str) -> Result<usize, Expected> {
    text.parse().ok().filter(|count| (1..=256).contains(count)).ok_or("an integer from 1 to 256")
}

/// Parses a database URL.
pub(super) fn database(text: &str) -> Result<Option<Secret>, Expected> {
    let known = ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(Some(Secret::new(text))) } else { Err("postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE") }
}

/// Parses the URL of a NATS server.
pub(super) fn queue(text: &str) -> Result<Option<Secret>, Expected> {
    let known = ["nats://", "tls://"].iter().any(|scheme| text.starts_with(scheme));
    if known {
        Ok(Some(Secret::new(text)))
    } else {
        Err("nats://HOST:4222 or tls://HOST:4222, with USER:PASSWORD@ if needed")
    }
}
