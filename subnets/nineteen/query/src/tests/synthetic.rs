//! Tests (synthetic requests) at miners that are saturated with buyers' requests.

use taonet_nineteen_transport::PROBE;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::miners::*;
use super::*;
use crate::load::{CapacitySignal, MinerLoad};

/// Raises the limit of a miner, as its answers to buyers' requests do.
fn raise_limit(load: &MinerLoad, limit: usize) {
    while load.limit() < limit {
        let entered: Vec<_> = std::iter::from_fn(|| load.acquire(limit)).collect();
        for position in entered {
            load.release(position, CapacitySignal::Answered);
        }
    }
}

/// A miner cannot avoid synthetic requests by rejecting those that exceed its announcement: they
/// look like buyers' requests, and are repeated when the miner must accept them.
#[tokio::test]
async fn rejected_synthetic_request_is_repeated_when_the_miner_must_accept_it() {
    for (rejections, counted) in [(1, 0.0), (2, 1.0)] {
        let [calls, probe_calls] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let miner = {
            let (calls, probe_calls) = (Arc::clone(&calls), Arc::clone(&probe_calls));
            post(move |headers: axum::http::HeaderMap| {
                probe_calls.fetch_add(usize::from(headers.contains_key(PROBE)), Ordering::SeqCst);
                let is_rejected = calls.fetch_add(1, Ordering::SeqCst) < rejections;
                async move {
                    if is_rejected {
                        axum::http::StatusCode::TOO_MANY_REQUESTS.into_response()
                    } else {
                        chunk("a").into_response()
                    }
                }
            })
        };
        let test_market = market(vec![(miner, Some(1))], QueueSettings::default()).await;
        let period_miners = test_market.querier.market().period_miners().unwrap();
        let load = period_miners.load(&test_market.contenders[0].offer.hotkey).unwrap();
        raise_limit(load, 4);
        let entered = [(); 2].map(|()| load.acquire(4).unwrap());
        let querier = test_market.querier.clone();
        let synthetic =
            tokio::spawn(
                async move { querier.query(request(RequestKind::Synthetic)).await.map(drop) },
            );
        wait_until(|| load.has_repeated_synthetic()).await;
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        for position in entered {
            load.release(position, CapacitySignal::None);
        }
        assert_eq!(synthetic.await.unwrap().is_ok(), rejections == 1);
        let counts = test_market.contenders[0].counts();
        assert_eq!((counts.total_requests, counts.requests_429), (1.0, counted));
        assert_eq!((calls.load(Ordering::SeqCst), probe_calls.load(Ordering::SeqCst)), (2, 0));
        assert!(!load.has_repeated_synthetic());
    }
}

/// A synthetic request gets the next free slot of a miner with which buyers' requests are queued.
#[tokio::test]
async fn synthetic_request_is_sent_to_a_saturated_miner() {
    let gate = Arc::new(Semaphore::new(0));
    let test_market = capped_market(vec![(gated_handler(&gate), Some(1))], 1).await;
    let mut buying = JoinSet::new();
    for _ in 0..5 {
        buying.spawn(buy(test_market.querier.clone(), "a"));
    }
    wait_for_queued(&test_market, 4).await;
    let querier = test_market.querier.clone();
    let synthetic = tokio::spawn(async move {
        text(querier.query(request(RequestKind::Synthetic)).await.unwrap()).await
    });
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let load = period_miners.load(&test_market.contenders[0].offer.hotkey).unwrap();
    wait_until(|| load.has_waiting_synthetic()).await;
    gate.add_permits(2);
    assert_eq!(synthetic.await.unwrap(), Ok("a".to_owned()));
    assert!(buying.len() >= 4);
    gate.add_permits(4);
    for answer in buying.join_all().await {
        assert_eq!(answer, Ok("a"));
    }
}

/// The synthetic request does not wait behind all queued requests.
#[tokio::test]
async fn synthetic_request_is_sent_to_a_saturated_miner_with_a_growing_limit() {
    let gate = Arc::new(Semaphore::new(0));
    let test_market = market(vec![(gated_handler(&gate), Some(1))], QueueSettings::default()).await;
    let mut buying = JoinSet::new();
    for _ in 0..8 {
        buying.spawn(buy(test_market.querier.clone(), "a"));
    }
    wait_for_queued(&test_market, 7).await;
    let querier = test_market.querier.clone();
    let mut synthetic = tokio::spawn(async move {
        text(querier.query(request(RequestKind::Synthetic)).await.unwrap()).await
    });
    let period_miners = test_market.querier.market().period_miners().unwrap();
    let load = period_miners.load(&test_market.contenders[0].offer.hotkey).unwrap();
    wait_until(|| load.has_waiting_synthetic()).await;
    loop {
        // For one more answer.
        gate.add_permits(1);
        tokio::select! {
            answer = &mut synthetic => {
                assert_eq!(answer.unwrap(), Ok("a".to_owned()));
                break;
            }
            Some(answer) = buying.join_next() => assert_eq!(answer.unwrap(), Ok("a")),
        }
    }
    // The first answer is that of the request in flight. Probes that are sent after the synthetic
    // request may overtake it.
    assert!(buying.len() >= 5, "{} requests left", buying.len());
    gate.add_permits(buying.len());
    for answer in buying.join_all().await {
        assert_eq!(answer, Ok("a"));
    }
}
