//! Images of backends with OpenAI's protocol: `/images/generations`.

use serde_json::{Map, Value, json};

/// The backend's route, below its base URL.
pub(crate) const PATH: &str = "/images/generations";

/// A validator's request as the backend takes it. Steps, seed and the like are not OpenAI's; image servers take them by
/// these names.
pub(crate) fn request(mut payload: Map<String, Value>) -> Map<String, Value> {
    let side = |value: Option<Value>| value.and_then(|value| value.as_u64()).unwrap_or(1_024);
    let (width, height) = (side(payload.shift_remove("width")), side(payload.shift_remove("height")));
    payload.insert("size".to_owned(), format!("{width}x{height}").into());
    payload.insert("n".to_owned(), 1.into());
    payload.insert("response_format".to_owned(), "b64_json".into());
    payload
}

/// The backend's answer as the validator takes it; `None` where it has no image.
pub(crate) fn answer(body: &[u8]) -> Option<Vec<u8>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let image = answer.pointer("/data/0/b64_json")?.as_str().filter(|image| !image.is_empty())?;
    // These backends return what they find safe.
    Some(json!({"image_b64": image, "is_nsfw": false}).to_string().into_bytes())
}
