//! Number and age of the jobs in the queue.

use std::collections::BTreeMap;

use taonet_babelbit_scorer::AudioHash;

use super::*;
use crate::job::{Job, recognizer_group};
use crate::queue::{Queue, QueueDepth};
use crate::testing::Nats;

fn recognizer(fingerprint: &str) -> EngineIdentity {
    EngineIdentity { name: "whisper".to_owned(), fingerprint: fingerprint.to_owned() }
}

async fn publish(queue: &Queue, recognizer: &EngineIdentity, recordings: std::ops::Range<u8>) {
    for recording in recordings {
        let audio = AudioHash::of(&[recording]);
        let is_new = queue
            .publish(&JobId::new(audio, recognizer), &Job::new(audio, recognizer))
            .await
            .unwrap();
        assert!(is_new);
    }
}

/// Waits until these jobs are counted: NATS counts a message for its consumer shortly after the
/// message is stored.
async fn wait_for_depth(queue: &Queue, jobs: u64, others: &BTreeMap<String, u64>) -> QueueDepth {
    let start = std::time::Instant::now();
    loop {
        let depth = queue.depth().await.unwrap();
        if (depth.jobs, &depth.others) == (jobs, others) {
            return depth;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{depth:?} instead of {jobs} jobs and {others:?}"
        );
    }
}

#[tokio::test]
async fn jobs_of_other_recognisers_are_counted_separately() {
    let Some(nats) = Nats::start() else { return };
    let [old, own] = ["1", "2"].map(recognizer);
    let old_queue = Queue::connect(&nats.url(), &old).await.unwrap();
    let own_queue = Queue::connect(&nats.url(), &own).await.unwrap();
    assert_eq!(own_queue.depth().await.unwrap().others, BTreeMap::from([("none".to_owned(), 0)]));

    publish(&old_queue, &old, 0..2).await;
    let interval = Duration::from_millis(300);
    tokio::time::sleep(interval).await;
    let depth = own_queue.depth().await.unwrap();
    assert_eq!((depth.jobs, depth.oldest_age), (0, Duration::ZERO));
    assert_eq!(
        depth.others,
        BTreeMap::from([("none".to_owned(), 2)]),
        "no worker has run with the old recogniser"
    );

    old_queue.consumer(&TIMING).await.unwrap();
    let consumer = own_queue.consumer(&TIMING).await.unwrap();
    publish(&own_queue, &own, 0..3).await;
    let others = |recognizer: &EngineIdentity, jobs| {
        BTreeMap::from([("none".to_owned(), 0), (recognizer_group(recognizer), jobs)])
    };
    let own_depth = wait_for_depth(&own_queue, 3, &others(&old, 2)).await;
    let old_depth = wait_for_depth(&old_queue, 2, &others(&own, 3)).await;
    assert!(old_depth.oldest_age >= own_depth.oldest_age + interval, "{old_depth:?} {own_depth:?}");

    // A job in progress counts until it is acknowledged.
    let delivery = consumer.pull(1).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(own_queue.depth().await.unwrap().jobs, 3);
    delivery.acknowledge().await;
    let start = std::time::Instant::now();
    while own_queue.depth().await.unwrap().jobs != 2 {
        assert!(start.elapsed() < Duration::from_secs(30), "the acknowledged job still counts");
    }
}
