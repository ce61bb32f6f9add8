use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::json;
use taonet_http::testing::listen;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::PeriodCounts;
use taonet_nineteen_core::{KeyWeight, MarketConfig};
use taonet_nineteen_store::{ContenderRow, NewContender, PeriodId, Sample};
use taonet_nineteen_transport::{
    FiberClient, FiberRules, MinerHandshake, RsaKey, Trust, routes, signed_requests,
};
use taonet_primitives::Uid;
use taonet_service::{monotonic_clock, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, Peer, SystemClock};
use tokio::sync::mpsc;

use super::*;

mod failover;
mod faults;
mod images;
mod miners;
mod overload;
mod periods;
mod prefixes;
mod saturation;
mod synthetic;
mod two_tasks;

pub(crate) const TASK: &str = "chat-llama-3-2-3b";

pub(crate) fn chunk(text: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":{{}}}}]}}\n\n"
    )
}

/// A market of miners with scripted handlers.
pub(crate) struct TestMarket {
    pub(crate) querier: Querier,
    samples: mpsc::Receiver<Sample>,
    pub(crate) contenders: Vec<Arc<TaskMiner>>,
}

pub(crate) async fn test_market(
    handlers: Vec<axum::routing::MethodRouter>,
    deadlines: QueryDeadlines,
) -> TestMarket {
    test_market_of(handlers.into_iter().map(|handler| (handler, None)).collect(), deadlines, 2)
        .await
}

/// Creates a market of miners that announce numbers of concurrent requests, of which each has at
/// most `max_running` in flight.
async fn test_market_of(
    miners: Vec<(axum::routing::MethodRouter, Option<usize>)>,
    deadlines: QueryDeadlines,
    max_running: usize,
) -> TestMarket {
    let client = FiberClient::new(
        key("//Alice"),
        Trust::Signed,
        ClientConfig::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let config = MarketConfig::default();
    let task = Arc::new(config.task(TASK).unwrap().clone());
    let mut contenders = Vec::new();
    for (index, (handler, concurrency)) in miners.into_iter().enumerate() {
        let keypair = key(&format!("//miner//{index}"));
        let signed = signed_requests(keypair.hotkey(), FiberRules::Strict).build();
        let handshake =
            MinerHandshake::new(keypair.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
        let router = routes(handshake, signed, Router::new().route("/chat/completions", handler));
        let port = listen(router).await.port();
        let peer = Peer::new(keypair.hotkey(), "127.0.0.1", port).unwrap();
        let session = client.handshake(&peer).await.unwrap();
        let uid = Uid(u16::try_from(index).unwrap());
        let capacity = Capacity { declared: 1_000.0, accepted: 1_000.0, to_score: 900.0 };
        let offer = NewContender {
            task: task.task.clone(),
            hotkey: keypair.hotkey(),
            uid,
            capacity,
            concurrency,
        };
        let row = ContenderRow {
            offer,
            counts: PeriodCounts::with_capacity(1_000.0),
            sent: 0.0,
            score: None,
        };
        contenders.push(TaskMiner::new(&row, session, 900.0));
    }
    let market = Market::default();
    market.open(PeriodMiners::new(PeriodId(1), vec![TaskMiners::new(task, contenders, 10)]));
    let (sender, samples) = mpsc::channel(16);
    let clocks = (system_clock(), monotonic_clock());
    let querier = Querier::new(client, market.clone(), deadlines, max_running, clocks, sender);
    let contenders = market.period_miners().unwrap().tasks()[0].contenders().to_vec();
    TestMarket { querier, samples, contenders }
}

pub(crate) fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

pub(crate) fn request(kind: RequestKind) -> Request {
    let messages = json!([{"role": "user", "content": "hello"}]);
    let payload = json!({"messages": messages, "model": TASK, "stream": true})
        .as_object()
        .unwrap()
        .clone()
        .into();
    let task = TASK.parse().unwrap();
    Request {
        task,
        payload,
        has_images: false,
        kind,
        max_chunks: 50,
        key: "a".into(),
        weight: KeyWeight::default(),
        is_collected: false,
        relays_logprobs: false,
        max_wait: None,
        cache_key: None,
        earlier: EarlierTasks::default(),
    }
}

async fn text(mut answer: Answer) -> Result<String, Interrupted> {
    let mut text = String::new();
    while let Some(chunk) = answer.next().await {
        text.push_str(chunk?.text().unwrap_or_default());
    }
    Ok(text)
}

pub(crate) fn respond_with(body: String) -> axum::routing::MethodRouter {
    post(move || async move { body })
}

/// Returns a handler that streams each chunk after a pause in milliseconds, and then stalls.
pub(crate) fn stall_after(
    chunks: Vec<(u64, impl Into<Bytes> + Clone + Send + Sync + 'static)>,
) -> axum::routing::MethodRouter {
    post(move || async move {
        let pieces = futures::stream::iter(chunks).then(|(pause, chunk)| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Ok::<_, Infallible>(chunk.into())
        });
        Body::from_stream(pieces.chain(futures::stream::pending()))
    })
}

/// Deadlines for miners that stall. Those that answer do so in time even on a busy machine.
fn short_deadlines() -> QueryDeadlines {
    let short = Some(Duration::from_secs(1));
    QueryDeadlines { first_chunk: short, between_chunks: short, ..QueryDeadlines::default() }
}

#[tokio::test]
async fn answer_is_relayed_counted_and_sampled() {
    let body = [
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
            .to_owned(),
        chunk("say [DONE] "),
        chunk("now"),
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
            .to_owned(),
    ];
    let mut test_market =
        test_market(vec![respond_with(body.concat())], QueryDeadlines::default()).await;
    let answer = test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
    assert_eq!(text(answer).await.unwrap(), "say [DONE] now");
    let counts = test_market.contenders[0].counts();
    assert_eq!((counts.total_requests, counts.consumed_capacity), (1.0, 14.0 / 4.0));
    assert_eq!(test_market.contenders[0].running(), 0);
    let sample = test_market.samples.recv().await.unwrap();
    assert_eq!((sample.work, sample.synthetic), (3.5, false));
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&sample.answer).unwrap().len(), 4);
    // An organic request replaced a synthetic one.
    assert_eq!(test_market.querier.market().period_miners().unwrap().tasks()[0].budget(), 9);
    assert!(
        test_market.contenders[0].take_changes().is_some()
            && test_market.contenders[0].take_changes().is_none()
    );
}

/// An answer with a tool call is not sampled: the checker's model would not have called the tool.
#[tokio::test]
async fn answers_that_cannot_be_checked_are_not_sampled() {
    let mut test_market =
        test_market(vec![respond_with(chunk("now"))], QueryDeadlines::default()).await;
    let mut tools = request(RequestKind::Organic);
    tools
        .payload
        .insert("tools".to_owned(), json!([{"type": "function", "function": {"name": "f"}}]));
    for request in [tools, request(RequestKind::Organic)] {
        text(test_market.querier.query(request).await.unwrap()).await.unwrap();
    }
    let sample = test_market.samples.recv().await.unwrap();
    assert!(!sample.request.contains("tools") && test_market.samples.try_recv().is_err());
    // Nothing is sampled in a task that nobody checks.
    let mut task = MarketConfig::default().task(TASK).unwrap().clone();
    assert!(TaskMiners::new(Arc::new(task.clone()), Vec::new(), 0).keeps_samples());
    task.checked = false;
    assert!(!TaskMiners::new(Arc::new(task), Vec::new(), 0).keeps_samples());
}

/// Status 429 of a stream counts as a rate limit: the reference checks only the body.
#[tokio::test]
async fn stream_error_429_counts_as_rate_limit() {
    let limited = || post(|| async { (axum::http::StatusCode::TOO_MANY_REQUESTS, chunk("x")) });
    let mut test_market = test_market(vec![limited(), limited()], QueryDeadlines::default()).await;
    // Less than the pause after a rate limit.
    test_market.querier = test_market
        .querier
        .with_queue(QueueSettings { wait: Duration::from_millis(100), ..QueueSettings::default() });
    let error = test_market.querier.query(request(RequestKind::Organic)).await.unwrap_err();
    assert_eq!(error, QueryError::Limited(Attempts { limited: 2, failed: 0 }));
    for contender in &test_market.contenders {
        let counts = contender.counts();
        assert_eq!(
            (counts.total_requests, counts.requests_429, counts.requests_500),
            (1.0, 1.0, 0.0)
        );
    }
}

/// Another miner's text would corrupt the buyer's answer.
#[tokio::test]
async fn stream_does_not_fail_over_after_its_first_chunk() {
    // Only the wait after the first chunk ends soon.
    let deadlines = QueryDeadlines { first_chunk: None, ..short_deadlines() };
    let test_market = test_market(
        vec![stall_after(vec![(0, chunk("half "))]), respond_with(chunk("other"))],
        deadlines,
    )
    .await;
    // Answers of different miners never mix, regardless of the order.
    let mut interrupted = 0;
    for _ in 0..12 {
        match text(test_market.querier.query(request(RequestKind::Organic)).await.unwrap()).await {
            Ok(text) => assert_eq!(text, "other"),
            Err(error) => {
                assert!(error.to_string().contains("sent no data for 1s"), "{error}");
                interrupted += 1;
            }
        }
    }
    let counts = test_market.contenders[0].counts();
    assert_eq!(counts.requests_500, f64::from(interrupted));
    assert_eq!(counts.consumed_capacity, 0.0);
}

#[tokio::test]
async fn failed_attempt_before_the_first_byte_is_retried_with_next_miner() {
    let failing_handlers: Vec<axum::routing::MethodRouter> = vec![
        post(|| async { axum::http::StatusCode::INTERNAL_SERVER_ERROR }),
        respond_with("data: garbage\n\n".to_owned()),
        respond_with(String::new()),
        stall_after(vec![(
            0,
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n".to_owned(),
        )]),
    ];
    let mut handlers = failing_handlers;
    handlers.push(respond_with(chunk("good")));
    let test_market = test_market(handlers, short_deadlines()).await;
    for _ in 0..6 {
        let answer = test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
        assert_eq!(answer.contender().offer.uid, Uid(4));
        assert_eq!(text(answer).await.unwrap(), "good");
    }
    for contender in &test_market.contenders[..4] {
        let counts = contender.counts();
        assert_eq!(counts.total_requests, counts.requests_500);
    }
    // A failing miner receives fewer and fewer requests.
    let failures: f64 =
        test_market.contenders[..4].iter().map(|contender| contender.counts().total_requests).sum();
    assert!(failures < 24.0, "{failures}");
}

/// The timeouts are those of the first chunk, between two chunks, and of the complete answer.
#[tokio::test]
async fn attempt_fails_at_each_time_and_chunk_limit() {
    let total = Duration::from_secs(3);
    let deadlines = QueryDeadlines { total, ..short_deadlines() };
    let slow: Vec<_> = (0..49).map(|_| (100, chunk("x"))).collect();
    for (handler, expected) in [
        (stall_after(vec![(5_000, chunk("late"))]), "sent no data for 1s"),
        (stall_after(vec![(0, chunk("a")), (5_000, chunk("late"))]), "sent no data for 1s"),
        (stall_after(slow), "longer than 3s"),
        (respond_with((0..51).map(|_| chunk("x")).collect()), "more chunks than requested"),
    ] {
        let test_market = test_market(vec![handler], deadlines).await;
        let error = match test_market.querier.query(request(RequestKind::Synthetic)).await {
            Ok(answer) => text(answer).await.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(expected), "{error}");
        assert_eq!(test_market.contenders[0].counts().requests_500, 1.0, "{expected}");
    }
}

#[tokio::test]
async fn slow_reader_does_not_count_against_the_miner() {
    let total = Duration::from_secs(2);
    let pieces: Vec<_> = (0..3).map(|_| (20, chunk("x"))).collect();
    let deadlines = QueryDeadlines { total, ..QueryDeadlines::default() };
    let test_market = test_market(vec![stall_after(pieces)], deadlines).await;
    let mut answer = test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer.next().await.unwrap().unwrap();
    }
    drop(answer);
    let counts = test_market.contenders[0].counts();
    assert_eq!(
        (counts.total_requests, counts.requests_500, counts.consumed_capacity),
        (1.0, 0.0, 0.75)
    );
}

pub(crate) struct DropNotifier(pub(crate) mpsc::UnboundedSender<()>);

impl Drop for DropNotifier {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn dropped_reader_cancels_the_request() {
    let (sender, mut cancellations) = mpsc::unbounded_channel();
    let handler = post(move || {
        let notifier = DropNotifier(sender.clone());
        async move {
            let chunks = futures::stream::unfold(notifier, |notifier| async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Some((Ok::<_, Infallible>(Bytes::from(chunk("x"))), notifier))
            });
            Body::from_stream(chunks)
        }
    });
    let test_market = test_market(vec![handler], QueryDeadlines::default()).await;
    let mut answer = test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
    answer.next().await.unwrap().unwrap();
    assert!(cancellations.try_recv().is_err());
    drop(answer);
    tokio::time::timeout(Duration::from_secs(20), cancellations.recv()).await.unwrap();
    assert_eq!(test_market.contenders[0].counts().requests_500, 0.0);
}

#[tokio::test]
async fn slow_reader_slows_reading_from_the_miner() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let handler = post(move || {
        let count = count.clone();
        async move {
            let large = Bytes::from(chunk(&"a".repeat(64 << 10)));
            Body::from_stream(futures::stream::repeat_with(move || {
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(large.clone())
            }))
        }
    });
    let test_market = test_market(vec![handler], QueryDeadlines::default()).await;
    let answer = test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < 1_000, "{before} chunks of 64 KiB wait");
    drop(answer);
}

#[tokio::test]
async fn synthetic_requests_reach_one_contender_each_within_its_allowance() {
    let failing: fn() -> axum::routing::MethodRouter =
        || post(|| async { axum::http::StatusCode::INTERNAL_SERVER_ERROR });
    let test_market =
        test_market(vec![failing(), respond_with(chunk("x"))], QueryDeadlines::default()).await;
    // An allowance of 900 tokens at 300 per request: three requests per miner.
    let mut outcomes = Vec::new();
    for _ in 0..7 {
        outcomes.push(test_market.querier.query(request(RequestKind::Synthetic)).await.map(drop));
    }
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert_eq!(outcomes.last(), Some(&Err(QueryError::NoContender(TASK.parse().unwrap()))));
    let totals: Vec<_> =
        test_market.contenders.iter().map(|contender| contender.counts().total_requests).collect();
    assert_eq!(totals, [3.0, 3.0]);
}

#[tokio::test]
async fn busy_miner_gets_no_further_request() {
    let endless = || stall_after(vec![(0, chunk("x"))]);
    let test_market = test_market(vec![endless()], QueryDeadlines::default()).await;
    let mut running = Vec::new();
    for _ in 0..2 {
        running.push(test_market.querier.query(request(RequestKind::Organic)).await.unwrap());
    }
    let error = test_market.querier.query(request(RequestKind::Synthetic)).await.unwrap_err();
    assert!(matches!(error, QueryError::NoContender(_)), "{error}");
    running.clear();
    assert!(test_market.querier.query(request(RequestKind::Organic)).await.is_ok());
}

#[tokio::test]
async fn request_with_a_slow_start_is_hedged() {
    let (sender, mut cancellations) = mpsc::unbounded_channel();
    let slow = post(move || {
        let notifier = DropNotifier(sender.clone());
        async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            drop(notifier);
            chunk("slow")
        }
    });
    let hedge = Some(Duration::from_millis(50));
    let deadlines = QueryDeadlines {
        first_chunk: Some(Duration::from_secs(30)),
        hedge,
        ..QueryDeadlines::default()
    };
    let test_market = test_market(vec![slow, respond_with(chunk("quick"))], deadlines).await;
    let start = std::time::Instant::now();
    // Repeat until a first attempt goes to the slow miner and is cancelled.
    while cancellations.is_empty() {
        assert_eq!(
            text(test_market.querier.query(request(RequestKind::Organic)).await.unwrap())
                .await
                .unwrap(),
            "quick"
        );
        assert!(start.elapsed() < Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(cancellations.recv().await.is_some());
    let counts: Vec<_> =
        test_market.contenders.iter().map(|contender| contender.counts()).collect();
    assert_eq!(
        (counts[0].total_requests, counts[0].requests_500),
        (0.0, 0.0),
        "a cancelled attempt is not counted"
    );
    assert!(counts[1].total_requests >= 1.0);
    assert!(test_market.contenders.iter().all(|contender| contender.running() == 0));
}

#[tokio::test]
async fn synthetic_and_fast_requests_are_not_hedged() {
    let pause = |millis| stall_after(vec![(millis, chunk("x"))]);
    let hedge = Some(Duration::from_secs(10));
    let test_market = test_market(
        vec![pause(0), pause(0)],
        QueryDeadlines { hedge, ..QueryDeadlines::default() },
    )
    .await;
    for _ in 0..4 {
        drop(test_market.querier.query(request(RequestKind::Organic)).await.unwrap());
    }
    let total = |test_market: &TestMarket| {
        test_market
            .contenders
            .iter()
            .map(|contender| contender.counts().total_requests)
            .sum::<f64>()
    };
    assert_eq!(total(&test_market), 4.0);
    let slow = Some(Duration::from_millis(20));
    let test_market = self::test_market(
        vec![pause(200), pause(200)],
        QueryDeadlines { hedge: slow, ..QueryDeadlines::default() },
    )
    .await;
    drop(test_market.querier.query(request(RequestKind::Synthetic)).await.unwrap());
    assert_eq!(total(&test_market), 1.0);
    assert_eq!(
        test_market
            .contenders
            .iter()
            .filter(|contender| contender.take_changes().is_some())
            .count(),
        1
    );
}

/// Concurrent requests never overspend the budget of synthetic ones, and buyers' requests need
/// none.
#[tokio::test(flavor = "multi_thread")]
async fn budget_is_spent_atomically() {
    let test_market = test_market(vec![respond_with(chunk("a"))], QueryDeadlines::default()).await;
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let spenders: Vec<_> = (0..8)
        .map(|_| {
            let period_miners = Arc::clone(&period_miners);
            std::thread::spawn(move || (0..1_000).for_each(|_| period_miners.tasks()[0].spend()))
        })
        .collect();
    for spender in spenders {
        spender.join().unwrap();
    }
    assert_eq!((period_miners.tasks()[0].spent(), period_miners.tasks()[0].budget()), (10, 0));
    assert!(test_market.querier.query(request(RequestKind::Organic)).await.is_ok());
    assert_eq!(period_miners.tasks()[0].spent(), 10);
}
