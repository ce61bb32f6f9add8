use std::time::Duration;

/// How a miner serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinerConfig {
    /// The path of the one route that validators call, with its leading slash.
    pub predict_path: String,
    /// The name given in answers to init, for the validator's logs.
    pub miner_id: Option<String>,
    /// What a caller may use up.
    pub limits: Limits,
    /// How many frames are worked on at the same time, at least 1: recognition keeps a core busy.
    pub workers: usize,
}

impl Default for MinerConfig {
    fn default() -> Self {
        Self {
            predict_path: "/v1/predict".to_owned(),
            miner_id: None,
            limits: Limits::default(),
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

/// What a caller may use up. Everything beyond is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Live sessions of all callers together.
    pub sessions: usize,
    /// Live sessions of one hotkey.
    pub sessions_per_hotkey: usize,
    /// A session without a request for this long is forgotten.
    pub idle: Duration,
    /// Source speech of one session.
    pub source: Duration,
    /// Requests of one session, empty ones included.
    pub requests: u64,
    /// Bytes of one request's body.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 256,
            sessions_per_hotkey: 16,
            // A validator may wait 30 s for slower miners between init and the first frame.
            idle: Duration::from_mins(2),
            source: Duration::from_mins(2),
            requests: 2_000,
            body_bytes: 64 * 1024,
        }
    }
}
