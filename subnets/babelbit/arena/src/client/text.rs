//! Connections of the text contest to arena miners.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::text_api::{PREDICT_MESSAGE, PredictedUtterance, PredictionResponse};
use taonet_babelbit_runner::{ArenaUnavailable, CallError, ListArenaMiners, MinerEntry};
use taonet_babelbit_text_runner::{MAX_PREDICTION_BYTES, TextConnection, TextMiner};
use taonet_http::client::join_path;
use taonet_wire::PeerError;
use url::Url;

use super::container::{ContainerMiner, base_url};
use super::gateway::{GatewayMiner, Message};
use super::pod::{HEALTH_PATH, PodMiner, Pods};
use super::resolve::{Route, Target};
use super::{Arena, ArenaError, log_skipped};

impl Arena {
    /// Like [`Arena::miners`], with connections for the text contest.
    ///
    /// # Errors
    /// [`ArenaError::Registry`] when the gateway's list of miners is unavailable.
    pub async fn text_miners(
        &self,
        registered: &[MinerEntry],
    ) -> Result<Vec<TextMiner>, ArenaError> {
        let routes = self.ready_routes(registered).await?;
        let connected = routes.into_iter().filter_map(|route| {
            let uid = route.miner.uid;
            self.connect_text(route).inspect_err(|error| log_skipped(uid, error)).ok()
        });
        Ok(connected.collect())
    }

    /// Returns the function that lists the miners in a runner of the text contest.
    pub fn into_text_list(self) -> ListArenaMiners<TextMiner> {
        Arc::new(move |registered| {
            let arena = self.clone();
            async move {
                let miners = arena.text_miners(&registered).await;
                miners.map_err(|error| ArenaUnavailable(Box::new(error)))
            }
            .boxed()
        })
    }

    fn connect_text(&self, route: Route) -> Result<TextMiner, PeerError> {
        let Route { miner, target, .. } = route;
        let connection: Arc<dyn TextConnection> = match target {
            Target::Gateway { url, is_ours } => Arc::new(self.gateway_miner(&miner, url, is_ours)?),
            Target::Container(address) => Arc::new(TextContainer {
                container: self.container(&miner, &address)?,
                pods: Arc::clone(&self.pods),
                health: health_url(address.url(), &self.config.predict_path),
            }),
            Target::Pod { address, pod } => Arc::new(self.pod_miner(&miner, &address, pod)?),
        };
        let key = MinerKey { uid: miner.uid, hotkey: miner.hotkey };
        Ok(TextMiner { key, name: miner.name, connection })
    }
}

/// Returns the health route of an endpoint: `health` in place of the path of the predict route.
fn health_url(endpoint: &Url, predict_path: &str) -> Url {
    join_path(&base_url(endpoint, predict_path), HEALTH_PATH)
}

/// A text miner in a container.
struct TextContainer {
    container: ContainerMiner,
    /// The HTTP client that calls the health route.
    pods: Arc<Pods>,
    health: Url,
}

impl TextConnection for TextContainer {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        TextConnection::predict(self.container.http(), request, timeout)
    }

    fn is_healthy(&self, timeout: Duration) -> BoxFuture<'_, bool> {
        self.pods.responds(self.health.clone(), timeout).boxed()
    }
}

impl TextConnection for PodMiner {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        TextConnection::predict(self.http(), request, timeout)
    }

    fn is_healthy(&self, timeout: Duration) -> BoxFuture<'_, bool> {
        async move {
            self.wake(timeout)
                .await
                .inspect_err(|error| tracing::debug!(%error, "cannot wake a pod"))
                .is_ok()
        }
        .boxed()
    }
}

/// The gateway starts its miners itself, so that they need no health check.
impl TextConnection for GatewayMiner {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        let message = Message {
            name: PREDICT_MESSAGE,
            first_body: serde_json::to_vec(request),
            retry_body: None,
            max_response_bytes: MAX_PREDICTION_BYTES,
        };
        async move { Ok(self.call_within::<PredictionResponse>(message, timeout).await?.prediction) }.boxed()
    }
}

#[cfg(test)]
mod tests;
