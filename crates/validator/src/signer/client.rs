use std::time::Duration;

use crate::api::{WeightsRequest, WeightsResponse};
use reqwest::StatusCode;
use serde_json::json;
use url::Url;

use crate::subtensor_gateway::weights_response;
use taonet_http::AccessToken;
use taonet_http::{JsonCallError, JsonClient};

/// Maximum size of a response in bytes.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// Timeout of a request to set weights, as in the reference.
const WEIGHTS_TIMEOUT: Duration = Duration::from_mins(5);

/// Client of a signer.
#[derive(Debug, Clone)]
pub struct SignerClient {
    http: JsonClient,
}

impl SignerClient {
    /// Creates a client of the signer at `base`.
    ///
    /// # Errors
    /// When TLS initialisation fails.
    pub fn new(base: &Url, token: Option<&AccessToken>) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: JsonClient::new(base, token.and_then(AccessToken::header), MAX_RESPONSE_BYTES)?,
        })
    }

    /// Checks that the signer responds and accepts the token. Nothing is signed.
    ///
    /// # Errors
    /// [`JsonCallError`] when the signer is unreachable or refuses the token.
    pub async fn check_access(&self, timeout: Duration) -> Result<(), JsonCallError> {
        // The signer examines the texts only after the token.
        match self.http.post("/sign", &json!({ "payloads": [] }), timeout).await {
            Ok(_) | Err(JsonCallError::Status { status: StatusCode::BAD_REQUEST, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Submits weights, and waits until they are confirmed or rejected.
    ///
    /// # Errors
    /// [`JsonCallError`] when the call fails and the response does not report the outcome.
    pub async fn set_weights(
        &self,
        request: &WeightsRequest,
    ) -> Result<WeightsResponse, JsonCallError> {
        let WeightsRequest { netuid, uids, weights, wait_for_inclusion, state_block, .. } = request;
        // The number of attempts is the signer's own setting.
        let mut body = json!({ "netuid": netuid, "uids": uids, "weights": weights, "wait_for_inclusion": wait_for_inclusion });
        if let (Some(block), Some(fields)) = (state_block, body.as_object_mut()) {
            fields.insert("state_block".into(), json!(block));
        }
        weights_response(self.http.post("/set_weights", &body, WEIGHTS_TIMEOUT).await)
    }
}
