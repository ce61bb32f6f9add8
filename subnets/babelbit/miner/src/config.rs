use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Configuration of a miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinerConfig {
    /// Path of the predict route.
    pub predict_path: PredictPath,
    /// Name of the miner in responses to init requests, for the validator's logs.
    pub miner_id: Option<String>,
    /// Resource limits, per caller and in total.
    pub limits: Limits,
    /// Maximum number of frames processed concurrently, at least 1. Recognition occupies one core
    /// per frame.
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

/// Path of the predict route, such as `/v1/predict`. Its segments consist of ASCII letters, digits,
/// `.`, `_` and `-`; `/health` and `/healthz` are reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictPath(String);

/// The text is not a valid path for the predict route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid predict path `{0}`; hint: use letters, digits, `.`, `_`, `-` and `/`; `health` and `healthz` are reserved"
)]
pub struct PredictPathError(String);

impl PredictPath {
    /// Returns the path with its leading slash.
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
        let is_valid_segment = |segment: &str| {
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if path.split('/').all(is_valid_segment) && !["health", "healthz"].contains(&path) {
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

/// Resource limits per caller and in total. The miner rejects requests that exceed a limit.
///
/// A session of the `patient` profile buffers the complete reply, 96 kB per second, which is at
/// most 3 s longer than the source: with the defaults, all sessions together take at most 760 MB.
/// The other profiles buffer about 11 seconds per session, which takes 70 MB for all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of live sessions in total.
    pub sessions: usize,
    /// Maximum number of live sessions per hotkey.
    pub sessions_per_hotkey: usize,
    /// Idle timeout of a session.
    pub idle: Duration,
    /// Maximum duration of a session's source speech.
    pub source: Duration,
    /// Maximum number of requests per session, including empty requests.
    pub requests: u64,
    /// Maximum size of a request body in bytes.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 64,
            sessions_per_hotkey: 16,
            // Between init and the first frame, a validator may wait 30 s for slower miners.
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
    fn default_session_limits_bound_memory() {
        let Limits { sessions, source, .. } = Limits::default();
        assert!(sessions as u64 * (source.as_secs() + 3) * 24_000 * 4 <= 760_000_000);
    }

    #[test]
    fn predict_path_has_plain_segments_only() {
        for text in ["v1/predict", "/v1/predict"] {
            assert_eq!(text.parse(), Ok(PredictPath::default()));
        }
        for text in ["", "/", "//x", "v1/", "a b", "{x}", "a?b", "healthz", "/health"] {
            assert_eq!(text.parse::<PredictPath>(), Err(PredictPathError(text.to_owned())));
        }
    }
}
