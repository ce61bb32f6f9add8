//! JSON documents of the inference market: buyers' requests to the gateway, and the tables of `tao
//! nineteen weights` and `period-score`. None causes a panic; a miner gets only payloads within
//! their limits, and each uid has one weight.

use taonet_nineteen_core::document::{period_scores, weights};
use taonet_nineteen_core::payload::MAX_SEED;
use taonet_nineteen_core::period::PeriodProfile;
use taonet_nineteen_core::scoring::ScoringProfile;
use taonet_nineteen_entry::testing::payloads;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    for payload in payloads(bytes) {
        let number = |name: &str| payload.get(name).and_then(serde_json::Value::as_u64);
        assert!(
            payload.get("seed").is_none()
                || number("seed").is_some_and(|seed| (1..=MAX_SEED).contains(&seed))
        );
        assert!(
            payload.get("max_tokens").is_none()
                || number("max_tokens").is_some_and(|most| most <= 32_768)
        );
        assert!(payload.get("stream").is_none_or(|stream| *stream == true));
    }
    let Ok(document) = serde_json::from_slice(bytes) else { return };
    for profile in [PeriodProfile::Reference, PeriodProfile::Later, PeriodProfile::Seed] {
        let _ = period_scores(&document, profile);
    }
    let profiles = [
        ScoringProfile::Reference,
        ScoringProfile::Later,
        ScoringProfile::Strict,
        ScoringProfile::LaterStrict,
    ];
    for profile in profiles.map(Some).into_iter().chain([None]) {
        let Ok(answer) = weights(&document, profile) else { continue };
        let length =
            |name: &str| answer.get(name).and_then(serde_json::Value::as_array).map(Vec::len);
        assert_eq!(length("uids"), length("weights"));
    }
}
