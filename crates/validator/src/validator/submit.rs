//! Submission of weights: through the signer, or else the gateway.

use std::time::Duration;

use crate::api::{WeightsAnswer, WeightsRequest};
use serde_json::Value;
use taonet_primitives::{BlockNumber, Weights};

use super::Validator;
use crate::subnet::Subnet;
use crate::subtensor_gateway::GatewayError;

/// Pauses between attempts when neither signer nor gateway responds.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_mins(1),
];

impl<S: Subnet> Validator<S> {
    /// Submits weights, with retries, until the signer or the gateway reports the outcome. Gives up after `within`: the
    /// next epoch's weights are then due and must not be replaced by these. Retries are harmless: the gateway signs an
    /// epoch's weights once.
    ///
    /// `state_block` is the block of the scores, if it is not the newest.
    pub(super) async fn submit(
        &self,
        weights: &Weights,
        state_block: Option<BlockNumber>,
        within: Duration,
    ) -> WeightsAnswer {
        let request = WeightsRequest {
            state_block,
            retries: self.settings.retries,
            delay_s: self.settings.retry_delay.as_secs_f64(),
            ..WeightsRequest::new(self.settings.netuid, weights.uids.clone(), weights.weights.clone())
        };
        let answered = tokio::time::timeout(within, self.submit_with_retry(&request)).await;
        let answer = answered.unwrap_or_else(|_| {
            not_set(format!("timeout: neither signer nor gateway reported the outcome within {} s", within.as_secs()))
        });
        let result = match &answer.error {
            _ if answer.is_kept() => {
                tracing::info!(details = %answer.details, "weights already set in this chain epoch, not replaced");
                "kept"
            }
            _ if answer.success => {
                tracing::info!(details = %answer.details, "weights set");
                "set"
            }
            error => {
                tracing::error!(error, details = %answer.details, "weights not set");
                "not_set"
            }
        };
        metrics::counter!("taonet_validator_submissions_total", "result" => result).increment(1);
        answer
    }

    async fn submit_with_retry(&self, request: &WeightsRequest) -> WeightsAnswer {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match self.submit_once(request).await {
                Ok(answer) => return answer,
                Err(error) => error,
            };
            let Some(pause) = pauses.next() else { return not_set(error.to_string()) };
            tracing::warn!(
                %error, pause_s = pause.as_secs(),
                "neither signer nor gateway accepts the weights, retrying"
            );
            (self.sleeper)(pause).await;
        }
    }

    /// Submits through the signer and, if that sets no weights on the chain, through the gateway.
    async fn submit_once(&self, request: &WeightsRequest) -> Result<WeightsAnswer, GatewayError> {
        match self.services.signer.set_weights(request).await {
            Ok(answer) if answer.success => return Ok(answer),
            Ok(answer) => {
                tracing::warn!(error = answer.error, "the signer could not set weights, falling back to the gateway");
            }
            Err(error) => tracing::warn!(%error, "the call to the signer failed, falling back to the gateway"),
        }
        self.services.gateway.set_and_confirm(request).await
    }
}

fn not_set(error: String) -> WeightsAnswer {
    WeightsAnswer { success: false, error: Some(error), details: Value::Null }
}
