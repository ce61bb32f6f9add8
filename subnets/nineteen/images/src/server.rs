//! An image server over the painter: the routes of the reference's image workers, and those of
//! OpenAI's API.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use taonet_nineteen_core::task::Endpoint;
use tokio::sync::Semaphore;

use crate::colours::words;
use crate::{
    PaintRequest, PaintRequestError, Picture, PictureError, embedding, hashes, paint,
    parse_edit_form,
};

/// Maximum size of a request, in bytes: two images in base64.
const MAX_REQUEST_BYTES: usize = 32 << 20;
/// Word of a prompt whose image is withheld as unsafe.
const UNSAFE_WORD: &str = "nsfw";
/// Name of the field with the mask on the workers' routes.
const MASK_FIELD: &str = "mask_image";
/// Routes of the reference's image workers.
const ROUTES: [Endpoint; 4] =
    [Endpoint::TextToImage, Endpoint::ImageToImage, Endpoint::Inpaint, Endpoint::Avatar];

/// One permit for each image that is being painted.
#[derive(Clone)]
struct PaintPermits(Arc<Semaphore>);

/// Protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// Of the reference's image workers: the white part of a mask is replaced.
    Workers,
    /// Of OpenAI: the transparent part of a mask is replaced.
    OpenAi,
}

/// Returns the router of an image server: `/text-to-image`, `/image-to-image`, `/inpaint` and
/// `/avatar`, also below `/v1`, and `/v1/images/generations` and `/v1/images/edits`, each for one
/// image in base64. An image whose prompt has the word `nsfw` is withheld, as a worker withholds
/// what its classifier finds.
pub fn router() -> Router {
    let permits = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut router = Router::new();
    for endpoint in ROUTES {
        let worker = move |State(permits): State<PaintPermits>, body: Bytes| async move {
            serve_worker(&permits, endpoint, &body).await
        };
        router = router
            .route(endpoint.path(), post(worker))
            .route(&format!("/v1{}", endpoint.path()), post(worker));
    }
    router
        .route("/v1/images/generations", post(generations))
        .route("/v1/images/edits", post(edits))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(PaintPermits(Arc::new(Semaphore::new(permits))))
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the body is not a JSON object")]
    Body,
    #[error(transparent)]
    Form(#[from] crate::FormError),
    #[error(transparent)]
    Request(#[from] PaintRequestError),
    #[error("{name} must be {expected}")]
    Field { name: &'static str, expected: &'static str },
    #[error("the image is withheld as unsafe")]
    Unsafe,
    #[error("the painter failed")]
    Failed,
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the error in OpenAI's format.
    fn openai_response(&self) -> Response {
        let param = match self {
            Self::Request(error) => error.field(),
            Self::Field { name, .. } => Some(*name),
            _ => None,
        };
        let code =
            if matches!(self, Self::Unsafe) { Some("content_policy_violation") } else { None };
        let kind =
            if self.status().is_client_error() { "invalid_request_error" } else { "server_error" };
        let error =
            json!({"message": self.to_string(), "type": kind, "param": param, "code": code});
        (self.status(), Json(json!({ "error": error }))).into_response()
    }
}

async fn serve_worker(permits: &PaintPermits, endpoint: Endpoint, body: &[u8]) -> Response {
    let response = async {
        let payload = serde_json::from_slice(body).map_err(|_| Refusal::Body)?;
        paint_document(permits, endpoint, payload, Protocol::Workers).await
    };
    match response.await {
        Ok(document) => Json(document).into_response(),
        Err(refusal) => {
            (refusal.status(), Json(json!({ "detail": refusal.to_string() }))).into_response()
        }
    }
}

/// Returns the answer of an image worker with this image, as PNG.
///
/// # Errors
/// [`PictureError::Damaged`] when the image has no pixels.
pub fn worker_answer(picture: &Picture) -> Result<Value, PictureError> {
    Ok(worker_document(Some(&STANDARD.encode(picture.to_png()?)), picture))
}

/// Returns an image worker's response, without the file if the image is unsafe. Hashes and
/// embedding are always included.
fn worker_document(file: Option<&str>, picture: &Picture) -> Value {
    let (is_nsfw, embedding, hashes) = (file.is_none(), embedding(picture), hashes(picture));
    json!({"image_b64": file, "is_nsfw": is_nsfw, "clip_embeddings": embedding, "image_hashes": hashes})
}

async fn generations(State(permits): State<PaintPermits>, body: Bytes) -> Response {
    let response = async {
        let fields = serde_json::from_slice(&body).map_err(|_| Refusal::Body)?;
        serve_openai(&permits, Endpoint::TextToImage, fields).await
    };
    response.await.unwrap_or_else(|refusal| refusal.openai_response())
}

async fn edits(State(permits): State<PaintPermits>, headers: HeaderMap, body: Bytes) -> Response {
    let response = async {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut fields = parse_edit_form(content_type, body).await?;
        if let Some(image) = fields.shift_remove("image") {
            fields.insert("init_image".to_owned(), image);
        }
        let endpoint = match fields.shift_remove("mask") {
            Some(mask) => {
                fields.insert(MASK_FIELD.to_owned(), mask);
                Endpoint::Inpaint
            }
            None => Endpoint::ImageToImage,
        };
        serve_openai(&permits, endpoint, fields).await
    };
    response.await.unwrap_or_else(|refusal| refusal.openai_response())
}

/// Answers a request of OpenAI's API.
async fn serve_openai(
    permits: &PaintPermits,
    endpoint: Endpoint,
    mut fields: Map<String, Value>,
) -> Result<Response, Refusal> {
    if fields.get("n").is_some_and(|count| count.as_u64() != Some(1)) {
        return Err(Refusal::Field { name: "n", expected: "1" });
    }
    if fields.get("response_format").is_some_and(|format| format != "b64_json") {
        return Err(Refusal::Field { name: "response_format", expected: "b64_json" });
    }
    if let Some(size) = fields.shift_remove("size").filter(|size| size != "auto") {
        let expected = "auto or WIDTHxHEIGHT";
        let sides = size.as_str().and_then(|size| size.split_once('x'));
        let parse_side =
            |text: &str| text.parse::<u32>().map_err(|_| Refusal::Field { name: "size", expected });
        let (width, height) = sides.ok_or(Refusal::Field { name: "size", expected })?;
        fields.insert("width".to_owned(), parse_side(width)?.into());
        fields.insert("height".to_owned(), parse_side(height)?.into());
    }
    Ok(Json(paint_document(permits, endpoint, fields, Protocol::OpenAi).await?).into_response())
}

/// Paints an image on a thread for blocking work, once there is a permit; returns the response
/// document. The thread holds the permit: it does not stop when the client disconnects.
async fn paint_document(
    permits: &PaintPermits,
    endpoint: Endpoint,
    mut fields: Map<String, Value>,
    protocol: Protocol,
) -> Result<Value, Refusal> {
    let permit = Arc::clone(&permits.0).acquire_owned().await.map_err(|_| Refusal::Failed)?;
    let paint_and_encode = move || {
        let _permit = permit;
        if protocol == Protocol::OpenAi
            && let Some(mask) = fields.get_mut(MASK_FIELD)
        {
            *mask = white_mask(mask)?.into();
        }
        let prompt = fields.get("prompt").and_then(Value::as_str).unwrap_or_default();
        let is_nsfw = words(prompt).any(|word| word == UNSAFE_WORD);
        let picture = paint(&PaintRequest::parse(endpoint, &fields)?);
        let file =
            || Ok::<_, Refusal>(STANDARD.encode(picture.to_png().map_err(|_| Refusal::Failed)?));
        match protocol {
            Protocol::Workers if is_nsfw => Ok(worker_document(None, &picture)),
            Protocol::Workers => Ok(worker_document(Some(&file()?), &picture)),
            Protocol::OpenAi if is_nsfw => Err(Refusal::Unsafe),
            Protocol::OpenAi => Ok(json!({"created": 0, "data": [{"b64_json": file()?}]})),
        }
    };
    tokio::task::spawn_blocking(paint_and_encode).await.map_err(|_| Refusal::Failed)?
}

/// Converts a mask of OpenAI's API to one of the workers'.
fn white_mask(mask: &Value) -> Result<String, Refusal> {
    let convert = || -> Result<String, PictureError> {
        let white =
            Picture::from_base64(mask.as_str().unwrap_or_default())?.transparent_to_white()?;
        Ok(STANDARD.encode(white.to_png()?))
    };
    convert().map_err(|reason| PaintRequestError::Picture { name: "mask", reason }.into())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use taonet_nineteen_core::checker::image::{ImageAnswer, quality};
    use tower::ServiceExt as _;

    use super::*;

    async fn send(path: &str, content_type: &str, body: impl Into<Body>) -> (u16, Value) {
        let request =
            Request::post(path).header(CONTENT_TYPE, content_type).body(body.into()).unwrap();
        let response = router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn post_json(path: &str, body: &Value) -> (u16, Value) {
        send(path, "application/json", body.to_string()).await
    }

    fn request() -> Value {
        json!({"model": "any", "prompt": "a red boat", "width": 576, "height": 576, "steps": 5, "seed": 3})
    }

    #[tokio::test]
    async fn worker_sends_image_hashes_and_embedding() {
        let (status, one) = post_json("/text-to-image", &request()).await;
        let (_, other) = post_json("/v1/text-to-image", &request()).await;
        assert_eq!((status, &one), (200, &other));
        let parsed: ImageAnswer = serde_json::from_value(one).unwrap();
        assert_eq!(quality(&parsed, &parsed), Some(1.0));
        let picture = Picture::from_base64(parsed.image_b64.as_deref().unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height(), parsed.is_nsfw), (576, 576, Some(false)));
        assert_eq!(parsed.image_hashes.unwrap(), hashes(&picture));
    }

    #[tokio::test]
    async fn unsafe_image_is_withheld_but_its_hashes_are_sent() {
        let mut body = request();
        body["prompt"] = "NSFW".into();
        let (status, answer) = post_json("/text-to-image", &body).await;
        assert_eq!(
            (status, &answer["image_b64"], &answer["is_nsfw"]),
            (200, &Value::Null, &json!(true))
        );
        assert!(
            answer["image_hashes"]["color_hash"].is_string()
                && answer["clip_embeddings"].is_array()
        );
        let (status, answer) = post_json("/v1/images/generations", &body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("content_policy_violation")));
    }

    #[tokio::test]
    async fn refusals_name_the_field() {
        let (status, answer) = post_json("/inpaint", &request()).await;
        assert_eq!(
            (status, answer),
            (400, json!({"detail": "init_image must be an image in base64"}))
        );
        assert_eq!(
            post_json("/avatar", &json!([])).await,
            (400, json!({"detail": "the body is not a JSON object"}))
        );
        for (field, value) in
            [("size", json!("large")), ("size", json!("8x8")), ("n", json!(2)), ("steps", json!(1))]
        {
            let mut body = request();
            body[field] = value;
            let (status, answer) = post_json("/v1/images/generations", &body).await;
            let param = answer["error"]["param"].as_str().unwrap().to_owned();
            let is_named = param == field || field == "size" && param == "width";
            assert!(status == 400 && is_named, "{answer}");
        }
        let (status, answer) = send("/v1/images/edits", "text/plain", "a").await;
        assert_eq!((status, &answer["error"]["type"]), (400, &json!("invalid_request_error")));
    }

    /// The route of OpenAI's API paints what the worker's route paints: with the transparent part
    /// of the mask in place of the white one.
    #[tokio::test]
    async fn edit_with_a_transparent_mask_equals_inpainting() {
        let image_in =
            |answer: &Value, path: &str| answer.pointer(path).unwrap().as_str().unwrap().to_owned();
        let init = image_in(&post_json("/text-to-image", &request()).await.1, "/image_b64");
        let white = image::RgbaImage::from_fn(576, 576, |x, _| {
            image::Rgba([if x < 200 { 255 } else { 0 }; 4])
        });
        let white = Picture::from_pixels(white);
        let mut body =
            json!({"prompt": "a blue boat", "width": 576, "height": 576, "steps": 6, "seed": 4});
        body["init_image"] = init.clone().into();
        body["mask_image"] = STANDARD.encode(white.to_png().unwrap()).into();
        let inpainted = image_in(&post_json("/inpaint", &body).await.1, "/image_b64");
        let mut form = Vec::new();
        let mut part = |name: &str, value: &[u8]| {
            let head = format!(
                "--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n"
            );
            form.extend([head.as_bytes(), value, b"\r\n"].concat());
        };
        part("image", &STANDARD.decode(&init).unwrap());
        part("mask", &white.white_to_transparent().to_png().unwrap());
        for (name, value) in
            [("prompt", "a blue boat"), ("size", "576x576"), ("steps", "6"), ("seed", "4")]
        {
            part(name, value.as_bytes());
        }
        form.extend(b"--b--\r\n");
        let (status, edited) =
            send("/v1/images/edits", "multipart/form-data; boundary=b", form).await;
        assert_eq!(status, 200, "{edited}");
        assert_eq!(image_in(&edited, "/data/0/b64_json"), inpainted);
    }
}
