//! Lifecycle of a daemon: shutdown, clocks, atomic files, locks.
//!
//! - [`Shutdown`]: signals, tasks and an orderly stop within [`STOP_WITHIN`];
//! - [`Clock`], [`MonotonicClock`] and [`Sleeper`]: injected time, so that tests never sleep;
//! - [`atomic_write`]: files that are either old or new, never half-written;
//! - [`lock_file`]: a lock that excludes other processes, for example from a directory.
//!
//! Uses no other crate of the workspace. Used by every daemon, and by everything that keeps state on disk.

mod atomic;
mod clock;
mod lock;
mod shutdown;

pub use atomic::{Access, WriteError, atomic_write, atomic_write_with};
pub use clock::{BLOCK_TIME, Clock, MonotonicClock, Sleeper, monotonic_clock, sleeper, system_clock, unix_time};
pub use lock::lock_file;
pub use shutdown::{STOP_WITHIN, Shutdown, StopError};
