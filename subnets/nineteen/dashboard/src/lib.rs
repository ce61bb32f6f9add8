//! Nineteen's pages of the dashboard (tasks, miners and periods of a validator), and its part of
//! the overview in a terminal.
//!
//! [`NineteenSection`] reads up to two sources, and shows what each of them has:
//!
//! - the validator's state directory ([`Store::read`]: read-only, without a lock): the running
//!   period with its miners and counters, the scores of past periods, the results of checks, and
//!   the spend by API key;
//! - the gateway (`/status.json` of `tao nineteen validator` or `entry`): which tasks are
//!   available, requests in flight, and latencies. Its counters are live; those of the database are
//!   up to a few seconds old.
//!
//! ```no_run
//! use taonet_dashboard::{Access, BasePath, Changes, Dashboard};
//! use taonet_nineteen_dashboard::NineteenSection;
//! use taonet_service::Shutdown;
//!
//! # fn example(shutdown: Shutdown) -> axum::Router {
//! let changes = Changes::default();
//! let nineteen = NineteenSection::new(Some("nineteen".into()), None);
//! let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone()).with(nineteen.clone());
//! let routes = dashboard.router(shutdown.clone());
//! let stop = shutdown.clone();
//! shutdown.spawn("market", async move { nineteen.follow(&changes, &stop).await });
//! # routes
//! # }
//! ```
//!
//! If a source cannot be read, the pages show the reason, with the data of the last successful
//! read. The columns have the names of those on the gateway's page `/status`. The crate computes no
//! scores: it shows those that the validator has stored. The spend by key has the names of the
//! keys: neither the keys themselves nor their balances are shown.
//!
//! Uses `taonet-dashboard` (layout, charts), `taonet-nineteen-store` (the database),
//! `taonet-nineteen-core`, `taonet-http` (its client), `taonet-service` and `taonet-primitives`.
//! Used by `tao dashboard` and `tao top`.
//!
//! [`Store::read`]: taonet_nineteen_store::Store::read

mod market;
mod miner;
mod page;
mod panels;
mod section;
mod source;
mod tasks;

pub use section::NineteenSection;
