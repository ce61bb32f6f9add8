//! What every taonet daemon shares.
//!
//! - [`Shutdown`]: signals, tasks and an orderly stop within [`STOP_WITHIN`];
//! - [`serve`]: an HTTP server with limits and a graceful end;
//! - [`readiness_routes`]: `/readyz` and `/metrics`;
//! - [`atomic_write`]: files that are either old or new, never half-written;
//! - [`lock_file`]: one process at a time in a directory.

mod atomic;
mod health;
mod lock;
mod serve;
mod shutdown;
mod unread;

pub use atomic::{Access, WriteError, atomic_write, atomic_write_with};
pub use health::{Readiness, readiness_routes};
pub use lock::lock_file;
pub use serve::{ServeLimits, serve};
pub use shutdown::{STOP_WITHIN, Shutdown, StopError};
