//! Tests of completions of which the best ones are selected (`best_of`).

use axum::Json;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::{Endpoint, Price};

use super::market::{Shop, document, shop_of};

/// Starts a gateway to a market whose first task is one of completions.
async fn shop(miner: MethodRouter) -> Shop {
    let mut config = MarketConfig::default();
    let task = &mut config.tasks[0];
    (task.task, task.endpoint) = ("comp".parse().unwrap(), Endpoint::Completions);
    task.price = Price { input: 1_000, output: 1_000, step: 0 };
    shop_of(config, "comp", miner).await
}

/// Returns a chunk with a token of this log-probability.
fn token(text: &str, logprob: f64) -> String {
    let logprobs = json!({"tokens": [text], "token_logprobs": [logprob], "top_logprobs": [{}], "text_offset": [0]});
    format!("data: {}\n\n", json!({"choices": [{"text": text, "logprobs": logprobs}]}))
}

async fn complete(shop: &Shop, further: Value) -> (StatusCode, Value) {
    let mut body = json!({"model": "comp", "prompt": "12345678", "seed": 7, "max_tokens": 9});
    body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let response = shop.send("/v1/completions", &body, None).await;
    (response.status(), document(response).await)
}

/// Each answer has a seed of its own. The sums of the log-probabilities are -1, -2 and -0.9, the means -1, -0.5 and -0.9.
#[tokio::test]
async fn likeliest_answers_per_token_are_the_choices() {
    let miner = post(|Json(payload): Json<Value>| async move {
        assert!(payload.get("best_of").is_none() && payload.get("n").is_none(), "{payload}");
        match payload["seed"].as_u64() {
            Some(7) => token("a", -1.0),
            Some(8) => token("b", -0.5).repeat(4),
            _ => token("c", -0.9),
        }
    });
    let shop = shop(miner).await;
    let (_, one) = complete(&shop, json!({})).await;
    let input = one["usage"]["prompt_tokens"].as_u64().unwrap();
    let earlier = shop.charged().await;
    let (_, best) = complete(&shop, json!({"best_of": 3, "logprobs": 1})).await;
    let [choice] = best["choices"].as_array().unwrap().as_slice() else { panic!("{best}") };
    assert_eq!((&choice["index"], &choice["text"]), (&json!(0), &json!("bbbb")));
    assert_eq!(choice["logprobs"]["token_logprobs"], json!([-0.5, -0.5, -0.5, -0.5]));
    // All answers are charged.
    let usage = json!({"prompt_tokens": 3 * input, "completion_tokens": 6, "total_tokens": 3 * input + 6});
    assert_eq!(best["usage"], usage);
    assert_eq!(shop.charged().await - earlier, i64::try_from(3 * input + 6).unwrap());
    let (_, best) = complete(&shop, json!({"n": 2, "best_of": 3})).await;
    let choices: Vec<_> = best["choices"].as_array().unwrap().iter().map(|choice| choice["text"].clone()).collect();
    assert_eq!((choices, &best["choices"][0]["logprobs"]), (vec![json!("bbbb"), json!("c")], &Value::Null));
    // Without a selection, the choices have the order of their seeds.
    let (_, all) = complete(&shop, json!({"n": 2, "best_of": 2})).await;
    assert_eq!((&all["choices"][0]["text"], &all["choices"][1]["text"]), (&json!("a"), &json!("bbbb")));
}

#[tokio::test]
async fn best_of_is_refused_by_name_without_log_probabilities() {
    let shop = shop(post(|| async { format!("data: {}\n\n", json!({"choices": [{"text": "a"}]})) })).await;
    let (status, refused) = complete(&shop, json!({"best_of": 2})).await;
    assert_eq!((status, &refused["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("best_of")), "{refused}");
    assert_eq!(shop.charged().await, 0);
    let (status, answer) = complete(&shop, json!({"n": 2})).await;
    assert_eq!((status, &answer["choices"][1]["text"]), (StatusCode::OK, &json!("a")));
}
