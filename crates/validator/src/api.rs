//! Messages between validator, signer and subtensor gateway.

mod snapshot;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_primitives::{BlockNumber, NetUid, Uid};

pub(crate) use snapshot::MetagraphSnapshot;

/// Default number of attempts to confirm weights, as in the reference.
pub const DEFAULT_RETRIES: u32 = 20;
/// Default delay between two attempts, in seconds, as in the reference.
pub const DEFAULT_DELAY_S: f64 = 2.0;
/// Maximum number of weights in a request; no subnet has that many neurons.
const MAX_UIDS: usize = 4_096;

/// The body of the signer's `POST /set_weights`, and of the gateway's `POST
/// /v1/weights/set_and_confirm`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightsRequest {
    /// The subnet; defaults to the service's configured subnet.
    pub netuid: NetUid,
    /// Uids that receive weight.
    pub uids: Vec<Uid>,
    /// Weights in the order of `uids`; only the proportions count.
    pub weights: Vec<f64>,
    /// Ignored field: the response always waits for inclusion in a block.
    pub wait_for_inclusion: bool,
    /// Maximum number of attempts to confirm the weights.
    pub retries: u32,
    /// Delay between two attempts, in seconds.
    pub delay_s: f64,
    /// The hotkey that the caller expects to submit the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet_hotkey: Option<String>,
    /// The block at which the scores were fetched; defaults to the newest. Not part of the
    /// reference's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_block: Option<BlockNumber>,
}

/// Why a request to set weights is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsProblem {
    /// The lists are empty or differ in length.
    #[error("uids/weights mismatch or empty")]
    Mismatch,
    /// A field has the wrong type or is out of range.
    #[error("{field}: expected {expected}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The expected type or range.
        expected: &'static str,
    },
}

/// Returns a field of a body that is not null.
fn field<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

impl WeightsRequest {
    /// Creates a request for these weights, with the reference's retry settings.
    pub fn new(netuid: NetUid, uids: Vec<Uid>, weights: Vec<f64>) -> Self {
        Self {
            netuid,
            uids,
            weights,
            wait_for_inclusion: false,
            retries: DEFAULT_RETRIES,
            delay_s: DEFAULT_DELAY_S,
            wallet_hotkey: None,
            state_block: None,
        }
    }

    /// Parses a request body; a single uid and weight need no lists. Missing or null fields get
    /// their defaults; the default subnet is `netuid`.
    ///
    /// # Errors
    /// [`WeightsProblem`] when a field is malformed or the lists do not match.
    pub fn read(body: &Value, netuid: NetUid) -> Result<Self, WeightsProblem> {
        let uids = list(field(body, "uids"), "uids", "integers from 0 to 65535", |value| {
            value.as_u64().and_then(|uid| u16::try_from(uid).ok()).map(Uid)
        })?;
        let weights =
            list(field(body, "weights"), "weights", "finite non-negative numbers", |value| {
                value.as_f64().filter(|weight| weight.is_finite() && *weight >= 0.0)
            })?;
        if uids.is_empty() || uids.len() != weights.len() {
            return Err(WeightsProblem::Mismatch);
        }
        let netuid =
            optional(field(body, "netuid"), "netuid", "an integer from 0 to 65535", |value| {
                value.as_u64().and_then(|netuid| u16::try_from(netuid).ok()).map(NetUid)
            })?
            .unwrap_or(netuid);
        let retries =
            optional(field(body, "retries"), "retries", "an integer from 0 to 1000", |value| {
                value
                    .as_u64()
                    .filter(|retries| *retries <= 1_000)
                    .and_then(|retries| u32::try_from(retries).ok())
            })?;
        let delay_s = optional(
            field(body, "delay_s"),
            "delay_s",
            "a number of seconds from 0 to 600",
            |value| value.as_f64().filter(|delay| (0.0..=600.0).contains(delay)),
        )?;
        Ok(Self {
            wait_for_inclusion: optional(
                field(body, "wait_for_inclusion"),
                "wait_for_inclusion",
                "true or false",
                Value::as_bool,
            )?
            .unwrap_or(false),
            retries: retries.unwrap_or(DEFAULT_RETRIES),
            delay_s: delay_s.unwrap_or(DEFAULT_DELAY_S),
            wallet_hotkey: optional(
                field(body, "wallet_hotkey"),
                "wallet_hotkey",
                "text",
                |value| value.as_str().map(str::to_owned),
            )?,
            state_block: optional(
                field(body, "state_block"),
                "state_block",
                "a block number",
                |value| {
                    value.as_u64().and_then(|block| u32::try_from(block).ok()).map(BlockNumber::new)
                },
            )?,
            ..Self::new(netuid, uids, weights)
        })
    }
}

fn list<T>(
    value: Option<&Value>,
    field: &'static str,
    expected: &'static str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, WeightsProblem> {
    let items = match value {
        None => &[],
        Some(Value::Array(items)) => items.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    if items.len() > MAX_UIDS {
        return Err(WeightsProblem::Field { field, expected: "at most 4096 entries" });
    }
    items.iter().map(|item| read(item).ok_or(WeightsProblem::Field { field, expected })).collect()
}

fn optional<T>(
    value: Option<&Value>,
    field: &'static str,
    expected: &'static str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, WeightsProblem> {
    value.map(|value| read(value).ok_or(WeightsProblem::Field { field, expected })).transpose()
}

/// Response of the signer and the gateway to a request to set weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsResponse {
    /// Whether the weights are set on the chain.
    #[serde(default)]
    pub success: bool,
    /// Why the weights are not set; `None` if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Details of the submission.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// Response of the gateway's block routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockResponse {
    /// The height of the newest block.
    pub block: u32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parsed_request_bodies_match_the_reference() {
        let netuid = NetUid(59);
        let read = |body: Value| WeightsRequest::read(&body, netuid);
        let body = json!({ "netuid": 7, "uids": [1, 2], "weights": [0.5, 1], "wait_for_inclusion": true, "retries": 3,
                           "delay_s": 0.5, "wallet_hotkey": "default", "state_block": 9 });
        let expected = WeightsRequest {
            wait_for_inclusion: true,
            retries: 3,
            delay_s: 0.5,
            wallet_hotkey: Some("default".into()),
            state_block: Some(BlockNumber::new(9)),
            ..WeightsRequest::new(NetUid(7), vec![Uid(1), Uid(2)], vec![0.5, 1.0])
        };
        assert_eq!(read(body).as_ref(), Ok(&expected));
        assert_eq!(read(serde_json::to_value(&expected).unwrap()), Ok(expected));
        let single_weight = WeightsRequest::new(netuid, vec![Uid(5)], vec![1.0]);
        assert_eq!(read(json!({ "uids": 5, "weights": 1, "netuid": null })), Ok(single_weight));
    }

    /// Columns: body · error
    #[test]
    fn malformed_requests_have_distinct_errors() {
        let too_many = json!({ "uids": vec![1; 5_000], "weights": vec![1; 5_000] });
        for (body, text) in [
            (json!({}), "uids/weights mismatch or empty"),
            (json!([1]), "uids/weights mismatch or empty"),
            (json!({ "uids": [], "weights": [] }), "uids/weights mismatch or empty"),
            (json!({ "uids": [1, 2], "weights": [1] }), "uids/weights mismatch or empty"),
            (json!({ "uids": [-1], "weights": [1] }), "uids: expected integers from 0 to 65535"),
            (json!({ "uids": [1.5], "weights": [1] }), "uids: expected integers from 0 to 65535"),
            (json!({ "uids": ["1"], "weights": [1] }), "uids: expected integers from 0 to 65535"),
            (
                json!({ "uids": [1], "weights": [-1] }),
                "weights: expected finite non-negative numbers",
            ),
            (
                json!({ "uids": [1], "weights": [[1]] }),
                "weights: expected finite non-negative numbers",
            ),
            (
                json!({ "uids": [1], "weights": [1], "netuid": 70000 }),
                "netuid: expected an integer from 0 to 65535",
            ),
            (
                json!({ "uids": [1], "weights": [1], "retries": -1 }),
                "retries: expected an integer from 0 to 1000",
            ),
            (
                json!({ "uids": [1], "weights": [1], "delay_s": 1e9 }),
                "delay_s: expected a number of seconds from 0 to 600",
            ),
            (
                json!({ "uids": [1], "weights": [1], "wait_for_inclusion": 1 }),
                "wait_for_inclusion: expected true or false",
            ),
            (
                json!({ "uids": [1], "weights": [1], "state_block": -1 }),
                "state_block: expected a block number",
            ),
            (too_many, "uids: expected at most 4096 entries"),
        ] {
            let problem = WeightsRequest::read(&body, NetUid(59)).unwrap_err();
            assert_eq!(problem.to_string(), text, "{body:.80}");
        }
    }
}
