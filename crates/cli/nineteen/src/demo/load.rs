//! Buyer traffic of the demonstration.

use std::time::Duration;

use rand::Rng as _;
use serde_json::{Value, json};
use taonet_cli_base::daemon::serve_on_loopback;
use taonet_nineteen_entry::Gateway;
use taonet_nineteen_store::{KeyTerms, Store};
use taonet_service::{Shutdown, system_clock};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;
use zeroize::Zeroizing;

use super::super::keys::now_ms;
use super::super::operation::RunningMarket;
use super::CHAT_TASK;

/// Maximum tokens per request.
const MAX_TOKENS: u64 = 16;
/// Initial credits of the buyer.
const CREDITS: i64 = 1_000_000;

/// A buyer with an API key and credits.
#[derive(Clone)]
pub(super) struct Buyer {
    http: reqwest::Client,
    url: Url,
    key: Zeroizing<String>,
    /// Pause between two requests.
    pause: Duration,
}

/// A running buyer that sends one request after another.
pub(super) struct BuyerTask {
    stop: oneshot::Sender<()>,
    task: JoinHandle<u64>,
}

impl Buyer {
    /// Starts the gateway and creates an API key for it.
    pub(super) async fn new(
        market_services: &RunningMarket,
        pause: Duration,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let RunningMarket { store, querier, market, .. } = market_services;
        let gateway = Gateway::new(store.clone(), querier.clone(), market.clone(), system_clock());
        let url = serve_on_loopback("gateway", gateway.router(), shutdown)
            .await?
            .join("/v1/chat/completions")?;
        let key = create_key(store).await?;
        Ok(Self { http: taonet_http::client::builder().build()?, url, key, pause })
    }

    /// Returns the OpenAI base URL and the API key, for other clients.
    pub(super) fn access(&self) -> (String, &str) {
        (self.url.as_str().trim_end_matches("/chat/completions").to_owned(), &self.key)
    }

    /// Starts sending requests.
    pub(super) fn start(&self) -> BuyerTask {
        let (stop_sender, mut stop_receiver) = oneshot::channel();
        let buyer = self.clone();
        let task = tokio::spawn(async move {
            let mut tokens = 0;
            while stop_receiver.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                tokio::time::sleep(buyer.pause).await;
                tokens += buyer.buy().await.unwrap_or(0);
            }
            tokens
        });
        BuyerTask { stop: stop_sender, task }
    }

    /// Sends one request and returns its completion tokens.
    async fn buy(&self) -> Option<u64> {
        let number = rand::rng().random_range(1..1_000_000);
        let body = json!({
            "model": CHAT_TASK,
            "messages": [{"role": "user", "content": format!("Tell me about number {number}.")}],
            "max_tokens": MAX_TOKENS,
            "temperature": 0.7,
        });
        let response = self
            .http
            .post(self.url.clone())
            .bearer_auth(self.key.as_str())
            .json(&body)
            .send()
            .await
            .ok()?;
        let response: Value = response.error_for_status().ok()?.json().await.ok()?;
        response.pointer("/usage/completion_tokens")?.as_u64()
    }
}

impl BuyerTask {
    /// Stops the buyer and returns the number of tokens bought.
    pub(super) async fn stop(self) -> u64 {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

async fn create_key(store: &Store) -> anyhow::Result<Zeroizing<String>> {
    let terms = KeyTerms::new("demo", 100_000);
    let mut random_bytes = [0; 40];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut random_bytes);
    let key = store.create_key(&terms, &random_bytes, now_ms()).await?;
    store.grant(&key.id, CREDITS, "demo", now_ms()).await?;
    Ok(key.secret)
}
