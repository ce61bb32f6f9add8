//! Signed releases: check, download, verify, replace the program, restart.
//!
//! A release server is any static web server, or a directory ([`ReleaseSource`]):
//!
//! | File | Content |
//! |---|---|
//! | `latest.json` | `{"version": "1.2.3"}` |
//! | `1.2.3/SHA256SUMS` | one line per platform: digest and `tao-1.2.3-TARGET` |
//! | `1.2.3/SHA256SUMS.minisig` | minisign signature of that file, prehashed |
//! | `1.2.3/tao-1.2.3-TARGET` | the program |
//!
//! The server is not trusted: [`ReleaseKey::pinned`] is compiled into the program, the signed list names version and
//! platform, and [`Updater`] accepts a program only if its digest is on that list and it reports the promised version.
//! Only versions newer than the running one are accepted, so a server can withhold a release but neither forge one nor
//! return to an old one.
//!
//! [`AutoUpdate`] polls in a daemon; after an installation it shuts the daemon down, and [`restart`] executes the new
//! program in the same process.
//!
//! Uses `taonet-http` (client) and `taonet-service` (shutdown, locks).
//! Used by `tao update` and by the daemons with `--auto-update`.

mod auto;
mod download;
mod error;
mod key;
mod measures;
mod program;
mod release;
mod source;
mod updater;

pub use auto::{AutoUpdate, INTERVAL, PendingRestart, restart};
pub use download::Progress;
pub use error::UpdateError;
pub use key::{KeyError, ReleaseKey};
pub use measures::describe as describe_metrics;
pub use program::SelfTestError;
pub use release::{Release, TARGET};
pub use source::ReleaseSource;
pub use updater::{Check, Installed, Limits, Updater};
