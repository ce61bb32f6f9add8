use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Configuration of a miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinerConfig {
    /// Path of the predict route.
    pub predict_path: PredictPath,
    /// Miner name in responses to init, for the validator's logs.
    pub miner_id: Option<String>,
    /// Resource limits of callers.
    pub limits: Limits,
    /// Maximum number of frames processed concurrently, at least 1: recognition keeps a core busy.
    pub workers: usize,
}

impl Default for MinerConfig {
    fn default() -> Self {
        Self {
            predict_path: PredictPath::default(),
            miner_id: None,
            limits: Limits::default(),
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

/// Path of the predict route, such as `/v1/predict`: plain segments, and not a health route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictPath(String);

/// The text is not a valid path of the predict route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid predict path `{0}`; hint: use letters, digits, `.`, `_`, `-` and `/`, and neither health nor healthz")]
pub struct PredictPathError(String);

impl PredictPath {
    /// The path with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PredictPath {
    fn default() -> Self {
        Self("/v1/predict".to_owned())
    }
}

impl FromStr for PredictPath {
    type Err = PredictPathError;

    /// Parses the path with or without its leading slash.
    fn from_str(text: &str) -> Result<Self, PredictPathError> {
        let path = text.strip_prefix('/').unwrap_or(text);
        let plain = |segment: &str| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if path.split('/').all(plain) && !["health", "healthz"].contains(&path) {
            Ok(Self(format!("/{path}")))
        } else {
            Err(PredictPathError(text.to_owned()))
        }
    }
}

impl fmt::Display for PredictPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Resource limits of callers. Requests beyond them are refused.
///
/// A session of the patient miner buffers the whole source, 96 kB per second: with the defaults, all sessions together
/// take at most 740 MB. The other profiles buffer about 11 seconds, 70 MB for all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of live sessions of all callers.
    pub sessions: usize,
    /// Maximum number of live sessions of one hotkey.
    pub sessions_per_hotkey: usize,
    /// Idle timeout of a session.
    pub idle: Duration,
    /// Maximum duration of a session's source speech.
    pub source: Duration,
    /// Maximum number of requests of one session, including empty ones.
    pub requests: u64,
    /// Maximum size of a request body in bytes.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 64,
            sessions_per_hotkey: 16,
            // A validator may wait 30 s for slower miners between init and the first frame.
            idle: Duration::from_mins(2),
            source: Duration::from_mins(2),
            requests: 2_000,
            body_bytes: 64 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_keep_their_source_fit_into_memory() {
        let Limits { sessions, source, .. } = Limits::default();
        assert!(sessions as u64 * source.as_secs() * 24_000 * 4 <= 740_000_000);
    }

    #[test]
    fn paths_are_plain() {
        for text in ["v1/predict", "/v1/predict"] {
            assert_eq!(text.parse(), Ok(PredictPath::default()));
        }
        for text in ["", "/", "//x", "v1/", "a b", "{x}", "a?b", "healthz", "/health"] {
            assert_eq!(text.parse::<PredictPath>(), Err(PredictPathError(text.to_owned())));
        }
    }
}
