//! Image tasks from the buyer to the backend: the gateway, a miner with several tasks and the
//! painter, which draws what the miner's payload says.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};
use taonet_http::testing::listen;
use taonet_nineteen_core::task::{Endpoint, Generator, TaskType};
use taonet_nineteen_core::{MarketConfig, Task};
use taonet_nineteen_images::{Format, PaintRequest, Picture, paint, parse_edit_form};
use taonet_nineteen_miner::{Backend, Deadlines, Miner, MinerConfig, routes};
use taonet_nineteen_query::QueryDeadlines;
use taonet_nineteen_store::KeyTerms;
use tower::ServiceExt as _;

use super::market::{
    TestGateway, document, respond_with, start_gateway, start_gateway_with_routes, text,
};
use crate::idempotency::{IdempotencyCheck, KeyClaim};
use crate::image::ImageRequest;

const TASKS: [&str; 4] = ["proteus-text-to-image", "proteus-image-to-image", "avatar", "inpaint"];
/// Width and height of all images.
const SIDE: u32 = 576;
/// Media type of [`form`].
const FORM: &str = "multipart/form-data; boundary=b";

/// Returns the default market, with an inpaint task in place of its last one for images.
fn market() -> MarketConfig {
    let mut config = MarketConfig::default();
    let task = config.tasks.iter_mut().rfind(|task| task.task_type == TaskType::Image).unwrap();
    (task.task, task.endpoint) = ("inpaint".parse().unwrap(), Endpoint::Inpaint);
    task.synthetic_generation_config.func = Generator::Inpaint;
    config
}

/// Returns the routes of a miner that serves these tasks with the painter, by the protocol of the
/// reference's workers or by OpenAI's.
async fn miner(tasks: &[&str], is_openai: bool) -> Router {
    let url =
        format!("http://{}/v1", listen(taonet_nineteen_images::router()).await).parse().unwrap();
    let backend = Backend::new(&url, None).unwrap();
    let backend = if is_openai { backend.with_openai_images() } else { backend };
    let served = tasks.iter().map(|task| task.parse().unwrap()).collect();
    let config = MinerConfig {
        task_type: TaskType::Image,
        served,
        concurrency: 8,
        deadlines: Deadlines::default(),
    };
    routes(Miner::new(config, backend, None))
}

async fn start_image_gateway(config: MarketConfig, tasks: &[&str], is_openai: bool) -> TestGateway {
    let gateway =
        start_gateway_with_routes(config, tasks, miner(tasks, is_openai).await, long_deadlines())
            .await;
    gateway.store.update_key(&gateway.id, &KeyTerms::new("test", 10_000)).await.unwrap();
    gateway
}

/// Returns deadlines for miners on a busy machine, instead of those of the tasks.
fn long_deadlines() -> QueryDeadlines {
    QueryDeadlines { first_chunk: Some(Duration::from_mins(1)), ..QueryDeadlines::default() }
}

/// Returns what the painter draws for a payload without a model, as PNG in base64.
fn expected_image(endpoint: Endpoint, payload: &Value) -> String {
    let picture = paint(&PaintRequest::parse(endpoint, payload.as_object().unwrap()).unwrap());
    STANDARD.encode(picture.to_png().unwrap())
}

fn request() -> Value {
    json!({"prompt": "a red boat", "steps": 6, "cfg_scale": 4.0, "width": SIDE, "height": SIDE, "seed": 7})
}

/// Returns `request` with further fields.
fn request_with(extra_fields: &Value) -> Value {
    let mut body = request();
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    body
}

/// Returns a photo and a mask whose left half is white, in base64.
fn photo_and_mask() -> (String, String) {
    let photo = expected_image(
        Endpoint::TextToImage,
        &json!({"prompt": "hills", "width": SIDE, "height": SIDE}),
    );
    (photo, STANDARD.encode(mask().to_png().unwrap()))
}

fn mask() -> Picture {
    let pixel = |index: u32| if index % SIDE < SIDE / 2 { 255 } else { 0 };
    Picture::from_grey(SIDE, SIDE, (0..SIDE * SIDE).map(pixel).collect()).unwrap()
}

/// Returns a form with these files and texts, with the boundary `b`.
fn form(files: &[(&str, Vec<u8>)], texts: &[(&str, &str)]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, file) in files {
        let head = format!(
            "--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{name}.png\"\r\n\r\n"
        );
        form.extend([head.as_bytes(), file, b"\r\n"].concat());
    }
    for (name, text) in texts {
        form.extend(
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
                .into_bytes(),
        );
    }
    form.extend(b"--b--\r\n");
    form
}

/// Sends a form with these files and texts.
async fn send_form(
    gateway: &TestGateway,
    files: &[(&str, Vec<u8>)],
    texts: &[(&str, &str)],
) -> (u16, Value) {
    let request = Request::post("/v1/images/edits")
        .header("authorization", format!("Bearer {}", gateway.key))
        .header("content-type", FORM);
    let body = Body::from(form(files, texts));
    let response = gateway.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    (response.status().as_u16(), document(response).await)
}

/// The image is the one that the painter draws for the buyer's fields, whichever protocol the
/// miner's backend has.
#[tokio::test]
async fn every_image_route_returns_the_painted_image() {
    let (photo, white) = photo_and_mask();
    for is_openai in [false, true] {
        let gateway = start_image_gateway(market(), &TASKS, is_openai).await;
        let mut charged = 0;
        for (route, model, extra_fields, endpoint) in [
            ("text-to-image", Some("proteus"), json!({}), Endpoint::TextToImage),
            (
                "image-to-image",
                Some("proteus-image-to-image"),
                json!({"init_image": photo, "image_strength": 0.7}),
                Endpoint::ImageToImage,
            ),
            ("inpaint", None, json!({"init_image": photo, "mask": white}), Endpoint::Inpaint),
            (
                "inpaint",
                Some("inpaint"),
                json!({"init_image": photo, "mask": white}),
                Endpoint::Inpaint,
            ),
            (
                "avatar",
                None,
                json!({"init_image": photo, "ipadapter_strength": 0.8, "control_strength": 0.3}),
                Endpoint::Avatar,
            ),
        ] {
            let mut body = request_with(&extra_fields);
            body["model"] = json!(model);
            let answer = document(gateway.send(&format!("/v1/{route}"), &body, None).await).await;
            let mut payload = request_with(&extra_fields);
            if let Some(mask) = payload.as_object_mut().unwrap().shift_remove("mask") {
                payload["mask_image"] = mask;
            }
            let image = answer["image_b64"].as_str().unwrap_or_else(|| panic!("{route}: {answer}"));
            if endpoint == Endpoint::Avatar && is_openai {
                // OpenAI's API has no avatars: an edit of the image.
                assert!(Picture::from_base64(image).is_ok());
            } else {
                assert!(image == expected_image(endpoint, &payload), "{route} has another image");
            }
            // 6 steps at 5 000 credits per 1 000 steps.
            charged += 30;
            assert_eq!(gateway.wait_for_charges().await, charged, "{route}");
        }
    }
}

#[tokio::test]
async fn edit_with_a_mask_changes_only_the_transparent_area() {
    let (photo, white) = photo_and_mask();
    let gateway = start_image_gateway(market(), &TASKS, false).await;
    let files = [
        ("image", STANDARD.decode(&photo).unwrap()),
        ("mask", mask().white_to_transparent().to_png().unwrap()),
    ];
    let texts = [("prompt", "a red boat"), ("steps", "6"), ("cfg_scale", "4"), ("seed", "7")];
    let (status, answer) = send_form(&gateway, &files, &texts).await;
    assert_eq!(status, 200, "{answer}");
    let expected = expected_image(
        Endpoint::Inpaint,
        &request_with(&json!({"init_image": photo, "mask_image": white})),
    );
    assert!(answer["data"][0]["b64_json"] == expected, "another image");
    // Without a mask, the complete image changes.
    let (status, answer) = send_form(&gateway, &files[..1], &texts).await;
    assert_eq!(status, 200, "{answer}");
    let expected = expected_image(
        Endpoint::ImageToImage,
        &request_with(&json!({"init_image": photo, "image_strength": 0.5})),
    );
    assert!(answer["data"][0]["b64_json"] == expected, "another image");
    // The route returns the same errors as the other routes.
    let (status, answer) = send_form(&gateway, &[("image", b"text".to_vec())], &texts).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("image")));
    let (status, answer) =
        send_form(&gateway, &files, &[("prompt", "a"), ("model", "gpt-image-1")]).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")));
    let body = json!({"prompt": "a"});
    let response = gateway.send("/v1/images/edits", &body, None).await;
    assert_eq!(response.status().as_u16(), 400);
    let message = document(response).await["error"]["message"].to_string();
    assert!(
        message.contains("is not a multipart form") && message.contains("multipart/form-data"),
        "{message}"
    );
}

/// The images of a request differ, and each is charged.
#[tokio::test]
async fn images_of_one_request_have_consecutive_seeds() {
    let gateway = start_image_gateway(market(), &TASKS, false).await;
    let body = json!({"model": "proteus", "prompt": "a red boat", "size": "576x576", "steps": 5, "n": 3, "seed": 7});
    let answer = document(gateway.send("/v1/images/generations", &body, None).await).await;
    let images: Vec<&str> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["b64_json"].as_str().unwrap())
        .collect();
    for (image, seed) in images.iter().zip(7..) {
        let payload = json!({"prompt": "a red boat", "steps": 5, "width": SIDE, "height": SIDE, "seed": seed});
        assert!(*image == expected_image(Endpoint::TextToImage, &payload), "seed {seed}");
    }
    assert_eq!((images.len(), gateway.wait_for_charges().await), (3, 75));
    // If one image is withheld, the complete request fails.
    let unsafe_prompt = json!({"model": "proteus", "prompt": "nsfw", "n": 2});
    let response = gateway.send("/v1/images/generations", &unsafe_prompt, None).await;
    assert_eq!(response.status().as_u16(), 403);
    assert_eq!(document(response).await["error"]["code"], "content_policy_violation");
    assert_eq!(gateway.wait_for_charges().await, 75);
}

#[tokio::test]
async fn images_are_converted_to_the_requested_format() {
    let gateway = start_image_gateway(market(), &TASKS, false).await;
    let generate = async |extra_fields: Value| {
        let mut body =
            json!({"model": "proteus", "prompt": "a red boat", "steps": 5, "size": "576x576"});
        body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        document(gateway.send("/v1/images/generations", &body, None).await).await["data"][0].clone()
    };
    let decoded = |text: &Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
    assert_eq!(Format::detect(&decoded(&generate(json!({})).await["b64_json"])), Some(Format::Png));
    let jpeg = decoded(
        &generate(json!({"output_format": "jpeg", "output_compression": 40})).await["b64_json"],
    );
    assert_eq!(Format::detect(&jpeg), Some(Format::Jpeg));
    assert_eq!(Picture::decode(&jpeg).unwrap().width(), SIDE);
    let small = decoded(&generate(json!({"size": "256x256"})).await["b64_json"]);
    let small = Picture::decode(&small).unwrap();
    assert_eq!((small.width(), small.height()), (256, 256));
    let entry = generate(json!({"response_format": "url", "output_format": "jpeg"})).await;
    let url = entry["url"].as_str().unwrap().strip_prefix("data:image/jpeg;base64,").unwrap();
    assert_eq!(Format::detect(&STANDARD.decode(url).unwrap()), Some(Format::Jpeg));
}

/// Ten images can be larger than any other response.
#[tokio::test]
async fn response_too_large_to_be_stored_is_delivered() {
    let gateway = start_gateway(respond_with(Vec::new())).await;
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", HeaderValue::from_static("large"));
    let check =
        KeyClaim::claim(&gateway.store, &gateway.id, &headers, ("/v1/images/generations", b""), 0)
            .await
            .unwrap();
    let IdempotencyCheck::New(claim) = check else { panic!("the key is new") };
    let images = "a".repeat(65 << 20);
    let response = claim.store_response(images.clone().into_response()).await;
    assert!(response.status().is_success() && text(response).await == images);
}

/// With two tasks of a route, the payload names the task, which a miner with both needs.
#[tokio::test]
async fn model_selects_one_of_several_avatar_tasks() {
    let mut config = market();
    let second =
        Task { task: "portrait".parse().unwrap(), ..config.task("avatar").unwrap().clone() };
    config.tasks.push(second);
    let served = ["avatar=one", "portrait=two"].map(|task| task.parse().unwrap()).to_vec();
    let echo = |axum::Json(payload): axum::Json<Map<String, Value>>| async move {
        let picture =
            Picture::from_grey(8, 8, vec![if payload["model"] == "one" { 0 } else { 255 }; 64])
                .unwrap();
        axum::Json(
            json!({"image_b64": STANDARD.encode(picture.to_png().unwrap()), "is_nsfw": false}),
        )
    };
    let url = format!(
        "http://{}",
        listen(Router::new().route("/avatar", axum::routing::post(echo))).await
    );
    let backend = Backend::new(&url.parse().unwrap(), None).unwrap();
    let miner = MinerConfig {
        task_type: TaskType::Image,
        served,
        concurrency: 8,
        deadlines: Deadlines::default(),
    };
    let handlers = routes(Miner::new(miner, backend, None));
    let gateway =
        start_gateway_with_routes(config, &["avatar", "portrait"], handlers, long_deadlines())
            .await;
    let (photo, _) = photo_and_mask();
    for (model, value) in [(Value::Null, 0), (json!("avatar"), 0), (json!("portrait"), 255)] {
        let body = request_with(&json!({"init_image": photo, "model": model}));
        let answer = document(gateway.send("/v1/avatar", &body, None).await).await;
        let expected = Picture::from_grey(8, 8, vec![value; 64]).unwrap().to_png().unwrap();
        assert_eq!(answer["image_b64"], STANDARD.encode(expected), "{model}");
    }
    let body = request_with(&json!({"init_image": photo, "model": "nobody"}));
    assert_eq!(gateway.send("/v1/avatar", &body, None).await.status().as_u16(), 404);
}

proptest::proptest! {
    /// A form with random changes is a request within the limits of miners, or an error of the
    /// buyer's.
    #[test]
    fn mutated_form_is_accepted_or_a_client_error(
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        cut in any::<Option<Index>>(),
    ) {
        let image = Picture::from_grey(16, 16, (0..=255).collect()).unwrap();
        let files = [("image[]", image.to_png().unwrap()), ("mask", image.white_to_transparent().to_png().unwrap())];
        let texts = [("prompt", "a red boat"), ("n", "2"), ("seed", "7"), ("steps", "9"), ("output_format", "jpeg")];
        let mut body = form(&files, &texts);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let form = runtime.block_on(parse_edit_form(FORM, body.into()));
        let Ok(fields) = form else { return Ok(()) };
        match ImageRequest::parse_edit(&serde_json::to_vec(&fields).unwrap()) {
            Ok(request) => {
                let payload = request.payload;
                prop_assert!((5..=49).contains(&payload.steps) && (1..=10).contains(&request.count));
                prop_assert!([payload.width, payload.height].iter().all(|side| (513..=2_047).contains(side)));
            }
            Err(error) => prop_assert!(error.status().is_client_error(), "{error}"),
        }
    }
}
