//! Foundation of all commands of `tao`: output, errors, settings, keys, chain access, daemons.
//!
//! Every command gets a [`context::Context`] and returns an error of the crate anyhow;
//! [`exit::report`] prints it with its hints, and selects the exit code. Data goes to standard
//! output through the context, everything else to standard error. Text from peers is escaped
//! ([`printable`]) before it reaches a terminal.
//!
//! - [`settings`] reads the environment and `.env`; [`keys`], [`wallet_args`] and [`password`] open
//!   the signing key; [`prompt`] asks, [`memory`] protects secrets in memory, and [`secret_file`]
//!   reads tokens.
//! - [`chain`] selects the network, plans calls with what they cost, signs and submits them, and
//!   reports the outcome; [`endpoint`] publishes a neuron's address, and [`subnet_names`] keeps
//!   names of subnets for completions.
//! - [`daemon`] has what all daemons share: listeners, metrics, limits on open files, shutdown.
//!   [`preflight`] has the checks at their start, [`updates`] their automatic updates, and
//!   [`run_log`] the log file of a run.
//! - [`table`] fits tables to the terminal: numbers never wrap, and less important columns are
//!   omitted. [`tables`] has the columns of every table of every command, so that one test covers
//!   them all.
//! - [`input`] reads documents from files or standard input, [`duration`] has arguments in seconds,
//!   and [`progress`] draws bars.
//!
//! A context writes to standard output and standard error, or to other writers: with the feature
//! `testing`, tests run a command in their own process, and read its output and its error.
//!
//! A command's crate begins with its arguments (clap's derive) and a function `run` that gets them
//! with the context. Code that two groups of commands need belongs here; code that other programs
//! could use belongs in a library. The crate knows no subnet, except in the names of columns.
//!
//! Uses `taonet-chain`, `taonet-doctor`, `taonet-http`, `taonet-neuron`, `taonet-primitives`,
//! `taonet-reach`, `taonet-service`, `taonet-settings`, `taonet-shield`, `taonet-telemetry`,
//! `taonet-update`, `taonet-wallet` and `taonet-wire`. Used by `taonet-cli`, `taonet-cli-axon`,
//! `taonet-cli-babelbit`, `taonet-cli-chain`, `taonet-cli-dashboard`, `taonet-cli-demo`,
//! `taonet-cli-localnet`, `taonet-cli-models`, `taonet-cli-nineteen`, `taonet-cli-prompting`,
//! `taonet-cli-proof`, `taonet-cli-subnets` and `taonet-cli-wallet`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod chain;
pub mod context;
pub mod daemon;
pub mod duration;
pub mod endpoint;
pub mod exit;
pub mod input;
pub mod keys;
pub mod memory;
pub mod password;
pub mod preflight;
pub mod printable;
pub mod progress;
pub mod prompt;
pub mod run_log;
pub mod secret_file;
pub mod settings;
pub mod subnet_names;
pub mod table;
pub mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod updates;
pub mod wallet_args;
