//! Image requests to backends with OpenAI's API: `/images/generations` and `/images/edits`, and
//! their answers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_images::{Format, Picture};

use crate::backend::Call;

/// Default width and height, in pixels.
const DEFAULT_SIDE: u64 = 1_024;
/// Error codes with which servers withhold an unsafe image.
const UNSAFE_IMAGE_CODES: [&str; 2] = ["content_policy_violation", "moderation_blocked"];

/// Returns whether OpenAI's API has a counterpart of a route.
pub(crate) const fn is_convertible(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::TextToImage | Endpoint::ImageToImage | Endpoint::Inpaint | Endpoint::Avatar
    )
}

/// Converts a validator's request to a call of the backend; `Err` has the name of an invalid field.
/// Decodes a mask, which takes up to some 100 ms.
///
/// Steps, seed and similar fields are not part of OpenAI's API; image servers accept them under
/// these names.
pub(crate) fn convert_request(
    endpoint: Endpoint,
    mut payload: Map<String, Value>,
) -> Result<Call, &'static str> {
    let side =
        |value: Option<Value>| value.and_then(|value| value.as_u64()).unwrap_or(DEFAULT_SIDE);
    let (width, height) =
        (side(payload.shift_remove("width")), side(payload.shift_remove("height")));
    payload.insert("size".to_owned(), format!("{width}x{height}").into());
    payload.insert("n".to_owned(), 1.into());
    payload.insert("response_format".to_owned(), "b64_json".into());
    if endpoint == Endpoint::TextToImage {
        return Ok(Call::json("/images/generations", &payload));
    }
    let mut form = MultipartForm::new();
    let image = take_file(&mut payload, "init_image")?;
    form.add_file("image", &image);
    if endpoint == Endpoint::Inpaint {
        let mask =
            Picture::decode(&take_file(&mut payload, "mask_image")?).map_err(|_| "mask_image")?;
        form.add_file("mask", &mask.white_to_transparent().to_png().map_err(|_| "mask_image")?);
    }
    for (name, value) in &payload {
        match value {
            Value::Null => {}
            Value::String(text) => form.add_text(name, text),
            value => form.add_text(name, &value.to_string()),
        }
    }
    Ok(form.into_call("/images/edits"))
}

/// Takes a field with a file in base64.
fn take_file(
    payload: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Vec<u8>, &'static str> {
    let text = payload.shift_remove(name).ok_or(name)?;
    STANDARD.decode(text.as_str().ok_or(name)?).map_err(|_| name)
}

/// A form of type `multipart/form-data`.
struct MultipartForm {
    boundary: String,
    body: Vec<u8>,
}

impl MultipartForm {
    fn new() -> Self {
        // Random, so that no file contains it.
        let random = || RandomState::new().build_hasher().finish();
        Self { boundary: format!("taonet-{:016x}{:016x}", random(), random()), body: Vec::new() }
    }

    fn add_file(&mut self, name: &str, file: &[u8]) {
        let media_type =
            Format::detect(file).map_or("application/octet-stream", Format::media_type);
        let part_headers = format!("; filename=\"{name}\"\r\ncontent-type: {media_type}");
        self.add_part(name, &part_headers, file);
    }

    fn add_text(&mut self, name: &str, text: &str) {
        self.add_part(name, "", text.as_bytes());
    }

    fn add_part(&mut self, name: &str, part_headers: &str, value: &[u8]) {
        // Names come from validators.
        let name: String =
            name.chars().filter(|char| char.is_ascii_alphanumeric() || *char == '_').collect();
        let start = format!(
            "--{}\r\ncontent-disposition: form-data; name=\"{name}\"{part_headers}\r\n\r\n",
            self.boundary
        );
        for part in [start.as_bytes(), value, b"\r\n"] {
            self.body.extend_from_slice(part);
        }
    }

    fn into_call(mut self, path: &'static str) -> Call {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        Call {
            path,
            content_type: format!("multipart/form-data; boundary={}", self.boundary),
            body: self.body,
        }
    }
}

/// Converts the backend's response to the validators' format; `None` if it has no image.
pub(crate) fn convert_response(body: &[u8]) -> Option<Vec<u8>> {
    let response: Value = serde_json::from_slice(body).ok()?;
    let image = response.pointer("/data/0/b64_json")?.as_str().filter(|image| !image.is_empty())?;
    // These backends return only images that they consider safe.
    Some(json!({"image_b64": image, "is_nsfw": false}).to_string().into_bytes())
}

/// Returns the answer for an error by which the backend withholds an unsafe image; `None` for other
/// errors.
pub(crate) fn withheld_image_answer(error: &[u8]) -> Option<Vec<u8>> {
    let document: Value = serde_json::from_slice(error).ok()?;
    let code = document.pointer("/error/code")?.as_str()?;
    UNSAFE_IMAGE_CODES
        .contains(&code)
        .then(|| json!({"image_b64": null, "is_nsfw": true}).to_string().into_bytes())
}
