//! Injected clocks, so that tests control time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Block time of the main network.
pub const BLOCK_TIME: Duration = Duration::from_secs(12);

/// Source of the current time. Daemons never read the system clock directly, so that tests control
/// time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Returns the system clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// Returns the time since the Unix epoch; zero for an earlier time.
pub fn unix_time(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Returns the time since the Unix epoch in milliseconds, as databases store it; zero for an earlier
/// time.
pub fn unix_millis(time: SystemTime) -> i64 {
    millis(unix_time(time))
}

/// Returns a duration in milliseconds; [`i64::MAX`] for a longer one.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Source of monotonic time, unaffected by changes of the system clock.
pub type MonotonicClock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Returns the system's monotonic clock.
pub fn monotonic_clock() -> MonotonicClock {
    Arc::new(Instant::now)
}

/// Async function that sleeps for a duration; tests inject one that only records the duration.
pub type Sleeper = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Returns a sleeper that uses the timer of the tokio runtime.
pub fn sleeper() -> Sleeper {
    Arc::new(|pause| Box::pin(tokio::time::sleep(pause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: time · milliseconds since the Unix epoch
    #[test]
    fn unix_millis_are_bounded() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (time, expected) in [
            (epoch, 0),
            (epoch + Duration::from_micros(1_999), 1),
            (epoch - Duration::from_secs(1), 0),
        ] {
            assert_eq!(unix_millis(time), expected, "{time:?}");
        }
        assert_eq!(millis(Duration::MAX), i64::MAX);
    }
}
