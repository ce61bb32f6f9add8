use std::time::Duration;

use taonet_settings::value::Expected;

use super::Config;

/// Settings for submitting results to the scoring API.
#[derive(Debug, Clone)]
pub struct SubmissionSettings {
    /// Whether to submit results; `None` if not configured, see [`Config::submits`].
    pub enabled: Option<bool>,
    /// Timeout of one submission; for an audio bundle, plus its transfer time at 256 KiB/s.
    pub timeout: Duration,
    /// Maximum number of concurrent submissions.
    pub concurrency: usize,
}

impl SubmissionSettings {
    pub(super) const fn defaults() -> Self {
        Self { enabled: None, timeout: Duration::from_secs(30), concurrency: 8 }
    }
}

impl Config {
    /// Whether to submit results. If not configured, results are submitted if a scoring API is
    /// configured or the network is not `local`.
    pub fn submits(&self) -> bool {
        let is_default_enabled = self.submit_api_url.is_some() || !self.operator.network.is_local();
        self.submission.enabled.unwrap_or(is_default_enabled)
    }
}

/// Parses the maximum number of concurrent submissions.
pub(super) fn concurrency(text: &str) -> Result<usize, Expected> {
    text.parse().ok().filter(|count| (1..=256).contains(count)).ok_or("an integer from 1 to 256")
}
