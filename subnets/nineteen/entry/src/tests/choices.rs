//! Tests of requests with several choices (`n`).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use axum::{Json, Router};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_query::QueryDeadlines;

use super::market::{
    TASK, TestGateway, document, respond_with, start_gateway, start_gateway_with_deadlines,
    start_gateway_with_slots, text, word,
};

/// Each choice is a request to a miner with its own seed.
#[tokio::test]
async fn each_choice_is_a_separate_request() {
    let miner = post(|Json(payload): Json<Value>| async move {
        let words = if payload["seed"] == 7 { 1 } else { 3 };
        vec![word(); words].concat()
    });
    let gateway = start_gateway(miner).await;
    let answer = document(gateway.buy(&json!({"n": 2, "seed": 7, "logprobs": true})).await).await;
    let choices = answer["choices"].as_array().unwrap();
    let texts: Vec<_> =
        choices.iter().map(|choice| (&choice["index"], &choice["message"]["content"])).collect();
    assert_eq!(texts, [(&json!(0), &json!("word ")), (&json!(1), &json!("word word word "))]);
    assert_eq!(choices[1]["logprobs"]["content"].as_array().unwrap().len(), 3);
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16})
    );
    // 12 input tokens at 100 and 4 output tokens at 400 credits per 1 000: 2.8, rounded up.
    assert_eq!(gateway.wait_for_charges().await, 3);
    let streamed = json!({"n": 2, "seed": 7, "max_tokens": 3, "stream": true, "stream_options": {"include_usage": true}});
    let stream = text(gateway.buy(&streamed).await).await;
    let (mut texts, mut finishes, mut usage) =
        ([String::new(), String::new()], [Value::Null, Value::Null], Value::Null);
    for event in stream.strip_suffix("data: [DONE]\n\n").unwrap().split_terminator("\n\n") {
        let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        let Some(choice) = event["choices"].get(0_usize) else {
            usage = event["usage"].clone();
            continue;
        };
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        texts[index].push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        finishes[index] = choice["finish_reason"].clone();
    }
    assert_eq!((texts[0].as_str(), texts[1].as_str()), ("word ", "word word word "));
    assert_eq!(finishes, [json!("stop"), json!("length")]);
    assert_eq!(usage, json!({"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}));
    assert_eq!(gateway.wait_for_charges().await, 6);
    // The key has no credits for the maximum cost of all choices.
    let refused = gateway.buy(&json!({"n": 8, "max_tokens": 500})).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(document(refused).await["error"]["code"], "insufficient_quota");
    assert_eq!(gateway.wait_for_charges().await, 6);
}

#[tokio::test]
async fn interrupted_choice_interrupts_the_others() {
    let miner = post(|Json(payload): Json<Value>| async move {
        let word = futures::stream::iter([Ok::<_, Infallible>(Bytes::from(word()))]);
        let end = if payload["seed"] == 7 {
            futures::stream::empty().boxed()
        } else {
            futures::stream::pending().boxed()
        };
        Body::from_stream(word.chain(end))
    });
    let deadlines = QueryDeadlines {
        between_chunks: Some(Duration::from_secs(1)),
        ..QueryDeadlines::default()
    };
    let gateway =
        start_gateway_with_deadlines(MarketConfig::default(), vec![(TASK, miner)], deadlines).await;
    let stream = text(gateway.buy(&json!({"n": 2, "seed": 7, "stream": true})).await).await;
    assert!(
        stream.contains(r#""code":"no_answer""#) && stream.ends_with("data: [DONE]\n\n"),
        "{stream}"
    );
    assert!(!stream.contains(r#""finish_reason":"stop""#), "{stream}");
    // 12 input tokens and two words were delivered.
    assert_eq!(gateway.wait_for_charges().await, 2);
    let response = gateway.buy(&json!({"n": 2, "seed": 7})).await;
    assert_eq!(
        (response.status(), gateway.wait_for_charges().await),
        (StatusCode::BAD_GATEWAY, 2),
        "no delivery"
    );
}

/// Returns a handler that streams a word after each of these pauses, in milliseconds.
fn respond_after(pauses: Vec<u64>) -> MethodRouter {
    post(move || async move {
        let words = futures::stream::iter(pauses).then(|pause| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Ok::<_, Infallible>(Bytes::from(word()))
        });
        Body::from_stream(words)
    })
}

/// Starts a gateway and one miner with two slots, for which requests wait for at most `wait`.
async fn start_gateway_with_two_slots(
    handler: MethodRouter,
    wait: Duration,
    deadlines: QueryDeadlines,
) -> TestGateway {
    let handlers = Router::new().route("/chat/completions", handler);
    start_gateway_with_slots(MarketConfig::default(), &[TASK], handlers, deadlines, (2, wait)).await
}

/// Choices never hold the slots for which other choices wait.
#[tokio::test]
async fn more_choices_than_slots_are_answered() {
    let long_timeout = Duration::from_secs(20);
    let gateway = start_gateway_with_two_slots(
        respond_after(vec![20, 20]),
        long_timeout,
        QueryDeadlines::default(),
    )
    .await;
    let buy = async |streams: bool| {
        text(gateway.buy(&json!({"n": 4, "max_tokens": 9, "stream": streams})).await).await
    };
    for streams in [false, true] {
        // Two buyers share the slots.
        let (one, other) = tokio::join!(buy(streams), buy(streams));
        for answer in [one, other] {
            assert_eq!(answer.matches("\"finish_reason\":\"stop\"").count(), 4, "{answer}");
            assert_eq!(answer.matches("word ").count(), 8, "{answer}");
        }
    }
    gateway.wait_for_charges().await;
}

/// A choice that has waited too long for a slot is asked again when another one of its request
/// ends.
#[tokio::test]
async fn choice_that_times_out_waiting_for_a_slot_is_retried() {
    let wait = Duration::from_millis(200);
    let gateway = start_gateway_with_two_slots(
        respond_after(vec![400, 400]),
        wait,
        QueryDeadlines::default(),
    )
    .await;
    for streams in [false, true] {
        let response = gateway.buy(&json!({"n": 4, "max_tokens": 9, "stream": streams})).await;
        assert_eq!(response.status(), StatusCode::OK);
        let answer = text(response).await;
        assert_eq!(answer.matches("\"finish_reason\":\"stop\"").count(), 4, "{answer}");
    }
    gateway.wait_for_charges().await;
}

/// The deadline limits the miners' time, not the buyer's.
#[tokio::test]
async fn buyer_pause_does_not_count_towards_the_deadline() {
    let total = Duration::from_secs(2);
    let deadlines = QueryDeadlines { total, ..QueryDeadlines::default() };
    // More words than are read ahead, and a last one that arrives after the buyer's pause.
    let words = respond_after(vec![300, 100, 0, 0, 0, 0, 2_600]);
    let gateway = start_gateway_with_two_slots(words, Duration::from_secs(2), deadlines).await;
    let response = gateway.buy(&json!({"n": 2, "max_tokens": 9, "stream": true})).await;
    let mut body = response.into_body();
    // The first words; then both choices are being read.
    let mut answer = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
    tokio::time::sleep(total + Duration::from_millis(200)).await;
    answer.extend_from_slice(&body.collect().await.unwrap().to_bytes());
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("\"finish_reason\":\"stop\"").count(), 2, "{answer}");
    for _ in 0..2 {
        let sample = gateway.samples.lock().await.recv().await.unwrap();
        assert!(sample.response_time.unwrap() < total.as_secs_f64(), "{:?}", sample.response_time);
    }
    gateway.wait_for_charges().await;
}

/// A buyer that leaves cancels all choices, also those that wait for a slot.
#[tokio::test]
async fn buyer_that_leaves_cancels_all_choices() {
    let (started, cancelled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (started_count, cancelled_count) = (Arc::clone(&started), Arc::clone(&cancelled));
    let miner = post(move || {
        started_count.fetch_add(1, Ordering::SeqCst);
        let running = CancellationCounter(Arc::clone(&cancelled_count));
        async move {
            Body::from_stream(futures::stream::unfold(running, |running| async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Some((Ok::<_, Infallible>(Bytes::from(word())), running))
            }))
        }
    });
    let gateway =
        start_gateway_with_two_slots(miner, Duration::from_mins(1), QueryDeadlines::default())
            .await;
    let mut body =
        gateway.buy(&json!({"n": 3, "stream": true, "max_tokens": 300})).await.into_body();
    let mut received = String::new();
    while started.load(Ordering::SeqCst) < 2 || !received.contains("word") {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        received += &String::from_utf8_lossy(&frame);
    }
    drop(body);
    let start = std::time::Instant::now();
    while cancelled.load(Ordering::SeqCst) < 2 {
        assert!(start.elapsed() < Duration::from_secs(30), "the miner still writes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(started.load(Ordering::SeqCst), 2, "the third choice was sent");
    assert!((1..100).contains(&gateway.wait_for_charges().await));
}

/// Counts when it is dropped.
struct CancellationCounter(Arc<AtomicUsize>);

impl Drop for CancellationCounter {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn repeated_request_gets_the_same_choices_without_a_charge() {
    let gateway = start_gateway(respond_with(vec![word()])).await;
    let body = json!({"model": TASK, "messages": [{"role": "user", "content": "a"}], "n": 3, "max_tokens": 9});
    let path = "/v1/chat/completions";
    let first = text(gateway.send(path, &body, Some("a")).await).await;
    let charged = gateway.wait_for_charges().await;
    let replayed = gateway.send(path, &body, Some("a")).await;
    assert_eq!(replayed.headers()["idempotency-replayed"], "true");
    assert_eq!((text(replayed).await, gateway.wait_for_charges().await), (first, charged));
}
