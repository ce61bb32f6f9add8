use std::time::Duration;

use serde_json::Value;
use taonet_neuron::Neurons;
use taonet_primitives::{BlockNumber, NetUid};
use taonet_service::Sleeper;

use super::WeightsOutcome;
use crate::api::{WeightsRequest, WeightsResponse};
use crate::signer::SignerClient;
use crate::subtensor_gateway::{GatewayClient, GatewayError};

/// Timeout for reading the newest block.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Pauses between attempts when neither signer nor gateway responds.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_mins(1),
];

/// Clients of a subtensor gateway and a signer.
#[derive(Debug, Clone)]
pub struct HttpWeights {
    /// Client of the subtensor gateway, which reads the chain. It also submits weights when the
    /// signer fails.
    pub gateway: GatewayClient,
    /// Client of the signer, which submits weights.
    pub signer: SignerClient,
    /// Maximum number of the gateway's attempts to confirm weights.
    pub retries: u32,
    /// Delay between two of these attempts.
    pub retry_delay: Duration,
}

impl HttpWeights {
    pub(super) async fn current_block(&self) -> Result<BlockNumber, GatewayError> {
        self.gateway.current_block(READ_TIMEOUT).await
    }

    pub(super) async fn wait_for_block(
        &self,
        timeout: Duration,
    ) -> Result<Option<BlockNumber>, GatewayError> {
        self.gateway.wait_for_block(timeout).await
    }

    pub(super) async fn neurons(&self, netuid: NetUid) -> Result<Neurons, GatewayError> {
        self.gateway.neurons(netuid).await
    }

    /// Submits weights, with retries, until the signer or the gateway reports the outcome.
    pub(super) async fn set_weights(
        &self,
        request: WeightsRequest,
        timeout: Duration,
        sleeper: &Sleeper,
    ) -> WeightsOutcome {
        let request = WeightsRequest {
            retries: self.retries,
            delay_s: self.retry_delay.as_secs_f64(),
            ..request
        };
        let result = tokio::time::timeout(timeout, self.submit_with_retry(&request, sleeper)).await;
        match result {
            Ok(Ok(response)) => response.into(),
            Ok(Err(error)) => {
                WeightsOutcome::NotSet { error: error.to_string(), details: Value::Null }
            }
            Err(_) => WeightsOutcome::NotSet {
                error: format!(
                    "timeout: neither signer nor gateway reported the outcome within {} s",
                    timeout.as_secs()
                ),
                details: Value::Null,
            },
        }
    }

    async fn submit_with_retry(
        &self,
        request: &WeightsRequest,
        sleeper: &Sleeper,
    ) -> Result<WeightsResponse, GatewayError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match self.submit_once(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let Some(pause) = pauses.next() else { return Err(error) };
            tracing::warn!(
                %error, pause_s = pause.as_secs(),
                "neither signer nor gateway accepts the weights, retrying"
            );
            sleeper(pause).await;
        }
    }

    /// Submits through the signer and, if that sets no weights on the chain, through the gateway.
    async fn submit_once(&self, request: &WeightsRequest) -> Result<WeightsResponse, GatewayError> {
        match self.signer.set_weights(request).await {
            Ok(response) if response.success => return Ok(response),
            Ok(response) => {
                tracing::warn!(
                    error = response.error,
                    "the signer could not set weights, falling back to the gateway"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "the call to the signer failed, falling back to the gateway");
            }
        }
        self.gateway.set_and_confirm(request).await
    }
}

impl From<WeightsResponse> for WeightsOutcome {
    fn from(WeightsResponse { success, error, details }: WeightsResponse) -> Self {
        if !success {
            return Self::NotSet {
                error: error.unwrap_or_else(|| "confirmation failed".to_owned()),
                details,
            };
        }
        if details.get("unchanged") == Some(&Value::Bool(true)) {
            Self::Unchanged { details }
        } else {
            Self::Submitted { details }
        }
    }
}
