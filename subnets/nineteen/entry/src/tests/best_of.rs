//! Tests of completions of which the best ones are selected (`best_of`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::{Endpoint, Price};

use super::market::{TestGateway, document, start_gateway_for, text};

/// Starts a gateway to a market whose first task is one of completions.
async fn start_gateway(miner: MethodRouter) -> TestGateway {
    let mut config = MarketConfig::default();
    let task = &mut config.tasks[0];
    (task.task, task.endpoint) = ("comp".parse().unwrap(), Endpoint::Completions);
    task.price = Price { input: 1_000, output: 1_000, step: 0 };
    start_gateway_for(config, "comp", miner).await
}

/// Returns a chunk with a token of this log-probability.
fn token(text: &str, logprob: f64) -> String {
    let logprobs = json!({"tokens": [text], "token_logprobs": [logprob], "top_logprobs": [{}], "text_offset": [0]});
    format!("data: {}\n\n", json!({"choices": [{"text": text, "logprobs": logprobs}]}))
}

async fn complete(gateway: &TestGateway, extra_fields: Value) -> (StatusCode, Value) {
    let mut body = json!({"model": "comp", "prompt": "12345678", "seed": 7, "max_tokens": 9});
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    let response = gateway.send("/v1/completions", &body, None).await;
    (response.status(), document(response).await)
}

/// Each answer has its own seed. The sums of the log-probabilities are -1, -2 and -0.9, the
/// means -1, -0.5 and -0.9.
#[tokio::test]
async fn best_of_selects_the_likeliest_answers_per_token() {
    let miner = post(|Json(payload): Json<Value>| async move {
        assert!(payload.get("best_of").is_none() && payload.get("n").is_none(), "{payload}");
        match payload["seed"].as_u64() {
            Some(7) => token("a", -1.0),
            Some(8) => token("b", -0.5).repeat(4),
            _ => token("c", -0.9),
        }
    });
    let gateway = start_gateway(miner).await;
    let (_, one) = complete(&gateway, json!({})).await;
    let input = one["usage"]["prompt_tokens"].as_u64().unwrap();
    let earlier = gateway.wait_for_charges().await;
    let (_, best) = complete(&gateway, json!({"best_of": 3, "logprobs": 1})).await;
    let [choice] = best["choices"].as_array().unwrap().as_slice() else { panic!("{best}") };
    assert_eq!((&choice["index"], &choice["text"]), (&json!(0), &json!("bbbb")));
    assert_eq!(choice["logprobs"]["token_logprobs"], json!([-0.5, -0.5, -0.5, -0.5]));
    // All answers are charged.
    let usage =
        json!({"prompt_tokens": 3 * input, "completion_tokens": 6, "total_tokens": 3 * input + 6});
    assert_eq!(best["usage"], usage);
    assert_eq!(gateway.wait_for_charges().await - earlier, i64::try_from(3 * input + 6).unwrap());
    let (_, best) = complete(&gateway, json!({"n": 2, "best_of": 3})).await;
    let choices: Vec<_> =
        best["choices"].as_array().unwrap().iter().map(|choice| choice["text"].clone()).collect();
    assert_eq!(
        (choices, &best["choices"][0]["logprobs"]),
        (vec![json!("bbbb"), json!("c")], &Value::Null)
    );
    // Without a selection, the choices have the order of their seeds.
    let (_, all) = complete(&gateway, json!({"n": 2, "best_of": 2})).await;
    assert_eq!(
        (&all["choices"][0]["text"], &all["choices"][1]["text"]),
        (&json!("a"), &json!("bbbb"))
    );
}

/// Each prompt has its own choices, in the order of the prompts. The answers to a prompt depend
/// on the seed only.
#[tokio::test]
async fn each_prompt_has_its_choices() {
    let miner = post(|Json(payload): Json<Value>| async move {
        let prompt = payload["prompt"].as_str().unwrap();
        match payload["seed"].as_u64() {
            Some(7) => token(&format!("{prompt}1"), -1.0),
            Some(8) => token(&format!("{prompt}2"), -0.5),
            _ => token(&format!("{prompt}3"), -0.9),
        }
    });
    let gateway = start_gateway(miner).await;
    let texts = |answer: &Value| -> Vec<(u64, String)> {
        let choices = answer["choices"].as_array().unwrap().iter();
        let text = |choice: &Value| choice["text"].as_str().unwrap().to_owned();
        choices.map(|choice| (choice["index"].as_u64().unwrap(), text(choice))).collect()
    };
    let expected = |texts: &[&str]| -> Vec<(u64, String)> {
        (0..).zip(texts.iter().map(|text| (*text).to_owned())).collect()
    };
    let (status, answer) = complete(&gateway, json!({"prompt": ["a", "b"], "n": 2})).await;
    assert_eq!((status, texts(&answer)), (StatusCode::OK, expected(&["a1", "a2", "b1", "b2"])));
    // Two of three answers to each prompt, of which all are charged.
    let (_, best) =
        complete(&gateway, json!({"prompt": ["a", "b"], "n": 2, "best_of": 3, "echo": true})).await;
    assert_eq!(texts(&best), expected(&["aa2", "aa3", "bb2", "bb3"]));
    assert_eq!(best["usage"]["completion_tokens"], 6);
    let (_, one) = complete(&gateway, json!({"prompt": "a", "n": 1})).await;
    let input = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!((input(&answer), input(&best)), (4 * input(&one), 6 * input(&one)));
}

/// The prompt of a choice is its first event; it costs no output.
#[tokio::test]
async fn echoed_prompts_begin_the_choices_of_a_stream() {
    let miner = post(|Json(payload): Json<Value>| async move {
        token(payload["prompt"].as_str().unwrap(), -1.0)
    });
    let gateway = start_gateway(miner).await;
    let prompts = ["a\u{2028}", "", "c"];
    let body = json!({
        "model": "comp", "prompt": prompts, "max_tokens": 9, "echo": true, "stream": true,
        "stream_options": {"include_usage": true},
    });
    let stream = text(gateway.send("/v1/completions", &body, None).await).await;
    assert!(!stream.contains('\u{2028}'), "a line separator ends the event for some clients");
    let (mut texts, mut tokens) = ([const { String::new() }; 3], Value::Null);
    for event in stream.strip_suffix("data: [DONE]\n\n").unwrap().split_terminator("\n\n") {
        let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        match event["choices"].get(0_usize) {
            None => tokens = event["usage"]["completion_tokens"].clone(),
            Some(choice) => {
                let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
                texts[index].push_str(choice["text"].as_str().unwrap());
            }
        }
    }
    assert_eq!(texts, prompts.map(|prompt| prompt.repeat(2)));
    assert_eq!(tokens, 2, "the empty answer has no token");
}

/// Returns a chunk without log-probabilities.
fn token_without_logprobs(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"text": text}]}))
}

/// Only the first request costs the miners work.
#[tokio::test]
async fn best_of_is_refused_without_log_probabilities() {
    let answers = Arc::new(AtomicUsize::new(0));
    let miner = {
        let answers = Arc::clone(&answers);
        post(move || {
            answers.fetch_add(1, Ordering::SeqCst);
            async { token_without_logprobs("a") }
        })
    };
    let gateway = start_gateway(miner).await;
    let mut first_usage = None;
    for _ in 0..3 {
        let (status, refused) = complete(&gateway, json!({"best_of": 2})).await;
        assert_eq!(
            (status, &refused["error"]["param"]),
            (StatusCode::BAD_REQUEST, &json!("best_of")),
            "{refused}"
        );
        let answers = answers.load(Ordering::SeqCst);
        assert_eq!(
            (gateway.wait_for_charges().await, answers),
            (0, *first_usage.get_or_insert(answers))
        );
        assert!(answers > 0);
    }
    let (status, answer) = complete(&gateway, json!({"n": 2, "best_of": 2})).await;
    assert_eq!((status, &answer["choices"][1]["text"]), (StatusCode::OK, &json!("a")));
}

/// The miner's answers to two of three seeds have no log-probabilities.
#[tokio::test]
async fn answers_without_log_probabilities_are_ranked_last() {
    let miner = post(|Json(payload): Json<Value>| async move {
        match payload["seed"].as_u64() {
            Some(7) => token_without_logprobs("a"),
            Some(8) => token("b", -9.0),
            _ => token_without_logprobs("c"),
        }
    });
    let gateway = start_gateway(miner).await;
    for _ in 0..2 {
        let (status, best) = complete(&gateway, json!({"n": 2, "best_of": 3})).await;
        assert_eq!(status, StatusCode::OK, "{best}");
        assert_eq!(
            (&best["choices"][0]["text"], &best["choices"][1]["text"]),
            (&json!("b"), &json!("a"))
        );
        assert_eq!(best["usage"]["completion_tokens"], 3, "all answers are charged");
    }
}

/// Answers without log-probabilities disable `best_of` until an answer has some.
#[tokio::test]
async fn answer_with_log_probabilities_reenables_best_of() {
    let miner = post(|Json(payload): Json<Value>| async move {
        if payload["seed"].as_u64() < Some(100) {
            token_without_logprobs("a")
        } else {
            token("b", -1.0)
        }
    });
    let gateway = start_gateway(miner).await;
    let select = async |seed: u64| complete(&gateway, json!({"seed": seed, "best_of": 2})).await.0;
    assert_eq!(
        (select(7).await, select(100).await),
        (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST)
    );
    let (status, _) = complete(&gateway, json!({"seed": 100, "logprobs": 1})).await;
    assert_eq!((status, select(100).await), (StatusCode::OK, StatusCode::OK));
}
