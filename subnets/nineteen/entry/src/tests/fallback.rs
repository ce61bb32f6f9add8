//! Tests of aliases of models.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_nineteen_core::task::Price;
use taonet_nineteen_core::{MarketConfig, Task, TaskName};
use taonet_nineteen_query::QueryDeadlines;
use taonet_nineteen_store::KeyTerms;
use tower::ServiceExt as _;

use super::market::{TestGateway, document, start_gateway_with_routes, text, word};

/// Has no miner.
const LARGE_TASK: &str = "chat-llama-3-1-70b";
/// Has a miner that fails.
const FAILING_TASK: &str = "chat-llama-3-1-8b";
const SMALL_TASK: &str = "chat-llama-3-2-3b";

async fn start_gateway() -> TestGateway {
    // An empty answer is the fault of the miner.
    start_gateway_with(|_| {}, || String::new().into_response()).await
}

/// Starts a gateway with a changed market, and with the responses of the miner of [`FAILING_TASK`].
async fn start_gateway_with(
    change: impl FnOnce(&mut MarketConfig),
    broken: fn() -> Response,
) -> TestGateway {
    let mut config = MarketConfig::default();
    let tasks: [TaskName; 3] =
        [LARGE_TASK, FAILING_TASK, SMALL_TASK].map(|task| task.parse().unwrap());
    config.aliases.insert("fast".parse().unwrap(), tasks.to_vec());
    config.aliases.insert("large".parse().unwrap(), vec![LARGE_TASK.parse().unwrap()]);
    change(&mut config);
    let chat = post(move |Json(payload): Json<Value>| async move {
        match payload["model"].as_str() {
            Some(SMALL_TASK) => words(),
            _ => broken(),
        }
    });
    let handlers = Router::new().route("/chat/completions", chat);
    start_gateway_with_routes(
        config,
        &[FAILING_TASK, SMALL_TASK],
        handlers,
        QueryDeadlines::default(),
    )
    .await
}

fn words() -> Response {
    [word(), word()].concat().into_response()
}

fn task<'a>(config: &'a mut MarketConfig, name: &str) -> &'a mut Task {
    config.tasks.iter_mut().find(|task| task.task.as_str() == name).unwrap()
}

fn chat(model: &str, streams: bool) -> Value {
    json!({"model": model, "stream": streams, "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]})
}

#[tokio::test]
async fn alias_falls_back_to_its_next_task() {
    let gateway = start_gateway().await;
    let answer =
        document(gateway.send("/v1/chat/completions", &chat("fast", false), None).await).await;
    assert_eq!(
        (&answer["model"], &answer["object"]),
        (&json!(SMALL_TASK), &json!("chat.completion")),
        "{answer}"
    );
    let stream = text(gateway.send("/v1/chat/completions", &chat("fast", true), None).await).await;
    assert!(stream.contains(SMALL_TASK) && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    // Only delivered answers are charged, and the error is that of the last task.
    let usage = async || gateway.store.usage(None).await.unwrap();
    gateway.wait_for_charges().await;
    assert!(
        usage().await.iter().all(|row| row.charged == 0 || row.model == SMALL_TASK),
        "{:?}",
        usage().await
    );
    let refused = gateway.send("/v1/chat/completions", &chat("large", false), None).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    // A plain model has no fallback.
    let failed = gateway.send("/v1/chat/completions", &chat(FAILING_TASK, false), None).await;
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn alias_is_listed_and_selects_allowed_tasks_of_the_route() {
    let change = |config: &mut MarketConfig| {
        task(config, LARGE_TASK).price = Price { input: 300, output: 200, step: 0 };
        task(config, SMALL_TASK).price = Price { input: 100, output: 900, step: 0 };
        task(config, SMALL_TASK).image_tokens = NonZeroU32::new(700);
        let options = &mut task(config, SMALL_TASK).orchestrator_server_config.load_model_config;
        options.insert("max_model_len".to_owned(), 9_000.into());
    };
    let gateway = start_gateway_with(change, || String::new().into_response()).await;
    let get = async |path: &str| {
        document(
            gateway
                .router
                .clone()
                .oneshot(Request::get(path).body(Body::empty()).unwrap())
                .await
                .unwrap(),
        )
        .await
    };
    let alias = get("/v1/models/fast").await;
    assert_eq!(
        (&alias["models"], &alias["object"]),
        (&json!([LARGE_TASK, FAILING_TASK, SMALL_TASK]), &json!("model"))
    );
    let highest = json!({"input": 300, "output": 900, "step": 0});
    assert_eq!((&alias["price"], &alias["context_length"]), (&highest, &json!(9_000)));
    assert_eq!(alias["image_tokens"], 700, "one of its tasks reads images");
    let list = get("/v1/models").await;
    assert!(list["data"].as_array().unwrap().contains(&alias), "{list}");
    let image = json!({"model": "fast", "prompt": "a"});
    let refused = gateway.send("/v1/images/generations", &image, None).await;
    assert_eq!(document(refused).await["error"]["code"], "model_not_found");
    let limit = async |task: &str| {
        let terms =
            KeyTerms { models: Some(vec![task.parse().unwrap()]), ..KeyTerms::new("test", 100) };
        gateway.store.update_key(&gateway.id, &terms).await.unwrap();
        gateway.send("/v1/chat/completions", &chat("fast", false), None).await.status()
    };
    assert_eq!(limit(SMALL_TASK).await, StatusCode::OK);
    assert_eq!(limit(FAILING_TASK).await, StatusCode::BAD_GATEWAY);
    assert_eq!(limit("avatar").await, StatusCode::FORBIDDEN);
}

/// Returns the requests and failures that the miner of [`FAILING_TASK`] has counted.
fn failing_miner_counts(gateway: &TestGateway) -> (f64, f64) {
    let period_miners = gateway.querier.market().period_miners().unwrap();
    let counts = period_miners.task(FAILING_TASK).unwrap().contenders()[0].counts();
    (counts.total_requests, counts.requests_500)
}

/// As long as nothing is delivered, the next task answers a request at which the miners of the
/// first one fail, or which they refuse. Only the answer is charged.
#[tokio::test]
async fn alias_falls_back_after_a_failed_request() {
    let failures: [fn() -> Response; 3] = [
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        || StatusCode::BAD_REQUEST.into_response(),
        || "data: {\"error\": {\"message\": \"bad prompt\"}}\n\n".into_response(),
    ];
    for failure in failures {
        let gateway = start_gateway_with(|_| {}, failure).await;
        for streams in [false, true] {
            for (path, body) in [
                ("/v1/chat/completions", chat("fast", streams)),
                ("/v1/messages", chat("fast", streams)),
                ("/v1/responses", json!({"model": "fast", "stream": streams, "input": "a"})),
            ] {
                let response = gateway.send(path, &body, None).await;
                assert_eq!(response.status(), StatusCode::OK, "{path}");
                let answer = text(response).await;
                assert!(answer.contains(SMALL_TASK) && answer.contains("word"), "{path}: {answer}");
            }
        }
        gateway.wait_for_charges().await;
        let usage = gateway.store.usage(None).await.unwrap();
        assert!(usage.iter().any(|row| row.model == SMALL_TASK), "{usage:?}");
        assert!(usage.iter().all(|row| row.charged == 0 || row.model == SMALL_TASK), "{usage:?}");
        let (requests, failed) = failing_miner_counts(&gateway);
        assert_eq!((requests, failed), (6.0, 6.0), "each request fails at the miner once");
    }
}

/// A stream that breaks off is not continued by another model. Without `stream`, nothing is
/// delivered before the end.
#[tokio::test]
async fn alias_does_not_fall_back_after_the_first_event() {
    let broken = || {
        let event = "data: {\"error\": {\"message\": \"bad prompt\"}}\n\n";
        (word() + event).into_response()
    };
    let gateway = start_gateway_with(|_| {}, broken).await;
    let stream = text(gateway.send("/v1/chat/completions", &chat("fast", true), None).await).await;
    assert!(stream.contains(FAILING_TASK) && !stream.contains(SMALL_TASK), "{stream}");
    assert!(stream.contains("interrupted") && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    for choices in [1, 2] {
        let mut body = chat("fast", false);
        body["n"] = json!(choices);
        let answer = document(gateway.send("/v1/chat/completions", &body, None).await).await;
        assert_eq!(answer["model"], SMALL_TASK, "{choices}: {answer}");
    }
}

/// The failure of the miners tells more than that another model has none.
#[tokio::test]
async fn failure_is_reported_if_no_other_task_has_miners() {
    let add_alias = |config: &mut MarketConfig| {
        let tasks: [TaskName; 2] = [FAILING_TASK, LARGE_TASK].map(|task| task.parse().unwrap());
        config.aliases.insert("broken".parse().unwrap(), tasks.to_vec());
    };
    let fail = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    let gateway = start_gateway_with(add_alias, fail).await;
    let failed = gateway.send("/v1/chat/completions", &chat("broken", false), None).await;
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
    let message = document(failed).await["error"]["message"].clone();
    assert!(message.as_str().unwrap().contains("failed at the request"), "{message}");
}

#[tokio::test]
async fn rejected_long_request_is_reported_as_too_long() {
    let shorten_context = |config: &mut MarketConfig| {
        for name in [LARGE_TASK, FAILING_TASK, SMALL_TASK] {
            let options = &mut task(config, name).orchestrator_server_config.load_model_config;
            options.insert("max_model_len".to_owned(), 9.into());
        }
    };
    let refuse = || StatusCode::BAD_REQUEST.into_response();
    let gateway = start_gateway_with(shorten_context, refuse).await;
    let response = json!({"model": FAILING_TASK, "input": "a"});
    for (path, body, field) in [
        ("/v1/chat/completions", chat(FAILING_TASK, false), "messages"),
        ("/v1/responses", response, "input"),
    ] {
        let refused = gateway.send(path, &body, None).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let error = document(refused).await["error"].clone();
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!("context_length_exceeded"), &json!(field)),
            "{error}"
        );
        assert!(error["message"].as_str().unwrap().contains("context has 9;"), "{error}");
    }
    // The next model may have a longer context than the task file says.
    let answer =
        document(gateway.send("/v1/chat/completions", &chat("fast", false), None).await).await;
    assert_eq!(answer["model"], SMALL_TASK, "{answer}");
    let refused = start_gateway_with(|_| {}, refuse)
        .await
        .send("/v1/chat/completions", &chat(FAILING_TASK, false), None)
        .await;
    assert_eq!(document(refused).await["error"]["code"], "refused_by_miners");
}

/// Change to a market's configuration.
type Change = fn(&mut MarketConfig);

#[tokio::test]
async fn tasks_that_cannot_serve_the_request_are_skipped() {
    let raise_price =
        |config: &mut MarketConfig| task(config, FAILING_TASK).price.output = 1_000_000_000;
    let shorten_context = |config: &mut MarketConfig| {
        let options = &mut task(config, FAILING_TASK).orchestrator_server_config.load_model_config;
        options.insert("max_model_len".to_owned(), 9.into());
    };
    let remove_vision = |config: &mut MarketConfig| {
        task(config, FAILING_TASK).image_tokens = None;
        task(config, SMALL_TASK).image_tokens = std::num::NonZeroU32::new(3);
    };
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAAA"}}]);
    let cases: [(Change, Value); 3] =
        [(raise_price, json!("a")), (shorten_context, json!("a")), (remove_vision, image)];
    for (change, content) in cases {
        let gateway =
            start_gateway_with(change, || StatusCode::INTERNAL_SERVER_ERROR.into_response()).await;
        let body = json!({"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": content}]});
        let answer = document(gateway.send("/v1/chat/completions", &body, None).await).await;
        assert_eq!(answer["model"], SMALL_TASK, "{content}: {answer}");
        assert_eq!(failing_miner_counts(&gateway), (0.0, 0.0), "its miner is not asked");
    }
}

/// Sends a chat to the alias with a preference; returns the response.
async fn route(gateway: &TestGateway, preference: &str) -> Response {
    let request = Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {}", gateway.key))
        .header("x-taonet-route", preference)
        .body(Body::from(chat("fast", false).to_string()));
    gateway.router.clone().oneshot(request.unwrap()).await.unwrap()
}

#[tokio::test]
async fn header_orders_the_tasks_of_an_alias() {
    let prices = |config: &mut MarketConfig| {
        task(config, FAILING_TASK).price.output = 5;
        task(config, SMALL_TASK).price.output = 1;
        task(config, FAILING_TASK).price.input = 5;
        task(config, SMALL_TASK).price.input = 1;
    };
    // Both miners answer.
    let gateway = start_gateway_with(prices, words).await;
    let answers =
        async |preference: &str| document(route(&gateway, preference).await).await["model"].clone();
    assert_eq!(answers("quality").await, FAILING_TASK, "the operator's order");
    assert_eq!(answers("price").await, SMALL_TASK);
    assert_eq!(answers("speed").await, FAILING_TASK, "no stream yet");
    text(gateway.send("/v1/chat/completions", &chat(SMALL_TASK, true), None).await).await;
    assert_eq!(answers("speed").await, SMALL_TASK);
}

#[tokio::test]
async fn unknown_preference_is_an_invalid_field() {
    let refused = route(&start_gateway().await, "cheap").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(document(refused).await["error"]["param"], "x-taonet-route");
}
