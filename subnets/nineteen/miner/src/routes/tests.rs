use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use taonet_http::testing::listen;
use taonet_nineteen_images::Picture;
use taonet_nineteen_transport::{FiberClient, FiberRules, RsaKey, Session, Trust, signed_requests};
use taonet_primitives::Hotkey;
use taonet_testing::CapturedLog;
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, Peer, Registration, SystemClock};
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use url::Url;

use super::*;
use crate::Deadlines;

const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn config() -> MinerConfig {
    let served = ["chat-a=org/A", "chat-b"].map(|text| text.parse().unwrap()).to_vec();
    MinerConfig {
        task_type: TaskType::Text,
        served,
        concurrency: 1,
        deadlines: Deadlines::default(),
    }
}

async fn miner_before(backend: Router, config: MinerConfig) -> Miner {
    let url = Url::parse(&format!("http://{}/v1/", listen(backend).await)).unwrap();
    Miner::new(config, Backend::new(&url, Some(&"secret\n".to_owned().into())).unwrap(), None)
}

/// Returns the routes of a backend that handles chats with `handler`.
fn chats<H: axum::handler::Handler<T, ()>, T: 'static>(handler: H) -> Router {
    Router::new().route("/v1/chat/completions", post(handler))
}

async fn ask(miner: &Miner, path: &str, payload: Value) -> Response {
    let mut request = Request::post(path).body(Body::from(payload.to_string())).unwrap();
    request.extensions_mut().insert(Caller {
        hotkey: key("//Alice").hotkey(),
        nonce: 0,
        uuid: None,
    });
    routes(miner.clone()).oneshot(request).await.unwrap()
}

async fn chat(miner: &Miner) -> Response {
    ask(miner, "/chat/completions", json!({"model": "chat-a", "messages": [], "stream": true}))
        .await
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn the_backend_gets_the_payload_and_the_validator_the_chunks() {
    let backend = chats(|headers: http::HeaderMap, Json(payload): Json<Value>| async move {
        assert_eq!(headers["authorization"], "Bearer secret");
        let echo =
            json!({"choices": [{"delta": {"content": payload.to_string()}, "logprobs": {}}]});
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"\"}},\"logprobs\":null}}]}}\n\ndata: {echo}\n\ndata: [DONE]\n\n"
        )
    });
    let miner = miner_before(backend, config()).await;
    let payload =
        json!({"model": "chat_a", "nonce": "1_x", "stream": true, "logprobs": true, "top_k": 5});
    let response = ask(&miner, "/chat/completions", payload).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream; charset=utf-8");
    let events = text(response).await;
    let event: Value = serde_json::from_str(events.strip_prefix("data: ").unwrap()).unwrap();
    let received: Value =
        serde_json::from_str(event["choices"][0]["delta"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(received, json!({"model": "org/A", "stream": true, "logprobs": true, "top_k": 5}));
}

/// The backend's names of models may have any characters, also those that separate the parts of
/// `--task`.
#[tokio::test]
async fn names_of_the_backends_models_reach_it_unchanged() {
    for name in [
        "unsloth/Meta-Llama-3.1-8B-Instruct",
        "hf.co/org/model:Q4_K_M",
        "\u{6a21}\u{578b}/\u{1f98a} na\u{ef}ve",
        "a=b@60000=c",
        "../%2e%2e/\"quoted\"",
    ] {
        let backend = chats(move |Json(payload): Json<Value>| async move {
            assert_eq!(payload["model"], name);
            let chunk = json!({"choices": [{"delta": {"content": "a"}, "logprobs": {}}]});
            format!("data: {chunk}\n\ndata: [DONE]\n\n")
        });
        let served = vec![format!("chat-a@60000={name}").parse().unwrap()];
        let miner = miner_before(backend, MinerConfig { served, ..config() }).await;
        assert_eq!(chat(&miner).await.status(), StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn unstreamed_answers_are_passed_on_unchanged() {
    let backend = chats(|| async { Json(json!({"choices": [{"message": {"content": "whole"}}]})) });
    let miner = miner_before(backend, config()).await;
    let response =
        ask(&miner, "/chat/completions", json!({"model": "org/A", "stream": false})).await;
    assert_eq!(text(response).await, r#"{"choices":[{"message":{"content":"whole"}}]}"#);
}

#[tokio::test]
async fn images_come_from_openais_route() {
    let backend = Router::new().route(
        "/v1/images/generations",
        post(|Json(payload): Json<Value>| async move {
            let expected = json!({"prompt": "a cat", "steps": 8, "seed": 7, "model": "org/A", "size": "768x1024", "n": 1,
                "response_format": "b64_json"});
            assert_eq!(payload, expected);
            Json(json!({"created": 1, "data": [{"b64_json": "aW1hZ2U="}]}))
        }),
    );
    let url = Url::parse(&format!("http://{}/v1", listen(backend).await)).unwrap();
    let images = || MinerConfig { task_type: TaskType::Image, ..config() };
    let miner = Miner::new(images(), Backend::new(&url, None).unwrap().with_openai_images(), None);
    let payload = json!({"prompt": "a cat", "steps": 8, "width": 768, "height": 1_024, "seed": 7, "model": "chat-a"});
    let answer = text(ask(&miner, "/text-to-image", payload.clone()).await).await;
    assert_eq!(
        serde_json::from_str::<Value>(&answer).unwrap(),
        json!({"image_b64": "aW1hZ2U=", "is_nsfw": false})
    );
    let empty =
        Router::new().route("/v1/images/generations", post(|| async { Json(json!({"data": []})) }));
    let url = Url::parse(&format!("http://{}/v1", listen(empty).await)).unwrap();
    let miner = Miner::new(images(), Backend::new(&url, None).unwrap().with_openai_images(), None);
    assert_eq!(ask(&miner, "/text-to-image", payload).await.status(), StatusCode::BAD_GATEWAY);
}

/// Each image route has the image that the painter draws for the payload, by the routes of the
/// image workers and by those of OpenAI's API.
#[tokio::test]
async fn image_routes_work_with_both_protocols_of_a_backend() {
    let url = Url::parse(&format!("http://{}/v1", listen(taonet_nineteen_images::router()).await))
        .unwrap();
    let served: Vec<Served> = ["a-text-to-image", "a-image-to-image", "inpaint", "avatar"]
        .map(|task| task.parse().unwrap())
        .to_vec();
    let images = || MinerConfig { task_type: TaskType::Image, served: served.clone(), ..config() };
    let workers = Miner::new(images(), Backend::new(&url, None).unwrap(), None);
    let openai = Miner::new(images(), Backend::new(&url, None).unwrap().with_openai_images(), None);
    let payload = |extra_fields: Value| {
        let mut payload = json!({"prompt": "a red boat", "negative_prompt": "", "steps": 6, "cfg_scale": 3.0, "width": 576,
            "height": 576, "seed": 7});
        payload.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        payload
    };
    let send = async |miner: &Miner, route: &str, extra_fields: Value| {
        let response = ask(miner, route, payload(extra_fields)).await;
        assert_eq!(response.status(), StatusCode::OK, "{route}");
        serde_json::from_str::<Value>(&text(response).await).unwrap()
    };
    let model = || json!({"model": "a-text-to-image"});
    let photo = send(&workers, "/text-to-image", model()).await["image_b64"].clone();
    assert_eq!(send(&openai, "/text-to-image", model()).await["image_b64"], photo);
    let extra_fields =
        json!({"model": "a-image-to-image", "init_image": photo, "image_strength": 0.7});
    let changed =
        send(&workers, "/image-to-image", extra_fields.clone()).await["image_b64"].clone();
    assert!(
        changed != photo
            && send(&openai, "/image-to-image", extra_fields).await["image_b64"] == changed
    );
    let pixel = |index: u32| if index % 576 < 288 { 255 } else { 0 };
    let mask = Picture::from_grey(576, 576, (0..576 * 576).map(pixel).collect()).unwrap();
    let mask = STANDARD.encode(mask.to_png().unwrap());
    // With the prompt and seed of the image, the painter would replace its half by the same one.
    let extra_fields = json!({"init_image": photo, "mask_image": mask, "prompt": "a blue house"});
    let inpainted = send(&workers, "/inpaint", extra_fields.clone()).await["image_b64"].clone();
    assert!(
        inpainted != photo
            && send(&openai, "/inpaint", extra_fields).await["image_b64"] == inpainted
    );
    let extra_fields =
        json!({"init_image": photo, "ipadapter_strength": 0.5, "control_strength": 0.5});
    for miner in [&workers, &openai] {
        let avatar = send(miner, "/avatar", extra_fields.clone()).await["image_b64"].clone();
        assert!(avatar.is_string() && avatar != photo);
        let mut unsafe_prompt = model();
        unsafe_prompt["prompt"] = "nsfw".into();
        let withheld = send(miner, "/text-to-image", unsafe_prompt).await;
        assert_eq!((&withheld["image_b64"], &withheld["is_nsfw"]), (&Value::Null, &json!(true)));
        let response =
            ask(miner, "/inpaint", payload(json!({"init_image": photo, "mask_image": "aGVsbG8="})))
                .await;
        assert!(response.status().is_client_error(), "{}", response.status());
    }
}

/// A validator lists its tasks with their routes when it asks for the capacity.
#[tokio::test]
async fn validator_announces_route_of_task() {
    let echo =
        |Json(payload): Json<Value>| async move { Json(json!({"image_b64": payload["model"]})) };
    let backend = Router::new().route("/v1/avatar", post(echo));
    let served = ["portrait=face", "inpaint"].map(|text| text.parse().unwrap()).to_vec();
    let miner =
        miner_before(backend, MinerConfig { task_type: TaskType::Image, served, ..config() }).await;
    let avatar = async || ask(&miner, "/avatar", json!({"prompt": "a"})).await;
    assert_eq!(
        avatar().await.status(),
        StatusCode::UNPROCESSABLE_ENTITY,
        "the name does not tell the route"
    );
    let task =
        json!({"task": "portrait", "max_capacity": 800.0, "weight": 0.1, "endpoint": "/avatar"});
    let capacity = text(ask(&miner, "/capacity", json!({ "task_configs": [task] })).await).await;
    assert_eq!(capacity, r#"{"miner_type":"image","portrait":800.0}"#);
    assert_eq!(text(avatar().await).await, r#"{"image_b64":"face"}"#);
}

/// The reference's payloads for avatars and inpainting have no `model`: the route selects the task.
#[tokio::test]
async fn payload_without_model_selects_the_task_of_the_route() {
    let echo =
        |Json(payload): Json<Value>| async move { Json(json!({"image_b64": payload["model"]})) };
    let backend = ["avatar", "inpaint", "text-to-image"]
        .into_iter()
        .fold(Router::new(), |router, route| router.route(&format!("/v1/{route}"), post(echo)));
    let tasks = ["avatar=face", "dreamshaper-inpaint", "one-text-to-image", "two-text-to-image"];
    let served = tasks.map(|text| text.parse().unwrap()).to_vec();
    let miner =
        miner_before(backend, MinerConfig { task_type: TaskType::Image, served, ..config() }).await;
    for (route, model) in [("/avatar", "face"), ("/inpaint", "dreamshaper-inpaint")] {
        let answer = text(ask(&miner, route, json!({"prompt": "a"})).await).await;
        assert_eq!(answer, json!({"image_b64": model}).to_string());
    }
    // Two tasks have this route.
    let response = ask(&miner, "/text-to-image", json!({"prompt": "a"})).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(response).await.contains("model is missing"));
}

#[tokio::test]
async fn embeddings_are_passed_on_unchanged() {
    let answer = json!({"data": [{"index": 0, "embedding": [0.5, 1.0]}]});
    let expected = answer.clone();
    let backend = Router::new().route("/v1/embeddings", post(move || async move { Json(answer) }));
    let config = MinerConfig { task_type: TaskType::Embedding, ..config() };
    let miner = miner_before(backend, config).await;
    let response =
        text(ask(&miner, "/embeddings", json!({"model": "chat-a", "input": ["a"]})).await).await;
    assert_eq!(serde_json::from_str::<Value>(&response).unwrap(), expected);
    assert_eq!(
        ask(&miner, "/chat/completions", json!({"model": "chat-a"})).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn wrong_payloads_are_reported() {
    let miner = miner_before(Router::new(), config()).await;
    for (payload, status, detail) in [
        (json!([]), 422, "payload is not a JSON object"),
        (json!({}), 422, "model is missing or malformed"),
        (json!({"model": 7}), 422, "model is missing or malformed"),
        (json!({"model": "chat-a", "stream": "yes"}), 422, "stream is missing or malformed"),
        (json!({"model": "chat-c"}), 404, "model \"chat-c\" is not available"),
        // The miner returns client errors of the backend unchanged.
        (json!({"model": "chat-a"}), 404, "backend returned 404 Not Found"),
    ] {
        let response = ask(&miner, "/chat/completions", payload).await;
        assert_eq!(response.status(), status);
        let body: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(body["detail"], detail);
    }
    let image = ask(&miner, "/text-to-image", json!({"model": "chat-a"})).await;
    assert_eq!(image.status(), StatusCode::NOT_FOUND, "route of another task type");
}

#[tokio::test]
async fn failing_backend_is_reported() {
    let short = Duration::from_millis(50);
    let short_deadline = MinerConfig {
        deadlines: Deadlines { first: short, between: short, total: short },
        ..config()
    };
    let failing =
        miner_before(chats(|| async { StatusCode::INTERNAL_SERVER_ERROR }), config()).await;
    let full = miner_before(chats(|| async { StatusCode::TOO_MANY_REQUESTS }), config()).await;
    let garbage =
        miner_before(chats(|| async { "\u{0}garbage\ndata: {}\ndata: [1]\n" }), config()).await;
    let silent = miner_before(chats(std::future::pending::<()>), short_deadline).await;
    // Even on a busy machine, the response's head arrives before the deadline.
    let later = Duration::from_secs(2);
    let patient = MinerConfig {
        deadlines: Deadlines { first: later, between: short, total: later },
        ..config()
    };
    let mute = miner_before(chats(|| async { endless(Bytes::new()) }), patient).await;
    for (miner, status) in [(failing, 502), (full, 429), (garbage, 502), (silent, 504), (mute, 502)]
    {
        assert_eq!(chat(&miner).await.status(), status);
    }
    // A stalled stream is aborted, so that the validator does not consider it complete.
    let short_timeout =
        MinerConfig { deadlines: Deadlines { between: short, ..Deadlines::default() }, ..config() };
    let stops = miner_before(
        chats(|| async { endless(Bytes::from_static(CHUNK.as_bytes())) }),
        short_timeout,
    )
    .await;
    let response = chat(&stops).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
    let unreachable_url = Url::parse("http://127.0.0.1:9").unwrap();
    let unreachable_url = Miner::new(config(), Backend::new(&unreachable_url, None).unwrap(), None);
    assert_eq!(chat(&unreachable_url).await.status(), 502);
}

#[tokio::test]
async fn refusal_by_the_backend_is_logged() {
    let (log, _guard) = CapturedLog::start();
    let event = |text: &str| format!("data: {text}\n\n");
    let (json, stream) = ("application/json", "text/event-stream");
    for (kind, body, status, cause) in [
        (
            stream,
            event(r#"{"error":{"message":"out of memory"}}"#),
            502,
            "backend reports an error: out of memory",
        ),
        (
            stream,
            event(r#"{"error":{"message":"too long","code":400}}"#),
            400,
            "backend reports an error: too long",
        ),
        (
            stream,
            event(r#"{"error":{"message":"full","code":"429"}}"#),
            429,
            "backend reports an error: full",
        ),
        (stream, event("{broken"), 502, "an event is not JSON: key must be a string"),
        (stream, String::new(), 502, "stream has no chunk"),
        (
            json,
            r#"{"error":{"message":"no such model","code":404}}"#.to_owned(),
            404,
            "no such model",
        ),
        (
            json,
            r#"{"choices":[{"message":{"content":"a"}}]}"#.to_owned(),
            502,
            "JSON document in place of a stream",
        ),
    ] {
        let miner =
            miner_before(chats(move || async move { ([(CONTENT_TYPE, kind)], body) }), config())
                .await;
        let response = chat(&miner).await;
        assert_eq!(response.status(), status, "{cause}");
        let lines = log.take();
        assert!(lines.contains(cause) && lines.contains("WARN"), "{cause}: {lines}");
    }
    let failing = chats(|| async {
        (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": "bad field"}})))
    });
    assert_eq!(chat(&miner_before(failing, config()).await).await.status(), 400);
    // An error after the first text aborts the stream.
    let later = CHUNK.to_owned() + &event(r#"{"error":{"message":"died"}}"#);
    let miner = miner_before(chats(move || async move { later }), config()).await;
    assert!(chat(&miner).await.into_body().collect().await.is_err());
    let lines = log.take();
    for cause in
        ["400 Bad Request: backend reports an error: bad field", "backend reports an error: died"]
    {
        assert!(lines.contains(cause), "{cause}: {lines}");
    }
}

/// The model's server may send status 429, or an error with this code in a response with status 200.
#[tokio::test]
async fn backend_at_its_limit_is_warned_of_once() {
    let (log, _guard) = CapturedLog::start();
    let in_band =
        miner_before(chats(|| async { "data: {\"error\":{\"code\":429}}\n\n" }), config()).await;
    let by_status = miner_before(chats(|| async { StatusCode::TOO_MANY_REQUESTS }), config()).await;
    for miner in [in_band, by_status] {
        for warnings in [1, 0] {
            assert_eq!(chat(&miner).await.status(), StatusCode::TOO_MANY_REQUESTS);
            let lines = log.take();
            assert_eq!(lines.matches("WARN").count(), warnings, "{lines}");
            assert_eq!(
                lines.matches("the backend is at its limit of requests").count(),
                warnings,
                "{lines}"
            );
        }
    }
}

/// Each miner of a process warns once.
#[tokio::test]
async fn text_without_log_probabilities_is_warned_of_once() {
    let (log, _guard) = CapturedLog::start();
    for _ in 0..2 {
        let miner =
            miner_before(chats(|| async { format!("{CHUNK}data: [DONE]\n\n") }), config()).await;
        for (wants_logprobs, warnings) in [(false, 0), (true, 1), (true, 0)] {
            let payload = json!({"model": "chat-a", "messages": [], "stream": true, "logprobs": wants_logprobs});
            assert_eq!(text(ask(&miner, "/chat/completions", payload).await).await, CHUNK);
            let lines = log.take();
            assert_eq!(lines.matches("WARN").count(), warnings, "{lines}");
            assert_eq!(
                lines.matches("the backend sends text without log-probabilities").count(),
                warnings,
                "{lines}"
            );
        }
    }
}

/// The end of a stream, which the reference's validators take for an error, is sent on request.
#[tokio::test]
async fn finish_reason_is_sent_on_request() {
    let finish = r#"data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#;
    let stream = format!("{CHUNK}{finish}\n\ndata: [DONE]\n\n");
    let miner = miner_before(chats(move || async move { stream }), config()).await;
    for (asks, expected) in [(false, CHUNK.to_owned()), (true, format!("{CHUNK}{finish}\n\n"))] {
        let payload = json!({"model": "chat-a", "stream": true}).to_string();
        let mut request = Request::post("/chat/completions").body(Body::from(payload)).unwrap();
        request.extensions_mut().insert(Caller {
            hotkey: key("//Alice").hotkey(),
            nonce: 0,
            uuid: None,
        });
        if asks {
            request.headers_mut().insert(STREAM_END, HeaderValue::from_static("1"));
        }
        assert_eq!(text(routes(miner.clone()).oneshot(request).await.unwrap()).await, expected);
    }
}

/// Returns a body that sends these bytes and then stalls.
fn endless(first: Bytes) -> Body {
    let first = futures::stream::iter([Ok::<_, std::io::Error>(first)]);
    Body::from_stream(first.chain(futures::stream::pending()))
}

#[tokio::test]
async fn full_miner_responds_with_429() {
    let miner =
        miner_before(chats(|| async { endless(Bytes::from_static(CHUNK.as_bytes())) }), config())
            .await;
    let first = chat(&miner).await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = chat(&miner).await;
    assert_eq!(
        (second.status(), second.headers()[RETRY_AFTER].as_bytes()),
        (StatusCode::TOO_MANY_REQUESTS, &b"1"[..])
    );
    drop(first);
    assert_eq!(chat(&miner).await.status(), StatusCode::OK);
}

/// A validator may send the next request before the miner has released the place of the last one.
#[tokio::test]
async fn slot_released_within_the_wait_is_used() {
    let miner =
        miner_before(chats(|| async { endless(Bytes::from_static(CHUNK.as_bytes())) }), config())
            .await;
    let first = chat(&miner).await;
    let (second, ()) = tokio::join!(chat(&miner), async { drop(first) });
    assert_eq!(second.status(), StatusCode::OK);
}

/// Requests beyond those that the miner has announced to their validator leave places for the other
/// validators.
#[tokio::test]
async fn probes_leave_a_quarter_of_the_slots_free() {
    let backend = chats(|| async { endless(Bytes::from_static(CHUNK.as_bytes())) });
    let miner = miner_before(backend, MinerConfig { concurrency: 8, ..config() }).await;
    let probe = async || {
        let payload = json!({"model": "chat-a", "stream": true}).to_string();
        let mut request = Request::post("/chat/completions").body(Body::from(payload)).unwrap();
        request.extensions_mut().insert(Caller {
            hotkey: key("//Alice").hotkey(),
            nonce: 0,
            uuid: None,
        });
        request.headers_mut().insert(PROBE, HeaderValue::from_static("1"));
        routes(miner.clone()).oneshot(request).await.unwrap()
    };
    let mut running = Vec::new();
    for _ in 0..6 {
        running.push(probe().await);
    }
    assert_eq!(probe().await.status(), StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..2 {
        running.push(chat(&miner).await);
    }
    assert!(running.iter().all(|answer| answer.status() == StatusCode::OK));
    assert_eq!(chat(&miner).await.status(), StatusCode::TOO_MANY_REQUESTS);
    running.truncate(5);
    assert_eq!(probe().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn capacities_are_shared_by_stake() {
    let validators = Arc::<RegistrationTable>::default();
    let registration = |stake| Registration { stake, validator_permit: true };
    let (alice, dave): (Hotkey, Hotkey) = (key("//Alice").hotkey(), key("//Dave").hotkey());
    validators.replace([(alice, registration(1)), (dave, registration(3))].into());
    let backend = Backend::new(&Url::parse("http://127.0.0.1:9").unwrap(), None).unwrap();
    let miner = Miner::new(
        MinerConfig { concurrency: 10, ..config() },
        backend,
        Some(Arc::clone(&validators)),
    );
    let offered = json!({"task_configs": [{"task": "chat-a", "max_capacity": 1_000.0, "weight": 0.5}], "nonce": "1"});
    let response = ask(&miner, "/capacity", offered).await;
    assert_eq!(response.headers()[CONCURRENCY], "2", "a quarter of 10 requests at a time");
    let answer = text(response).await;
    assert_eq!(answer, r#"{"miner_type":"text","chat-a":250.0}"#);
    assert_eq!(ask(&miner, "/capacity", json!(1)).await.status(), 422);
    validators.replace([(alice, registration(1)), (dave, registration(99))].into());
    let response = ask(&miner, "/capacity", json!({"task_configs": []})).await;
    assert_eq!(
        response.headers()[CONCURRENCY],
        "1",
        "0 would mean that the miner announces nothing"
    );
}

/// Starts a miner behind the full transport; returns a validator's session with it.
async fn session(miner: Miner) -> (FiberClient, Session) {
    let bob = key("//Bob");
    let signed = signed_requests(bob.hotkey(), FiberRules::Strict).build();
    let handshake =
        MinerHandshake::new(bob.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
    let address = listen(miner_router(miner, handshake, signed)).await;
    let peer = Peer::new(bob.hotkey(), address.ip().to_string(), address.port()).unwrap();
    let client = FiberClient::new(
        key("//Alice"),
        Trust::Signed,
        ClientConfig::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let session = client.handshake(&peer).await.unwrap();
    (client, session)
}

struct NotifyOnDrop(mpsc::UnboundedSender<()>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn disconnected_validator_cancels_the_backend_request() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let backend = chats(move || {
        let notify = NotifyOnDrop(sender.clone());
        async move {
            let chunks = futures::stream::unfold((notify, 0_u32), |(notify, sent)| async move {
                if sent > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Some((
                    Ok::<_, std::io::Error>(Bytes::from_static(CHUNK.as_bytes())),
                    (notify, sent + 1),
                ))
            });
            Body::from_stream(chunks)
        }
    });
    let (client, session) = session(miner_before(backend, config()).await).await;
    let payload = json!({"model": "chat-a", "stream": true}).as_object().unwrap().clone();
    let mut answer =
        client.send(&session, "/chat/completions", payload, Duration::from_mins(1)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.next().await.unwrap().unwrap(), CHUNK);
    assert!(ended.try_recv().is_err());
    drop(answer);
    tokio::time::timeout(Duration::from_secs(30), ended.recv()).await.unwrap();
}

#[tokio::test]
async fn slow_validator_slows_reading_from_the_backend() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let backend = chats(move || {
        let count = count.clone();
        async move {
            let text = "a".repeat(64 << 10);
            let chunk = Bytes::from(format!(
                "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
            ));
            Body::from_stream(futures::stream::repeat_with(move || {
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(chunk.clone())
            }))
        }
    });
    let miner = miner_before(backend, config()).await;
    let mut body = chat(&miner).await.into_body();
    body.frame().await.unwrap().unwrap();
    // Wait until the sockets' buffers are full.
    let mut before = 0;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < 1_000, "{before} chunks of 64 KiB wait");
    // Reading frees buffer space, so that the backend sends more.
    while sent.load(Ordering::SeqCst) == before {
        body.frame().await.unwrap().unwrap();
    }
}
