//! Checks of an operator's set-up: what `tao doctor`, `bb config check` and the start of every
//! daemon report.
//!
//! A validator or miner that is set up incorrectly often fails late and far from the cause: a clock
//! that is off lets peers refuse its requests, a restored ledger stops its weights. Each function
//! of this crate checks one property and returns [`Finding`]s: what was checked, what was seen, and
//! for a warning or a fault what to do about it.
//!
//! - this machine: [`clock_against_ntp`], [`disks`], [`port`], [`host`], [`version`];
//! - the operator's files: [`settings`] and [`difference`], [`hotkey`], [`coldkey`] and
//!   [`secret_file`], [`model`];
//! - the chain: [`clock_against_chain`], [`registration`], [`ledger`], [`reachability`].
//!
//! ```
//! use taonet_doctor::{DiskNeeds, Report, Status, WriteDirectory, disks};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let needs = DiskNeeds { fault_below: u64::MAX, warn_below: u64::MAX };
//! let directories = vec![WriteDirectory::new("temporary files", "/tmp", needs)];
//! let mut report = Report::default();
//! report.extend(disks(directories, std::time::Duration::from_secs(10)).await);
//! assert_eq!(report.findings()[0].status, Status::Fault);
//! assert_eq!(report.exit_code(), 1);
//! # }
//! ```
//!
//! A check never changes anything, and never fails: what it cannot determine, such as the time
//! without a network, is a finding with the status [`Status::Skipped`] and the reason. Each
//! [`Check`] has its exit code; that of a [`Report`] is the one of its first fault. Everything that
//! a check compares with is a parameter, such as the local time, so that tests can break a set-up.
//!
//! The crate knows no subnet and prints nothing: the commands select the checks and show the
//! report, and [`log_findings`] logs warnings and faults at the start of a daemon. It reads no
//! environment variables.
//!
//! Uses `taonet-chain` and `taonet-ledger` (time, registration and submissions of a hotkey),
//! `taonet-http` (names of daemons), `taonet-neuron` (which addresses are called),
//! `taonet-primitives`, `taonet-settings` (problems of settings), `taonet-speech` (models and their
//! sums), `taonet-wallet` (keyfiles) and `taonet-wire` (the request to a published endpoint). Used
//! by the commands of `tao` only.

mod clock;
mod disk;
mod finding;
mod host;
mod keys;
mod ledger;
mod models;
mod neuron;
mod ports;
mod reach;
mod settings;
mod version;

pub use clock::{clock_against_chain, clock_against_ntp};
pub use disk::{DiskNeeds, WriteDirectory, disks};
pub use finding::{Check, Finding, Report, Status, log_findings};
pub use host::{Host, UnitUser, host, open_files};
pub use keys::{coldkey, hotkey, secret_file};
pub use ledger::{LedgerView, ledger};
pub use models::{IfMissing, model};
pub use neuron::{Registration, registration};
pub use ports::port;
pub use reach::{Endpoint, EndpointCall, reachability};
pub use settings::{difference, settings};
pub use version::{Latest, version};
