//! What time it is.

use std::sync::Arc;
use std::time::SystemTime;

/// Tells the time. Daemons ask this and never the system, so that tests decide what time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}
