//! Commands for blocks and calls: `tao block`, `events`, `watch`, `query`, `call`, `batch` and
//! `tx`.
//!
//! Each module is a command, with its arguments and a function `run`.
//!
//! - [`block`], [`events`] and [`watch`] show blocks: one, its events, and the new ones as they
//!   come.
//! - [`chain_query`] (`tao query`) reads storage items, constants and runtime APIs by name.
//! - [`any_call`] (`tao call`) submits any call of the chain's metadata, with arguments as JSON or
//!   `name=value`, and lists the calls; [`batch`] submits several in one extrinsic.
//! - [`tx`] decodes extrinsics and calls, and lists those of a block.
//!
//! All of them use names from the metadata of the connected chain, so they know calls and events
//! that are newer than this program. A call is planned, shown, confirmed, signed and followed by
//! the module `chain` of the shared crate; the options for proxies, dry runs and the MEV shield are
//! those of every command that submits.
//!
//! [`any_call::CallOrPallet`] is a call by its name, which the commands for proxies and multisigs
//! also accept.
//!
//! What the commands print as JSON is a documented format: docs/chain.md has the keys of every
//! command. The commands keep no state and start no service; `tao watch` runs until it is stopped.
//!
//! Commands for wallets, stake and subnets are in their own crates, and have typed arguments
//! instead.
//!
//! Uses `taonet-chain`, `taonet-cli-base`, `taonet-primitives` and `taonet-service`. Used by
//! `taonet-cli` and `taonet-cli-wallet`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod any_call;
pub mod batch;
pub mod block;
pub mod chain_query;
pub mod events;
pub mod tx;
pub mod watch;

#[cfg(test)]
mod tests;
