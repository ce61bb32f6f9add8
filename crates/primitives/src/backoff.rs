use std::time::Duration;

/// Exponential backoff: the first delay, doubled with each further retry up to a maximum.
///
/// It is a function of the number of retries, so that the number can be kept in a database or in
/// memory, and takes its random number as an argument. [`Duration::MAX`] as maximum leaves the
/// delay unlimited.
///
/// ```
/// use std::time::Duration;
/// use taonet_primitives::Backoff;
///
/// let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
/// assert_eq!(backoff.delay(0), Duration::from_secs(1));
/// assert_eq!(backoff.delay(3), Duration::from_secs(8));
/// assert_eq!(backoff.delay(40), Duration::from_mins(1));
/// assert_eq!(backoff.jittered(3, 0.5), Duration::from_secs(6));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Creates a backoff with the delay before the first retry and the maximum delay.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// Returns the delay before a retry; `retries` is the number of earlier retries.
    pub fn delay(&self, retries: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(retries)).min(self.max)
    }

    /// Returns 50 to 100 % of [`Self::delay`], so that calls that failed together are not retried
    /// together. `random` is a uniform random number in `0..=1`.
    pub fn jittered(&self, retries: u32, random: f64) -> Duration {
        let half_delay = self.delay(retries) / 2;
        half_delay + half_delay.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_up_to_max() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(10));
        let seconds = [0, 1, 2, 3, 40, u32::MAX].map(|retries| backoff.delay(retries).as_secs());
        assert_eq!(seconds, [2, 4, 8, 10, 10, 10]);
        let unlimited = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert_eq!(unlimited.delay(31), Duration::from_secs(1 << 31));
        assert_eq!(unlimited.delay(u32::MAX), Duration::from_secs(u32::MAX.into()));
    }

    #[test]
    fn jitter_stays_between_half_and_full_delay() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::MAX);
        for (random, seconds) in [(0.0, 4), (0.25, 5), (1.0, 8), (-1.0, 4), (9.0, 8)] {
            assert_eq!(backoff.jittered(2, random), Duration::from_secs(seconds), "{random}");
        }
        let unbounded = Backoff::new(Duration::MAX, Duration::MAX);
        assert!(unbounded.jittered(u32::MAX, 1.0) > unbounded.jittered(u32::MAX, 0.0));
    }
}
