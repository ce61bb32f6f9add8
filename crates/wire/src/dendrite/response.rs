//! Responses: the caller's headers, the axon's status, and refusals in the SDK's wording.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use taonet_primitives::Hotkey;
use uuid::Uuid;

use super::status::{CODE, MESSAGE, PROCESS_TIME};
use super::{
    BODY_HASH, DendriteScheme, NAME, NONCE, OUR_VERSION, PREFIX, SENDER, SIGNATURE, StatusMessage,
    TIMEOUT, signed_text,
};
use crate::headers::{parsed, seconds_text};
use crate::{Refusal, RefusedRequest};

const SUCCESS: &str = "Success";

/// Returns the protocol headers of the request, to repeat in the response. Headers about the axon's
/// status are dropped: a caller cannot set them.
pub(super) fn echo(head: &Parts) -> HeaderMap {
    let lines = head.headers.iter().filter(|(name, _)| is_repeated(name.as_str()));
    lines.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_repeated(name: &str) -> bool {
    let is_status = [CODE, MESSAGE, PROCESS_TIME].contains(&name);
    (name.starts_with(PREFIX) && !is_status) || [NAME, TIMEOUT, BODY_HASH].contains(&name)
}

/// Adds the caller's headers and the axon's status to a response.
pub(super) fn complete(echo: HeaderMap, elapsed: Duration, response: &mut Response) {
    let status = response.status();
    let message = match response.extensions().get::<StatusMessage>() {
        Some(StatusMessage(message)) => message.clone(),
        None if status == StatusCode::OK => SUCCESS.to_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let headers = response.headers_mut();
    headers.extend(echo);
    insert(headers, CODE, status.as_str());
    insert(headers, MESSAGE, &message);
    insert(headers, PROCESS_TIME, &seconds_text(elapsed));
}

/// Inserts a header, unless its value is invalid: headers only repeat the body.
fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

pub(super) fn refuse(
    scheme: &DendriteScheme,
    refusal: &Refusal,
    request: &RefusedRequest<'_>,
) -> Response {
    if let Refusal::NotJson { column, .. } = refusal {
        return not_json(*column, &refusal.to_string());
    }
    let (status, message) = status_and_message(scheme, refusal, request);
    let mut response = (status, Json(json!({ "message": message }))).into_response();
    response.extensions_mut().insert(StatusMessage(message));
    let mut headers = HeaderMap::new();
    match refusal {
        // Without a class there is no synapse whose headers could be repeated; headers that are too
        // large are not repeated.
        Refusal::UnknownMessage(_) | Refusal::Unsigned | Refusal::HeadersTooLarge => {
            insert(&mut headers, NAME, "Synapse");
            insert(&mut headers, TIMEOUT, "12.0");
        }
        _ => {
            headers = echo(request.head);
            sign(scheme, request, &mut headers);
        }
    }
    complete(headers, request.elapsed, &mut response);
    response
}

/// Creates the response of the SDK's web framework to a body with a JSON error at this column,
/// counted from 1.
pub(super) fn not_json(column: usize, error: &str) -> Response {
    let detail = json!([{
        "type": "json_invalid",
        "loc": ["body", column.saturating_sub(1)],
        "msg": "JSON decode error",
        "input": {},
        "ctx": { "error": error },
    }]);
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": detail }))).into_response()
}

fn unverified(reason: &str) -> (StatusCode, String) {
    (StatusCode::UNAUTHORIZED, format!("Not Verified with error: {reason}"))
}

fn forbidden(reason: &str) -> (StatusCode, String) {
    (StatusCode::FORBIDDEN, format!("Forbidden. Key is blacklisted: {reason}."))
}

/// Returns the status and message of a refusal: those of the SDK, if it has them.
fn status_and_message(
    scheme: &DendriteScheme,
    refusal: &Refusal,
    request: &RefusedRequest<'_>,
) -> (StatusCode, String) {
    match refusal {
        Refusal::UnknownMessage(name) => {
            let names: Vec<_> =
                scheme.classes.iter().map(|class| format!("'{}'", class.name())).collect();
            let names = names.join(", ");
            (
                StatusCode::NOT_FOUND,
                format!("Synapse name '{name}' not found. Available synapses [{names}]"),
            )
        }
        Refusal::Unsigned | Refusal::BodyMismatch => {
            (StatusCode::INTERNAL_SERVER_ERROR, internal_error())
        }
        Refusal::Duplicate(_) | Refusal::Malformed(_) | Refusal::Lookalike(_) => {
            (StatusCode::BAD_REQUEST, format!("Improperly formatted request. {refusal}"))
        }
        Refusal::Missing(NONCE) => unverified("Missing Nonce"),
        Refusal::Missing(SIGNATURE) => unverified("Missing Signature"),
        Refusal::Stale { age, limit } => unverified(&format!(
            "Nonce is too old: acceptable delta is {:.2} seconds but request was {:.2} seconds old",
            limit.as_secs_f64(),
            age.as_secs_f64(),
        )),
        Refusal::Replayed => unverified("Nonce is too old, a newer one was last processed"),
        Refusal::WrongSignature => {
            unverified(&match request.claim.map(|claim| (signed_text(claim), claim.signature)) {
                Some((Ok(text), signature)) => {
                    format!("Signature mismatch with {text} and {signature}")
                }
                _ => "Signature mismatch".to_owned(),
            })
        }
        Refusal::NotAllowed(_) => forbidden("not allowed here"),
        Refusal::StakeTooLow { .. } | Refusal::NoPermit(_) => forbidden(&refusal.to_string()),
        Refusal::QueueTimeout { limit } | Refusal::ResponseTimeout { limit } => (
            StatusCode::REQUEST_TIMEOUT,
            format!("Response timeout after: {}s", seconds_text(*limit)),
        ),
        other if other.status() == StatusCode::UNAUTHORIZED => unverified(&other.to_string()),
        other => (other.status(), other.to_string()),
    }
}

/// Creates the message of an internal error, which contains only an ID that is also logged.
pub(super) fn internal_error() -> String {
    let id = Uuid::new_v4();
    // Debug level, since anyone can trigger it, one line per request.
    tracing::debug!(%id, "internal server error");
    format!("Internal Server Error #{id}")
}

/// Adds the axon's own identity and its signature over `{nonce}.{dendrite hotkey}.{axon
/// hotkey}.{uuid}`: four parts, where requests sign five.
fn sign(scheme: &DendriteScheme, request: &RefusedRequest<'_>, headers: &mut HeaderMap) {
    let (Some(axon), Ok(dendrite)) =
        (&scheme.axon, parsed::<Hotkey>(&request.head.headers, SENDER))
    else {
        return;
    };
    let (hotkey, uuid) = (axon.keypair.hotkey(), axon.uuid);
    let text = format!("{}.{dendrite}.{hotkey}.{uuid}", request.now_ns);
    insert(headers, "bt_header_axon_version", &OUR_VERSION.to_string());
    insert(headers, "bt_header_axon_nonce", &request.now_ns.to_string());
    insert(headers, "bt_header_axon_uuid", &uuid.to_string());
    insert(headers, "bt_header_axon_hotkey", &hotkey.to_string());
    insert(headers, "bt_header_axon_signature", &axon.keypair.sign(text.as_bytes()).to_string());
}
