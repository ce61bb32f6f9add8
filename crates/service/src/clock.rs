//! Injected clocks, so that tests control time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Block time of the main network.
pub const BLOCK_TIME: Duration = Duration::from_secs(12);

/// Source of the current time. Daemons never ask the system directly, so that tests control time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// Time since the Unix epoch; zero for a clock set before it.
pub fn unix_time(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Source of monotonic time, unaffected by changes of the system clock.
pub type MonotonicClock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The system's monotonic clock.
pub fn monotonic_clock() -> MonotonicClock {
    Arc::new(Instant::now)
}

/// Sleeps for a duration; tests inject one that only records it.
pub type Sleeper = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A sleeper on the runtime's timer.
pub fn sleeper() -> Sleeper {
    Arc::new(|pause| Box::pin(tokio::time::sleep(pause)))
}
