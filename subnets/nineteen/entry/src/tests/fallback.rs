//! Tests of aliases of models.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_nineteen_core::{MarketConfig, TaskName};
use taonet_nineteen_query::QueryDeadlines;
use taonet_nineteen_store::KeyTerms;
use tower::ServiceExt as _;

use super::market::{Shop, document, shop_before, text, word};

/// Has no miner.
const LARGE: &str = "chat-llama-3-1-70b";
/// Has a miner that fails.
const BROKEN: &str = "chat-llama-3-1-8b";
const SMALL: &str = "chat-llama-3-2-3b";

async fn shop() -> Shop {
    let mut config = MarketConfig::default();
    let tasks: [TaskName; 3] = [LARGE, BROKEN, SMALL].map(|task| task.parse().unwrap());
    config.aliases.insert("fast".parse().unwrap(), tasks.to_vec());
    config.aliases.insert("large".parse().unwrap(), vec![LARGE.parse().unwrap()]);
    let chat = post(|Json(payload): Json<Value>| async move {
        match payload["model"].as_str() {
            Some(SMALL) => [word(), word()].concat().into_response(),
            _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    });
    let handlers = Router::new().route("/chat/completions", chat);
    shop_before(config, &[BROKEN, SMALL], handlers, QueryDeadlines::default()).await
}

fn chat(model: &str, streams: bool) -> Value {
    json!({"model": model, "stream": streams, "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]})
}

#[tokio::test]
async fn next_task_of_an_alias_answers_if_one_cannot() {
    let shop = shop().await;
    let answer = document(shop.send("/v1/chat/completions", &chat("fast", false), None).await).await;
    assert_eq!((&answer["model"], &answer["object"]), (&json!(SMALL), &json!("chat.completion")), "{answer}");
    let stream = text(shop.send("/v1/chat/completions", &chat("fast", true), None).await).await;
    assert!(stream.contains(SMALL) && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    // Only delivered answers are charged, and the error is that of the last task.
    let usage = async || shop.store.usage(None).await.unwrap();
    shop.charged().await;
    assert!(usage().await.iter().all(|row| row.charged == 0 || row.model == SMALL), "{:?}", usage().await);
    let refused = shop.send("/v1/chat/completions", &chat("large", false), None).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    // A plain model has no fallback.
    let failed = shop.send("/v1/chat/completions", &chat(BROKEN, false), None).await;
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn alias_is_listed_and_stands_for_allowed_tasks_of_the_route() {
    let shop = shop().await;
    let get = async |path: &str| {
        document(shop.router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()).await
    };
    let alias = get("/v1/models/fast").await;
    assert_eq!((&alias["models"], &alias["object"]), (&json!([LARGE, BROKEN, SMALL]), &json!("model")));
    let list = get("/v1/models").await;
    assert!(list["data"].as_array().unwrap().contains(&alias), "{list}");
    let image = json!({"model": "fast", "prompt": "a"});
    let refused = shop.send("/v1/images/generations", &image, None).await;
    assert_eq!(document(refused).await["error"]["code"], "model_not_found");
    let limit = async |task: &str| {
        let terms = KeyTerms { models: Some(vec![task.parse().unwrap()]), ..KeyTerms::new("test", 100) };
        shop.store.update_key(&shop.id, &terms).await.unwrap();
        shop.send("/v1/chat/completions", &chat("fast", false), None).await.status()
    };
    assert_eq!(limit(SMALL).await, StatusCode::OK);
    assert_eq!(limit(BROKEN).await, StatusCode::BAD_GATEWAY);
    assert_eq!(limit("avatar").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn unknown_preference_is_an_invalid_field() {
    let shop = shop().await;
    let route = async |preference: &str| {
        let request = Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {}", shop.key))
            .header("x-taonet-route", preference)
            .body(Body::from(chat("fast", false).to_string()));
        shop.router.clone().oneshot(request.unwrap()).await.unwrap()
    };
    for preference in ["price", "speed", "quality"] {
        assert_eq!(document(route(preference).await).await["model"], SMALL, "{preference}");
    }
    let refused = route("cheap").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(document(refused).await["error"]["param"], "x-taonet-route");
}
