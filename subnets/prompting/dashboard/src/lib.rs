//! Text prompting's page of the dashboard (the latest steps of a validator, and its miners), and
//! its part of the overview in a terminal.
//!
//! [`PromptingSection`] reads the newest records of the validator's log of steps
//! ([`EventLog::latest`]): the question of each step, and the completion, reward and response time
//! of each miner. It takes no lock, so it follows a running validator.
//!
//! ```no_run
//! use taonet_dashboard::{Access, BasePath, Changes, Dashboard};
//! use taonet_prompting_dashboard::PromptingSection;
//! use taonet_service::Shutdown;
//!
//! # fn example(shutdown: Shutdown) -> axum::Router {
//! let changes = Changes::default();
//! let prompting = PromptingSection::new("prompting".into());
//! let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone()).with(prompting.clone());
//! let routes = dashboard.router(shutdown.clone());
//! let stop = shutdown.clone();
//! shutdown.spawn("steps", async move { prompting.follow(&changes, &stop).await });
//! # routes
//! # }
//! ```
//!
//! If the log cannot be read, the page shows the reason, with the data of the last successful read.
//! Questions and completions are untrusted: they are escaped and shortened. The crate
//! computes no scores: it shows the rewards that the validator has recorded. The weights that
//! follow from them are on the pages of the chain.
//!
//! Uses `taonet-dashboard` (layout), `taonet-prompting-neurons` (the log of steps),
//! `taonet-service` and `taonet-primitives`. Used by `tao dashboard` and `tao top`.
//!
//! [`EventLog::latest`]: taonet_prompting_neurons::EventLog::latest

mod page;
mod panels;
mod section;
mod source;
mod steps;

pub use section::PromptingSection;
