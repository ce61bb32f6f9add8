use std::time::Duration;

use crate::api::{BlockAnswer, MetagraphSnapshot, WeightsAnswer, WeightsRequest};
use serde_json::{Value, json};
use taonet_primitives::{BlockNumber, NetUid};
use url::Url;

use taonet_http::AccessToken;
use taonet_http::{JsonCallError, JsonClient, fields};

/// A snapshot of a full subnet takes less than 100 kB.
const MAX_BODY: usize = 8 << 20;
/// Time for a request for weights: more than the gateway takes, less than the signer's callers wait.
const WEIGHTS: Duration = Duration::from_secs(270);
/// How much longer than the gateway is waited for its answer.
const GRACE: Duration = Duration::from_secs(5);

/// A call of the gateway that failed.
#[derive(Debug, thiserror::Error)]
#[error("gateway {path} {source}")]
pub struct GatewayError {
    /// The route.
    pub path: &'static str,
    /// How it failed.
    pub source: JsonCallError,
}

/// A client of one subtensor gateway.
#[derive(Debug, Clone)]
pub struct GatewayClient {
    http: JsonClient,
    timeout: Duration,
}

impl GatewayClient {
    /// A client of the gateway at `base`, with so much time for each call.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(base: &Url, token: Option<&AccessToken>, timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = JsonClient::new(base, token.and_then(AccessToken::header), MAX_BODY)?;
        Ok(Self { http, timeout })
    }

    /// The newest block.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn current_block(&self, timeout: Duration) -> Result<BlockNumber, GatewayError> {
        let answer: BlockAnswer = self.call("/v1/block/current", &json!({}), timeout.min(self.timeout)).await?;
        Ok(BlockNumber::new(answer.block))
    }

    /// The first block that comes within `timeout`; `None` when none does.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn wait_for_block(&self, timeout: Duration) -> Result<Option<BlockNumber>, GatewayError> {
        let body = json!({ "timeout_s": timeout.as_secs_f64() });
        match self.call::<BlockAnswer>("/v1/block/wait", &body, timeout.saturating_add(GRACE)).await {
            Ok(answer) => Ok(Some(BlockNumber::new(answer.block))),
            Err(GatewayError { source: JsonCallError::Status { status, .. }, .. })
                if status == reqwest::StatusCode::GATEWAY_TIMEOUT =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A subnet's neurons.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn snapshot(&self, netuid: NetUid) -> Result<MetagraphSnapshot, GatewayError> {
        let body = json!({ "netuid": netuid, "lite": true });
        self.call("/v1/metagraph/snapshot", &body, self.timeout).await
    }

    /// Has weights submitted, and waits until they are confirmed or not.
    ///
    /// # Errors
    /// [`GatewayError`] where there is no answer about the weights.
    pub async fn set_and_confirm(&self, request: &WeightsRequest) -> Result<WeightsAnswer, GatewayError> {
        const PATH: &str = "/v1/weights/set_and_confirm";
        weights_answer(self.http.post(PATH, request, WEIGHTS).await)
            .map_err(|source| GatewayError { path: PATH, source })
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        path: &'static str,
        body: &Value,
        timeout: Duration,
    ) -> Result<T, GatewayError> {
        let answer = self.http.post(path, body, timeout).await.and_then(fields);
        answer.map_err(|source| GatewayError { path, source })
    }
}

/// What signer and gateway say about weights, also where the status says that they are not set.
pub(crate) fn weights_answer(answer: Result<Value, JsonCallError>) -> Result<WeightsAnswer, JsonCallError> {
    match answer {
        Ok(answer) => fields(answer),
        Err(JsonCallError::Status { status, body, retry_after }) => match serde_json::from_str(&body) {
            Ok(answer @ WeightsAnswer { success: false, error: Some(_), details: Value::Object(_) }) => Ok(answer),
            _ => Err(JsonCallError::Status { status, body, retry_after }),
        },
        Err(error) => Err(error),
    }
}
