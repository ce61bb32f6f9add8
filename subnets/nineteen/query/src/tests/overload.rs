//! Twice as many requests as the miners can serve, for seconds, or for ten minutes in
//! `./test --all`, and with
//!
//! ```text
//! TAONET_SATURATION_SECONDS=600 cargo test --release -p taonet-nineteen-query overloaded_market -- --nocapture
//! ```

use std::time::Instant;

use taonet_nineteen_core::period::{PeriodProfile, period_score};
use tokio::task::JoinSet;

use super::miners::*;
use super::*;

/// Slots of the miners, which announce them.
const SLOTS: [usize; 2] = [24, 40];
/// Time of an answer.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// Time after which a buyer repeats a rejected request.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Time from the first request until all buyers have sent one, and the market is in a steady state.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// Answers within a time in a steady state.
struct LoadMeasurement {
    per_second: f64,
    p99: Duration,
    rejected: usize,
}

impl LoadMeasurement {
    /// Measures buyers that each send one request after the other.
    async fn measure(querier: &Querier, buyers: usize, duration: Duration) -> Self {
        let (start, mut running) = (Instant::now(), JoinSet::new());
        let end = WARM_UP + duration;
        for index in 0..buyers {
            let querier = querier.clone();
            // The requests of a pause start at equal distances, so that answers do not end all at
            // once.
            let delay = ANSWER_TIME * u32::try_from(index).unwrap()
                / u32::try_from(SLOTS.iter().sum::<usize>()).unwrap();
            running.spawn(async move {
                let (mut latencies, mut rejected) = (Vec::new(), 0);
                tokio::time::sleep(delay).await;
                while start.elapsed() < end {
                    let sent = Instant::now();
                    let result = buy(querier.clone(), ["a", "b", "c", "d"][index % 4]).await;
                    let is_measured = (WARM_UP..end).contains(&start.elapsed());
                    match result {
                        Ok(_) if is_measured => latencies.push(sent.elapsed()),
                        Ok(_) => {}
                        Err(QueryError::Busy { .. }) => {
                            rejected += usize::from(is_measured);
                            tokio::time::sleep(RETRY_DELAY).await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                (latencies, rejected)
            });
        }
        let (latencies, rejected): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().unzip();
        let mut latencies = latencies.concat();
        latencies.sort_unstable();
        let per_second = latencies.len() as f64 / duration.as_secs_f64();
        Self {
            per_second,
            p99: latencies[latencies.len() * 99 / 100],
            rejected: rejected.into_iter().sum(),
        }
    }
}

/// Twice as many buyers as the miners have slots share them and a queue of half as many requests.
/// The miners' throughput is that of a market without a queue, 99 of 100 admitted requests take at
/// most twice as long, and no miner loses a point.
///
/// The short form repeats a measurement that a busy machine has disturbed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overloaded_market_serves_at_capacity_and_bounds_latency() {
    let requested_duration = std::env::var("TAONET_SATURATION_SECONDS").ok();
    let requested_duration =
        requested_duration.map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    let (duration, most_rounds, minimum) =
        requested_duration.map_or((Duration::from_secs(2), 3, 0.9), |duration| (duration, 1, 0.95));
    let served = Arc::new(AtomicUsize::new(0));
    let slots: usize = SLOTS.iter().sum();
    let miners =
        SLOTS.map(|slots| (rate_limiting_handler(slots, ANSWER_TIME, &served), Some(slots))).into();
    let mut test_market = reopen_market(&market(miners, QueueSettings::default()).await, 1e6);
    test_market.querier = test_market
        .querier
        .with_queue(QueueSettings { length: slots / 2, ..QueueSettings::default() });
    for round in 1..=most_rounds {
        let unsaturated = LoadMeasurement::measure(
            &test_market.querier,
            slots,
            duration.min(Duration::from_mins(1)),
        )
        .await;
        let saturated = LoadMeasurement::measure(&test_market.querier, 2 * slots, duration).await;
        let (ratio, latency_ratio) = (
            saturated.per_second / unsaturated.per_second,
            saturated.p99.as_secs_f64() / unsaturated.p99.as_secs_f64(),
        );
        println!(
            "{:.1} answers/s, {ratio:.3} of the unsaturated market; p99 {:?}, {latency_ratio:.2} of {:?}; {} requests rejected",
            saturated.per_second, saturated.p99, unsaturated.p99, saturated.rejected
        );
        assert!(saturated.rejected > 0, "the market is not overloaded");
        if ratio >= minimum && latency_ratio <= 2.0 {
            break;
        }
        assert!(round < most_rounds, "{ratio} of the throughput, {latency_ratio} of the latency");
    }
    for contender in &test_market.contenders {
        let counts = contender.counts();
        assert_eq!((counts.requests_429, counts.requests_500), (0.0, 0.0), "{counts:?}");
        for profile in [PeriodProfile::Reference, PeriodProfile::Later, PeriodProfile::Seed] {
            assert_eq!(period_score(&counts, profile), Some(1.0), "{counts:?}");
        }
        assert_eq!(contender.running(), 0);
    }
    assert_eq!(test_market.querier.queued(TASK), 0);
}
