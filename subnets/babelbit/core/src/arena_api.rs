//! Messages between validators, miners and the arena gateway.
//!
//! A validator gets a token (`POST /auth/token`, [`TokenRequest`]), lists the arena's miners (`GET
//! /list_arena_miners`, [`ListedMiners`]) and calls miners through the gateway (`POST /runsync`,
//! [`RunsyncRequest`]). A miner submits its endpoint with `POST /v1/arena/submit`, [`Submission`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Route where validators get tokens.
pub const AUTH_PATH: &str = "/auth/token";
/// Route that lists the arena's miners.
pub const LIST_PATH: &str = "/list_arena_miners";
/// Route through which validators call miners.
pub const RUNSYNC_PATH: &str = "/runsync";
/// Route where miners submit their endpoints to the arena.
pub const SUBMIT_PATH: &str = "/v1/arena/submit";
/// Provider name of endpoints routed through the gateway.
pub const GATEWAY_PROVIDER: &str = "gateway";
/// Default validity period of a token in seconds.
pub(crate) const DEFAULT_TOKEN_SECONDS: u64 = 1_800;

/// Body of `POST /auth/token`: requests a token for one miner or, without `miner_hotkey` and `uid`,
/// for all miners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// Hotkey of the validator.
    pub hotkey: String,
    /// Hotkey of the miner for which the token is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner_hotkey: Option<String>,
    /// Uid of the miner for which the token is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u16>,
    /// Time of signing in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Nonce: time of signing in nanoseconds since the Unix epoch, as text. Each request needs a
    /// different nonce.
    pub nonce: String,
    /// sr25519 signature over [`TokenRequest::signed_text`]: hex without `0x`.
    pub signature: String,
}

impl TokenRequest {
    /// Returns the object that is serialised for signing.
    pub fn signed_object(&self) -> Value {
        match (&self.miner_hotkey, self.uid) {
            (Some(miner_hotkey), Some(uid)) => json!({ "miner_hotkey": miner_hotkey, "uid": uid }),
            _ => json!({ "scope": "gateway" }),
        }
    }

    /// Returns the text to sign; `object` is [`TokenRequest::signed_object`] as compact JSON with
    /// sorted keys.
    pub fn signed_text(&self, object: &str) -> String {
        format!("{}|{}|{object}", self.timestamp_ms, self.nonce)
    }
}

/// Response to `POST /auth/token`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct TokenResponse {
    /// Bearer token.
    pub auth_token: String,
    /// Remaining lifetime of the token in seconds.
    pub expires_in: u64,
}

impl TokenResponse {
    /// Parses a response, in which the token may also be named `token`; `None` if the response has
    /// no token.
    pub fn read(response: &Value) -> Option<Self> {
        let token_field = |name: &str| {
            response.get(name).and_then(Value::as_str).filter(|token| !token.is_empty())
        };
        let auth_token = token_field("auth_token").or_else(|| token_field("token"))?.to_owned();
        let seconds = response.get("expires_in").and_then(Value::as_f64);
        // The cast saturates, and converts NaN to 0.
        let expires_in = seconds.map_or(DEFAULT_TOKEN_SECONDS, |seconds| seconds as u64);
        Some(Self { auth_token, expires_in })
    }
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Response to `GET /list_arena_miners`: miners that are called through the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedMiners {
    /// The miners, best first.
    pub miners: Vec<ListedMiner>,
    /// Number of miners in the list.
    pub count: usize,
}

/// A miner in the arena, called through the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedMiner {
    /// Hotkey of the miner.
    pub hotkey: String,
    /// Uid of the miner.
    pub uid: u16,
}

/// Alternative response to `GET /list_arena_miners`: miners that are called at their own endpoints.
/// Validators also accept other formats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedContainers {
    /// The miners, best first.
    pub containers: Vec<ListedContainer>,
    /// Number of miners in the list.
    pub count: usize,
}

/// A miner in the arena, with its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedContainer {
    /// Hotkey of the miner.
    pub miner_hotkey: String,
    /// Uid of the miner.
    pub miner_uid: u16,
    /// Container status; our gateway always sends `running`.
    pub status: String,
    /// Hosting provider; our gateway always sends `miner`.
    pub provider: String,
    /// URL of the miner.
    pub endpoint_url: String,
    /// Name of the container; our gateway sends `arena-miner-{uid}`.
    pub container_name: String,
}

/// Body of `POST /runsync`: one message to a miner.
#[derive(Clone, Serialize, Deserialize)]
pub struct RunsyncRequest {
    /// Message to the miner, with its signed headers.
    pub input: RunsyncInput,
    /// Bearer token; alternatively sent as an `Authorization: Bearer` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// Uid of the miner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u16>,
    /// Hotkey of the miner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner_hotkey: Option<String>,
    /// ID of the request, for logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl std::fmt::Debug for RunsyncRequest {
    /// Omits the token: a reader of logs must not be able to call miners with it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunsyncRequest")
            .field("input", &self.input)
            .field("uid", &self.uid)
            .field("miner_hotkey", &self.miner_hotkey)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// A message to a miner and its signed headers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunsyncInput {
    /// The message body, byte for byte as signed.
    pub predict_payload: Box<RawValue>,
    /// Signature headers of the message.
    pub bt_headers: BTreeMap<String, String>,
}

/// Body of `POST /v1/arena/submit`. The miner's hotkey signs it in `X-Bittensor-*` headers
/// (`btauth/1`) that name the gateway's hotkey as receiver; `GET /healthz` returns that hotkey. A
/// later submission replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// URL of the miner: a base URL, or one that ends with the path of the predict route.
    pub endpoint_url: String,
    /// Uid of the miner.
    pub uid: u16,
}

/// Response to `POST /v1/arena/submit`, sent once the gateway has stored the submission on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionResponse {
    /// Hotkey of the miner.
    pub hotkey: String,
    /// Normalised endpoint URL.
    pub endpoint_url: String,
    /// Whether the miner is currently in the arena.
    pub listed: bool,
    /// Number of challenges that the miner won within the gateway's qualifying window.
    pub wins: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: response · token and lifetime
    #[test]
    fn token_response_accepts_two_field_names_and_a_default_lifetime() {
        for (answer, expected) in [
            (json!({ "auth_token": "a", "expires_in": 60 }), Some(("a", 60))),
            (json!({ "token": "b" }), Some(("b", 1_800))),
            (json!({ "auth_token": "a", "token": "b", "expires_in": 60.9 }), Some(("a", 60))),
            (json!({ "auth_token": "", "token": "b", "expires_in": "soon" }), Some(("b", 1_800))),
            (json!({ "token": "b", "expires_in": -1 }), Some(("b", 0))),
            (json!({ "token": 7 }), None),
            (json!({}), None),
            (json!([]), None),
        ] {
            let read = TokenResponse::read(&answer);
            let read = read.as_ref().map(|token| (token.auth_token.as_str(), token.expires_in));
            assert_eq!(read, expected, "{answer}");
        }
    }

    #[test]
    fn payload_is_forwarded_unchanged() {
        let body = r#"{"input":{"predict_payload":{"kind": "predict",  "b":1,"a":"é"},"bt_headers":{"name":"X"}},"uid":7}"#;
        let request: RunsyncRequest = serde_json::from_str(body).unwrap();
        assert_eq!(request.input.predict_payload.get(), r#"{"kind": "predict",  "b":1,"a":"é"}"#);
        assert_eq!((request.uid, request.auth_token), (Some(7), None));
    }

    #[test]
    fn debug_output_redacts_the_token() {
        let body = json!({ "input": { "predict_payload": {}, "bt_headers": {} }, "auth_token": "hush", "uid": 7 });
        let request: RunsyncRequest = serde_json::from_str(&body.to_string()).unwrap();
        let debug_text = format!("{request:?} {request:#?}");
        assert!(
            debug_text.contains("uid: Some(7)") && !debug_text.contains("hush"),
            "{debug_text}"
        );
        let answer = TokenResponse { auth_token: "hush".into(), expires_in: 60 };
        assert!(!format!("{answer:?}").contains("hush"));
    }

    #[test]
    fn token_request_signs_miner_or_gateway_scope() {
        let mut request = TokenRequest {
            hotkey: "5V".into(),
            miner_hotkey: Some("5M".into()),
            uid: Some(7),
            timestamp_ms: 1,
            nonce: "2".into(),
            signature: String::new(),
        };
        assert_eq!(request.signed_object(), json!({ "miner_hotkey": "5M", "uid": 7 }));
        request.uid = None;
        assert_eq!(request.signed_object(), json!({ "scope": "gateway" }));
        assert_eq!(request.signed_text("{}"), "1|2|{}");
    }
}
