//! Calls to a miner, as a validator sends them.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, Peer, Signer};
use tokio::runtime::Runtime;

/// A validator that calls one miner.
pub(crate) struct MinerClient {
    url: String,
    peer: Peer,
    validator: Signer,
    http: reqwest::Client,
    runtime: Runtime,
}

impl MinerClient {
    /// Creates a client with the development key `validator` for the miner at `url`, whose
    /// development key is `miner`.
    pub(crate) fn new(url: &str, miner: &str, validator: &str) -> Self {
        let [miner, validator] = [miner, validator].map(|uri| Keypair::from_uri(uri).unwrap());
        let (host, port) = url.trim_start_matches("http://").rsplit_once(':').unwrap();
        Self {
            url: url.to_owned(),
            peer: Peer::new(miner.hotkey(), host, port.parse().unwrap()).unwrap(),
            validator: Signer::new(validator, host, BabelbitScheme::axon()),
            http: reqwest::Client::new(),
            runtime: Runtime::new().unwrap(),
        }
    }

    /// Returns the miner's hotkey.
    pub(crate) fn hotkey(&self) -> String {
        self.peer.hotkey().to_string()
    }

    /// Sends a signed request; returns the status and the JSON response.
    pub(crate) fn call(&self, request: &Value) -> (u16, Value) {
        self.call_with(request.to_string(), "10.0")
    }

    /// Sends a signed body with this value of the header `timeout`, which is not signed; returns
    /// the status and the JSON response.
    pub(crate) fn call_with(&self, body: String, timeout_header: &str) -> (u16, Value) {
        let (route, timeout) = ("/v1/predict", Duration::from_secs(10));
        let name = "BBAudioMinerPredictPayload";
        let mut headers = self
            .validator
            .headers(&self.peer, &Method::POST, route, name, timeout, body.as_bytes())
            .unwrap();
        headers.insert("timeout", timeout_header.parse().unwrap());
        let request = self.http.post(format!("{}{route}", self.url)).headers(headers).body(body);
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json().await.unwrap())
        })
    }

    /// Like [`Self::call`], for a request that must be accepted; returns the response.
    #[track_caller]
    pub(crate) fn expect_accepted(&self, request: &Value) -> Value {
        let (status, response) = self.call(request);
        assert_eq!(status, 200, "{response}");
        response
    }
}
