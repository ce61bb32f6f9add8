//! Babelbit's pages: the leaderboard, and every challenge, reply and miner of a runner.
//!
//! [`BabelbitSection`] reads a run's directory: the runner's ledger ([`Ledger::read`]: read-only, without its lock) and
//! the recordings beside it. The numbers of the latest challenges are kept in memory as an `Index`, which a task
//! updates when the runner commits; pages of single replies are read from the ledger by key. So each page takes
//! milliseconds, at 256 miners and 50 challenges, too.
//!
//! What is missing or malformed (a foreign directory, another schema version, a lost recording) is reported on the page
//! in place of the data.
//!
//! The reasons for lost points are the same on the pages and in the program's tables: [`losses`], [`reason`].
//!
//! Uses `taonet-dashboard` (layout, charts) and `taonet-babelbit-runner` (its ledger).
//! Used by `tao dashboard`, `tao demo` and the leaderboards of the command line.
//!
//! [`Ledger::read`]: taonet_babelbit_runner::Ledger::read

mod diff;
mod index;
mod pages;
mod reply;
mod section;
mod source;
mod verdict;

pub use section::{BabelbitSection, BabelbitSettings};
pub use verdict::{losses, reason};
