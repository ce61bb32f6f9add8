use std::time::{Duration, SystemTime};

use serde::Deserialize as _;
use serde_json::Value;
use taonet_babelbit_core::records::{ChallengeType, is_safe_name};
use taonet_babelbit_core::scoring_api::ScoreQuery;
use taonet_babelbit_core::submission_api::{ResultFile, Submission, SubmissionKind};
use taonet_primitives::Hotkey;
use taonet_service::unix_time;
use taonet_wallet::{Signature, verify};
use taonet_wire::sorted_json;

use super::error::ApiError;
use super::record::{NewSubmission, SubmissionKey};

/// Maximum length of a dialogue's ID in bytes.
const MAX_DIALOGUE_ID_BYTES: usize = 200;

/// A submission with a valid signature, whose content is not validated yet.
pub(super) struct SignedSubmission {
    pub(super) validator: Hotkey,
    pub(super) timestamp: i64,
    body: Value,
    payload: String,
    signature: String,
    kind: Option<String>,
}

impl SignedSubmission {
    /// Verifies the signature over all fields of a body except `signature` and `kind`.
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut body: Value = serde_json::from_slice(body).map_err(ApiError::NotJson)?;
        let fields = body
            .as_object_mut()
            .ok_or(ApiError::Field { field: "body", expected: "a JSON object" })?;
        let kind = match fields.remove("kind") {
            None | Some(Value::Null) => None,
            Some(Value::String(kind)) => Some(kind),
            Some(_) => return Err(ApiError::Field { field: "kind", expected: "text" }),
        };
        let Some(Value::String(signature)) = fields.remove("signature") else {
            return Err(ApiError::Field { field: "signature", expected: "hex of 64 bytes" });
        };
        let validator =
            parse_hotkey(fields.get("vali_hotkey").and_then(Value::as_str), "vali_hotkey")?;
        let timestamp = fields.get("timestamp").and_then(Value::as_i64);
        let timestamp = timestamp
            .ok_or(ApiError::Field { field: "timestamp", expected: "a Unix time in seconds" })?;
        let payload = sorted_json(&body);
        verify_signature(&validator, &payload, &signature)?;
        Ok(Self { validator, timestamp, body, payload, signature, kind })
    }

    /// Validates the content, and extracts the key of the result and its score, if there is one.
    pub(super) fn validate(self, received: SystemTime) -> Result<NewSubmission, ApiError> {
        let submission = Submission::deserialize(&self.body).map_err(|_| ApiError::Field {
            field: "body",
            expected: "miner_hotkey, miner_uid, challenge_id, data",
        })?;
        let data = Data(&submission.data);
        let kind = match &self.kind {
            Some(kind) => kind.parse()?,
            None => ResultFile::from_file_type(data.text("file_type").unwrap_or_default())
                .map(ResultFile::kind)
                .ok_or(ApiError::Field { field: "kind", expected: "a kind" })?,
        };
        // The signature does not cover the kind, but it covers the file's type.
        if ResultFile::from_file_type(data.text("file_type").unwrap_or_default())
            .is_some_and(|file| file.kind() != kind)
        {
            return Err(ApiError::Field {
                field: "kind",
                expected: "the kind given in data.file_type",
            });
        }
        let challenge_uid = submission.challenge_id;
        if !is_safe_name(&challenge_uid) {
            return Err(ApiError::Field {
                field: "challenge_id",
                expected: "at most 128 letters, digits, - _ .",
            });
        }
        let challenge_type =
            data.text("challenge_type").unwrap_or(ChallengeType::Main.as_str()).parse();
        let miner_hotkey = match submission.miner_hotkey.as_str() {
            "" => None,
            text => Some(parse_hotkey(Some(text), "miner_hotkey")?),
        };
        let dialogue_uid = data.text("dialogue_uid").unwrap_or_default();
        if dialogue_uid.len() > MAX_DIALOGUE_ID_BYTES || dialogue_uid.chars().any(char::is_control)
        {
            return Err(ApiError::Field {
                field: "data.dialogue_uid",
                expected: "at most 200 printable bytes",
            });
        }
        let key = SubmissionKey {
            validator: self.validator,
            challenge_type: challenge_type.map_err(|_| ApiError::Field {
                field: "data.challenge_type",
                expected: "main, solo or arena",
            })?,
            miner_hotkey,
            miner_uid: submission.miner_uid,
            kind,
            dialogue_uid: dialogue_uid.to_owned(),
            challenge_uid,
        };
        let mean_score = match (kind, data.text("content")) {
            (SubmissionKind::ChallengeScores, Some(content)) => Some(mean_score(content, &key)?),
            _ => None,
        };
        Ok(NewSubmission {
            key,
            signed_unix: self.timestamp,
            received_unix: unix_seconds(received),
            payload: self.payload,
            signature: self.signature,
            artifact: None,
            mean_score,
        })
    }

    /// Returns a field of `data`.
    pub(super) fn data(&self, field: &str) -> Option<&Value> {
        self.body.get("data")?.get(field)
    }
}

struct Data<'a>(&'a Value);

impl<'a> Data<'a> {
    fn text(&self, field: &str) -> Option<&'a str> {
        self.0.get(field)?.as_str()
    }
}

/// Returns the mean score in the JSON text of a challenge score, whose challenge and miner must
/// match the signed key.
fn mean_score(content: &str, key: &SubmissionKey) -> Result<f64, ApiError> {
    let score: Value =
        serde_json::from_str(content).map_err(|_| invalid_content("a challenge score in JSON"))?;
    let matches = |field: &str, expected: &str| {
        score.get(field).and_then(Value::as_str).is_none_or(|actual| actual == expected)
    };
    let miner = key.miner_hotkey.map(|miner| miner.to_string()).unwrap_or_default();
    if !matches("challenge_uid", &key.challenge_uid) || !matches("miner_hotkey", &miner) {
        return Err(invalid_content("the signed challenge and miner"));
    }
    let mean = score.get("challenge_mean_U").and_then(Value::as_f64);
    mean.filter(|mean| (0.0..=1.0).contains(mean))
        .ok_or_else(|| invalid_content("challenge_mean_U from 0 to 1"))
}

fn invalid_content(expected: &'static str) -> ApiError {
    ApiError::Field { field: "data.content", expected }
}

/// Verifies the signature of a query; returns the caller's hotkey.
pub(super) fn verify_query(query: &ScoreQuery) -> Result<Hotkey, ApiError> {
    let hotkey = parse_hotkey(Some(&query.hotkey), "hotkey")?;
    verify_signature(&hotkey, &sorted_json(&query.signed()), &query.signature)?;
    Ok(hotkey)
}

/// Rejects timestamps outside of the window, in the past or the future.
pub(super) fn check_fresh(
    timestamp: i64,
    now: SystemTime,
    window: Duration,
) -> Result<(), ApiError> {
    let age_s = unix_seconds(now).abs_diff(timestamp);
    if age_s > window.as_secs() {
        Err(ApiError::Stale { age_s, window_s: window.as_secs() })
    } else {
        Ok(())
    }
}

/// Converts a time to seconds since the Unix epoch.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    i64::try_from(unix_time(time).as_secs()).unwrap_or(i64::MAX)
}

fn parse_hotkey(text: Option<&str>, field: &'static str) -> Result<Hotkey, ApiError> {
    text.and_then(|text| text.parse().ok())
        .ok_or(ApiError::Field { field, expected: "an SS58 address" })
}

fn verify_signature(signer: &Hotkey, text: &str, signature: &str) -> Result<(), ApiError> {
    let signature: Signature = signature
        .parse()
        .map_err(|_| ApiError::Field { field: "signature", expected: "hex of 64 bytes" })?;
    if verify(signer, text.as_bytes(), &signature) { Ok(()) } else { Err(ApiError::Signature) }
}
