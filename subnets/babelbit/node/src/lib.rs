//! The Babelbit daemons: utterance engine, miner, runner, validator, signer, subtensor gateway, arena gateway and scoring
//! API, and the batch scorer that some of them share; and what checks them: audits, evidence, tests of a miner.

pub mod arena;
pub mod arena_gateway;
pub mod audit;
mod bearer_tokens;
#[cfg(test)]
mod captured_log;
pub mod challenge;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod engine;
pub mod engine_client;
pub mod evidence;
mod http_api;
mod http_client;
pub mod json_client;
pub mod miner;
pub mod object_storage;
pub mod operator_http;
pub mod runner;
pub mod scorer;
pub mod scoring_api;
pub mod signer;
pub mod submission;
pub mod subtensor_gateway;
pub mod validator;
