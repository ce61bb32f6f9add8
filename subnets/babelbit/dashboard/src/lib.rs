//! Babelbit's pages of the dashboard (the leaderboard, and every challenge, reply and miner of a
//! runner), and Babelbit's part of the overview in a terminal.
//!
//! [`BabelbitSection`] reads a run's directory: the runner's ledger ([`Ledger::read`]: read-only,
//! without its lock) and the recordings beside it. An `Index` holds the scores of the latest
//! challenges in memory; a background task updates the index when the runner commits to its ledger.
//! Pages that show individual replies read them from the ledger by key. Each page is rendered
//! within milliseconds, even at 256 miners and 50 challenges.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_babelbit_dashboard::BabelbitSection;
//! use taonet_babelbit_runner::RunPaths;
//! use taonet_dashboard::{Access, BasePath, Changes, Dashboard};
//! use taonet_service::Shutdown;
//!
//! # async fn example(shutdown: Shutdown) -> axum::Router {
//! let changes = Changes::default();
//! let babelbit = BabelbitSection::open(RunPaths::in_directory(Path::new("run"))).await;
//! let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone()).with(babelbit.clone());
//! let routes = dashboard.router(shutdown.clone());
//! let stop = shutdown.clone();
//! shutdown.spawn("contest", async move { babelbit.follow(&changes, &stop).await });
//! # routes
//! # }
//! ```
//!
//! If data is missing or malformed (a directory of another program, a different schema version, a
//! missing recording), pages show the reason instead of the data. The section never writes to the
//! run's directory, so it can follow a running runner, or show the results of one that has exited.
//!
//! [`TextSection`] shows the result files of the text contest: the prediction at each revealed
//! word, with its score.
//!
//! [`TrySection`] adds the page "Try it": visitors speak to a miner over the contest's own
//! protocol, hear its interpretation while they speak, and read captions and latencies.
//!
//! [`BabelbitSection::follow_scores`] adds the scores of all validators, from the scoring API, to
//! the pages of challenges.
//!
//! The pages show the same reasons for lost points as the command line's tables. Apart from "Try
//! it", the crate contacts no miner, and it computes no scores: it shows those of the runner and of
//! the scoring API.
//!
//! Uses `taonet-dashboard` (layout, charts), `taonet-babelbit-runner` (its ledger, its connections
//! to miners), `taonet-babelbit-scoring-api` (its client), `taonet-babelbit-scorer`,
//! `taonet-babelbit-core`, `taonet-speech` (captions), `taonet-http` (bounded bodies),
//! `taonet-service` and `taonet-primitives`. Used by `tao dashboard`, `tao top` and `tao demo`.
//!
//! [`Ledger::read`]: taonet_babelbit_runner::Ledger::read

mod diff;
mod index;
mod pages;
mod panels;
mod reply;
mod section;
mod source;
mod text;
mod try_it;
mod validators;
mod verdict;

pub use section::BabelbitSection;
pub use text::TextSection;
pub use try_it::{TrySample, TrySection, TrySettings};
