//! The Babelbit daemons: utterance engine, miner and runner, and the batch scorer they share.

pub mod challenge;
pub mod clock;
pub mod config;
pub mod engine;
pub mod engine_client;
pub mod miner;
pub mod runner;
pub mod scorer;
