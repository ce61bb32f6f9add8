//! Tests of failover while miners are busy: slots, attempts and deadlines.

use axum::http::StatusCode;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::miners::*;
use super::*;

const GARBAGE: &str = "data: garbage\n\n";

fn with_slots(
    handlers: Vec<axum::routing::MethodRouter>,
    slots: usize,
) -> Vec<(axum::routing::MethodRouter, Option<usize>)> {
    handlers.into_iter().map(|handler| (handler, Some(slots))).collect()
}

/// A failed attempt releases its slot before the request waits for another miner: otherwise, two
/// requests that fail at two miners would wait for each other.
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
    let test_market =
        market(with_slots(vec![handler(), handler()], 1), QueueSettings::default()).await;
    let start = std::time::Instant::now();
    let mut poison_requests = JoinSet::new();
    for _ in 0..2 {
        let querier = test_market.querier.clone();
        let mut request = buyer_request("a");
        request
            .payload
            .insert("messages".to_owned(), json!([{"role": "user", "content": "poison"}]));
        poison_requests.spawn(async move { querier.query(request).await.map(drop) });
    }
    wait_until(|| test_market.contenders.iter().all(|contender| contender.running() == 1)).await;
    assert_eq!(buy(test_market.querier.clone(), "b").await, Ok("b"));
    while let Some(outcome) = poison_requests.join_next().await {
        assert!(matches!(outcome.unwrap(), Err(QueryError::Failed { rejection_status: None, .. })));
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(
        test_market
            .contenders
            .iter()
            .all(|contender| contender.running() == 0 && contender.counts().total_requests <= 1.0)
    );
}

/// Any buyer can send a prompt at which the miner's server answers 503 or 504, so they do not lower
/// the limit of requests in flight.
#[tokio::test]
async fn poison_prompt_does_not_lower_the_limit() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT] {
        let handler = post(move || async move { status });
        let test_market = market(vec![(handler, Some(64))], QueueSettings::default()).await;
        for _ in 0..3 {
            test_market.querier.query(buyer_request("a")).await.unwrap_err();
        }
        let period_miners = test_market.querier.market().period_miners().unwrap();
        assert_eq!(
            period_miners.limit(&test_market.contenders[0].offer.hotkey),
            Some(64),
            "{status}"
        );
    }
}

/// Status 429 means that the miner is busy: it is not a failed attempt, and the request waits for a
/// miner again.
#[tokio::test]
async fn rate_limits_do_not_exhaust_the_attempts() {
    let handlers = scripted_handlers(6, |call| async move {
        if call < 6 {
            StatusCode::TOO_MANY_REQUESTS.into_response()
        } else {
            chunk("a").into_response()
        }
    });
    let test_market = market(with_slots(handlers, 1), QueueSettings::default()).await;
    assert_eq!(buy(test_market.querier.clone(), "a").await, Ok("a"));
    // The miners have rejected a request within their announced limit, so the rejections count.
    let limited: f64 =
        test_market.contenders.iter().map(|contender| contender.counts().requests_429).sum();
    assert_eq!(limited, 6.0);
}

/// A request that a miner has rejected is queued again even if the queue is full by then.
#[tokio::test]
async fn rate_limited_request_returns_to_a_full_queue() {
    let (rejects, answers) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (reject, answer) = (Arc::clone(&rejects), Arc::clone(&answers));
    let handlers = scripted_handlers(1, move |call| {
        let (reject, answer) = (Arc::clone(&reject), Arc::clone(&answer));
        async move {
            if call == 1 {
                reject.notified().await;
                return StatusCode::TOO_MANY_REQUESTS.into_response();
            }
            answer.acquire().await.unwrap().forget();
            chunk("a").into_response()
        }
    });
    let test_market =
        market(with_slots(handlers, 2), QueueSettings { length: 1, ..QueueSettings::default() })
            .await;
    let mut buying = JoinSet::new();
    for running in 1..=2 {
        buying.spawn(buy(test_market.querier.clone(), "a"));
        wait_until(|| test_market.contenders[0].running() == running).await;
    }
    buying.spawn(buy(test_market.querier.clone(), "a"));
    wait_for_queued(&test_market, 1).await;
    rejects.notify_one();
    wait_until(|| test_market.contenders[0].counts().requests_429 > 0.0).await;
    answers.add_permits(3);
    while let Some(answer) = buying.join_next().await {
        assert_eq!(answer.unwrap(), Ok("a"));
    }
}

/// A request has at most five failed attempts, the hedged one included.
#[tokio::test]
async fn hedged_attempt_counts_towards_the_limit() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let handlers = scripted_handlers(8, move |call| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(if call < 4 { 0 } else { 1_200 })).await;
            GARBAGE.into_response()
        }
    });
    let deadlines = QueryDeadlines { hedge: Some(Duration::from_millis(600)), ..long_deadlines() };
    let test_market =
        market_with(with_slots(handlers, 1), QueueSettings::default(), deadlines).await;
    let error = test_market.querier.query(buyer_request("a")).await.unwrap_err();
    let QueryError::Failed { attempts, .. } = error else { panic!("{error:?}") };
    assert_eq!((attempts, calls.load(Ordering::SeqCst)), (Attempts { limited: 0, failed: 5 }, 5));
}

/// The limit of the time in the queue does not include the time at miners.
#[tokio::test]
async fn time_of_attempts_does_not_count_as_queue_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = Arc::clone(&gate);
    let handlers = scripted_handlers(2, move |call| {
        let gate = Arc::clone(&handler_gate);
        async move {
            match call {
                0 => gate.acquire().await.unwrap().forget(),
                1 => {
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                    return GARBAGE.into_response();
                }
                _ => {}
            }
            chunk("a").into_response()
        }
    });
    let queue = QueueSettings { wait: Duration::from_secs(1), ..QueueSettings::default() };
    let test_market = market(with_slots(handlers, 1), queue).await;
    let first = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_until(|| test_market.contenders.iter().any(|contender| contender.running() == 1)).await;
    let second = tokio::spawn(buy(test_market.querier.clone(), "b"));
    wait_for_queued(&test_market, 1).await;
    gate.add_permits(1);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok("a"), Ok("b")));
}

#[tokio::test]
async fn total_deadline_covers_all_attempts() {
    let handlers = (0..5).map(|_| stall_after(vec![(5_000, chunk("late"))])).collect();
    let deadlines = QueryDeadlines {
        first_chunk: Some(Duration::from_millis(700)),
        max_total: Duration::from_secs(1),
        ..QueryDeadlines::default()
    };
    let test_market =
        market_with(with_slots(handlers, 1), QueueSettings::default(), deadlines).await;
    let error = test_market.querier.query(buyer_request("a")).await.unwrap_err();
    let QueryError::Failed { attempts, .. } = error else { panic!("{error:?}") };
    assert!(attempts.failed <= 2, "{attempts:?}");
    // The second miner had too little time.
    let total_requests: f64 =
        test_market.contenders.iter().map(|contender| contender.counts().total_requests).sum();
    assert!(total_requests <= 1.0, "{total_requests}");
}

/// All tasks of an alias together have the time of one.
#[tokio::test]
async fn earlier_tasks_shorten_the_total_deadline() {
    let test_market = test_market(vec![respond_with(chunk("a"))], QueryDeadlines::default()).await;
    let max_total = QueryDeadlines::default().max_total;
    for (elapsed, is_answered) in [(max_total / 2, true), (max_total, false)] {
        let earlier = EarlierTasks { elapsed, have_failed: false };
        let request = Request { earlier, ..request(RequestKind::Organic) };
        let result = test_market.querier.query(request).await.map(drop);
        assert_eq!(result.is_ok(), is_answered, "{result:?}");
    }
    assert_eq!(test_market.contenders[0].counts().total_requests, 1.0);
}

/// Of a hedged request that is answered as a whole, only the complete answer counts, even if both
/// miners have begun.
#[tokio::test]
async fn hedged_collected_request_counts_once() {
    let handlers = scripted_handlers(2, |call| async move {
        tokio::time::sleep(Duration::from_millis(if call == 0 { 600 } else { 0 })).await;
        let incomplete_body =
            futures::stream::iter([Ok::<_, Infallible>(Bytes::from(chunk("half ")))]);
        let end = futures::stream::once(async move {
            tokio::time::sleep(Duration::from_millis(if call == 0 { 60_000 } else { 1_500 })).await;
            Ok(Bytes::from(chunk("end")))
        });
        Body::from_stream(incomplete_body.chain(end)).into_response()
    });
    let deadlines = QueryDeadlines { hedge: Some(Duration::from_millis(100)), ..long_deadlines() };
    let mut test_market =
        market_with(with_slots(handlers, 1), QueueSettings::default(), deadlines).await;
    let answer = test_market
        .querier
        .query(Request { is_collected: true, ..buyer_request("a") })
        .await
        .unwrap();
    let winner = Arc::clone(answer.contender());
    assert_eq!(text(answer).await.unwrap(), "half end");
    let counts: Vec<_> =
        test_market.contenders.iter().map(|contender| contender.counts()).collect();
    assert_eq!(counts.iter().map(|counts| counts.total_requests).sum::<f64>(), 1.0, "{counts:?}");
    assert_eq!(winner.counts().total_requests, 1.0);
    assert!(test_market.samples.recv().await.is_some() && test_market.samples.try_recv().is_err());
}

/// A complete answer holds no slot while its reader waits for other answers.
#[tokio::test]
async fn complete_answer_that_is_not_read_holds_no_slot() {
    let test_market = capped_market(vec![(respond_with(chunk("a")), None)], 1).await;
    let collected_request = || Request { is_collected: true, ..request(RequestKind::Organic) };
    let first = test_market.querier.query(collected_request()).await.unwrap();
    assert_eq!(
        (test_market.contenders[0].running(), test_market.contenders[0].counts().total_requests),
        (0, 1.0)
    );
    let second = test_market.querier.query(collected_request()).await.unwrap();
    for answer in [first, second] {
        assert_eq!(text(answer).await.unwrap(), "a");
    }
}
