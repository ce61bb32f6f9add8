//! Tests of failover while miners are busy: slots, attempts and deadlines.

use axum::http::StatusCode;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::miners::*;
use super::*;

const GARBAGE: &str = "data: garbage\n\n";

fn each(handlers: Vec<axum::routing::MethodRouter>, slots: usize) -> Vec<(axum::routing::MethodRouter, Option<usize>)> {
    handlers.into_iter().map(|handler| (handler, Some(slots))).collect()
}

/// A failed attempt releases its slot before the request waits for another miner: otherwise, two requests that fail at two
/// miners would wait for each other.
#[tokio::test]
async fn failed_attempt_releases_its_slot_before_waiting() {
    let handler = || {
        post(|body: String| async move {
            if body.contains("poison") {
                tokio::time::sleep(Duration::from_millis(300)).await;
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            chunk("good").into_response()
        })
    };
    let bench = market(each(vec![handler(), handler()], 1), QueueSettings::default()).await;
    let began = std::time::Instant::now();
    let mut poisoned = JoinSet::new();
    for _ in 0..2 {
        let querier = bench.querier.clone();
        let mut request = buyers("a");
        request.payload.insert("messages".to_owned(), json!([{"role": "user", "content": "poison"}]));
        poisoned.spawn(async move { querier.ask(request).await.map(drop) });
    }
    until(|| bench.contenders.iter().all(|contender| contender.running() == 1)).await;
    assert_eq!(buy(bench.querier.clone(), "b").await, Ok("b"));
    while let Some(outcome) = poisoned.join_next().await {
        assert!(matches!(outcome.unwrap(), Err(QueryError::Failed { refused: None, .. })));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(
        bench.contenders.iter().all(|contender| contender.running() == 0 && contender.counts().total_requests <= 1.0)
    );
}

/// Any buyer can send a prompt at which the miner's server answers 503 or 504, so they do not lower the limit of requests in
/// flight.
#[tokio::test]
async fn poison_prompt_does_not_lower_the_limit() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT] {
        let handler = post(move || async move { status });
        let bench = market(vec![(handler, Some(64))], QueueSettings::default()).await;
        for _ in 0..3 {
            bench.querier.ask(buyers("a")).await.unwrap_err();
        }
        let roster = bench.querier.market().roster().unwrap();
        assert_eq!(roster.limit(&bench.contenders[0].offer.hotkey), Some(64), "{status}");
    }
}
