//! Health of a miner: latency and success rate of the latest requests, and circuit breaker.

use std::time::Duration;

use taonet_primitives::Backoff;

/// Weight of the newest value in an average.
const NEWEST_WEIGHT: f64 = 0.2;
/// Initial latency of a new miner, in seconds.
const EXPECTED_LATENCY: f64 = 1.0;
/// Consecutive failures that open the circuit breaker.
const MAX_FAILURES: u32 = 5;
/// Pauses of an open circuit breaker.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_mins(2));
/// Pause after a rate limit (429), in seconds.
const RATE_LIMIT_PAUSE: f64 = 1.0;

/// An exponentially weighted moving average in which the newest value has weight 1/5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma(f64);

impl Ewma {
    /// Creates an average with an initial value.
    pub const fn with_initial(value: f64) -> Self {
        Self(value)
    }

    /// Adds a value to the average.
    pub fn push(&mut self, value: f64) {
        self.0 += NEWEST_WEIGHT * (value - self.0);
    }

    /// Returns the current average.
    pub const fn get(&self) -> f64 {
        self.0
    }
}

/// Circuit breaker: stops requests to a failing miner.
///
/// A closed breaker allows all requests. Five consecutive failures open it for 5 s. Then it is
/// half-open: it allows one request at a time, until its first token. A failure opens it again for
/// twice as long, up to 120 s; a success closes it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Breaker {
    failures: u32,
    open_until: f64,
    /// Whether the request that a half-open breaker allows is in flight.
    is_probing: bool,
}

impl Breaker {
    /// Returns whether requests are allowed at `now`, in seconds.
    pub fn allows(&self, now: f64) -> bool {
        now >= self.open_until && !self.is_probing
    }

    /// Returns the time from which requests are allowed, in seconds.
    pub const fn allows_from(&self) -> f64 {
        self.open_until
    }

    const fn is_half_open(&self) -> bool {
        self.failures >= MAX_FAILURES
    }

    fn record_success(&mut self) {
        *self = Self::default();
    }

    fn record_failure(&mut self, now: f64) {
        self.failures = self.failures.saturating_add(1);
        if let Some(retries) = self.failures.checked_sub(MAX_FAILURES) {
            self.pause(now, BACKOFF.delay(retries).as_secs_f64());
        }
    }

    fn pause(&mut self, now: f64, seconds: f64) {
        self.open_until = self.open_until.max(now + seconds);
    }
}

/// Latency, success rate and circuit breaker of a miner. All times are in seconds on one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Health {
    latency: Ewma,
    success_rate: Ewma,
    breaker: Breaker,
}

impl Default for Health {
    /// Returns the health of a new miner: a latency of 1 s, no failures.
    fn default() -> Self {
        Self {
            latency: Ewma::with_initial(EXPECTED_LATENCY),
            success_rate: Ewma::with_initial(1.0),
            breaker: Breaker::default(),
        }
    }
}

impl Health {
    /// Records that a request is sent at `now`, in seconds, unless the breaker does not allow it.
    /// Returns whether the request is the only one that a half-open breaker allows; `None` if the
    /// breaker does not allow it.
    pub fn start(&mut self, now: f64) -> Option<bool> {
        if !self.breaker.allows(now) {
            return None;
        }
        self.breaker.is_probing = self.breaker.is_half_open();
        Some(self.breaker.is_probing)
    }

    /// Records the first token, or the end, of the request for which [`Self::start`] returned
    /// `Some(true)`. Call before recording its outcome.
    pub const fn end_probe(&mut self) {
        self.breaker.is_probing = false;
    }

    /// Records an answer, with the latency of its first token in seconds.
    pub fn record_success(&mut self, latency: f64) {
        self.latency.push(latency);
        self.success_rate.push(1.0);
        self.breaker.record_success();
    }

    /// Records a failed request at `now`, in seconds.
    pub fn record_failure(&mut self, now: f64) {
        self.success_rate.push(0.0);
        self.breaker.record_failure(now);
    }

    /// Records a failed request that no other miner has tried: the request itself may be the cause,
    /// so that it lowers the success rate, but does not open the circuit breaker.
    pub fn record_isolated_failure(&mut self) {
        self.success_rate.push(0.0);
    }

    /// Records a rate limit (429) at `now`, in seconds: pauses requests for 1 s, without counting a
    /// failure.
    pub fn record_rate_limit(&mut self, now: f64) {
        self.breaker.pause(now, RATE_LIMIT_PAUSE);
    }

    /// Records a request that was cancelled after `latency` seconds without a first token. Has no
    /// effect unless `latency` exceeds the average.
    pub fn record_wait(&mut self, latency: f64) {
        if latency > self.latency.get() {
            self.latency.push(latency);
        }
    }

    /// Returns the average latency of the first token, in seconds.
    pub const fn latency(&self) -> f64 {
        self.latency.get()
    }

    /// Returns the average success rate, in `0..=1`.
    pub const fn success_rate(&self) -> f64 {
        self.success_rate.get()
    }

    /// Returns the circuit breaker, which decides whether the miner receives requests.
    pub const fn breaker(&self) -> &Breaker {
        &self.breaker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_a_success() {
        let mut health = Health::default();
        let mut now = 1_000.0;
        for _ in 0..4 {
            health.record_failure(now);
            assert!(health.breaker().allows(now));
        }
        for pause in [5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0] {
            health.record_failure(now);
            assert!(!health.breaker().allows(now + pause - 0.1), "{pause}");
            now += pause;
            assert!(health.breaker().allows(now), "{pause}");
        }
        health.record_success(0.1);
        health.record_failure(now);
        assert!(health.breaker().allows(now));
    }

    #[test]
    fn half_open_breaker_allows_one_request_at_a_time() {
        let mut health = Health::default();
        assert_eq!((health.start(0.0), health.start(0.0)), (Some(false), Some(false)));
        for _ in 0..5 {
            health.record_failure(0.0);
        }
        assert_eq!(health.start(4.9), None);
        assert_eq!((health.start(5.0), health.start(5.0)), (Some(true), None));
        // The request is cancelled, or its failure is the buyer's fault.
        health.end_probe();
        assert_eq!((health.start(5.0), health.start(5.0)), (Some(true), None));
        health.end_probe();
        health.record_failure(5.0);
        assert_eq!(
            (health.start(14.9), health.start(15.0), health.start(15.0)),
            (None, Some(true), None)
        );
        health.end_probe();
        health.record_success(0.1);
        assert_eq!((health.start(15.0), health.start(15.0)), (Some(false), Some(false)));
    }

    #[test]
    fn rate_limit_does_not_count_as_failure() {
        let mut health = Health::default();
        for _ in 0..100 {
            health.record_rate_limit(50.0);
        }
        assert_eq!((health.breaker().allows(50.9), health.breaker().allows(51.0)), (false, true));
        assert_eq!(health.success_rate(), 1.0);
    }

    #[test]
    fn isolated_failures_never_open_the_breaker() {
        let mut health = Health::default();
        for _ in 0..100 {
            health.record_isolated_failure();
        }
        assert!(health.breaker().allows(0.0) && health.success_rate() < 1e-9);
    }

    #[test]
    fn each_outcome_updates_latency_and_success_rate() {
        let mut health = Health::default();
        health.record_success(0.5);
        assert_eq!((health.latency(), health.success_rate()), (0.9, 1.0));
        health.record_failure(0.0);
        assert_eq!((health.latency(), health.success_rate()), (0.9, 0.8));
    }
}
