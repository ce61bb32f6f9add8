//! Requests to `/v1/images/generations`, `/v1/images/edits` and the reference's image routes.

mod openai;
mod output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use taonet_nineteen_core::payload::ImagePayload;
use taonet_nineteen_core::task::Endpoint;
use tokio::sync::Semaphore;

use crate::GatewayError;
use crate::download::Downloader;
use crate::request::Fields;

pub(crate) use output::Output;

/// Default number of denoising steps of the reference's routes.
const REFERENCE_STEPS: u64 = 10;
/// Default guidance scale: how closely an image follows the prompt.
const DEFAULT_CFG: f64 = 3.0;
/// Default width and height, in pixels.
const DEFAULT_SIDE: u64 = 1_024;
/// Minimum and maximum width and height, in pixels: those of the reference's image workers.
const SIDE_RANGE: std::ops::RangeInclusive<u64> = 513..=2_047;
/// Maximum length of a prompt, in characters.
const MAX_PROMPT_LENGTH: usize = 32_000;

/// A parsed image request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageRequest {
    /// Name of the task; `None` selects the first one of the route.
    pub(crate) model: Option<String>,
    pub(crate) payload: ImagePayload,
    pub(crate) endpoint: Endpoint,
    /// Number of images.
    pub(crate) count: usize,
    pub(crate) output: Output,
}

impl ImageRequest {
    /// Parses a request to one of the reference's routes.
    pub(crate) fn parse_reference(body: &[u8], endpoint: Endpoint) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        // In the reference, avatars and inpainting have one task each.
        let has_one_task = matches!(endpoint, Endpoint::Avatar | Endpoint::Inpaint);
        let model =
            if has_one_task && !fields.has("model") { None } else { Some(fields.take_model()?) };
        let mut take_side = |name: &'static str| -> Result<u64, GatewayError> {
            Ok(fields
                .take_integer(name, *SIDE_RANGE.start(), *SIDE_RANGE.end())?
                .unwrap_or(DEFAULT_SIDE))
        };
        let size = (take_side("width")?, take_side("height")?);
        Ok(Self {
            model,
            payload: parse_payload(fields, endpoint, size, REFERENCE_STEPS)?,
            endpoint,
            count: 1,
            output: Output::Reference,
        })
    }

    /// Downloads the images that are given as URLs, and puts their data in place of the URLs.
    /// `download_slots` limits the number of requests that download.
    ///
    /// # Errors
    /// [`GatewayError::ImageDownload`] when an image cannot be downloaded, or is not an image.
    pub(crate) async fn download_images(
        &mut self,
        downloader: Downloader,
        download_slots: &Semaphore,
    ) -> Result<(), GatewayError> {
        if !self.payload.extra_fields.values().any(|value| value.as_str().is_some_and(is_url)) {
            return Ok(());
        }
        // The semaphore is never closed.
        let _slot = download_slots.acquire().await;
        for (miner_field, value) in &mut self.payload.extra_fields {
            let Some(url) = value.as_str().filter(|text| is_url(text)) else { continue };
            let param = if miner_field == "mask_image" { "mask" } else { "init_image" };
            let bytes = downloader.download(url).await;
            let bytes =
                bytes.map_err(|error| GatewayError::image_download(param, error.to_string()))?;
            if !has_signature(&bytes) {
                return Err(GatewayError::image_download(
                    param,
                    "the file is not a JPEG, PNG, GIF, BMP or TIFF image",
                ));
            }
            *value = STANDARD.encode(&bytes).into();
        }
        Ok(())
    }

    /// Returns the image of a miner's answer, in base64.
    ///
    /// # Errors
    /// [`GatewayError::UnsafeImage`] for a withheld image, [`GatewayError::NoAnswer`] for an answer
    /// without a valid image.
    pub(crate) fn image_from_answer(answer: &Value) -> Result<&str, GatewayError> {
        // As in the reference, even if the miner has sent the image.
        if answer.get("is_nsfw") == Some(&Value::Bool(true)) {
            return Err(GatewayError::UnsafeImage);
        }
        let image = answer.get("image_b64").and_then(Value::as_str);
        image.filter(|image| is_image(image)).ok_or(GatewayError::NoAnswer)
    }
}

/// Parses the fields that all image requests have in common, and those of the route.
fn parse_payload(
    mut fields: Fields,
    endpoint: Endpoint,
    (width, height): (u64, u64),
    default_steps: u64,
) -> Result<ImagePayload, GatewayError> {
    let is_within_limits =
        |text: &String| !text.trim().is_empty() && text.chars().count() <= MAX_PROMPT_LENGTH;
    let prompt = match fields.take("prompt") {
        Some(Value::String(prompt)) if is_within_limits(&prompt) => prompt,
        _ => {
            return Err(GatewayError::field(
                "prompt",
                "prompt must be a string of 1..=32000 characters",
            ));
        }
    };
    let negative_prompt = match fields.take("negative_prompt") {
        None => String::new(),
        Some(Value::String(prompt)) if prompt.chars().count() <= MAX_PROMPT_LENGTH => prompt,
        Some(_) => {
            return Err(GatewayError::field("negative_prompt", "negative_prompt must be a string"));
        }
    };
    let steps = fields.take_integer("steps", 5, 49)?.unwrap_or(default_steps);
    let cfg_scale = fields.take_float("cfg_scale", 1.5, 12.0)?.unwrap_or(DEFAULT_CFG);
    let seed = fields.take_seed()?;
    let mut extra_fields = Map::new();
    let take_strength = |fields: &mut Fields, name: &'static str| {
        Ok::<_, GatewayError>((
            name.to_owned(),
            Value::from(fields.take_float(name, 0.1, 1.0)?.unwrap_or(0.5)),
        ))
    };
    match endpoint {
        Endpoint::ImageToImage => {
            extra_fields.extend([take_image(&mut fields, "init_image", "init_image")?]);
            extra_fields.extend([take_strength(&mut fields, "image_strength")?]);
        }
        Endpoint::Inpaint => {
            extra_fields.extend([take_image(&mut fields, "init_image", "init_image")?]);
            extra_fields.extend([take_image(&mut fields, "mask", "mask_image")?]);
        }
        Endpoint::Avatar => {
            extra_fields.extend([take_image(&mut fields, "init_image", "init_image")?]);
            extra_fields.extend([take_strength(&mut fields, "ipadapter_strength")?]);
            extra_fields.extend([take_strength(&mut fields, "control_strength")?]);
        }
        _ => {}
    }
    fields.reject_remaining()?;
    Ok(ImagePayload {
        prompt,
        negative_prompt,
        steps,
        cfg_scale,
        width,
        height,
        seed,
        model: None,
        extra_fields,
    })
}

/// Takes an image field; returns its name in requests to miners, and the base64 data or a URL.
fn take_image(
    fields: &mut Fields,
    name: &'static str,
    miner_field: &'static str,
) -> Result<(String, Value), GatewayError> {
    match fields.take(name) {
        Some(Value::String(text)) if is_image(&text) || is_url(&text) => {
            Ok((miner_field.to_owned(), text.into()))
        }
        _ => {
            let message = format!(
                "{name} must be a JPEG, PNG, GIF, BMP or TIFF image in base64, or an https URL of one"
            );
            Err(GatewayError::field(name, message))
        }
    }
}

/// Returns whether a string is a base64-encoded image.
fn is_image(text: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|bytes| has_signature(&bytes))
}

/// Returns whether data is an image, judged by its first bytes.
fn has_signature(bytes: &[u8]) -> bool {
    const SIGNATURES: [&[u8]; 7] =
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*"];
    SIGNATURES.iter().any(|signature| bytes.starts_with(signature))
}

/// Returns whether a string is a URL, which base64 data never is.
fn is_url(text: &str) -> bool {
    text.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The first bytes of a JPEG file, in base64.
    const JPEG: &str = "/9j/4AAQ";

    fn error_param(error: &GatewayError) -> &str {
        if let GatewayError::InvalidField { param, .. } = error { param } else { "" }
    }

    #[test]
    fn each_reference_route_requires_its_own_fields() {
        let read = |endpoint, body: Value| {
            ImageRequest::parse_reference(body.to_string().as_bytes(), endpoint)
        };
        let request = read(Endpoint::TextToImage, json!({"model": "m", "prompt": "a"})).unwrap();
        assert_eq!((request.payload.steps, request.model.as_deref()), (10, Some("m")));
        let body = json!({"model": "m", "prompt": "a", "init_image": JPEG, "image_strength": 0.7});
        let map = read(Endpoint::ImageToImage, body).unwrap().payload.into_map();
        assert_eq!((&map["init_image"], &map["image_strength"]), (&json!(JPEG), &json!(0.7)));
        for (endpoint, body, param) in [
            (Endpoint::TextToImage, json!({"prompt": "a"}), "model"),
            (Endpoint::Avatar, json!({"prompt": "a", "model": 7, "init_image": JPEG}), "model"),
            (Endpoint::Avatar, json!({"prompt": "a"}), "init_image"),
            (
                Endpoint::Avatar,
                json!({"prompt": "a", "init_image": "http://example.org/a.png"}),
                "init_image",
            ),
            (Endpoint::Avatar, json!({"prompt": "a", "init_image": "aGVsbG8="}), "init_image"),
            (Endpoint::Inpaint, json!({"prompt": "a", "init_image": JPEG}), "mask"),
            (Endpoint::TextToImage, json!({"model": "m", "prompt": "a", "width": 512}), "width"),
        ] {
            let error = read(endpoint, body).unwrap_err();
            assert_eq!(error_param(&error), param, "{error}");
        }
    }

    /// Avatars and inpainting need no model.
    #[test]
    fn optional_image_fields_may_be_null_or_absent() {
        let read = |endpoint, body: Value| {
            ImageRequest::parse_reference(body.to_string().as_bytes(), endpoint).unwrap()
        };
        let body =
            json!({"model": "m", "prompt": "a", "negative_prompt": null, "init_image": JPEG});
        let request = read(Endpoint::ImageToImage, body);
        assert_eq!(
            (request.payload.negative_prompt.as_str(), request.model.as_deref()),
            ("", Some("m"))
        );
        let request =
            read(Endpoint::Inpaint, json!({"prompt": "a", "init_image": JPEG, "mask": JPEG}));
        assert_eq!(
            (request.model, &request.payload.into_map()["mask_image"]),
            (None, &json!(JPEG))
        );
        let map =
            read(Endpoint::Avatar, json!({"prompt": "a", "init_image": JPEG})).payload.into_map();
        assert_eq!((&map["ipadapter_strength"], map.get("model")), (&json!(0.5), None));
        let request =
            read(Endpoint::Avatar, json!({"prompt": "a", "init_image": JPEG, "model": "portrait"}));
        assert_eq!(request.model.as_deref(), Some("portrait"));
    }

    #[tokio::test]
    async fn failed_download_error_names_the_field() {
        let body = json!({"prompt": "a", "init_image": JPEG, "mask": "https://127.0.0.1/a.png"});
        let mut request =
            ImageRequest::parse_reference(body.to_string().as_bytes(), Endpoint::Inpaint).unwrap();
        let error =
            request.download_images(Downloader::default(), &Semaphore::new(1)).await.unwrap_err();
        assert_eq!(
            error.document()["error"],
            json!({
                "message": "mask cannot be downloaded: the URL's host is not public", "type": "invalid_request_error",
                "param": "mask", "code": "image_not_downloaded",
            })
        );
    }

    #[test]
    fn image_response_is_validated() {
        let image_from_answer =
            |answer: Value| ImageRequest::image_from_answer(&answer).map(str::to_owned);
        assert_eq!(
            image_from_answer(json!({"image_b64": JPEG, "is_nsfw": false})),
            Ok(JPEG.to_owned())
        );
        for image in [json!(null), json!(JPEG)] {
            assert_eq!(
                image_from_answer(json!({"image_b64": image, "is_nsfw": true})),
                Err(GatewayError::UnsafeImage)
            );
        }
        for bad in [
            json!({}),
            json!({"image_b64": ""}),
            json!({"image_b64": "aGVsbG8="}),
            json!({"image_b64": "%"}),
        ] {
            assert_eq!(image_from_answer(bad.clone()), Err(GatewayError::NoAnswer), "{bad}");
        }
    }
}
