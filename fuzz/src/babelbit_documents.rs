//! JSON from engines, scoring APIs, gateways and operators: parsing never panics, and parsed
//! documents satisfy their invariants, such as finite weights and references with text.

use serde_json::Value;
use taonet_babelbit_core::arena_api::TokenResponse;
use taonet_babelbit_core::engine_api::UtterancePayload;
use taonet_babelbit_core::protocol::PredictResponse;
use taonet_babelbit_core::qualifying::winners;
use taonet_babelbit_core::records::ScoreFileHead;
use taonet_babelbit_core::reference::ReferenceDocument;
use taonet_primitives::NetUid;
use taonet_validator::api::WeightsRequest;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    if let Ok(document) = ReferenceDocument::parse(value.clone()) {
        for utterance in ["0", "challenge:1", "abc"] {
            for reference in document.find(utterance, "en").into_iter().chain(document.sole("fr")) {
                assert!(!reference.text.trim().is_empty() && reference.wps > 0.0, "{reference:?}");
            }
        }
    }
    if let Ok(request) = WeightsRequest::read(&value, NetUid(59)) {
        assert_eq!(request.uids.len(), request.weights.len());
        assert!(request.weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0));
    }
    let _ = TokenResponse::read(&value);
    let _ = ScoreFileHead::parse(text.as_bytes());
    let _ = serde_json::from_value::<UtterancePayload>(value.clone());
    let _ = serde_json::from_value::<PredictResponse>(value.clone());
    if let Value::Array(rows) = &value {
        assert!(winners(rows).iter().all(|winner| winner.score > 0.0));
    }
}
