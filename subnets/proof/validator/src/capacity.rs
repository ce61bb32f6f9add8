//! Measured performance of a miner: response times by circuit, and the number of requests that it
//! handles concurrently.

mod saved;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub(crate) use saved::SavedPerformance;
use serde::{Deserialize, Serialize};

/// Maximum number of response times stored per circuit.
const MAX_STORED_TIMES: usize = 64;
/// Minimum number of response times for an adaptive timeout.
const MIN_TIMES_FOR_TIMEOUT: usize = 50;
/// Minimum number of response times for an estimate of when an answer is overdue.
const MIN_TIMES_FOR_ESTIMATE: usize = 8;
/// Multiple of the 95th percentile after which an answer is overdue.
const OVERDUE_FACTOR: f64 = 2.0;
/// Ratio of the target capacity to the measured parallelism; above 1, so that the capacity can
/// grow.
const HEADROOM: f64 = 1.5;
/// Relative difference between capacity and target below which the capacity is unchanged.
const DEADBAND: f64 = 0.25;
/// Relative change of the capacity in one step, rounded up to a request.
const STEP_SHARE: f64 = 0.1;
/// Minimum number of verified proofs between two steps.
const MIN_PROOFS_PER_STEP: usize = 8;
/// Number of verified proofs after which the miner's idle response time is measured again.
const PROOFS_PER_PROBE: usize = 256;
/// Number of verified proofs after which a pending measurement is skipped, because the miner is
/// never idle.
const MAX_PROOFS_WITHOUT_PROBE: usize = 16;
/// Weight of a new idle response time in the moving average, if it is longer than the average.
const SLOWER_TIME_WEIGHT: f64 = 0.25;
/// Number of verified proofs before the next capacity step, after the miner reported that it is at
/// capacity.
const PROOFS_PER_STEP_AFTER_BUSY: usize = 64;
/// Maximum number of concurrent requests to one miner.
const MAX_CONCURRENT_PER_MINER: usize = 32;

/// The latest response times of one circuit, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ResponseTimes(VecDeque<f32>);

impl ResponseTimes {
    pub(crate) fn add(&mut self, time: Duration) {
        if self.0.len() == MAX_STORED_TIMES {
            self.0.pop_front();
        }
        self.0.push_back(time.as_secs_f32());
    }

    /// Returns a percentile in seconds, for a share in `0..=1`; `None` without times.
    fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted: Vec<f32> = self.0.iter().copied().collect();
        sorted.sort_by(f32::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        sorted.get((last as f64 * share).round() as usize).copied().map(f64::from)
    }

    /// Returns the time after which an answer is overdue: twice the 95th percentile of at least
    /// `minimum` times.
    fn overdue_after(&self, minimum: usize) -> Option<Duration> {
        let slow_time = self.percentile(0.95).filter(|_| self.0.len() >= minimum)?;
        Duration::try_from_secs_f64(slow_time * OVERDUE_FACTOR).ok()
    }

    /// Returns the time after which an answer is overdue; `None` with fewer than
    /// [`MIN_TIMES_FOR_ESTIMATE`] response times.
    pub(crate) fn estimate(&self) -> Option<Duration> {
        self.overdue_after(MIN_TIMES_FOR_ESTIMATE)
    }

    /// Returns the adaptive timeout; `None` with fewer than [`MIN_TIMES_FOR_TIMEOUT`] response
    /// times.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.overdue_after(MIN_TIMES_FOR_TIMEOUT)
    }
}

/// Performance of one miner.
///
/// By Little's law, a miner with n requests in flight and response time t completes n/t requests a
/// second. Multiplied by the response time of the idle miner, this is the number of requests that
/// the miner really processes in parallel. The capacity follows 1.5 times that number in steps of
/// 10 %. Every 256 proofs the miner receives one request alone: under load, its idle response time
/// cannot be measured. If it is not idle for 16 proofs because of users' requests, the last
/// measurement remains in use.
#[derive(Clone, Debug)]
pub(crate) struct Performance {
    capacity: usize,
    /// Response times by the circuit's position.
    times: BTreeMap<usize, ResponseTimes>,
    /// Response times of the idle miner in seconds, by the circuit's position.
    idle_times: BTreeMap<usize, f64>,
    /// Number of verified proofs until the next measurement of the idle miner; at 0, it is pending.
    proofs_until_probe: usize,
    /// Number of verified proofs since the measurement became pending.
    proofs_without_probe: usize,
    /// Measured parallelism at each verified proof since the last step.
    parallelism: Vec<f64>,
    /// Number of verified proofs until the next step.
    proofs_until_step: usize,
    /// Number of failures since the last verified proof.
    failures: u32,
}

impl Default for Performance {
    /// Returns the performance of an unknown miner, which receives one request at a time.
    fn default() -> Self {
        Self {
            capacity: 1,
            times: BTreeMap::new(),
            idle_times: BTreeMap::new(),
            proofs_until_probe: PROOFS_PER_PROBE,
            proofs_without_probe: 0,
            parallelism: Vec::new(),
            proofs_until_step: MIN_PROOFS_PER_STEP,
            failures: 0,
        }
    }
}

impl Performance {
    /// Returns the maximum number of concurrent requests, at least 1.
    pub(crate) const fn capacity(&self) -> usize {
        if self.proofs_until_probe == 0 { 1 } else { self.capacity }
    }

    /// Returns whether the last request failed.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Returns the number of failures since the last verified proof.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the response times of a circuit.
    pub(crate) fn times(&self, circuit: usize) -> Option<&ResponseTimes> {
        self.times.get(&circuit)
    }

    /// Records a verified proof. `in_flight` is the number of requests in flight when the request
    /// was sent, including itself.
    pub(crate) fn record_verified(&mut self, circuit: usize, time: Duration, in_flight: usize) {
        self.failures = 0;
        self.times.entry(circuit).or_default().add(time);
        let seconds = time.as_secs_f64();
        let idle_time = self.idle_times.entry(circuit).or_insert(seconds);
        if self.proofs_until_probe == 0 {
            self.proofs_without_probe += 1;
            // Users' requests may exceed the capacity, so the miner may never become idle.
            if in_flight == 1 || self.proofs_without_probe == MAX_PROOFS_WITHOUT_PROBE {
                (self.proofs_until_probe, self.proofs_without_probe) = (PROOFS_PER_PROBE, 0);
            }
            if in_flight == 1 {
                *idle_time += (seconds - *idle_time).max(0.0) * SLOWER_TIME_WEIGHT;
            }
        }
        *idle_time = idle_time.min(seconds);
        let efficiency = if seconds > *idle_time { *idle_time / seconds } else { 1.0 };
        self.parallelism.push(in_flight as f64 * efficiency);
        self.proofs_until_probe = self.proofs_until_probe.saturating_sub(1);
        self.proofs_until_step = self.proofs_until_step.saturating_sub(1);
        if self.proofs_until_step == 0 {
            self.adjust_capacity();
        }
    }

    /// Records that the miner was at capacity. `in_flight` is the number of requests in flight,
    /// including the refused one.
    pub(crate) fn record_busy(&mut self, in_flight: usize) {
        self.capacity = self.capacity.min(in_flight.saturating_sub(1)).max(1);
        self.proofs_until_step = PROOFS_PER_STEP_AFTER_BUSY;
        self.parallelism.clear();
    }

    /// Records a failed request.
    pub(crate) fn record_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.capacity = (self.capacity / 2).max(1);
        self.parallelism.clear();
        self.proofs_until_step = MIN_PROOFS_PER_STEP;
    }

    fn adjust_capacity(&mut self) {
        let mut parallelism = std::mem::take(&mut self.parallelism);
        parallelism.sort_by(f64::total_cmp);
        let median = parallelism.get(parallelism.len() / 2).copied().unwrap_or(1.0);
        let (target, capacity) = ((median * HEADROOM).ceil(), self.capacity as f64);
        let step = (capacity * STEP_SHARE).ceil() as usize;
        if target > capacity * (1.0 + DEADBAND) {
            self.capacity = (self.capacity + step).min(MAX_CONCURRENT_PER_MINER);
        } else if target < capacity * (1.0 - DEADBAND) {
            self.capacity = self.capacity.saturating_sub(step).max(1);
        }
        self.proofs_until_step = self.capacity.max(MIN_PROOFS_PER_STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates a saturated miner that works on `parallel` requests at a time, and returns the
    /// capacity after each proof.
    fn simulate(performance: &mut Performance, parallel: usize, proofs: usize) -> Vec<usize> {
        let proof = |performance: &mut Performance, number: usize| {
            let in_flight = performance.capacity();
            let slowdown = (in_flight as f64 / parallel as f64).max(1.0);
            // Response times vary by a tenth.
            let jitter = 1.0 + (number * 7 % 11) as f64 / 100.0;
            performance.record_verified(
                0,
                Duration::from_secs_f64(0.5 * slowdown * jitter),
                in_flight,
            );
            performance.capacity
        };
        (0..proofs).map(|number| proof(performance, number)).collect()
    }

    #[test]
    fn capacity_settles_at_one_and_a_half_times_the_parallelism() {
        for (parallel, settled) in [
            (1, 1..=2),
            (4, 5..=8),
            (10, 12..=25),
            (100, MAX_CONCURRENT_PER_MINER..=MAX_CONCURRENT_PER_MINER),
        ] {
            let mut performance = Performance::default();
            simulate(&mut performance, parallel, 3_000);
            let last = simulate(&mut performance, parallel, 500);
            assert!(last.iter().all(|capacity| settled.contains(capacity)), "{parallel}: {last:?}");
            let changes = last.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(changes <= 1, "{parallel}: {changes} changes in a steady state");
        }
    }

    #[test]
    fn capacity_falls_when_a_miner_slows_down() {
        let mut performance = Performance::default();
        simulate(&mut performance, 10, 3_000);
        let earlier_capacity = performance.capacity;
        simulate(&mut performance, 2, 3_000);
        assert!(
            performance.capacity < earlier_capacity / 2,
            "{earlier_capacity} -> {}",
            performance.capacity
        );
    }

    #[test]
    fn slower_machine_keeps_its_parallelism() {
        let mut performance = Performance::default();
        simulate(&mut performance, 10, 3_000);
        // Each proof takes three times as long, regardless of the load.
        for number in 0..6_000 {
            let in_flight = performance.capacity();
            let slowdown = (in_flight as f64 / 10.0).max(1.0);
            let jitter = 1.0 + f64::from(number * 7 % 11) / 100.0;
            performance.record_verified(
                0,
                Duration::from_secs_f64(1.5 * slowdown * jitter),
                in_flight,
            );
        }
        assert!((10..=25).contains(&performance.capacity), "{}", performance.capacity);
    }

    #[test]
    fn capacity_probe_ends_despite_constant_user_requests() {
        let mut performance =
            Performance { capacity: 12, proofs_until_probe: 0, ..Performance::default() };
        for number in 1..=MAX_PROOFS_WITHOUT_PROBE {
            assert_eq!(performance.capacity(), 1, "{number}: waits for the miner to be idle");
            // A user's request is always in flight.
            performance.record_verified(0, Duration::from_secs(1), 12);
        }
        assert!(performance.capacity() >= 12, "{}", performance.capacity());
    }

    #[test]
    fn refusals_and_failures_lower_the_capacity_at_once() {
        let mut performance = Performance::default();
        simulate(&mut performance, 10, 3_000);
        performance.record_busy(5);
        assert_eq!(performance.capacity, 4);
        simulate(&mut performance, 10, PROOFS_PER_STEP_AFTER_BUSY - 1);
        assert_eq!(performance.capacity, 4, "no growth right after a refusal");
        performance.record_failure();
        assert_eq!((performance.capacity, performance.is_failing()), (2, true));
        performance.record_busy(1);
        assert_eq!(performance.capacity, 1);
        performance.record_verified(0, Duration::from_millis(500), 1);
        assert!(!performance.is_failing());
    }

    #[test]
    fn timeouts_adapt_after_enough_measurements() {
        let mut times = ResponseTimes::default();
        assert_eq!((times.estimate(), times.timeout()), (None, None));
        for number in 1..=MIN_TIMES_FOR_TIMEOUT {
            times.add(Duration::from_secs(2));
            assert_eq!(times.estimate().is_some(), number >= MIN_TIMES_FOR_ESTIMATE);
            assert_eq!(times.timeout().is_some(), number >= MIN_TIMES_FOR_TIMEOUT);
        }
        assert_eq!(times.timeout(), Some(Duration::from_secs(4)));
        // A single outlier has no effect; a slow tenth has.
        times.add(Duration::from_mins(1));
        assert_eq!(times.timeout(), Some(Duration::from_secs(4)));
        (0..6).for_each(|_| times.add(Duration::from_mins(1)));
        assert_eq!(times.timeout(), Some(Duration::from_mins(2)));
        (0..1_000).for_each(|_| times.add(Duration::from_secs(1)));
        assert_eq!(
            (times.0.len(), times.timeout()),
            (MAX_STORED_TIMES, Some(Duration::from_secs(2)))
        );
    }
}
