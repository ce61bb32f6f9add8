//! Babelbit's scoring API: validators submit their scores and read the scores of all validators.
//!
//! Each validator plays the challenges itself and arrives at slightly different scores. The subnet
//! owner's service collects them; a miner's score is the stake-weighted median over the validators,
//! so that validators with a minority of the stake cannot set it. Every validator computes its
//! weights from these medians.
//!
//! - [`server`]: the subnet owner's service, on SQLite or PostgreSQL. [`server::ScoringApi`]
//!   provides the routes; a [`server::Store`] stores the rows, and a [`server::ArtifactStore`] the
//!   uploaded files, in a directory or a bucket. [`server::Admission`] determines who may submit:
//!   holders of a validator permit, or listed hotkeys.
//! - [`ScoresClient`]: the client with which validators and the arena gateway read the score rows
//!   of a challenge.
//!
//! The owner opens the stores and serves the router:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_babelbit_scoring_api::server::{Admission, ArtifactStore, ScoringApi, ScoringLimits, Store};
//!
//! # async fn example(admission: Admission) -> Result<axum::Router, Box<dyn std::error::Error>> {
//! let store = Store::open("sqlite:scores.sqlite").await?;
//! let artifacts = ArtifactStore::open(Path::new("artifacts"), None)?;
//! let api = ScoringApi::new(store, artifacts, admission, ScoringLimits::default());
//! # Ok(api.router())
//! # }
//! ```
//!
//! A request is checked before its body is processed: limits, signature, age, permit, rate limit; a
//! file's metadata precedes its content. A repeated submission is stored as one row, and of two
//! submissions of a file the one signed later wins. The runner submits with its own client, which
//! is part of its outbox. The crate computes no weights.
//!
//! Uses `taonet-babelbit-core` (messages, the stake-weighted median), `taonet-http` (the service),
//! `taonet-wire` and `taonet-wallet` (signatures), `taonet-database` (submissions),
//! `taonet-objects` (artifacts in a bucket), `taonet-validator` (validator permits, from the
//! subtensor gateway), `taonet-service` and `taonet-primitives`. Used by `bb scoring-api`, and for
//! its client by `taonet-babelbit-validator`, `taonet-babelbit-arena` and
//! `taonet-babelbit-dashboard`.

mod client;
pub mod server;

pub use client::ScoresClient;
