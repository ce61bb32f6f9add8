use std::time::Duration;

use taonet_babelbit_core::arena_api::{AUTH_PATH, LIST_PATH, RUNSYNC_PATH};
use url::Url;

use taonet_settings::Secret;

/// How the arena's miners are found and called.
#[derive(Debug, Clone)]
pub struct ArenaSettings {
    /// The arena gateway; see `BB_ARENA_GATEWAY_URL`.
    pub gateway_url: Option<Url>,
    /// The route below it that lists the miners.
    pub registry_path: String,
    /// Which states are asked for, separated by commas; `running` alone means every state that can come to run.
    pub status: String,
    /// How far back the registry looks.
    pub window_seconds: u64,
    /// Time for one call of the registry, and for getting a token.
    pub registry_timeout: Duration,
    /// How long is waited for miners that are not ready.
    pub ready_timeout: Duration,
    /// How often it is looked whether they are; at least every second.
    pub ready_poll: Duration,
    /// The route below the gateway that calls miners.
    pub runsync_path: String,
    /// The route below the gateway that gives tokens.
    pub auth_path: String,
    /// Time for one call through the gateway, where it is more than the protocol's 600 s.
    pub gateway_timeout: Duration,
    /// The pause before a call through the gateway is repeated first; each further one is twice as long.
    pub retry_base_delay: Duration,
    /// The longest pause.
    pub retry_max_delay: Duration,
    /// The key for miners that RunPod runs.
    pub runpod_api_key: Option<Secret>,
    /// The route that says whether such a miner is awake.
    pub pod_health_path: String,
    /// How long such a miner may take to wake.
    pub pod_wake_timeout: Duration,
    /// How often it is looked whether it has.
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
