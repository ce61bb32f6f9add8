//! What every taonet daemon shares.
//!
//! - [`Shutdown`]: signals, tasks and an orderly stop within [`STOP_WITHIN`];
//! - [`serve`]: an HTTP server with limits and a graceful end;
//! - [`Places`]: which connection makes room when all places are taken;
//! - [`whole_body`]: bodies that are read before their requests take a turn;
//! - [`readiness_routes`]: `/readyz` and `/metrics`;
//! - [`atomic_write`]: files that are either old or new, never half-written;
//! - [`lock_file`]: one process at a time in a directory.

mod atomic;
mod health;
mod lock;
mod places;
mod serve;
mod shutdown;
mod unread;
mod whole;

pub use atomic::{Access, WriteError, atomic_write, atomic_write_with};
pub use health::{Readiness, readiness_routes};
pub use lock::lock_file;
pub use places::{Place, Places, Progress};
pub use serve::{ServeLimits, serve};
pub use shutdown::{STOP_WITHIN, Shutdown, StopError};
pub use whole::{WholeBodies, whole_body};
