//! Conversion of image requests and responses for backends with OpenAI's API: `/images/generations`.

use serde_json::{Map, Value, json};

/// Route of the backend, relative to its base URL.
pub(crate) const PATH: &str = "/images/generations";

/// Converts a validator's request to the backend's format. Steps, seed and similar fields are not part of OpenAI's API;
/// image servers accept them under these names.
pub(crate) fn request(mut payload: Map<String, Value>) -> Map<String, Value> {
    let side = |value: Option<Value>| value.and_then(|value| value.as_u64()).unwrap_or(1_024);
    let (width, height) = (side(payload.shift_remove("width")), side(payload.shift_remove("height")));
    payload.insert("size".to_owned(), format!("{width}x{height}").into());
    payload.insert("n".to_owned(), 1.into());
    payload.insert("response_format".to_owned(), "b64_json".into());
    payload
}

/// Converts the backend's response to the validators' format; `None` if it has no image.
pub(crate) fn answer(body: &[u8]) -> Option<Vec<u8>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let image = answer.pointer("/data/0/b64_json")?.as_str().filter(|image| !image.is_empty())?;
    // These backends return only images that they consider safe.
    Some(json!({"image_b64": image, "is_nsfw": false}).to_string().into_bytes())
}
