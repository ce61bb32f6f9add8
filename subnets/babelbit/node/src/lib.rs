//! The Babelbit daemons: utterance engine, miner and runner, and the batch scorer they share.

pub mod engine_client;
pub mod miner;
