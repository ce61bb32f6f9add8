//! Connections to miners in pods, which RunPod stops when they are idle.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_wire::permitted_addresses;
use url::Url;

use super::ArenaTime;
use super::container::{ContainerMiner, base_url};
use super::resolve::Pod;
use taonet_settings::Secret;

use crate::ArenaSettings;
use taonet_babelbit_runner::{CallError, HttpMiner, MinerAddress, MinerConnection, PredictCall};
use taonet_http::client::{builder, fault, join_path, read_capped};

/// Base URL of the RunPod API, which starts pods.
const RUNPOD: &str = "https://rest.runpod.io/v1";
/// Timeout of each request that starts a pod or queries its health.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Minimum interval between polls of a pod.
const MIN_POLL: Duration = Duration::from_millis(200);
/// Maximum number of bytes read from an error response.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Health route of containers, and fallback of pods when the configured route fails.
pub(super) const HEALTH_PATH: &str = "/health";

/// Starts pods and waits until they are healthy.
pub(super) struct Pods {
    /// HTTP client for pods, restricted to permitted addresses.
    checked: reqwest::Client,
    /// HTTP client for the RunPod API.
    api: reqwest::Client,
    pub(super) api_url: String,
    key: Option<Secret>,
    health_path: String,
    wake_timeout: Duration,
    poll: Duration,
    time: ArenaTime,
}

impl Pods {
    pub(super) fn new(
        settings: &ArenaSettings,
        permitted: fn(IpAddr) -> bool,
        time: ArenaTime,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            checked: builder()
                .timeout(CALL_TIMEOUT)
                .dns_resolver(Arc::new(PermittedResolver(permitted)))
                .build()?,
            api: builder().timeout(CALL_TIMEOUT).build()?,
            api_url: RUNPOD.to_owned(),
            key: settings.runpod_api_key.clone(),
            health_path: settings.pod_health_path.clone(),
            wake_timeout: settings.pod_wake_timeout,
            poll: settings.pod_wake_poll.max(MIN_POLL),
            time,
        })
    }

    async fn start(&self, id: &str, key: &Secret) -> Result<(), CallError> {
        let mut url =
            Url::parse(&self.api_url).map_err(|error| CallError::Transport(error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(["pods", id, "start"]);
        }
        let call = self.api.post(url).bearer_auth(key.expose()).send().await;
        let answer = call.map_err(|error| CallError::Transport(fault(error).to_string()))?;
        let status = answer.status().as_u16();
        if matches!(status, 200 | 201) {
            return Ok(());
        }
        Err(CallError::status(
            status,
            &read_capped(answer, MAX_ERROR_BODY).await.unwrap_or_default(),
        ))
    }

    async fn is_healthy(&self, base: &Url) -> bool {
        for path in [self.health_path.as_str(), HEALTH_PATH] {
            let answer = self.checked.get(join_path(base, path)).send().await;
            if answer.is_ok_and(|answer| answer.status().as_u16() == 200) {
                return true;
            }
        }
        false
    }

    /// Whether a health route responds with status 200.
    pub(super) async fn responds(&self, health: Url, timeout: Duration) -> bool {
        let answer = self.checked.get(health).timeout(timeout).send().await;
        answer.is_ok_and(|answer| answer.status().as_u16() == 200)
    }
}

/// A miner in a pod. The pod is woken before each session, not before each frame.
pub(super) struct PodMiner {
    container: ContainerMiner,
    pods: Arc<Pods>,
    base: Url,
    id: Option<String>,
    is_up: AtomicBool,
}

impl PodMiner {
    pub(super) fn new(
        container: ContainerMiner,
        pods: Arc<Pods>,
        address: &MinerAddress,
        predict_path: &str,
        pod: Pod,
    ) -> Self {
        let base = base_url(address.url(), predict_path);
        Self { container, pods, base, id: pod.id, is_up: AtomicBool::new(pod.is_up) }
    }

    /// Returns the connection to the predict route of a pod that is awake.
    pub(super) const fn http(&self) -> &HttpMiner {
        self.container.http()
    }

    /// Starts the pod if it is not running, and waits until it is healthy.
    pub(super) async fn wake(&self, timeout: Duration) -> Result<(), CallError> {
        let key = self.pods.key.as_ref();
        let key = key
            .ok_or_else(|| CallError::Refused("missing_runpod_api_key_for_pod_route".to_owned()))?;
        let id = self.id.as_deref();
        let id =
            id.ok_or_else(|| CallError::Refused("missing_endpoint_id_for_pod_route".to_owned()))?;
        if !self.is_up.load(Ordering::Relaxed) {
            tracing::info!(pod = id, "starting pod");
            self.pods.start(id, key).await?;
        }
        let (time, limit) = (&self.pods.time, timeout.max(self.pods.wake_timeout));
        let start = time.now();
        loop {
            if self.pods.is_healthy(&self.base).await {
                self.is_up.store(true, Ordering::Relaxed);
                return Ok(());
            }
            let remaining = limit.saturating_sub(time.now().saturating_duration_since(start));
            if remaining.is_zero() {
                // The next session restarts the pod, regardless of its state in the registry.
                self.is_up.store(false, Ordering::Relaxed);
                return Err(CallError::Timeout(limit));
            }
            time.sleep(self.pods.poll.min(remaining)).await;
        }
    }
}

impl MinerConnection for PodMiner {
    fn min_timeout(&self) -> Duration {
        self.container.min_timeout()
    }

    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        async move {
            self.wake(timeout).await?;
            self.container.init(request, timeout).await
        }
        .boxed()
    }

    fn predict(
        &self,
        call: PredictCall,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        self.container.predict(call, timeout)
    }
}

/// DNS resolver that returns only permitted addresses.
struct PermittedResolver(fn(IpAddr) -> bool);

impl Resolve for PermittedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let permitted = self.0;
        Box::pin(async move {
            let addresses: Addrs =
                Box::new(permitted_addresses(name.as_str(), permitted).await?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
