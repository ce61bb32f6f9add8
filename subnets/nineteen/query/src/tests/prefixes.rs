//! Tests of the affinity of prompts to miners.

use super::miners::long_deadlines;
use super::*;
use crate::prefix::PromptPrefix;
use crate::slot::Slot;

/// Number of requests of a test.
const REQUESTS: u64 = 16;

/// Returns a request whose prompt begins with a number, and is long.
fn long_request(number: usize) -> Request {
    let mut request = request(RequestKind::Organic);
    let text = format!("{number} {}", "a".repeat(2_000));
    let messages =
        json!([{"role": "system", "content": text}, {"role": "user", "content": "hello"}]);
    request.payload.insert("messages".to_owned(), messages);
    request
}

fn prefix(request: &Request) -> PromptPrefix {
    PromptPrefix::from_request(request).unwrap()
}

/// Returns a request that one of the miners gets even if another one is many times as fast.
fn request_with_clear_favourite(contenders: &[Arc<TaskMiner>]) -> Request {
    let is_decided = |request: &Request| {
        let prefix = prefix(request);
        let mut logarithms: Vec<f64> =
            contenders.iter().map(|contender| -prefix.draw(&contender.offer.hotkey).ln()).collect();
        logarithms.sort_by(f64::total_cmp);
        logarithms[1] > 30.0 * logarithms[0]
    };
    (0..10_000).map(long_request).find(is_decided).unwrap()
}

/// Sends a request [`REQUESTS`] times; returns the largest number that a miner got, the number of
/// replaced synthetic requests, and that of samples.
async fn send_requests(test_market: &mut TestMarket, request: &Request) -> (f64, u64, u64) {
    for _ in 0..REQUESTS {
        text(test_market.querier.query(request.clone()).await.unwrap()).await.unwrap();
    }
    let maximum = test_market
        .contenders
        .iter()
        .map(|contender| contender.counts().total_requests)
        .fold(0.0, f64::max);
    let mut samples = 0;
    while test_market.samples.try_recv().is_ok() {
        samples += 1;
    }
    (maximum, test_market.querier.market().period_miners().unwrap().tasks()[0].spent(), samples)
}

async fn market(miners: usize) -> TestMarket {
    test_market((0..miners).map(|_| respond_with(chunk("a"))).collect(), long_deadlines()).await
}

#[tokio::test]
async fn requests_with_a_common_prefix_go_to_one_miner() {
    let mut test_market = market(4).await;
    test_market.querier.set_prefix_affinity(true);
    let request = request_with_clear_favourite(&test_market.contenders);
    let (maximum, replaced, samples) = send_requests(&mut test_market, &request).await;
    // About 2 of the requests ignore the affinity; these are sampled, and so may be some of the
    // others.
    assert!(
        replaced < 10 && replaced <= samples,
        "{replaced} replaced synthetic requests, {samples} samples"
    );
    assert!(maximum >= (REQUESTS - replaced) as f64, "{maximum} of {REQUESTS}, without {replaced}");
}

/// The budget of a test market is 10 synthetic requests.
#[tokio::test]
async fn all_requests_are_sampled_without_affinity_or_with_short_prompts() {
    for (is_affine, request) in [(false, long_request(1)), (true, request(RequestKind::Organic))] {
        let mut test_market = market(2).await;
        test_market.querier.set_prefix_affinity(is_affine);
        let (_, replaced, samples) = send_requests(&mut test_market, &request).await;
        assert_eq!((replaced, samples), (10, REQUESTS), "{is_affine}");
    }
}

#[tokio::test]
async fn prefixes_spread_over_the_miners() {
    let test_market = market(3).await;
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let task_miners = &period_miners.tasks()[0];
    let order = |number: usize, tried: &[taonet_primitives::Hotkey]| {
        let order =
            task_miners.for_organic(0.0, tried, Some(prefix(&long_request(number))), || 0.5);
        assert!(order.is_prefix_order);
        order.cloned().collect::<Vec<_>>()
    };
    let mut first_counts = [0; 3];
    for number in 0..300 {
        let first = &order(number, &[])[0];
        first_counts[usize::from(first.offer.uid.0)] += 1;
        assert!(Arc::ptr_eq(first, &order(number, &[])[0]));
    }
    assert!(first_counts.iter().all(|count| *count > 60), "{first_counts:?}");
    // The next attempt goes to the second miner in the order.
    let all = order(0, &[]);
    let next = order(0, &[all[0].offer.hotkey]);
    assert!(next.len() == 2 && Arc::ptr_eq(&next[0], &all[1]));
}

/// A buyer who selects a miner by the prompt cannot add to its samples.
#[tokio::test]
async fn answers_with_prefix_affinity_are_sampled_by_share() {
    let test_market = market(4).await;
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let task_miners = &period_miners.tasks()[0];
    let prefix = Some(prefix(&long_request(0)));
    let is_sampled = |random: f64| task_miners.for_organic(0.0, &[], prefix, || random).is_sampled;
    assert!(is_sampled(0.24) && !is_sampled(0.26), "each of the four miners has the same value");
    assert!(task_miners.for_organic(0.0, &[], None, || 0.99).is_sampled);
}

#[tokio::test]
async fn answer_outside_prefix_affinity_is_not_sampled() {
    let test_market = market(2).await;
    let (task, key): (taonet_nineteen_core::TaskName, Arc<str>) =
        (TASK.parse().unwrap(), "a".into());
    let prefix = Some(prefix(&long_request(0)));
    let slot =
        || Slot::acquire_organic(&test_market.querier.inner, &task, &key, &[], prefix).unwrap();
    let first = slot();
    let mut slots = Vec::new();
    let other = loop {
        let next = slot();
        if !Arc::ptr_eq(&next.contender, &first.contender) {
            break next;
        }
        slots.push(next);
    };
    assert!(!other.keeps_samples);
}

#[tokio::test]
async fn prefix_affinity_ends_at_too_many_requests_in_flight() {
    let test_market = market(3).await;
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let task_miners = &period_miners.tasks()[0];
    let order = || task_miners.for_organic(0.0, &[], Some(prefix(&long_request(0))), || 0.5);
    let preferred = Arc::clone(order().next().unwrap());
    for _ in 0..11 {
        preferred.enter(0.0).unwrap();
    }
    let mut affine_order = order();
    assert!(affine_order.is_prefix_order && Arc::ptr_eq(affine_order.next().unwrap(), &preferred));
    // With a share of a third, the limit is 4 plus two thirds of all requests in flight.
    preferred.enter(0.0).unwrap();
    preferred.enter(0.0).unwrap();
    let random_order = order();
    assert!(!random_order.is_prefix_order && random_order.is_sampled && random_order.count() == 3);
}
