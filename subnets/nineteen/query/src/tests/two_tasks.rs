//! Tests of the queue with a miner that serves two tasks.

use taonet_nineteen_core::period::RequestOutcome;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::miners::*;
use super::*;
use crate::period_miners::Completion;

const OTHER: &str = "chat-llama-3-1-8b";

/// Opens a period in which the only miner offers two tasks.
fn offer_two_tasks(test_market: &TestMarket) {
    let config = MarketConfig::default();
    let task_miners = |task: &str| {
        let task = Arc::new(config.task(task).unwrap().clone());
        let mut offer = test_market.contenders[0].offer.clone();
        offer.task = task.task.clone();
        let row = ContenderRow {
            offer,
            counts: PeriodCounts::with_capacity(1e6),
            sent: 0.0,
            score: None,
        };
        let contender = TaskMiner::new(&row, test_market.contenders[0].session().clone(), 900.0);
        TaskMiners::new(task, vec![contender], 10)
    };
    test_market
        .querier
        .market()
        .open(PeriodMiners::new(PeriodId(2), vec![task_miners(TASK), task_miners(OTHER)]));
}

async fn buy_other(querier: Querier, key: &'static str) -> Result<&'static str, QueryError> {
    let request = Request { task: OTHER.parse().unwrap(), ..buyer_request(key) };
    text(querier.query(request).await?).await.map(|_| key).map_err(|_| panic!("interrupted"))
}

/// Returns the number of requests in flight at the only miner, over all its tasks.
fn running_requests(test_market: &TestMarket) -> usize {
    let period_miners = test_market.querier.market().period_miners().unwrap();
    period_miners.contenders().map(|contender| contender.running()).sum()
}

/// A task's released slot goes to the queued request of another task of the same miner.
#[tokio::test]
async fn tasks_of_a_miner_share_its_slots() {
    let gate = Arc::new(Semaphore::new(0));
    let test_market = market(vec![(gated_handler(&gate), Some(1))], QueueSettings::default()).await;
    offer_two_tasks(&test_market);
    let first = tokio::spawn(buy(test_market.querier.clone(), "a"));
    wait_until(|| running_requests(&test_market) == 1).await;
    let second = tokio::spawn(buy_other(test_market.querier.clone(), "a"));
    wait_until(|| test_market.querier.queued(OTHER) == 1).await;
    gate.add_permits(2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok("a"), Ok("a")));
}

/// A miner whose model of one task is broken still serves another one.
#[tokio::test]
async fn breaker_of_a_task_does_not_stop_other_tasks_of_the_miner() {
    let test_market =
        market(vec![(respond_with(chunk("a")), Some(2))], QueueSettings::default()).await;
    offer_two_tasks(&test_market);
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let failed = Completion {
        outcome: Some(RequestOutcome::Failed),
        // Later, so that the breaker stays open on a busy machine.
        now: test_market.querier.inner.now() + 60.0,
        ..Completion::default()
    };
    for _ in 0..5 {
        period_miners.task(TASK).unwrap().contenders()[0].count(&failed);
    }
    assert!(!test_market.querier.is_served(TASK) && test_market.querier.is_served(OTHER));
    assert_eq!(buy_other(test_market.querier.clone(), "a").await, Ok("a"));
}

/// A key's requests of one task count when a slot of the same miner is free for another task.
#[tokio::test]
async fn key_has_one_share_of_all_tasks() {
    let gate = Arc::new(Semaphore::new(0));
    let test_market = capped_market(vec![(gated_handler(&gate), Some(2))], 2).await;
    let order = answers_of_two_tasks(&gate, &test_market).await;
    // Behind the two requests that were in flight before.
    assert_eq!(order.iter().position(|key| *key == "one"), Some(2), "{order:?}");
}

/// The miner accepts probes, so that its limit grows.
#[tokio::test]
async fn key_has_one_share_of_all_tasks_with_a_growing_limit() {
    let gate = Arc::new(Semaphore::new(0));
    let test_market = market(vec![(gated_handler(&gate), Some(2))], QueueSettings::default()).await;
    let order = answers_of_two_tasks(&gate, &test_market).await;
    // The next request may overtake it at the miner.
    let position = order.iter().position(|key| *key == "one").unwrap();
    assert!(position == 2 || position == 3, "{order:?}");
}

/// Returns the keys in the order of their answers: "many" has two requests in flight for one task,
/// and three in the queue for another one, before "one".
async fn answers_of_two_tasks(gate: &Semaphore, test_market: &TestMarket) -> Vec<&'static str> {
    offer_two_tasks(test_market);
    let mut buying = JoinSet::new();
    for count in 1..=2 {
        buying.spawn(buy(test_market.querier.clone(), "many"));
        wait_until(|| running_requests(test_market) == count).await;
    }
    for count in 1..=3 {
        buying.spawn(buy_other(test_market.querier.clone(), "many"));
        wait_until(|| test_market.querier.queued(OTHER) == count).await;
    }
    buying.spawn(buy_other(test_market.querier.clone(), "one"));
    wait_until(|| test_market.querier.queued(OTHER) == 4).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        wait_until(|| running_requests(test_market) >= 2.min(6 - order.len())).await;
        gate.add_permits(1);
        order.push(buying.join_next().await.unwrap().unwrap().unwrap());
    }
    order
}
