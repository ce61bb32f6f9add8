//! Lifecycle of a daemon: shutdown, clocks, atomic files, locks.
//!
//! Daemons of this workspace can be killed at any time, and stop in an orderly way on a signal.
//! Their tests control time instead of sleeping. This crate has the parts that both rules require.
//!
//! - [`Shutdown`]: the tasks of a daemon and its shutdown signal. SIGTERM and Ctrl-C request the
//!   shutdown, and so does a task that panics. [`Shutdown::finished`] then waits at most
//!   [`STOP_TIMEOUT`] for all tasks to end.
//! - [`Clock`], [`MonotonicClock`] and [`Sleeper`]: time as a parameter. Daemons pass
//!   [`system_clock`], [`monotonic_clock`] and [`sleeper`], tests their own. [`BLOCK_TIME`] is the
//!   time between two blocks of the chain.
//! - [`atomic_write`]: replaces a file atomically: readers find the old bytes or the new ones, even
//!   after a power cut. [`Access::Owner`] restricts the file to its owner, for keys and tokens.
//! - [`read_bounded`]: reads a file up to a maximum size.
//! - [`lock_file`]: an exclusive lock that ends with the process, so that two daemons do not share
//!   a state directory.
//!
//! ```no_run
//! use taonet_service::{Access, Shutdown, atomic_write};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let shutdown = Shutdown::on_signals()?;
//! shutdown.spawn_until("state", |stop| async move {
//!     stop.requested().await;
//!     if let Err(error) = atomic_write("state.json", b"{}", Access::Everyone) {
//!         tracing::error!(%error, "the state is not saved");
//!     }
//! });
//! shutdown.finished().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The crate does not restart daemons, which systemd and Docker do, and has no scheduler: a
//! daemon's loop selects between its work and [`Shutdown::requested`]. HTTP services drain their
//! connections in `taonet-http`.
//!
//! Uses no other crate of the workspace. Used by every command that runs a daemon, by
//! `taonet-http`, and by most crates that keep state in files or read the time.

mod atomic;
mod bounded;
mod clock;
mod lock;
mod shutdown;

pub use atomic::{Access, WriteError, atomic_write, atomic_write_with};
pub use bounded::read_bounded;
pub use clock::{
    BLOCK_TIME, Clock, MonotonicClock, Sleeper, millis, monotonic_clock, sleeper, system_clock,
    unix_millis, unix_time,
};
pub use lock::lock_file;
pub use shutdown::{STOP_TIMEOUT, Shutdown, StopError};
