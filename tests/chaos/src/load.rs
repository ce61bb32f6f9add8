//! Requests to the daemons at a constant rate, with their latencies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::sorted_json;
use url::Url;

use crate::network::{NETUID, Network};
use crate::plan::SCORING;

/// Pause between two requests of a kind.
const REQUEST_INTERVAL: Duration = Duration::from_millis(50);
/// Requests on a connection, before it is closed and a new one opened.
const PER_CONNECTION: u32 = 100;
/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Requests of one kind to one daemon, and their latencies.
pub(crate) struct Load {
    /// Name of the load: the request and its receiver.
    pub(crate) name: String,
    results: Arc<Mutex<Results>>,
}

/// Results since the last reading.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// Latencies of successful requests.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) failures: u64,
    /// The last failure.
    pub(crate) error: Option<String>,
}

/// A kind of request.
enum Request {
    /// A POST request with a JSON body.
    Post { url: Url, body: Value },
    /// The scores of the challenge, signed by a validator.
    Scores { base: Url, keypair: Arc<Keypair> },
}

/// A connection for requests.
enum Connection {
    Post { client: reqwest::Client, url: Url, body: Value },
    Scores(ScoresClient),
}

impl Load {
    /// Starts all kinds of requests, until a shutdown.
    pub(crate) fn start_all(network: &Network, shutdown: &Shutdown) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for validator in &network.validators {
            let name = validator.name;
            let gateway =
                network.url(&format!("gateway {name}"))?.join("/v1/metagraph/snapshot")?;
            let signer = network.url(&format!("signer {name}"))?.join("/sign")?;
            let text = sorted_json(&json!({
                "challenge_id": "ferry", "data": { "content": "x".repeat(1_000) }, "miner_hotkey": "", "miner_uid": 0,
                "timestamp": 1, "vali_hotkey": validator.keypair.hotkey(),
            }));
            let scores = Request::Scores {
                base: network.url(SCORING)?,
                keypair: Arc::clone(&validator.keypair),
            };
            let kinds = [
                (
                    format!("metagraph from gateway {name}"),
                    Request::Post { url: gateway, body: json!({ "netuid": NETUID }) },
                ),
                (
                    format!("signature from signer {name}"),
                    Request::Post { url: signer, body: json!({ "payloads": [text] }) },
                ),
                (format!("scores from {SCORING} by {name}"), scores),
            ];
            all.extend(kinds.map(|(name, request)| Self::start(network, name, request, shutdown)));
        }
        Ok(all)
    }

    fn start(network: &Network, name: String, request: Request, shutdown: &Shutdown) -> Self {
        let results = Arc::new(Mutex::new(Results::default()));
        let (shared_results, stop) = (Arc::clone(&results), shutdown.clone());
        network.runtime.spawn(async move {
            while !stop.is_requested() {
                repeat(&request, &shared_results, &stop).await;
            }
        });
        Self { name, results }
    }

    /// Returns the results since the last call.
    pub(crate) fn take(&self) -> Results {
        std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sends requests on one connection.
async fn repeat(request: &Request, results: &Mutex<Results>, stop: &Shutdown) {
    let connection = request.connect();
    for _ in 0..PER_CONNECTION {
        if stop.is_requested() {
            return;
        }
        let start = Instant::now();
        let outcome = match &connection {
            Ok(connection) => connection.send().await.map_err(|error| format!("{error:#}")),
            Err(error) => Err(error.to_string()),
        };
        {
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(()) => results.latencies.push(start.elapsed()),
                Err(error) => {
                    results.failures += 1;
                    results.error = Some(error);
                }
            }
        }
        tokio::time::sleep(REQUEST_INTERVAL).await;
    }
}

impl Request {
    fn connect(&self) -> reqwest::Result<Connection> {
        Ok(match self {
            Self::Post { url, body } => {
                let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
                Connection::Post { client, url: url.clone(), body: body.clone() }
            }
            Self::Scores { base, keypair } => {
                Connection::Scores(ScoresClient::new(base, Arc::clone(keypair))?)
            }
        })
    }
}

impl Connection {
    async fn send(&self) -> anyhow::Result<()> {
        match self {
            Self::Post { client, url, body } => {
                let response = client.post(url.clone()).json(body).send().await?;
                let status = response.status();
                let text = response.text().await?;
                ensure!(status.is_success(), "status {status}: {text}");
            }
            Self::Scores(client) => drop(client.rows("ferry", None).await?),
        }
        Ok(())
    }
}
