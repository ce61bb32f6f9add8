//! Tests of an entry and query workers with a real NATS server, and miners in this process.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use serde_json::{Value, json};
use taonet_database::testing::Nats;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::period::PeriodCounts;
use taonet_nineteen_store::{ContenderRow, NewContender, PeriodId, Store};
use taonet_nineteen_transport::{FiberClient, Trust};
use taonet_service::{Shutdown, monotonic_clock, system_clock};
use taonet_wire::{ClientConfig, SystemClock};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Queue, RemoteAnswer, Worker, Workers};
use crate::tests::{
    DropNotifier, TASK, TestMarket, chunk, key, request, respond_with, test_market,
};
use crate::{
    Attempts, Division, Divisions, Interrupted, Market, PeriodMiners, Querier, QueryDeadlines,
    QueryError, QueueSettings, Request, RequestKind, TaskMiner, TaskMiners,
};

/// Timeout for operations that take a few seconds on an idle machine.
const LONG_TIMEOUT: Duration = Duration::from_mins(3);

/// A NATS server, a database, and an entry.
struct QueueFixture {
    nats: Nats,
    folder: TempDir,
    entry: Workers,
}

async fn start_queue() -> Option<QueueFixture> {
    let nats = Nats::start()?;
    let folder = tempfile::tempdir().unwrap();
    let queue = connect(&nats.url(), &folder).await;
    Some(QueueFixture { nats, folder, entry: Workers::new(queue, Market::default()) })
}

async fn connect(url: &str, folder: &TempDir) -> Queue {
    let store = Store::open(folder.path()).await.unwrap();
    Queue::connect(url, &store).await.unwrap()
}

/// A query worker with its own runtime, dropped to simulate a killed process.
struct Process {
    runtime: Option<Runtime>,
    querier: Querier,
}

impl Process {
    async fn start(fixture: &QueueFixture, market: &Market) -> Self {
        // Less than the pause after a rate limit.
        let wait = Duration::from_millis(100);
        Self::start_with(
            fixture,
            market,
            QueueSettings { wait, running: 8, ..QueueSettings::default() },
        )
        .await
    }

    async fn start_with(fixture: &QueueFixture, market: &Market, settings: QueueSettings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let queue = (fixture.nats.url(), Store::open(fixture.folder.path()).await.unwrap());
        let (market, (ready, is_ready)) = (market.clone(), oneshot::channel());
        runtime.spawn(async move {
            let queue = Queue::connect(&queue.0, &queue.1).await.unwrap();
            let config = ClientConfig::default();
            let client =
                FiberClient::new(key("//Alice"), Trust::Signed, config, Arc::new(SystemClock))
                    .unwrap();
            let clocks = (system_clock(), monotonic_clock());
            let (samples, _) = mpsc::channel(1);
            // A busy machine takes longer than the task's timeout.
            let deadlines =
                QueryDeadlines { first_chunk: Some(LONG_TIMEOUT), ..QueryDeadlines::default() };
            let querier =
                Querier::new(client, market, deadlines, 8, clocks, samples).with_queue(settings);
            let ready = std::sync::Mutex::new(Some((ready, querier.clone())));
            let on_ready = || {
                if let Some((ready, querier)) = ready.lock().unwrap().take() {
                    ready.send(querier).unwrap();
                }
            };
            Worker::new(queue, querier).run(&Shutdown::new(), on_ready).await;
        });
        let querier = is_ready.await.unwrap();
        Self { runtime: Some(runtime), querier }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn organic() -> Request {
    Request { max_chunks: 1_000_000, ..request(RequestKind::Organic) }
}

async fn text(mut answer: RemoteAnswer) -> Result<String, Interrupted> {
    let mut text = String::new();
    while let Some(chunk) = answer.next().await {
        text.push_str(chunk?.text().unwrap_or_default());
    }
    Ok(text)
}

/// Returns a handler that streams chunks forever, one per `pause`; counts them, and signals
/// cancellation of the answer.
fn endless(
    pause: Duration,
    size: usize,
    sent: &Arc<AtomicUsize>,
    cancelled: &mpsc::UnboundedSender<()>,
) -> MethodRouter {
    let (sent, cancelled) = (Arc::clone(sent), cancelled.clone());
    post(move || {
        let state = (Arc::clone(&sent), DropNotifier(cancelled.clone()));
        async move {
            let chunks = futures::stream::unfold(state, move |(sent, notifier)| async move {
                sleep(pause).await;
                sent.fetch_add(1, Ordering::SeqCst);
                Some((Ok::<_, Infallible>(Bytes::from(chunk(&"x".repeat(size)))), (sent, notifier)))
            });
            Body::from_stream(chunks)
        }
    })
}

/// No chunk is lost, however early it comes. The reference can lose chunks, because it queues the
/// request before it subscribes to the answer.
#[tokio::test(flavor = "multi_thread")]
async fn answers_and_errors_cross_the_queue() {
    let Some(fixture) = start_queue().await else { return };
    let limited = || post(|| async { axum::http::StatusCode::TOO_MANY_REQUESTS });
    for (handlers, expected) in [
        (vec![respond_with([chunk("a"), chunk("b"), chunk("c")].concat())], Ok("abc")),
        (
            vec![respond_with(
                "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned(),
            )],
            Ok(""),
        ),
        (vec![limited(), limited()], Err(QueryError::Limited(Attempts { limited: 2, failed: 0 }))),
        (Vec::new(), Err(QueryError::NoContender(TASK.parse().unwrap()))),
    ] {
        let TestMarket { querier, contenders, .. } =
            test_market(handlers, QueryDeadlines::default()).await;
        let worker = Process::start(&fixture, querier.market()).await;
        match (fixture.entry.query(organic()).await, expected) {
            (Ok(answer), Ok(expected)) => {
                assert_eq!(text(answer).await.unwrap(), expected);
                assert_eq!(contenders[0].counts().total_requests, 1.0);
                assert_eq!(
                    querier.market().period_miners().unwrap().tasks()[0].spent(),
                    1,
                    "in place of a synthetic one"
                );
            }
            (answer, expected) => assert_eq!(answer.map(drop), expected.map(drop)),
        }
        drop(worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_may_be_larger_than_a_frame() {
    let Some(fixture) = start_queue().await else { return };
    let miner = post(|Json(payload): Json<Value>| async move {
        let text = payload["text"].as_str().unwrap().len();
        [chunk(&text.to_string()), chunk(&"y".repeat(900_000))].concat()
    });
    let TestMarket { querier, .. } = test_market(vec![miner], QueryDeadlines::default()).await;
    let _worker = Process::start(&fixture, querier.market()).await;
    let mut order = organic();
    order.payload.insert("text".to_owned(), json!("z".repeat(700_000)));
    let answer = text(fixture.entry.query(order).await.unwrap()).await.unwrap();
    assert_eq!(answer, format!("700000{}", "y".repeat(900_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_pauses_the_miner_across_the_queue() {
    let Some(fixture) = start_queue().await else { return };
    let (sent, (cancelled, _cancellations)) = (Arc::default(), mpsc::unbounded_channel());
    let handler = endless(Duration::from_micros(100), 8_000, &sent, &cancelled);
    let TestMarket { querier, .. } = test_market(vec![handler], QueryDeadlines::default()).await;
    let _worker = Process::start(&fixture, querier.market()).await;
    let mut answer = fixture.entry.query(organic()).await.unwrap();
    // Wait until the window and the connection's buffers are full.
    let (start, mut before) = (Instant::now(), 0);
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = sent.load(Ordering::SeqCst);
        if now == before {
            break;
        }
        assert!(start.elapsed() < LONG_TIMEOUT, "the miner is not slowed: {now} chunks");
        before = now;
    }
    for _ in 0..before + 200 {
        answer.next().await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_request_is_cancelled_at_the_miner() {
    let Some(fixture) = start_queue().await else { return };
    let (sent, (cancelled, mut cancellations)) = (Arc::default(), mpsc::unbounded_channel());
    let handler = endless(Duration::from_millis(5), 1, &sent, &cancelled);
    let TestMarket { querier, .. } = test_market(vec![handler], QueryDeadlines::default()).await;
    let worker = Process::start(&fixture, querier.market()).await;
    let mut answer = fixture.entry.query(organic()).await.unwrap();
    for _ in 0..3 {
        answer.next().await.unwrap().unwrap();
    }
    drop(answer);
    timeout(LONG_TIMEOUT, cancellations.recv()).await.unwrap();
    drop(worker);
    // Even before the first chunk, a disconnecting buyer cancels the miner's work.
    let arrived = Arc::new(AtomicUsize::new(0));
    let (count, notifier) = (Arc::clone(&arrived), cancelled.clone());
    let silent = post(move || {
        let notifier = DropNotifier(notifier.clone());
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(LONG_TIMEOUT).await;
            drop(notifier);
        }
    });
    let deadlines = QueryDeadlines { first_chunk: Some(LONG_TIMEOUT), ..QueryDeadlines::default() };
    let TestMarket { querier, .. } = test_market(vec![silent], deadlines).await;
    let _worker = Process::start(&fixture, querier.market()).await;
    let entry = fixture.entry.clone();
    let waiting = tokio::spawn(async move { entry.query(organic()).await.map(drop) });
    while arrived.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    waiting.abort();
    timeout(Duration::from_secs(30), cancellations.recv()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_worker_is_replaced_before_the_first_chunk() {
    let Some(fixture) = start_queue().await else { return };
    let arrived = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&arrived);
    let first_hangs = post(move || {
        let index = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if index == 0 {
                sleep(LONG_TIMEOUT).await;
            }
            chunk("good")
        }
    });
    let TestMarket { querier, .. } =
        test_market(vec![first_hangs], QueryDeadlines::default()).await;
    let killed_process = Process::start(&fixture, querier.market()).await;
    let entry = fixture.entry.clone();
    let pending_text =
        tokio::spawn(async move { text(entry.query(organic()).await.unwrap()).await });
    while arrived.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    drop(killed_process);
    let _survivor = Process::start(&fixture, querier.market()).await;
    assert_eq!(timeout(LONG_TIMEOUT, pending_text).await.unwrap().unwrap().unwrap(), "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_worker_interrupts_the_answer_after_the_first_chunk() {
    let Some(fixture) = start_queue().await else { return };
    let (sent, (cancelled, mut cancellations)) = (Arc::default(), mpsc::unbounded_channel());
    let handler = endless(Duration::from_millis(5), 1, &sent, &cancelled);
    let TestMarket { querier, .. } = test_market(vec![handler], QueryDeadlines::default()).await;
    let killed_process = Process::start(&fixture, querier.market()).await;
    let answer = fixture.entry.query(organic()).await.unwrap();
    let _survivor = Process::start(&fixture, querier.market()).await;
    drop(killed_process);
    let error = timeout(LONG_TIMEOUT, text(answer)).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the answer was interrupted: no query worker responds");
    timeout(LONG_TIMEOUT, cancellations.recv()).await.unwrap();
    // No worker repeats the request.
    assert_eq!(querier.market().period_miners().unwrap().tasks()[0].spent(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn entry_and_worker_reconnect_to_restarted_nats() {
    let Some(mut fixture) = start_queue().await else { return };
    let refused = fixture.entry.query(organic()).await.map(drop);
    assert_eq!(refused, Err(QueryError::NoWorker(TASK.parse().unwrap())), "there is none");
    let TestMarket { querier, .. } =
        test_market(vec![respond_with(chunk("good"))], QueryDeadlines::default()).await;
    let _worker = Process::start(&fixture, querier.market()).await;
    fixture.nats.stop();
    fixture.nats.delete_all_data();
    fixture.nats.start_server();
    let start = Instant::now();
    let answer = loop {
        match fixture.entry.query(organic()).await {
            Ok(answer) => break answer,
            Err(error) => assert!(start.elapsed() < LONG_TIMEOUT, "{error}"),
        }
    };
    assert_eq!(text(answer).await.unwrap(), "good");
}

/// Until a worker knows the other processes, it has one slot at each miner: other workers take the
/// jobs.
#[tokio::test(flavor = "multi_thread")]
async fn worker_pulls_no_jobs_before_its_share_is_known() {
    let Some(fixture) = start_queue().await else { return };
    let TestMarket { querier, .. } =
        test_market(vec![respond_with(chunk("good"))], QueryDeadlines::default()).await;
    let market = querier.market();
    market.divide(Divisions::new([Division::UNKNOWN], false));
    let mut starting = std::pin::pin!(Process::start(&fixture, market));
    assert!(timeout(Duration::from_secs(1), &mut starting).await.is_err());
    market.divide(Divisions::default());
    let _worker = timeout(LONG_TIMEOUT, starting).await.unwrap();
    assert_eq!(text(fixture.entry.query(organic()).await.unwrap()).await.unwrap(), "good");
}

const OTHER: &str = "chat-llama-3-1-8b";

/// Opens a period in which the first miner offers [`TASK`], and the second one [`OTHER`].
fn offer_one_task_per_miner(test_market: &TestMarket) -> Market {
    let config = MarketConfig::default();
    let tasks = test_market.contenders.iter().zip([TASK, OTHER]).map(|(contender, task)| {
        let task = Arc::new(config.task(task).unwrap().clone());
        let offer = NewContender { task: task.task.clone(), ..contender.offer.clone() };
        let row = ContenderRow {
            offer,
            counts: PeriodCounts::with_capacity(1e6),
            sent: 0.0,
            score: None,
        };
        TaskMiners::new(task, vec![TaskMiner::new(&row, contender.session().clone(), 900.0)], 10)
    });
    let market = Market::default();
    market.open(PeriodMiners::new(PeriodId(2), tasks.collect()));
    market
}

/// Returns a handler that answers each request once the gate has a permit, and counts those that
/// have arrived.
fn gated(gate: &Arc<Semaphore>, arrived: &Arc<AtomicUsize>) -> MethodRouter {
    let (gate, arrived) = (Arc::clone(gate), Arc::clone(arrived));
    post(move || {
        let gate = Arc::clone(&gate);
        arrived.fetch_add(1, Ordering::SeqCst);
        async move {
            gate.acquire().await.unwrap().forget();
            chunk("late")
        }
    })
}

/// Waits until a condition holds.
async fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG_TIMEOUT, "the condition does not hold in time");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Requests for a model whose miners are busy wait in the worker's queue, however many they are:
/// those for another model are answered.
#[tokio::test(flavor = "multi_thread")]
async fn backlog_of_a_busy_model_does_not_delay_another_model() {
    const BACKLOG: usize = 40;
    let Some(fixture) = start_queue().await else { return };
    let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::default());
    let test_market = test_market(
        vec![gated(&gate, &arrived), respond_with(chunk("good"))],
        QueryDeadlines::default(),
    )
    .await;
    let market = offer_one_task_per_miner(&test_market);
    // More than the 8 slots of the busy miner, and far less than its backlog.
    let settings = QueueSettings { wait: LONG_TIMEOUT, running: 10, ..QueueSettings::default() };
    let _worker = Process::start_with(&fixture, &market, settings).await;
    let mut busy = JoinSet::new();
    for _ in 0..BACKLOG {
        let entry = fixture.entry.clone();
        busy.spawn(async move { text(entry.query(organic()).await.unwrap()).await });
    }
    wait_until(|| arrived.load(Ordering::SeqCst) == 8).await;
    let other = || Request { task: OTHER.parse().unwrap(), ..organic() };
    for _ in 0..5 {
        let answer = timeout(LONG_TIMEOUT, fixture.entry.query(other())).await.unwrap().unwrap();
        assert_eq!(text(answer).await.unwrap(), "good");
        assert_eq!(arrived.load(Ordering::SeqCst), 8, "the busy model has answered nothing");
    }
    gate.add_permits(BACKLOG);
    for answer in busy.join_all().await {
        assert_eq!(answer.unwrap(), "late");
    }
}

/// While a worker has its maximum of requests in flight, further ones wait in its fair queue: a key
/// with many requests does not delay another key's only request.
#[tokio::test(flavor = "multi_thread")]
async fn backlog_of_a_busy_worker_is_fair_among_keys() {
    let Some(fixture) = start_queue().await else { return };
    let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::default());
    let test_market = test_market(vec![gated(&gate, &arrived)], QueryDeadlines::default()).await;
    let settings = QueueSettings { wait: LONG_TIMEOUT, running: 2, ..QueueSettings::default() };
    let worker = Process::start_with(&fixture, test_market.querier.market(), settings).await;
    let mut buying = JoinSet::new();
    let mut buy = |key: &'static str| {
        let entry = fixture.entry.clone();
        buying.spawn(async move {
            text(entry.query(Request { key: key.into(), ..organic() }).await.unwrap())
                .await
                .unwrap();
            key
        });
    };
    (0..20).for_each(|_| buy("many"));
    wait_until(|| worker.querier.queued(TASK) == 18).await;
    buy("one");
    wait_until(|| worker.querier.queued(TASK) == 19).await;
    let mut order = Vec::new();
    for answers in 0..21 {
        wait_until(|| arrived.load(Ordering::SeqCst) == (2 + answers).min(21)).await;
        gate.add_permits(1);
        order.push(buying.join_next().await.unwrap().unwrap());
    }
    // The first request to be sent, after the two in flight.
    assert_eq!(order.iter().position(|key| *key == "one"), Some(2));
}
