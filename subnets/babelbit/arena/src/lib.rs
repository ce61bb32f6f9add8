//! Babelbit's arena: a contest of the miners that won a qualifying round.
//!
//! - [`client`]: the runner's side: which miners are in the arena, and connections to them;
//! - [`gateway`]: the service (`bb arena-gateway`) that takes submissions, lists miners and forwards messages to them.
//!
//! Uses `taonet-babelbit-runner` (miner connections and addresses), `taonet-babelbit-engine` and
//! `taonet-babelbit-scoring-api` (who won the qualifying rounds) and `taonet-validator` (who is on the subnet).

pub mod client;
pub mod gateway;
mod settings;

pub use settings::ArenaSettings;
