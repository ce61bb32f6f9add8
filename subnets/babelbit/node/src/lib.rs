//! The Babelbit daemons: utterance engine, miner and runner, and the batch scorer they share; and what checks them:
//! audits, evidence, tests of a miner.

pub mod audit;
pub mod challenge;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod engine;
pub mod engine_client;
pub mod evidence;
pub mod miner;
pub mod runner;
pub mod scorer;
