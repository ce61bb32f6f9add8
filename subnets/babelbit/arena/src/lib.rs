//! Babelbit's arena: a contest of the miners that won a qualifying round.
//!
//! - [`client`]: the runner's side: discovery of the arena's miners, and connections to them;
//! - [`gateway`]: the service (`bb arena-gateway`) that accepts submissions, lists miners and forwards messages to
//!   them.
//!
//! Uses `taonet-babelbit-runner` (miner connections and addresses), `taonet-babelbit-engine` and
//! `taonet-babelbit-scoring-api` (winners of the qualifying rounds) and `taonet-validator` (the subnet's members).
//! Used by `bb arena-gateway` and, for its client, by `bb runner`.

pub mod client;
pub mod gateway;
mod settings;

pub use settings::ArenaSettings;
