//! What time it is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Time between two blocks of the main network.
pub(crate) const BLOCK_TIME: Duration = Duration::from_secs(12);

/// Tells the time. Daemons ask this and never the system, so that tests decide what time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// The time since 1970; none for a clock that stands before.
pub(crate) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Tells how much time has passed, whatever the time of day is set to.
pub type MonotonicClock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The system's monotonic clock.
pub fn monotonic_clock() -> MonotonicClock {
    Arc::new(Instant::now)
}
