use std::collections::BTreeSet;

use serde_json::{Map, Value};
use taonet_primitives::Hotkey;
use taonet_validator::signer::{PayloadRefusal, SigningPolicy};
use taonet_wire::sorted_json;

/// Maximum size of a text to sign, in bytes; submissions are far smaller.
const MAX_BYTES: usize = 512 << 10;

/// Kind of a permitted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadKind {
    /// A query of scores: `GET /v1/get_scores`.
    ScoreQuery,
    /// A submission to the scoring API: `POST /v1/submit` and `/v1/submit-artifact`.
    Submission,
    /// The signed head of a request to a miner: `{nonce}.{validator}.{miner}.{uuid}.{body hash}`.
    MinerRequest,
    /// A text with a prefix allowed by the operator.
    Prefixed,
    /// Any other text, if the operator allows all texts.
    Any,
}

impl PayloadKind {
    /// Returns the name of the kind in metrics and in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScoreQuery => "score_query",
            Self::Submission => "submission",
            Self::MinerRequest => "miner_request",
            Self::Prefixed => "prefixed",
            Self::Any => "any",
        }
    }
}

/// Why the signer refuses to sign a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadProblem {
    /// The text exceeds the size limit.
    #[error("the payload is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The format of the text is unknown.
    #[error(
        "unknown payload format; hint: bb signer --allow-prefix TEXT allows payloads with that prefix, \
         --sign-anything allows all"
    )]
    Unknown,
    /// The text names a different hotkey.
    #[error("the payload names a hotkey other than this signer's")]
    OtherHotkey,
}

/// Policy that limits the signer to texts of Babelbit's protocols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadPolicy {
    /// The signer's hotkey. Texts that name another signer are refused.
    pub hotkey: Hotkey,
    /// Prefixes of additional permitted texts.
    pub prefixes: Vec<String>,
    /// Whether any text is signed, as in the reference.
    pub any: bool,
}

impl PayloadPolicy {
    /// Creates a policy that permits the texts of Babelbit's protocols, and nothing else.
    pub const fn new(hotkey: Hotkey) -> Self {
        Self { hotkey, prefixes: Vec::new(), any: false }
    }

    /// Returns the policy of a signer.
    pub fn into_signing_policy(self) -> SigningPolicy {
        Box::new(move |text| {
            self.kind_of(text).map(PayloadKind::as_str).map_err(PayloadRefusal::new)
        })
    }

    /// Determines the kind of a text.
    ///
    /// # Errors
    /// [`PayloadProblem`] when the text must not be signed.
    pub fn kind_of(&self, text: &str) -> Result<PayloadKind, PayloadProblem> {
        if text.len() > MAX_BYTES {
            return Err(PayloadProblem::TooLarge);
        }
        let kind = if text.starts_with('{') {
            self.scoring_api_kind(text)
        } else {
            self.miner_request_kind(text)
        };
        match kind {
            Ok(kind) => Ok(kind),
            Err(_) if self.prefixes.iter().any(|prefix| text.starts_with(prefix)) => {
                Ok(PayloadKind::Prefixed)
            }
            Err(_) if self.any => Ok(PayloadKind::Any),
            Err(problem) => Err(problem),
        }
    }

    /// Determines the kind of a request to the scoring API, which must be compact JSON with sorted
    /// keys.
    fn scoring_api_kind(&self, text: &str) -> Result<PayloadKind, PayloadProblem> {
        let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(text) else {
            return Err(PayloadProblem::Unknown);
        };
        let Value::Object(fields) = &value else { return Err(PayloadProblem::Unknown) };
        let keys: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        let has_keys = |names: &[&str]| keys == names.iter().copied().collect();
        let (kind, signer) = if has_keys(&["challenge_id", "data", "hotkey", "timestamp"])
            || has_keys(&["challenge_id", "challenge_type", "data", "hotkey", "timestamp"])
        {
            (PayloadKind::ScoreQuery, "hotkey")
        } else if has_keys(&[
            "challenge_id",
            "data",
            "miner_hotkey",
            "miner_uid",
            "timestamp",
            "vali_hotkey",
        ]) {
            (PayloadKind::Submission, "vali_hotkey")
        } else {
            return Err(PayloadProblem::Unknown);
        };
        if sorted_json(&value) != text {
            return Err(PayloadProblem::Unknown);
        }
        self.check_signer(fields, signer).map(|()| kind)
    }

    fn check_signer(
        &self,
        fields: &Map<String, Value>,
        signer: &str,
    ) -> Result<(), PayloadProblem> {
        let named_hotkey = fields.get(signer).and_then(Value::as_str);
        if named_hotkey == Some(self.hotkey.to_string().as_str()) {
            Ok(())
        } else {
            Err(PayloadProblem::OtherHotkey)
        }
    }

    fn miner_request_kind(&self, text: &str) -> Result<PayloadKind, PayloadProblem> {
        let parts: Vec<&str> = text.split('.').collect();
        let &[nonce, sender, receiver, uuid, hash] = parts.as_slice() else {
            return Err(PayloadProblem::Unknown);
        };
        let is_hash =
            hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_well_formed = nonce.parse::<u64>().is_ok()
            && receiver.parse::<Hotkey>().is_ok()
            && uuid::Uuid::try_parse(uuid).is_ok()
            && (hash.is_empty() || is_hash);
        match sender.parse::<Hotkey>() {
            Ok(sender) if is_well_formed && sender == self.hotkey => Ok(PayloadKind::MinerRequest),
            Ok(_) if is_well_formed => Err(PayloadProblem::OtherHotkey),
            _ => Err(PayloadProblem::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_babelbit_core::scoring_api::ScoreQuery;
    use taonet_wallet::Keypair;

    use super::*;

    const UUID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn hotkey(uri: &str) -> Hotkey {
        Keypair::from_uri(uri).unwrap().hotkey()
    }

    fn query(hotkey: Hotkey, challenge_type: Option<&str>) -> String {
        sorted_json(
            &ScoreQuery {
                hotkey: hotkey.to_string(),
                timestamp: 1_700_000_000,
                signature: String::new(),
                challenge_uid: "ch".into(),
                challenge_type: challenge_type.map(str::to_owned),
            }
            .signed(),
        )
    }

    fn submission(hotkey: Hotkey) -> Value {
        json!({ "vali_hotkey": hotkey.to_string(), "miner_hotkey": "", "miner_uid": 0, "timestamp": 1_700_000_000,
                "challenge_id": "ch", "data": { "content": "é", "size": 1.5, "big": 1e22 } })
    }

    #[test]
    fn payloads_of_known_protocols_are_signed_for_the_own_hotkey_only() {
        let (alice, bob) = (hotkey("//Alice"), hotkey("//Bob"));
        let policy = PayloadPolicy::new(alice);
        let request = |sender: Hotkey, hash: &str| {
            format!("1700000000000000000.{sender}.{bob}.{UUID}.{hash}")
        };
        for (text, expected) in [
            (query(alice, None), Ok(PayloadKind::ScoreQuery)),
            (query(alice, Some("arena")), Ok(PayloadKind::ScoreQuery)),
            (query(bob, None), Err(PayloadProblem::OtherHotkey)),
            (sorted_json(&submission(alice)), Ok(PayloadKind::Submission)),
            (sorted_json(&submission(bob)), Err(PayloadProblem::OtherHotkey)),
            // The scoring API accepts only compact JSON.
            (
                serde_json::to_string_pretty(&submission(alice)).unwrap(),
                Err(PayloadProblem::Unknown),
            ),
            (request(alice, ""), Ok(PayloadKind::MinerRequest)),
            (request(alice, &"0a".repeat(32)), Ok(PayloadKind::MinerRequest)),
            (request(bob, ""), Err(PayloadProblem::OtherHotkey)),
            (request(alice, "0a"), Err(PayloadProblem::Unknown)),
            (request(alice, &"0A".repeat(32)), Err(PayloadProblem::Unknown)),
            (format!("1.{alice}.{bob}.{UUID}"), Err(PayloadProblem::Unknown)),
            (format!("1.{alice}.{bob}.{UUID}.."), Err(PayloadProblem::Unknown)),
            (format!("-1.{alice}.{bob}.{UUID}."), Err(PayloadProblem::Unknown)),
            (format!("1.{alice}.nobody.{UUID}."), Err(PayloadProblem::Unknown)),
            (format!("1.{alice}.{bob}.uuid."), Err(PayloadProblem::Unknown)),
            ("{}".into(), Err(PayloadProblem::Unknown)),
            ("{".into(), Err(PayloadProblem::Unknown)),
            (String::new(), Err(PayloadProblem::Unknown)),
            ("<Bytes>I own this wallet</Bytes>".into(), Err(PayloadProblem::Unknown)),
            ("x".repeat(600_000), Err(PayloadProblem::TooLarge)),
        ] {
            assert_eq!(policy.kind_of(&text), expected, "{text:.200}");
        }
    }

    #[test]
    fn operator_may_allow_more_payloads() {
        let mut policy = PayloadPolicy::new(hotkey("//Alice"));
        policy.prefixes = vec!["taonet-engine:".into()];
        assert_eq!(policy.kind_of("taonet-engine:1:ff"), Ok(PayloadKind::Prefixed));
        assert_eq!(policy.kind_of("engine:1:ff"), Err(PayloadProblem::Unknown));
        policy.any = true;
        assert_eq!(policy.kind_of("engine:1:ff"), Ok(PayloadKind::Any));
        assert_eq!(policy.kind_of(&query(hotkey("//Bob"), None)), Ok(PayloadKind::Any));
        assert_eq!(policy.kind_of(&"x".repeat(600_000)), Err(PayloadProblem::TooLarge));
    }
}
