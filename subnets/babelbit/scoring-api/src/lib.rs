//! Babelbit's scoring API: where validators submit scores, and where they read the scores of all.
//!
//! - [`server`]: the subnet owner's service (`bb scoring-api`), on SQLite or PostgreSQL;
//! - [`ScoresClient`]: how a validator and the arena gateway read the scores of a challenge.
//!
//! Uses `taonet-babelbit-core` (messages, the median by stake), `taonet-http`, `taonet-objects` (artifacts in a bucket) and
//! `taonet-validator` (who is a validator, from the subtensor gateway). The runner submits with a client of its own, which
//! belongs to its outbox.

mod client;
pub mod server;

pub use client::ScoresClient;
