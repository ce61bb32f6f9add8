use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use reqwest::Response;
use taonet_primitives::with_causes;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, Clock, ManualClock, Peer, Signer, SystemClock};
use url::Url;

use super::PATIENCE;
use crate::conformance::{Target, TestError};
use taonet_babelbit_runner::PlaySettings;
use taonet_http::client::builder;

const MESSAGE: &str = "BBAudioMinerInitPayload";
const SIGNATURE: &str = "bt_header_dendrite_signature";
/// Clock offset outside any accepted window.
const OFF: Duration = Duration::from_mins(2);

/// A response with any status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A forged request that must be refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Forgery {
    Unsigned,
    OtherReceiver,
    FalseSignature,
    OldNonce,
    FutureNonce,
    /// A request sent twice; the second response is checked.
    Replay,
}

/// Sends requests to the miner, with valid and forged signatures.
pub(super) struct Wire {
    client: reqwest::Client,
    base: Url,
    path: String,
    peer: Peer,
    validator: Keypair,
    signer: Signer,
    body_signer: Signer,
    limit: usize,
}

/// External address in the signed headers, which miners ignore.
const UNKNOWN: &str = "0.0.0.0";

impl Wire {
    pub(super) fn new(target: &Target, settings: &PlaySettings) -> Result<Self, TestError> {
        let client = builder().build().map_err(TestError::Client)?;
        let base = target.address.url().clone();
        let path = format!("{}/{}", base.path().trim_end_matches('/'), target.predict_path.trim_start_matches('/'));
        let signer = |scheme| Signer::new(target.validator.clone(), UNKNOWN, scheme);
        Ok(Self {
            client,
            path,
            base,
            peer: Peer::new(target.hotkey, target.address.host(), target.address.port())?,
            validator: target.validator.clone(),
            signer: signer(BabelbitScheme::axon()),
            body_signer: signer(BabelbitScheme::managed()),
            limit: settings.max_answer_bytes(2),
        })
    }

    /// Gets a route below the miner's address.
    pub(super) async fn get(&self, route: &str) -> Result<Reply, String> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{route}", self.base.path().trim_end_matches('/')));
        let limit = Duration::from_secs(10);
        let exchange = async { self.read(self.client.get(url).send().await).await };
        within(limit, exchange).await
    }

    /// Sends a request as validators do to an axon: its body is not signed.
    pub(super) async fn signed(&self, body: String, limit: Duration) -> Result<Reply, String> {
        let headers = headers(&self.signer, &self.peer, &self.path, limit, &body)?;
        self.post(headers, body, limit).await
    }

    /// Sends a request as validators do to a managed miner: the hash of its body is signed.
    pub(super) async fn body_signed(&self, body: String, limit: Duration) -> Result<Reply, String> {
        let headers = headers(&self.body_signer, &self.peer, &self.path, limit, &body)?;
        self.post(headers, body, limit).await
    }

    pub(super) async fn forged(&self, forgery: Forgery, body: String, limit: Duration) -> Result<Reply, String> {
        let sign = |signer: &Signer, peer: &Peer| headers(signer, peer, &self.path, limit, &body);
        let dated = |now_ns: u64| {
            let clock = Arc::new(ManualClock::at(now_ns));
            Signer::with_clock(self.validator.clone(), UNKNOWN, BabelbitScheme::axon(), clock)
        };
        let off = u64::try_from((OFF + limit).as_nanos()).unwrap_or(u64::MAX);
        let now = SystemClock.now_ns();
        let headers = match forgery {
            Forgery::Unsigned => HeaderMap::new(),
            Forgery::OtherReceiver => {
                // The validator's own hotkey, which no miner has.
                let other = Peer::new(self.validator.hotkey(), self.peer.host(), self.peer.port());
                sign(&self.signer, &other.map_err(|error| error.to_string())?)?
            }
            Forgery::FalseSignature => {
                let mut headers = sign(&self.signer, &self.peer)?;
                let signature = self.validator.sign(b"something else").to_string();
                headers.insert(SIGNATURE, HeaderValue::try_from(signature).map_err(|error| error.to_string())?);
                headers
            }
            Forgery::OldNonce => sign(&dated(now.saturating_sub(off)), &self.peer)?,
            Forgery::FutureNonce => sign(&dated(now.saturating_add(off)), &self.peer)?,
            Forgery::Replay => {
                let headers = sign(&self.signer, &self.peer)?;
                let first = self.post(headers.clone(), body.clone(), limit).await?;
                if first.status != 200 {
                    return Err(format!("the first of two identical requests returned status {}", first.status));
                }
                headers
            }
        };
        self.post(headers, body, limit).await
    }

    async fn post(&self, mut headers: HeaderMap, body: String, limit: Duration) -> Result<Reply, String> {
        let mut url = self.base.clone();
        url.set_path(&self.path);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = self.client.post(url).headers(headers).body(Bytes::from(body));
        within(limit + PATIENCE, async { self.read(request.send().await).await }).await
    }

    async fn read(&self, response: reqwest::Result<Response>) -> Result<Reply, String> {
        let mut response = response.map_err(told)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > self.limit {
                return Err(format!("{status} with more than {} bytes", self.limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body })
    }
}

fn headers(signer: &Signer, peer: &Peer, path: &str, limit: Duration, body: &str) -> Result<HeaderMap, String> {
    let headers = signer.headers(peer, &Method::POST, path, MESSAGE, limit, body.as_bytes());
    headers.map_err(|error| error.to_string())
}

async fn within(limit: Duration, exchange: impl Future<Output = Result<Reply, String>>) -> Result<Reply, String> {
    let given_up = || format!("no response within {:.0} s", limit.as_secs_f64());
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err(given_up()))
}

/// Formats a connection error with its causes.
fn told(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}
