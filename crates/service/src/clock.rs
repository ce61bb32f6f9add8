//! Clocks that daemons take as arguments, so that tests decide what time it is.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Block time of the main network.
pub const BLOCK_TIME: Duration = Duration::from_secs(12);

/// Tells the time. Daemons ask this and never the system, so that tests decide what time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// Time since the Unix epoch; zero for a clock set before it.
pub fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Tells how much time has passed, whatever the time of day is set to.
pub type MonotonicClock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The system's monotonic clock.
pub fn monotonic_clock() -> MonotonicClock {
    Arc::new(Instant::now)
}

/// Waits for a duration; tests hand in one that only records it.
pub type Sleeper = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The runtime's own timer.
pub fn sleeper() -> Sleeper {
    Arc::new(|pause| Box::pin(tokio::time::sleep(pause)))
}
