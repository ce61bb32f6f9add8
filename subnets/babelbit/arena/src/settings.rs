use std::time::Duration;

use taonet_babelbit_core::arena_api::{AUTH_PATH, LIST_PATH, RUNSYNC_PATH};
use url::Url;

use taonet_settings::Secret;

/// Settings for discovering and calling the arena's miners.
#[derive(Debug, Clone)]
pub struct ArenaSettings {
    /// URL of the arena gateway; see `BB_ARENA_GATEWAY_URL`.
    pub gateway_url: Option<Url>,
    /// Path of the gateway's registry route.
    pub registry_path: String,
    /// Requested states, separated by commas; `running` alone means every state from which a miner
    /// can become running.
    pub status: String,
    /// Time window of a registry query, in seconds.
    pub window_seconds: u64,
    /// Timeout of one request to the registry, and of a token request.
    pub registry_timeout: Duration,
    /// Maximum time to wait for miners that are not ready.
    pub ready_timeout: Duration,
    /// Poll interval while waiting for miners; at least one second.
    pub ready_poll: Duration,
    /// Path of the gateway's call route.
    pub runsync_path: String,
    /// Path of the gateway's token route.
    pub auth_path: String,
    /// Timeout of one call through the gateway; at least the protocol's 600 s.
    pub gateway_timeout: Duration,
    /// Initial backoff between retries of a call through the gateway; it doubles with each retry.
    pub retry_base_delay: Duration,
    /// Maximum backoff between retries of a call through the gateway.
    pub retry_max_delay: Duration,
    /// API key for miners on RunPod.
    pub runpod_api_key: Option<Secret>,
    /// Path of the health route of RunPod miners.
    pub pod_health_path: String,
    /// Timeout for waking a RunPod miner.
    pub pod_wake_timeout: Duration,
    /// Poll interval while a RunPod miner starts.
    pub pod_wake_poll: Duration,
}

impl Default for ArenaSettings {
    fn default() -> Self {
        Self {
            gateway_url: None,
            registry_path: LIST_PATH.to_owned(),
            status: "running".to_owned(),
            window_seconds: 86_000,
            registry_timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_mins(5),
            ready_poll: Duration::from_secs(10),
            runsync_path: RUNSYNC_PATH.to_owned(),
            auth_path: AUTH_PATH.to_owned(),
            gateway_timeout: Duration::from_mins(5),
            retry_base_delay: Duration::from_secs(2),
            retry_max_delay: Duration::from_secs(10),
            runpod_api_key: None,
            pod_health_path: "/healthz".to_owned(),
            pod_wake_timeout: Duration::from_secs(90),
            pod_wake_poll: Duration::from_secs(2),
        }
    }
}
