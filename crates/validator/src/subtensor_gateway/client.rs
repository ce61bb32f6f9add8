use std::time::Duration;

use crate::api::{BlockResponse, MetagraphSnapshot, WeightsRequest, WeightsResponse};
use crate::operator_http::{TOKEN_REMEDY, is_token_refused};
use reqwest::StatusCode;
use serde_json::{Value, json};
use taonet_neuron::Neurons;
use taonet_primitives::{BlockNumber, INLINE_HINT, NetUid};
use url::Url;

use taonet_http::AccessToken;
use taonet_http::{JsonCallError, JsonClient, parse_fields};

/// Maximum size of a response in bytes; a full subnet's snapshot has less than 100 kB.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// Timeout of a request to set weights: longer than the gateway's own timeout, shorter than that of
/// the signer's callers.
const WEIGHTS_TIMEOUT: Duration = Duration::from_secs(270);
/// Margin over the gateway's own timeout when waiting for a block.
const BLOCK_WAIT_MARGIN: Duration = Duration::from_secs(5);

/// Why a call to the gateway failed.
#[derive(Debug, thiserror::Error)]
#[error("gateway {path} {source}{}", token_hint(source))]
pub struct GatewayError {
    /// Path of the route.
    pub path: &'static str,
    /// The error of the call.
    pub source: JsonCallError,
}

impl GatewayError {
    /// Returns whether the gateway refused the access token.
    pub fn is_authentication(&self) -> bool {
        is_token_refused(&self.source)
    }
}

fn token_hint(error: &JsonCallError) -> String {
    if is_token_refused(error) { format!("{INLINE_HINT}{TOKEN_REMEDY}") } else { String::new() }
}

/// Client of a subtensor gateway.
#[derive(Debug, Clone)]
pub struct GatewayClient {
    http: JsonClient,
    timeout: Duration,
}

impl GatewayClient {
    /// Creates a client of the gateway at `base`, with a timeout per call.
    ///
    /// # Errors
    /// When TLS initialisation fails.
    pub fn new(
        base: &Url,
        token: Option<&AccessToken>,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let http = JsonClient::new(base, token.and_then(AccessToken::header), MAX_RESPONSE_BYTES)?;
        Ok(Self { http, timeout })
    }

    /// Fetches the newest block.
    ///
    /// # Errors
    /// [`GatewayError`] when the call fails.
    pub async fn current_block(&self, timeout: Duration) -> Result<BlockNumber, GatewayError> {
        let response: BlockResponse =
            self.call("/v1/block/current", &json!({}), timeout.min(self.timeout)).await?;
        Ok(BlockNumber::new(response.block))
    }

    /// Waits for the next block; `None` after `timeout`.
    ///
    /// # Errors
    /// [`GatewayError`] when the call fails.
    pub async fn wait_for_block(
        &self,
        timeout: Duration,
    ) -> Result<Option<BlockNumber>, GatewayError> {
        let body = json!({ "timeout_s": timeout.as_secs_f64() });
        match self
            .call::<BlockResponse>(
                "/v1/block/wait",
                &body,
                timeout.saturating_add(BLOCK_WAIT_MARGIN),
            )
            .await
        {
            Ok(response) => Ok(Some(BlockNumber::new(response.block))),
            Err(GatewayError { source: JsonCallError::Status { status, .. }, .. })
                if status == StatusCode::GATEWAY_TIMEOUT =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches a subnet's neurons.
    ///
    /// # Errors
    /// [`GatewayError`] when the call fails.
    pub async fn neurons(&self, netuid: NetUid) -> Result<Neurons, GatewayError> {
        let body = json!({ "netuid": netuid, "lite": true });
        let snapshot: MetagraphSnapshot =
            self.call("/v1/metagraph/snapshot", &body, self.timeout).await?;
        Ok(snapshot.into())
    }

    /// Submits weights, and waits until they are confirmed or rejected.
    ///
    /// # Errors
    /// [`GatewayError`] when the call fails and the response does not report the outcome.
    pub async fn set_and_confirm(
        &self,
        request: &WeightsRequest,
    ) -> Result<WeightsResponse, GatewayError> {
        const PATH: &str = "/v1/weights/set_and_confirm";
        weights_response(self.http.post(PATH, request, WEIGHTS_TIMEOUT).await)
            .map_err(|source| GatewayError { path: PATH, source })
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        path: &'static str,
        body: &Value,
        timeout: Duration,
    ) -> Result<T, GatewayError> {
        let response = self.http.post(path, body, timeout).await.and_then(parse_fields);
        response.map_err(|source| GatewayError { path, source })
    }
}

/// Parses the response of the signer or the gateway to a request to set weights, even if it has an
/// error status.
pub(crate) fn weights_response(
    response: Result<Value, JsonCallError>,
) -> Result<WeightsResponse, JsonCallError> {
    match response {
        Ok(response) => parse_fields(response),
        Err(JsonCallError::Status { status, body, retry_after }) => {
            match serde_json::from_str(&body) {
                Ok(
                    response @ WeightsResponse {
                        success: false,
                        error: Some(_),
                        details: Value::Object(_),
                    },
                ) => Ok(response),
                _ => Err(JsonCallError::Status { status, body, retry_after }),
            }
        }
        Err(error) => Err(error),
    }
}
