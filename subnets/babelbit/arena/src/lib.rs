//! Babelbit's arena: a contest of a few submitted miners, ranked by their wins in qualifying
//! rounds.
//!
//! Main rounds call every registered miner. The arena is smaller: it has a few slots, its miners
//! run in containers, and validators find them through the subnet owner's gateway. The winner of
//! the arena receives a share of the weights.
//!
//! - [`client`]: the runner's side. [`client::Arena::miners`] lists the arena's miners that are
//!   registered on the chain, and returns each with a connection: through the gateway, directly to
//!   a managed container, or to a pod that may have to be started first. Each connection implements
//!   [`taonet_babelbit_runner::MinerConnection`], so that a round is played and scored like any
//!   other. [`client::Arena::text_miners`] does the same for the text contest.
//! - [`gateway`]: the subnet owner's service ([`gateway::ArenaGateway`]). It accepts signed
//!   submissions of miners, ranks them by qualifying wins, issues tokens to validators, lists the
//!   admitted miners and forwards messages to them. [`gateway::submit`] is the miner's side of a
//!   submission.
//! - [`ArenaSettings`]: timeouts, routes and retries of the client, under the reference system's
//!   names.
//!
//! `bb arena-gateway` opens an [`ArenaGateway`](gateway::ArenaGateway) with a keypair and a state
//! directory and serves its router. `bb runner` creates a [`client::Arena`] when
//! `BB_ENABLE_ARENA_CHALLENGE` is set. `tao demo` runs both.
//!
//! The gateway's state is one file that is replaced atomically, so a crash loses no acknowledged
//! submission. Tokens are in memory only. Since endpoints are untrusted, the addresses to which a
//! host name resolves are checked at connection time, and private addresses are refused outside of
//! development mode.
//!
//! The crate neither plays rounds nor computes scores (the runner does), and does not build or host
//! containers.
//!
//! Uses `taonet-babelbit-runner` (connections and addresses of miners),
//! `taonet-babelbit-text-runner` (connections of the text contest), `taonet-babelbit-engine` and
//! `taonet-babelbit-scoring-api` (winners of the qualifying rounds), `taonet-babelbit-core`
//! (messages), `taonet-validator` (the subnet's members), `taonet-wire` and `taonet-wallet` (signed
//! requests), `taonet-http` (the service), `taonet-service`, `taonet-settings` and
//! `taonet-primitives`. Used by `taonet-babelbit-config` for its settings, by `bb arena-gateway`
//! and `bb arena-submit`, and for its client by `bb runner`.

pub mod client;
pub mod gateway;
mod settings;

pub use settings::ArenaSettings;
