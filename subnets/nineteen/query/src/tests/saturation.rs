//! Tests of the queue: more requests than the miners have slots.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::miners::*;
use super::*;

/// Throughput and latencies of buyers.
#[derive(Debug)]
struct Throughput {
    per_second: f64,
    /// In ascending order.
    latencies: Vec<Duration>,
}

impl Throughput {
    /// Measures buyers that each send requests one after the other.
    async fn measure(querier: &Querier, buyers: usize, requests_each: usize) -> Self {
        let (start, mut running) = (Instant::now(), JoinSet::new());
        for index in 0..buyers {
            let querier = querier.clone();
            running.spawn(async move {
                let mut latencies = Vec::new();
                for _ in 0..requests_each {
                    let start = Instant::now();
                    buy(querier.clone(), ["a", "b", "c", "d"][index % 4]).await.unwrap();
                    latencies.push(start.elapsed());
                }
                latencies
            });
        }
        let mut latencies = running.join_all().await.concat();
        latencies.sort_unstable();
        Self { per_second: latencies.len() as f64 / start.elapsed().as_secs_f64(), latencies }
    }

    fn p99(&self) -> Duration {
        self.latencies[self.latencies.len() * 99 / 100]
    }
}

/// With twice as many buyers as the miners have slots, throughput is that of a market without a
/// queue, each request waits about as long as its answer takes, and no miner loses anything. Only
/// ratios within one round are compared, because the machine may be busy. If it is so in a part of
/// a round, the measurement is repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saturated_market_keeps_its_throughput_and_bounds_waits() {
    const PAUSE: Duration = Duration::from_millis(500);
    const SLOTS: [usize; 2] = [24, 40];
    let served = Arc::new(AtomicUsize::new(0));
    let miners =
        SLOTS.map(|slots| (rate_limiting_handler(slots, PAUSE, &served), Some(slots))).into();
    let test_market = market(miners, QueueSettings::default()).await;
    let slots: usize = SLOTS.iter().sum();
    let mut rounds = 0;
    let (before, saturated, after, ratio) = loop {
        let before = Throughput::measure(&test_market.querier, slots, 4).await;
        let saturated = Throughput::measure(&test_market.querier, 2 * slots, 4).await;
        let after = Throughput::measure(&test_market.querier, slots, 4).await;
        let ratio = saturated.per_second / before.per_second.min(after.per_second);
        rounds += 1;
        if ratio > 0.9 || rounds == 3 {
            break (before, saturated, after, ratio);
        }
    };
    let (unsaturated_p99, p99) = (before.p99().max(after.p99()), saturated.p99());
    println!(
        "{ratio:.2} of the throughput without a queue; p99 {p99:?}, without a queue {unsaturated_p99:?}"
    );
    assert!(ratio > 0.9, "{ratio}");
    // Twice as many buyers share the slots, so that answers take twice as long.
    assert!(p99 < 3 * unsaturated_p99, "{p99:?} with a queue, {unsaturated_p99:?} without");
    assert!(
        *saturated.latencies.last().unwrap() < 4 * unsaturated_p99,
        "{:?}",
        saturated.latencies.last()
    );
    assert_eq!(served.load(Ordering::SeqCst), rounds * 16 * slots);
    for contender in &test_market.contenders {
        let counts = contender.counts();
        assert_eq!((counts.requests_429, counts.requests_500), (0.0, 0.0), "{counts:?}");
        assert_eq!(contender.running(), 0);
    }
    assert_eq!(test_market.querier.queued(TASK), 0);
}

/// The limit of a miner that announces none grows to its capacity while requests are queued, and
/// the rate limits of the requests beyond it do not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unannounced_limit_grows_to_the_capacity_without_counted_failures() {
    assert_limit_grows_to_the_capacity(None).await;
}

/// A miner announces one request to a validator with little stake, and accepts more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_limit_grows_to_the_capacity_without_counted_failures() {
    assert_limit_grows_to_the_capacity(Some(1)).await;
}

async fn assert_limit_grows_to_the_capacity(announced: Option<usize>) {
    let (served, stops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let miner = rate_limiting_handler(40, Duration::from_millis(20), &served);
    let test_market = market(vec![(miner, announced)], QueueSettings::default()).await;
    let mut buyers = JoinSet::new();
    for _ in 0..64 {
        let (querier, stops) = (test_market.querier.clone(), Arc::clone(&stops));
        buyers.spawn(async move {
            while !stops.load(Ordering::SeqCst) {
                buy(querier.clone(), "a").await.unwrap();
            }
        });
    }
    let period_miners = test_market.querier.market().period_miners().unwrap();
    wait_until(|| period_miners.limit(&test_market.contenders[0].offer.hotkey) >= Some(40)).await;
    stops.store(true, Ordering::SeqCst);
    buyers.join_all().await;
    let counts = test_market.contenders[0].counts();
    assert_eq!((counts.requests_429, counts.requests_500), (0.0, 0.0), "{counts:?}");
}

/// A miner that answers requests beyond its slots too late, as servers with a queue do, need not
/// accept them: its limit stops growing, and their timeouts do not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unannounced_limit_stops_growing_where_requests_time_out() {
    const SLOTS: usize = 34;
    let stops = Arc::new(AtomicBool::new(false));
    let handler = {
        let running = Arc::new(AtomicUsize::new(0));
        post(move || {
            let running = Arc::clone(&running);
            async move {
                let nth = running.fetch_add(1, Ordering::SeqCst) + 1;
                let _in_flight = InFlightGuard(running);
                let pause =
                    if nth > SLOTS { Duration::from_mins(1) } else { Duration::from_millis(100) };
                tokio::time::sleep(pause).await;
                chunk("a")
            }
        })
    };
    let deadlines =
        QueryDeadlines { first_chunk: Some(Duration::from_secs(3)), ..long_deadlines() };
    let test_market = market_with(vec![(handler, None)], QueueSettings::default(), deadlines).await;
    let mut buyers = JoinSet::new();
    for _ in 0..64 {
        let (querier, stops) = (test_market.querier.clone(), Arc::clone(&stops));
        buyers.spawn(async move {
            let mut failures = 0;
            while !stops.load(Ordering::SeqCst) {
                failures += usize::from(buy(querier.clone(), "a").await.is_err());
            }
            failures
        });
    }
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let limit = || period_miners.limit(&test_market.contenders[0].offer.hotkey).unwrap();
    wait_until(|| limit() > SLOTS).await;
    wait_until(|| limit() <= SLOTS).await;
    stops.store(true, Ordering::SeqCst);
    let failures: usize = buyers.join_all().await.into_iter().sum();
    let counts = test_market.contenders[0].counts();
    assert!(failures > 0 && counts.total_requests > 0.0);
    assert_eq!((counts.requests_429, counts.requests_500), (0.0, 0.0), "{counts:?}");
}

/// Counts a request in flight until dropped, also if the caller disconnects.
struct InFlightGuard(Arc<AtomicUsize>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The requests of a key with 100 requests in the queue do not delay another key's only request.
#[tokio::test]
async fn key_with_many_requests_does_not_delay_others() {
    let gate = Arc::new(Semaphore::new(0));
    let test_market = market(vec![(gated_handler(&gate), Some(4))], QueueSettings::default()).await;
    let mut answers = JoinSet::new();
    for _ in 0..104 {
        answers.spawn(buy(test_market.querier.clone(), "many"));
    }
    wait_for_queued(&test_market, 100).await;
    answers.spawn(buy(test_market.querier.clone(), "one"));
    wait_for_queued(&test_market, 101).await;
    let mut order = Vec::new();
    for _ in 0..105 {
        gate.add_permits(1);
        order.push(answers.join_next().await.unwrap().unwrap().unwrap());
    }
    let position = order.iter().position(|key| *key == "one").unwrap();
    // The request gets the first free slot, and is then one of four in flight.
    assert!(position <= 4, "answer {position} of {}", order.len());
}

/// Two keys that always have queued requests get answers in proportion to their weights, 1 and 3.
#[tokio::test]
async fn saturating_keys_get_answers_in_proportion_to_their_weights() {
    let served = Arc::new(AtomicUsize::new(0));
    let miner = rate_limiting_handler(4, Duration::from_millis(20), &served);
    let test_market = capped_market(vec![(miner, Some(4))], 4).await;
    let stops = Arc::new(AtomicBool::new(false));
    let mut buying = JoinSet::new();
    for (key, weight) in [("light", 1_u32), ("heavy", 3)].repeat(12) {
        let (querier, stops) = (test_market.querier.clone(), Arc::clone(&stops));
        buying.spawn(async move {
            let request = || Request { weight: weight.try_into().unwrap(), ..buyer_request(key) };
            let mut answers = 0;
            loop {
                text(querier.query(request()).await.unwrap()).await.unwrap();
                if stops.load(Ordering::SeqCst) {
                    return (key, answers);
                }
                answers += 1;
            }
        });
    }
    wait_until(|| served.load(Ordering::SeqCst) >= 600).await;
    stops.store(true, Ordering::SeqCst);
    let mut answers = HashMap::from([("light", 0_u32), ("heavy", 0)]);
    for (key, count) in buying.join_all().await {
        *answers.entry(key).or_default() += count;
    }
    let ratio = f64::from(answers["heavy"]) / f64::from(answers["light"]);
    assert!((2.4..3.7).contains(&ratio), "{answers:?}");
}

/// The busiest key is the one with the most queued requests. The error estimates when a retry makes
/// sense.
#[tokio::test]
async fn full_queue_rejects_the_busiest_key() {
    let gate = Arc::new(Semaphore::new(0));
    let settings = QueueSettings { length: 3, ..QueueSettings::default() };
    let test_market = market(vec![(gated_handler(&gate), Some(1))], settings).await;
    let mut answers = JoinSet::new();
    for count in 0..4 {
        answers.spawn(buy(test_market.querier.clone(), "many"));
        if count == 0 {
            wait_until(|| test_market.contenders[0].running() == 1).await;
        }
    }
    wait_for_queued(&test_market, 3).await;
    let error = test_market.querier.query(buyer_request("many")).await.unwrap_err();
    let QueryError::Busy { retry_after, .. } = error else { panic!("{error}") };
    assert!((Duration::ZERO..=Duration::from_mins(1)).contains(&retry_after), "{retry_after:?}");
    answers.spawn(buy(test_market.querier.clone(), "one"));
    let replaced = answers.join_next().await.unwrap().unwrap();
    assert!(matches!(replaced, Err(QueryError::Busy { .. })), "{replaced:?}");
    gate.add_permits(4);
    let mut served: HashMap<&str, usize> = HashMap::new();
    while let Some(answer) = answers.join_next().await {
        *served.entry(answer.unwrap().unwrap()).or_default() += 1;
    }
    assert_eq!(served, HashMap::from([("many", 3), ("one", 1)]));
}

#[tokio::test]
async fn expired_or_cancelled_request_leaves_the_queue() {
    let gate = Arc::new(Semaphore::new(0));
    let settings = QueueSettings { wait: Duration::from_millis(300), ..QueueSettings::default() };
    let test_market = market(vec![(gated_handler(&gate), Some(1))], settings).await;
    let first = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_until(|| test_market.contenders[0].running() == 1).await;
    let start = Instant::now();
    let timed_out = test_market
        .querier
        .query(Request { max_wait: Some(Duration::ZERO), ..buyer_request("a") })
        .await;
    assert!(
        matches!(timed_out, Err(QueryError::Busy { .. })) && start.elapsed() < settings.wait,
        "{timed_out:?}"
    );
    let start = Instant::now();
    let error = test_market.querier.query(buyer_request("a")).await.unwrap_err();
    assert!(
        matches!(error, QueryError::Busy { .. }) && start.elapsed() >= settings.wait,
        "{error}"
    );
    let cancelled_request = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_for_queued(&test_market, 1).await;
    cancelled_request.abort();
    wait_for_queued(&test_market, 0).await;
    gate.add_permits(1);
    first.await.unwrap().unwrap();
    // Without a queue, a busy market rejects requests immediately.
    let settings = QueueSettings { length: 0, ..QueueSettings::default() };
    let test_market = market(vec![(gated_handler(&gate), Some(1))], settings).await;
    let _running = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_until(|| test_market.contenders[0].running() == 1).await;
    assert!(matches!(
        test_market.querier.query(buyer_request("a")).await,
        Err(QueryError::Busy { .. })
    ));
}

/// A rate limit of the only miner delays the requests beyond its slots, and fails none of them.
#[tokio::test]
async fn rate_limited_requests_wait_for_a_slot() {
    let served = Arc::new(AtomicUsize::new(0));
    // The miner announces more slots than it has.
    let miner = rate_limiting_handler(3, Duration::from_millis(50), &served);
    let test_market = market(vec![(miner, Some(16))], QueueSettings::default()).await;
    let mut answers = JoinSet::new();
    for _ in 0..16 {
        answers.spawn(buy(test_market.querier.clone(), "a"));
    }
    while let Some(answer) = answers.join_next().await {
        answer.unwrap().unwrap();
    }
    let counts = test_market.contenders[0].counts();
    // The miner has announced the slots that it refused.
    assert!(served.load(Ordering::SeqCst) == 16 && counts.requests_429 > 0.0, "{counts:?}");
}

/// A queued request fails as soon as no miner can serve it any more.
#[tokio::test]
async fn queued_request_fails_once_no_miner_is_left() {
    let gate = Arc::new(Semaphore::new(0));
    let test_market = market(vec![(gated_handler(&gate), Some(1))], QueueSettings::default()).await;
    let first = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_until(|| test_market.contenders[0].running() == 1).await;
    let start = Instant::now();
    let waiting = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_for_queued(&test_market, 1).await;
    // Another process has used up the miner's capacity.
    let counts = PeriodCounts { consumed_capacity: 1e6, ..PeriodCounts::default() };
    let row = ContenderRow {
        offer: test_market.contenders[0].offer.clone(),
        counts,
        sent: 0.0,
        score: None,
    };
    test_market.contenders[0].set_other_counts(&row);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, QueryError::NoContender(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    gate.add_permits(1);
    first.await.unwrap().unwrap();
}

/// The buyer gets the complete answer of another miner.
#[tokio::test]
async fn collected_answer_that_breaks_off_fails_over() {
    let deadlines = QueryDeadlines { first_chunk: None, ..short_deadlines() };
    let broken_stream = [chunk("half "), "data: garbage\n\n".to_owned()].concat();
    let test_market = test_market(
        vec![
            respond_with(broken_stream),
            respond_with([chunk("whole "), chunk("answer")].concat()),
        ],
        deadlines,
    )
    .await;
    let collected_request = || Request { is_collected: true, ..request(RequestKind::Organic) };
    while test_market.contenders[0].counts().total_requests == 0.0 {
        let answer = test_market.querier.query(collected_request()).await.unwrap();
        assert_eq!(answer.contender().offer.uid, Uid(1));
        assert_eq!(text(answer).await.unwrap(), "whole answer");
    }
    let counts = test_market.contenders[0].counts();
    assert_eq!(
        (counts.total_requests, counts.requests_500, counts.consumed_capacity),
        (1.0, 1.0, 0.0)
    );
    assert!(test_market.contenders.iter().all(|contender| contender.running() == 0));
}

/// The queue is limited by bytes as well as by requests.
#[tokio::test]
async fn large_requests_fill_the_queue() {
    let gate = Arc::new(Semaphore::new(0));
    let settings = QueueSettings { bytes: 300_000, ..QueueSettings::default() };
    let test_market = market(vec![(gated_handler(&gate), Some(1))], settings).await;
    let first = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_until(|| test_market.contenders[0].running() == 1).await;
    let large_request = || {
        let mut request = buyer_request("large");
        request.payload.insert(
            "messages".to_owned(),
            json!([{"role": "user", "content": "a".repeat(200_000)}]),
        );
        request
    };
    let querier = test_market.querier.clone();
    let waiting = tokio::spawn(async move { querier.query(large_request()).await.map(drop) });
    wait_for_queued(&test_market, 1).await;
    assert!(matches!(
        test_market.querier.query(large_request()).await,
        Err(QueryError::Busy { .. })
    ));
    let second = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_for_queued(&test_market, 2).await;
    gate.add_permits(3);
    assert_eq!(
        (first.await.unwrap(), second.await.unwrap(), waiting.await.unwrap()),
        (Ok("a"), Ok("a"), Ok(()))
    );
}

/// Two processes send a miner no more requests than it has announced, and use all of its slots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_slots_of_a_miner() {
    const SLOTS: usize = 9;
    let gate = Arc::new(Semaphore::new(0));
    let [running, maximum] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let miner = {
        let (gate, running, maximum) =
            (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&maximum));
        post(move || {
            let (gate, running, maximum) =
                (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&maximum));
            async move {
                maximum.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _in_flight = InFlightGuard(running);
                gate.acquire().await.unwrap().forget();
                chunk("a")
            }
        })
    };
    let test_market = market(vec![(miner, Some(SLOTS))], QueueSettings::default()).await;
    let other = reopen_market(&test_market, 1_000.0).querier;
    for (index, querier) in [&test_market.querier, &other].into_iter().enumerate() {
        querier.market().divide(Divisions::new([Division::new(2, 2, Some(index))], true));
    }
    let mut buying = JoinSet::new();
    for querier in [&test_market.querier, &other] {
        for _ in 0..40 {
            buying.spawn(buy(querier.clone(), "a"));
        }
    }
    wait_until(|| running.load(Ordering::SeqCst) == SLOTS).await;
    gate.add_permits(buying.len());
    for answer in buying.join_all().await {
        answer.unwrap();
    }
    assert_eq!(maximum.load(Ordering::SeqCst), SLOTS);
    let limits = [&test_market.querier, &other].map(|querier| {
        let period_miners = querier.market().period_miners().unwrap();
        period_miners.limit(&test_market.contenders[0].offer.hotkey).unwrap()
    });
    assert_eq!(limits, [5, 4]);
}
