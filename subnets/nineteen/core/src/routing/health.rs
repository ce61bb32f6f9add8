//! How a miner's latest requests went.

/// Weight of the newest value in an average.
const NEWEST: f64 = 0.2;
/// Latency that newcomers are expected to have, in seconds.
const EXPECTED_LATENCY: f64 = 1.0;
/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// First pause of an open breaker, in seconds; each further one is twice as long.
const PAUSE: f64 = 5.0;
/// Longest pause.
const LONGEST_PAUSE: f64 = 120.0;
/// Pause after a rate limit.
const LIMIT_PAUSE: f64 = 1.0;

/// An exponentially weighted moving average: the newest value counts a fifth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma(f64);

impl Ewma {
    /// An average that begins with an expectation.
    pub const fn expecting(value: f64) -> Self {
        Self(value)
    }

    /// Takes a value in.
    pub fn push(&mut self, value: f64) {
        self.0 += NEWEST * (value - self.0);
    }

    /// The average.
    pub const fn get(&self) -> f64 {
        self.0
    }
}

/// Keeps requests from a miner that fails.
///
/// Closed, it lets all pass. Five failures in a row open it for 5 s; then requests pass again, and the next failure opens it
/// for twice as long, up to 120 s. A success closes it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Breaker {
    failures: u32,
    open_until: f64,
}

impl Breaker {
    /// Whether requests pass.
    pub fn allows(&self, now: f64) -> bool {
        now >= self.open_until
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn failed(&mut self, now: f64) {
        self.failures = self.failures.saturating_add(1);
        if let Some(further) = self.failures.checked_sub(FAILURES) {
            let pause = PAUSE * 2.0_f64.powi(further.min(10).cast_signed());
            self.pause(now, pause.min(LONGEST_PAUSE));
        }
    }

    fn pause(&mut self, now: f64, seconds: f64) {
        self.open_until = self.open_until.max(now + seconds);
    }
}

/// How a miner's latest requests went. Times are in seconds of any one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Health {
    latency: Ewma,
    success: Ewma,
    breaker: Breaker,
}

impl Default for Health {
    /// A newcomer's: 1 s to the first token, no failures.
    fn default() -> Self {
        Self { latency: Ewma::expecting(EXPECTED_LATENCY), success: Ewma::expecting(1.0), breaker: Breaker::default() }
    }
}

impl Health {
    /// An answer came, its first token after this time.
    pub fn succeeded(&mut self, latency: f64) {
        self.latency.push(latency);
        self.success.push(1.0);
        self.breaker.succeeded();
    }

    /// No answer came.
    pub fn failed(&mut self, now: f64) {
        self.success.push(0.0);
        self.breaker.failed(now);
    }

    /// The miner said 429: it is healthy, and full.
    pub fn limited(&mut self, now: f64) {
        self.breaker.pause(now, LIMIT_PAUSE);
    }

    /// Average time to the first token.
    pub const fn latency(&self) -> f64 {
        self.latency.get()
    }

    /// Average share of answered requests.
    pub const fn success(&self) -> f64 {
        self.success.get()
    }

    /// The breaker.
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
            health.failed(now);
            assert!(health.breaker().allows(now));
        }
        for pause in [5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0] {
            health.failed(now);
            assert!(!health.breaker().allows(now + pause - 0.1), "{pause}");
            now += pause;
            assert!(health.breaker().allows(now), "{pause}");
        }
        health.succeeded(0.1);
        health.failed(now);
        assert!(health.breaker().allows(now));
    }

    #[test]
    fn a_rate_limit_is_no_failure() {
        let mut health = Health::default();
        for _ in 0..100 {
            health.limited(50.0);
        }
        assert_eq!((health.breaker().allows(50.9), health.breaker().allows(51.0)), (false, true));
        assert_eq!(health.success(), 1.0);
    }

    #[test]
    fn averages_follow() {
        let mut health = Health::default();
        health.succeeded(0.5);
        assert_eq!((health.latency(), health.success()), (0.9, 1.0));
        health.failed(0.0);
        assert_eq!((health.latency(), health.success()), (0.9, 0.8));
    }
}
