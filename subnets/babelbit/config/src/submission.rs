use std::time::Duration;

use taonet_settings::Secret;
use taonet_settings::value::Expected;

use super::Config;

/// How results go to the scoring API, and where a scoring API keeps them.
#[derive(Debug, Clone)]
pub struct SubmissionSettings {
    /// Whether results are submitted, where that is said; see [`Config::submits`].
    pub enabled: Option<bool>,
    /// Time for one submission. One with a file has more, by the file's size.
    pub timeout: Duration,
    /// Submissions at a time.
    pub concurrency: usize,
    /// The database of `bb scoring-api`; without one a SQLite file in its state directory.
    pub database_url: Option<Secret>,
}

impl SubmissionSettings {
    pub(super) const fn defaults() -> Self {
        Self { enabled: None, timeout: Duration::from_secs(30), concurrency: 8, database_url: None }
    }
}

impl Config {
    /// Whether results are submitted: as said, else wherever a scoring API is named, and on other networks than `local`
    /// to the usual one.
    pub fn submits(&self) -> bool {
        let named = self.submit_api_url.is_some() || !self.network.is_local();
        self.submission.enabled.unwrap_or(named)
    }
}

/// Submissions at a time.
pub(super) fn concurrency(text: &str) -> Result<usize, Expected> {
    text.parse().ok().filter(|count| (1..=256).contains(count)).ok_or("a whole number from 1 to 256")
}

/// Where a database is.
pub(super) fn database(text: &str) -> Result<Option<Secret>, Expected> {
    let known = ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(Some(Secret::new(text))) } else { Err("postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE") }
}
