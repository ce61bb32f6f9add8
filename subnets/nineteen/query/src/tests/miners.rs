//! Scripted miners and buyers for tests of the queue.

use tokio::sync::Semaphore;

use super::*;

/// Waits until a condition holds; panics after 60 s.
pub(super) async fn wait_until(condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "the condition does not hold within 60 s"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Deadlines that a busy machine meets.
pub(super) fn long_deadlines() -> QueryDeadlines {
    let long_timeout = Some(Duration::from_secs(30));
    QueryDeadlines {
        first_chunk: long_timeout,
        between_chunks: long_timeout,
        ..QueryDeadlines::default()
    }
}

/// Creates miners that share a script: each call passes its number, from 0, over all miners.
pub(super) fn scripted_handlers<F, A>(miners: usize, script: F) -> Vec<axum::routing::MethodRouter>
where
    F: Fn(usize) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = axum::response::Response> + Send + 'static,
{
    let calls = Arc::new(AtomicUsize::new(0));
    let miner = |_| {
        let (calls, script) = (Arc::clone(&calls), script.clone());
        post(move || script(calls.fetch_add(1, Ordering::SeqCst)))
    };
    (0..miners).map(miner).collect()
}

/// A miner with a number of slots: further requests get status 429. Each answer takes `pause`.
pub(super) fn rate_limiting_handler(
    slots: usize,
    pause: Duration,
    served: &Arc<AtomicUsize>,
) -> axum::routing::MethodRouter {
    let (slots, served) = (Arc::new(Semaphore::new(slots)), Arc::clone(served));
    post(move || {
        let (slots, served) = (Arc::clone(&slots), Arc::clone(&served));
        async move {
            let Ok(_slot) = slots.try_acquire() else {
                return axum::http::StatusCode::TOO_MANY_REQUESTS.into_response();
            };
            tokio::time::sleep(pause).await;
            served.fetch_add(1, Ordering::SeqCst);
            chunk("a").into_response()
        }
    })
}

/// A miner that answers each request once it is told to.
pub(super) fn gated_handler(gate: &Arc<Semaphore>) -> axum::routing::MethodRouter {
    let gate = Arc::clone(gate);
    post(move || {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            chunk("a")
        }
    })
}

/// A market of miners that announce their numbers of slots.
pub(super) async fn market(
    miners: Vec<(axum::routing::MethodRouter, Option<usize>)>,
    queue: QueueSettings,
) -> TestMarket {
    market_with(miners, queue, long_deadlines()).await
}

/// A market of miners that announce their numbers of slots, of which none ever has more than
/// `max_running` requests in flight.
pub(super) async fn capped_market(
    miners: Vec<(axum::routing::MethodRouter, Option<usize>)>,
    max_running: usize,
) -> TestMarket {
    test_market_of(miners, long_deadlines(), max_running).await
}

pub(super) async fn market_with(
    miners: Vec<(axum::routing::MethodRouter, Option<usize>)>,
    queue: QueueSettings,
    deadlines: QueryDeadlines,
) -> TestMarket {
    let mut test_market = test_market_of(miners, deadlines, 4_096).await;
    test_market.querier = test_market.querier.with_queue(queue);
    test_market
}

/// Opens a market of another process, with the miners of `test_market`, each with this capacity.
pub(super) fn reopen_market(test_market: &TestMarket, capacity: f64) -> TestMarket {
    let contender = |contender: &Arc<TaskMiner>| {
        let counts = PeriodCounts::with_capacity(capacity);
        let row = ContenderRow { offer: contender.offer.clone(), counts, sent: 0.0, score: None };
        TaskMiner::new(&row, contender.session().clone(), 900.0)
    };
    let task = Arc::clone(&test_market.querier.market().period_miners().unwrap().tasks()[0].task);
    let market = Market::default();
    let contenders = test_market.contenders.iter().map(contender).collect();
    market.open(PeriodMiners::new(PeriodId(1), vec![TaskMiners::new(task, contenders, 10)]));
    let clocks = (system_clock(), monotonic_clock());
    let (sender, samples) = mpsc::channel(16);
    let querier = Querier::new(
        test_market.querier.inner.client.clone(),
        market.clone(),
        long_deadlines(),
        4_096,
        clocks,
        sender,
    );
    let contenders = market.period_miners().unwrap().tasks()[0].contenders().to_vec();
    TestMarket { querier, samples, contenders }
}

pub(super) fn buyer_request(key: &str) -> Request {
    Request { key: key.into(), ..request(RequestKind::Organic) }
}

pub(super) async fn wait_for_queued(test_market: &TestMarket, requests: usize) {
    wait_until(|| test_market.querier.queued(TASK) == requests).await;
}

pub(super) async fn buy(querier: Querier, key: &'static str) -> Result<&'static str, QueryError> {
    text(querier.query(buyer_request(key)).await?)
        .await
        .map(|_| key)
        .map_err(|_| panic!("interrupted"))
}
