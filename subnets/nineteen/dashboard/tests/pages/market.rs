//! A validator's database, written through the store as a validator does.

use std::path::Path;
use std::time::{Duration, SystemTime};

use taonet_dashboard::timestamp;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::{PeriodCounts, PeriodProfile, RequestOutcome};
use taonet_nineteen_core::{MarketConfig, TaskName};
use taonet_nineteen_store::{
    ContenderRow, KeyTerms, NewContender, PeriodId, Process, Reward, Sample, Store, Usage,
};
use taonet_primitives::{Hotkey, Uid};
use taonet_service::unix_time;
use taonet_wallet::Keypair;

/// Name of the task that both miners offer.
pub(crate) const TASK: &str = "chat-a";

pub(crate) fn hotkey(uri: &str) -> Hotkey {
    Keypair::from_uri(uri).unwrap().hotkey()
}

fn task(name: &str) -> TaskName {
    name.parse().unwrap()
}

/// Returns the time `age` ago, in milliseconds since the Unix epoch.
pub(crate) fn ago_ms(age: Duration) -> i64 {
    i64::try_from(unix_time(SystemTime::now()).saturating_sub(age).as_millis()).unwrap()
}

/// Alice (uid 1) offers two tasks, Bob (uid 2) one of them.
fn offers() -> Vec<NewContender> {
    let offer = |uri: &str, uid: u16, name: &str, accepted: f64| NewContender {
        task: task(name),
        hotkey: hotkey(uri),
        uid: Uid(uid),
        capacity: Capacity { declared: accepted, accepted, to_score: 10.0 },
        concurrency: Some(7),
    };
    vec![
        offer("//Alice", 1, TASK, 1_000.0),
        offer("//Alice", 1, "chat-b", 600.0),
        offer("//Bob", 2, TASK, 3_000.0),
    ]
}

/// Adds requests to each contender: Alice answers all of them, Bob fails at one and rejects one.
fn add_counts(rows: &mut [ContenderRow]) {
    for row in rows {
        row.counts.count(RequestOutcome::Answered { work: 100.0 });
        row.counts.count(RequestOutcome::Answered { work: 50.0 });
        if row.offer.uid == Uid(2) {
            row.counts.count(RequestOutcome::Failed);
            row.counts.count(RequestOutcome::RateLimited);
        }
    }
}

/// Counters of Bob's offer in each period.
pub(crate) fn counts_of_bob() -> PeriodCounts {
    PeriodCounts {
        total_requests: 4.0,
        capacity: 3_000.0,
        consumed_capacity: 150.0,
        requests_429: 1.0,
        requests_500: 1.0,
    }
}

/// Writes a closed period and an open one that began `age` ago, both of an hour, and a checked
/// answer of Alice.
pub(crate) async fn write_periods(directory: &Path, age: Duration) {
    let store = Store::open(directory).await.unwrap();
    let (hour, hour_ms) = (Duration::from_hours(1), 3_600_000);
    let config = MarketConfig::default();
    let begin = async |started_ms: i64| {
        let start = store
            .begin_period(started_ms, hour_ms, PeriodProfile::Reference, &offers(), &[], &config)
            .await;
        let period = start.unwrap();
        let mut rows = store.contenders(period).await.unwrap();
        add_counts(&mut rows);
        (period, rows)
    };
    let process = Process::random();
    let (first, rows) = begin(ago_ms(age + hour)).await;
    store.close_period(first, &process, &rows, &[], ago_ms(age)).await.unwrap();
    let (second, rows) = begin(ago_ms(age)).await;
    assert!(store.put_part(second, &process, &rows, &[]).await.unwrap());
    let reward = Reward {
        quality: Some(0.875),
        metric: None,
        reason: "checked".to_owned(),
        created_ms: ago_ms(Duration::ZERO),
    };
    store.put_reward(&sample(second), &reward).await.unwrap();
    store.close().await;
}

/// Charges a new API key for two requests of different tasks today, and for one three days ago;
/// returns the key's ID and both days.
pub(crate) async fn write_spend(directory: &Path, name: &str) -> (String, [String; 2]) {
    let store = Store::open(directory).await.unwrap();
    let now_ms = ago_ms(Duration::ZERO);
    let day = |days: u64| -> String {
        let time_ms = ago_ms(Duration::from_hours(24 * days));
        timestamp(time_ms / 1_000).chars().take(10).collect()
    };
    let (today, older) = (day(0), day(3));
    let key = store.create_key(&KeyTerms::new(name, 60), &[7; 40], now_ms).await.unwrap().id;
    store.grant(&key, 10_000, "test", now_ms).await.unwrap();
    for (request, model, day) in
        [("first", TASK, &today), ("second", "chat-b", &today), ("third", TASK, &older)]
    {
        store.hold(&key, request, 2_000, day, now_ms).await.unwrap().unwrap();
        let usage = Usage {
            model: model.to_owned(),
            day: day.clone(),
            input_tokens: 3,
            output_tokens: 5,
            charge: 1_250,
        };
        assert_eq!(store.charge(request, &usage, now_ms).await.unwrap(), Some(1_250));
    }
    store.close().await;
    (key, [today, older])
}

fn sample(period: PeriodId) -> Sample {
    Sample {
        job_id: "job".to_owned(),
        period,
        task: task(TASK),
        hotkey: hotkey("//Alice"),
        uid: Uid(1),
        synthetic: true,
        request: "{}".to_owned(),
        answer: "[]".to_owned(),
        work: 1.0,
        response_time: Some(0.5),
        created_ms: 0,
    }
}
