//! The route `/v1/embeddings`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Json, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{ServerState, error_response, model_failure_response};
use crate::ModelError;

/// Maximum number of texts in a request.
const MAX_TEXTS: usize = 256;

fn bad_request(message: &str, param: Option<&str>) -> Response {
    error_response(StatusCode::BAD_REQUEST, message, param)
}

pub(super) async fn embeddings(State(state): State<ServerState>, body: Bytes) -> Response {
    let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return bad_request("the body is not a JSON object", None);
    };
    let texts: Option<Vec<String>> = match fields.get("input") {
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(texts)) => {
            texts.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    let texts = texts.filter(|texts| {
        (1..=MAX_TEXTS).contains(&texts.len()) && texts.iter().all(|text| !text.is_empty())
    });
    let Some(texts) = texts else {
        return bad_request(
            "input must be a text or an array of 1..=256 texts, none of them empty",
            Some("input"),
        );
    };
    let is_base64 = match fields.get("encoding_format").unwrap_or(&Value::Null) {
        Value::Null => false,
        Value::String(format) if format == "float" => false,
        Value::String(format) if format == "base64" => true,
        _ => {
            return bad_request("encoding_format must be float or base64", Some("encoding_format"));
        }
    };
    let width = state.model.llama().config().hidden;
    let dimensions = fields.get("dimensions").filter(|value| !value.is_null());
    if dimensions.is_some_and(|value| value.as_u64() != u64::try_from(width).ok()) {
        return bad_request(&format!("dimensions must be {width}"), Some("dimensions"));
    }
    let model = Arc::clone(&state.model);
    let embedding = tokio::task::spawn_blocking(move || {
        texts.iter().map(|text| model.embed(text)).collect::<Result<Vec<_>, _>>()
    });
    let embeddings = match embedding.await {
        Ok(Ok(embeddings)) => embeddings,
        Ok(Err(error @ (ModelError::TooLong { .. } | ModelError::Tokenizer(_)))) => {
            return bad_request(&error.to_string(), Some("input"));
        }
        Ok(Err(error)) => return model_failure_response(&error),
        Err(_) => {
            return error_response(StatusCode::INTERNAL_SERVER_ERROR, "the model failed", None);
        }
    };
    let tokens: usize = embeddings.iter().map(|(_, tokens)| tokens).sum();
    let data: Vec<_> = embeddings
        .into_iter()
        .enumerate()
        .map(|(index, (vector, _))| embedding_object(index, vector, is_base64))
        .collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Json(json!({"object": "list", "data": data, "model": state.model.name(), "usage": usage}))
        .into_response()
}

/// Returns an embedding of a response, in base64 if `is_base64`.
fn embedding_object(index: usize, vector: Vec<f32>, is_base64: bool) -> Value {
    let embedding = if is_base64 {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        Value::from(STANDARD.encode(bytes))
    } else {
        Value::from(vector)
    };
    json!({"object": "embedding", "index": index, "embedding": embedding})
}
