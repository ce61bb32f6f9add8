use std::time::Duration;

use futures::future::BoxFuture;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_primitives::Hotkey;
use taonet_wire::{PeerError, SignedClient};
use url::Url;

use super::gateway::MIN_CALL_TIMEOUT;
use taonet_babelbit_runner::{CallError, HttpMiner, MinerAddress, MinerConnection, PredictCall};

/// Connection to a miner in a container, at its own endpoint. The signature covers the hash of each
/// message.
pub(super) struct ContainerMiner(HttpMiner);

impl ContainerMiner {
    pub(super) fn new(
        client: SignedClient,
        hotkey: Hotkey,
        endpoint: &MinerAddress,
        predict_path: &str,
    ) -> Result<Self, PeerError> {
        let url = predict_url(endpoint.url(), predict_path);
        HttpMiner::with_url(client, hotkey, endpoint, url).map(Self)
    }

    /// Returns the connection to the predict route.
    pub(super) const fn http(&self) -> &HttpMiner {
        &self.0
    }
}

impl MinerConnection for ContainerMiner {
    fn min_timeout(&self) -> Duration {
        MIN_CALL_TIMEOUT
    }

    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        self.0.init(request, timeout.max(MIN_CALL_TIMEOUT))
    }

    fn predict(
        &self,
        call: PredictCall,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        self.0.predict(call, timeout.max(MIN_CALL_TIMEOUT))
    }
}

/// Appends the path of the predict route to an endpoint, unless the endpoint already ends with the
/// path.
pub(crate) fn predict_url(endpoint: &Url, predict_path: &str) -> Url {
    let mut url = base_url(endpoint, predict_path);
    let path = format!("{}/{}", url.path().trim_end_matches('/'), predict_path.trim_matches('/'));
    url.set_path(&path);
    url
}

/// Strips the path of the predict route from an endpoint.
pub(super) fn base_url(endpoint: &Url, predict_path: &str) -> Url {
    let mut url = endpoint.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    let suffix = format!("/{}", predict_path.trim_matches('/'));
    url.set_path(path.strip_suffix(&suffix).unwrap_or(&path));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: endpoint · predict path · called URL
    #[test]
    fn predict_path_is_appended_once() {
        for (endpoint, path, expected) in [
            ("http://a:9000", "v1/predict", "http://a:9000/v1/predict"),
            ("http://a:9000/", "/v1/predict/", "http://a:9000/v1/predict"),
            ("http://a:9000/v1/predict", "v1/predict", "http://a:9000/v1/predict"),
            ("http://a:9000/v1/predict/", "v1/predict", "http://a:9000/v1/predict"),
            ("http://a:9000/pods/7/v1/predict", "v1/predict", "http://a:9000/pods/7/v1/predict"),
            ("http://a:9000/pods/7", "v1/predict", "http://a:9000/pods/7/v1/predict"),
            ("http://a:9000/predict", "v1/predict", "http://a:9000/predict/v1/predict"),
            ("http://a:9000/xv1/predict", "v1/predict", "http://a:9000/xv1/predict/v1/predict"),
            ("http://a:9000/predict", "predict", "http://a:9000/predict"),
        ] {
            assert_eq!(
                predict_url(&endpoint.parse().unwrap(), path).as_str(),
                expected,
                "{endpoint} {path}"
            );
        }
        assert_eq!(
            base_url(&"http://a:1/x/v1/predict".parse().unwrap(), "v1/predict").as_str(),
            "http://a:1/x"
        );
    }
}
