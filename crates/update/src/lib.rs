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
//! The server is not trusted: [`ReleaseKey::pinned`] is compiled into the program, the signed list
//! names version and platform, and [`Updater`] accepts a program only if its digest is on that list
//! and it reports the promised version. Only versions newer than the running one are accepted, so a
//! server can withhold a release, but can neither forge one nor replace the program with an older
//! one.
//!
//! ```no_run
//! use taonet_update::{Check, ReleaseKey, ReleaseSource, Updater};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let source: ReleaseSource = "https://releases.example.org/taonet".parse()?;
//! let updater = Updater::new(source, ReleaseKey::pinned()?, "1.2.3".parse()?, std::env::current_exe()?)?;
//! if let Check::Newer(release) = updater.check().await? {
//!     println!("installed {}", updater.install(&release, |_progress| {}).await?.version);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The program is replaced by a rename, so at every moment there is a complete program at its path;
//! the old one stays in the same directory with the suffix `.previous`. Interrupted downloads
//! resume. [`Limits`] has the maximum size of the program and the timeouts of the steps. Unless an
//! [`UpdateError`] says otherwise, a failed update leaves the installed program unchanged;
//! [`UpdateError::is_network`] returns whether a retry may succeed.
//!
//! [`Updater::restart_daemons`] runs a command that restarts the daemons, and restores the previous
//! program if they do not become ready. [`AutoUpdate`] polls the release server in a daemon; after
//! an installation it requests the shutdown of the daemon, and [`restart`] executes the new program
//! in place of the process. A [`Trial`] in the new program restores the previous one if the daemon
//! does not become ready. The crate does not build or sign releases, and updates only the program
//! itself: no models, configuration or databases.
//!
//! Uses `taonet-http` (client, readiness), `taonet-primitives` (error messages) and
//! `taonet-service` (shutdown, locks). Used by `tao update` and by the daemons with
//! `--auto-update`.

mod auto;
mod daemons;
mod download;
mod error;
mod key;
mod metrics;
mod program;
mod release;
mod source;
mod trial;
mod updater;

pub use auto::{AutoUpdate, CHECK_INTERVAL, PendingRestart, restart};
pub use daemons::RestartError;
pub use download::Progress;
pub use error::UpdateError;
pub use key::{KeyError, ReleaseKey};
pub use metrics::describe as describe_metrics;
pub use program::SelfTestError;
pub use release::{Release, TARGET};
pub use source::ReleaseSource;
pub use trial::Trial;
pub use updater::{Check, Installed, Limits, Updater};
