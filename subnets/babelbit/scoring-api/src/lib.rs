//! Babelbit's scoring API: validators submit scores to it and read everyone's scores from it.
//!
//! - [`server`]: the subnet owner's service (`bb scoring-api`), on SQLite or PostgreSQL;
//! - [`ScoresClient`]: the client with which validators and the arena gateway read the scores of a challenge.
//!
//! Uses `taonet-babelbit-core` (messages, the stake-weighted median), `taonet-http`, `taonet-objects` (artifacts in a
//! bucket) and `taonet-validator` (validator permits, from the subtensor gateway). The runner submits with a separate
//! client, which belongs to its outbox. Used by `bb scoring-api`, and for its client by the validator and the arena
//! gateway.

mod client;
pub mod server;

pub use client::ScoresClient;
