//! Handing weights over: to the signer, else to the gateway.

use std::time::Duration;

use serde_json::Value;
use taonet_babelbit_core::operator_api::{WeightsAnswer, WeightsRequest};
use taonet_babelbit_core::weights::Weights;

use super::Validator;
use crate::subtensor_gateway::GatewayError;

/// Pauses between attempts where neither signer nor gateway answers.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_mins(1),
];

impl Validator {
    /// Hands weights over until one of the two says what became of them. To ask again is harmless: the gateway signs an
    /// epoch's weights once.
    pub(super) async fn submit(&self, weights: &Weights) -> WeightsAnswer {
        let request = WeightsRequest {
            retries: self.settings.retries,
            delay_s: self.settings.retry_delay.as_secs_f64(),
            ..WeightsRequest::new(self.settings.netuid, weights.uids.clone(), weights.weights.clone())
        };
        let mut pauses = PAUSES.into_iter();
        let answer = loop {
            let error = match self.hand_over(&request).await {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            let Some(pause) = pauses.next() else {
                break WeightsAnswer { success: false, error: Some(error.to_string()), details: Value::Null };
            };
            tracing::warn!(%error, pause_s = pause.as_secs(), "neither signer nor gateway takes weights, trying again");
            (self.sleeper)(pause).await;
        };
        let result = if answer.success { "set" } else { "not_set" };
        metrics::counter!("taonet_validator_submissions_total", "result" => result).increment(1);
        match &answer.error {
            _ if answer.success => tracing::info!(details = %answer.details, "weights are set"),
            error => tracing::error!(error, details = %answer.details, "weights are not set"),
        }
        answer
    }

    /// Asks the signer, and where that does not lead to weights on the chain, the gateway.
    async fn hand_over(&self, request: &WeightsRequest) -> Result<WeightsAnswer, GatewayError> {
        match self.services.signer.set_weights(request).await {
            Ok(answer) if answer.success => return Ok(answer),
            Ok(answer) => {
                tracing::warn!(error = answer.error, "the signer could not set weights, asking the gateway");
            }
            Err(error) => tracing::warn!(%error, "the signer does not answer, asking the gateway"),
        }
        self.services.gateway.set_and_confirm(request).await
    }
}
