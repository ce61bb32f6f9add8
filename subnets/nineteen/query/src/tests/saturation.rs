//! Tests of the queue: more requests than the miners have slots.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::miners::*;
use super::*;

/// With twice as many requests in flight as the miners have slots, nearly all slots are used, all requests are served,
/// and no miner loses anything: not even one that announces no limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saturated_market_uses_its_capacity_without_counting_against_miners() {
    const PAUSE: Duration = Duration::from_millis(200);
    let (served, stops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let miners = vec![(limited(24, PAUSE, &served), Some(24)), (limited(40, PAUSE, &served), None)];
    let bench = market(miners, QueueSettings::default()).await;
    let mut clients = JoinSet::new();
    for index in 0..128 {
        let (querier, stops) = (bench.querier.clone(), Arc::clone(&stops));
        clients.spawn(async move {
            let mut answers = 0;
            while !stops.load(Ordering::SeqCst) {
                buy(querier.clone(), ["a", "b", "c", "d"][index % 4]).await.unwrap();
                answers += 1;
            }
            answers
        });
    }
    // Until the unannounced limit has reached the capacity.
    let roster = bench.querier.market().roster().unwrap();
    while roster.limit(&bench.contenders[1].offer.hotkey) < Some(40) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (began, before, mut used) = (Instant::now(), served.load(Ordering::SeqCst), Vec::new());
    while began.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        used.push(bench.contenders.iter().map(|contender| contender.running()).sum::<usize>() as f64);
    }
    let rate = (served.load(Ordering::SeqCst) - before) as f64 / began.elapsed().as_secs_f64();
    let used = used.iter().sum::<f64>() / used.len() as f64;
    println!("{used:.1} of 64 slots used, {rate:.0} answers/s of at most {:.0}", 64.0 / PAUSE.as_secs_f64());
    stops.store(true, Ordering::SeqCst);
    while let Some(answers) = clients.join_next().await {
        assert!(answers.unwrap() > 0);
    }
    assert!(used > 0.95 * 64.0, "{used} of 64 slots");
    for contender in &bench.contenders {
        let counts = contender.counts();
        assert_eq!((counts.requests_429, counts.requests_500), (0.0, 0.0), "{counts:?}");
        assert_eq!(contender.running(), 0);
    }
    assert_eq!(bench.querier.queued(TASK), 0);
}

/// The requests of a key with 100 requests in the queue do not delay another key's only request.
#[tokio::test]
async fn key_with_many_requests_does_not_delay_others() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = market(vec![(gated(&gate), Some(4))], QueueSettings::default()).await;
    let mut answers = JoinSet::new();
    for _ in 0..104 {
        answers.spawn(buy(bench.querier.clone(), "many"));
    }
    queued(&bench, 100).await;
    answers.spawn(buy(bench.querier.clone(), "one"));
    queued(&bench, 101).await;
    let mut order = Vec::new();
    for _ in 0..105 {
        gate.add_permits(1);
        order.push(answers.join_next().await.unwrap().unwrap().unwrap());
    }
    let place = order.iter().position(|key| *key == "one").unwrap();
    // The request gets the first free slot, and is then one of four in flight.
    assert!(place <= 4, "answer {place} of {}", order.len());
}

/// A full queue rejects requests of the key with the most requests, and estimates when a retry makes sense.
#[tokio::test]
async fn full_queue_rejects_the_longest_key() {
    let gate = Arc::new(Semaphore::new(0));
    let settings = QueueSettings { length: 3, ..QueueSettings::default() };
    let bench = market(vec![(gated(&gate), Some(1))], settings).await;
    let mut answers = JoinSet::new();
    for count in 0..4 {
        answers.spawn(buy(bench.querier.clone(), "many"));
        if count == 0 {
            while bench.contenders[0].running() != 1 {
                tokio::task::yield_now().await;
            }
        }
    }
    queued(&bench, 3).await;
    let error = bench.querier.ask(buyers("many")).await.unwrap_err();
    let QueryError::Busy { retry, .. } = error else { panic!("{error}") };
    assert!((Duration::ZERO..=Duration::from_mins(1)).contains(&retry), "{retry:?}");
    answers.spawn(buy(bench.querier.clone(), "one"));
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
async fn queued_request_fails_at_its_deadline_or_leaves() {
    let gate = Arc::new(Semaphore::new(0));
    let settings = QueueSettings { wait: Duration::from_millis(300), ..QueueSettings::default() };
    let bench = market(vec![(gated(&gate), Some(1))], settings).await;
    let first = tokio::spawn(buy(bench.querier.clone(), "a"));
    while bench.contenders[0].running() != 1 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let error = bench.querier.ask(buyers("a")).await.unwrap_err();
    assert!(matches!(error, QueryError::Busy { .. }) && began.elapsed() >= settings.wait, "{error}");
    let leaving = tokio::spawn(buy(bench.querier.clone(), "a"));
    queued(&bench, 1).await;
    leaving.abort();
    queued(&bench, 0).await;
    gate.add_permits(1);
    first.await.unwrap().unwrap();
    // Without a queue, a busy market rejects requests immediately.
    let settings = QueueSettings { length: 0, ..QueueSettings::default() };
    let bench = market(vec![(gated(&gate), Some(1))], settings).await;
    let _running = tokio::spawn(buy(bench.querier.clone(), "a"));
    while bench.contenders[0].running() != 1 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(bench.querier.ask(buyers("a")).await, Err(QueryError::Busy { .. })));
}

/// A rate limit of the only miner delays the requests beyond its slots, and fails none of them.
#[tokio::test]
async fn rate_limited_requests_wait_for_a_slot() {
    let served = Arc::new(AtomicUsize::new(0));
    // The miner announces more slots than it has.
    let miner = limited(3, Duration::from_millis(50), &served);
    let bench = market(vec![(miner, Some(16))], QueueSettings::default()).await;
    let mut answers = JoinSet::new();
    for _ in 0..16 {
        answers.spawn(buy(bench.querier.clone(), "a"));
    }
    while let Some(answer) = answers.join_next().await {
        answer.unwrap().unwrap();
    }
    let counts = bench.contenders[0].counts();
    // The miner has announced the slots that it refused.
    assert!(served.load(Ordering::SeqCst) == 16 && counts.requests_429 > 0.0, "{counts:?}");
}

const OTHER: &str = "chat-llama-3-1-8b";

/// Opens a period in which the only miner offers two tasks.
fn offer_two_tasks(bench: &Bench) {
    let config = MarketConfig::default();
    let floor = |task: &str| {
        let task = Arc::new(config.task(task).unwrap().clone());
        let mut offer = bench.contenders[0].offer.clone();
        offer.task = task.task.clone();
        let row = ContenderRow { offer, counts: PeriodCounts::with_capacity(1e6), sent: 0.0, score: None };
        let contender = Contender::new(&row, bench.contenders[0].session().clone(), 900.0);
        TaskFloor::new(task, vec![contender], 10)
    };
    bench.querier.market().open(Roster::new(PeriodId(2), vec![floor(TASK), floor(OTHER)]));
}

async fn buy_other(querier: Querier, key: &'static str) -> Result<&'static str, QueryError> {
    let request = Request { task: OTHER.parse().unwrap(), ..buyers(key) };
    text(querier.ask(request).await?).await.map(|_| key).map_err(|_| panic!("interrupted"))
}

/// Returns the number of requests in flight at the only miner, over all its tasks.
fn running(bench: &Bench) -> usize {
    let roster = bench.querier.market().roster().unwrap();
    roster.contenders().map(|contender| contender.running()).sum()
}

/// A task's released slot goes to the queued request of another task of the same miner.
#[tokio::test]
async fn tasks_of_a_miner_share_its_slots() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = market(vec![(gated(&gate), Some(1))], QueueSettings::default()).await;
    offer_two_tasks(&bench);
    let first = tokio::spawn(buy(bench.querier.clone(), "a"));
    until(|| running(&bench) == 1).await;
    let second = tokio::spawn(buy_other(bench.querier.clone(), "a"));
    until(|| bench.querier.queued(OTHER) == 1).await;
    gate.add_permits(2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok("a"), Ok("a")));
}

/// A key's requests of one task count when a slot of the same miner is free for another task.
#[tokio::test]
async fn key_has_one_share_of_all_tasks() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = market(vec![(gated(&gate), Some(2))], QueueSettings::default()).await;
    offer_two_tasks(&bench);
    let mut buying = JoinSet::new();
    for count in 1..=2 {
        buying.spawn(buy(bench.querier.clone(), "many"));
        until(|| running(&bench) == count).await;
    }
    for count in 1..=3 {
        buying.spawn(buy_other(bench.querier.clone(), "many"));
        until(|| bench.querier.queued(OTHER) == count).await;
    }
    buying.spawn(buy_other(bench.querier.clone(), "one"));
    until(|| bench.querier.queued(OTHER) == 4).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        until(|| running(&bench) == 2.min(6 - order.len())).await;
        gate.add_permits(1);
        order.push(buying.join_next().await.unwrap().unwrap().unwrap());
    }
    // Behind the two requests that were in flight before.
    assert_eq!(order.iter().position(|key| *key == "one"), Some(2), "{order:?}");
}

/// A queued request fails as soon as no miner can serve it any more.
#[tokio::test]
async fn queued_request_fails_once_no_miner_is_left() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = market(vec![(gated(&gate), Some(1))], QueueSettings::default()).await;
    let first = tokio::spawn(buy(bench.querier.clone(), "a"));
    until(|| bench.contenders[0].running() == 1).await;
    let began = Instant::now();
    let waiting = tokio::spawn(buy(bench.querier.clone(), "a"));
    queued(&bench, 1).await;
    // Another process has used up the miner's capacity.
    let counts = PeriodCounts { consumed_capacity: 1e6, ..PeriodCounts::default() };
    let row = ContenderRow { offer: bench.contenders[0].offer.clone(), counts, sent: 0.0, score: None };
    bench.contenders[0].set_others(&row);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, QueryError::NoContender(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    gate.add_permits(1);
    first.await.unwrap().unwrap();
}

/// A collected answer that breaks off at one miner is that of another miner, complete.
#[tokio::test]
async fn collected_answer_that_breaks_off_fails_over() {
    let deadlines = QueryDeadlines { first: None, ..short() };
    let broken = [chunk("half "), "data: garbage\n\n".to_owned()].concat();
    let bench = bench(vec![says(broken), says([chunk("whole "), chunk("answer")].concat())], deadlines).await;
    let collected = || Request { is_collected: true, ..request(RequestKind::Organic) };
    while bench.contenders[0].counts().total_requests == 0.0 {
        let answer = bench.querier.ask(collected()).await.unwrap();
        assert_eq!(answer.contender().offer.uid, Uid(1));
        assert_eq!(text(answer).await.unwrap(), "whole answer");
    }
    let counts = bench.contenders[0].counts();
    assert_eq!((counts.total_requests, counts.requests_500, counts.consumed_capacity), (1.0, 1.0, 0.0));
    assert!(bench.contenders.iter().all(|contender| contender.running() == 0));
}

/// Large requests fill the queue as well as many.
#[tokio::test]
async fn queue_full_of_large_requests_rejects_the_largest_key() {
    let gate = Arc::new(Semaphore::new(0));
    let settings = QueueSettings { bytes: 300_000, ..QueueSettings::default() };
    let bench = market(vec![(gated(&gate), Some(1))], settings).await;
    let first = tokio::spawn(buy(bench.querier.clone(), "a"));
    until(|| bench.contenders[0].running() == 1).await;
    let large = || {
        let mut request = buyers("large");
        request.payload.insert("messages".to_owned(), json!([{"role": "user", "content": "a".repeat(200_000)}]));
        request
    };
    let querier = bench.querier.clone();
    let waiting = tokio::spawn(async move { querier.ask(large()).await.map(drop) });
    queued(&bench, 1).await;
    assert!(matches!(bench.querier.ask(large()).await, Err(QueryError::Busy { .. })));
    let second = tokio::spawn(buy(bench.querier.clone(), "a"));
    queued(&bench, 2).await;
    gate.add_permits(3);
    assert_eq!((first.await.unwrap(), second.await.unwrap(), waiting.await.unwrap()), (Ok("a"), Ok("a"), Ok(())));
}
