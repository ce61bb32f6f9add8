//! The commands of text prompting: `tao prompting …` and `tao prompt`.
//!
//! - `miner` completes conversations with a language model of its own or with a server of
//!   completions.
//! - `validator` asks miners one question a step, rewards their completions, keeps scores and
//!   submits them as weights; `judge` loads the models that reward completions.
//! - `explain` shows how the score of a miner came about, from the record of the validator and its
//!   log of completions; `state` exports and imports the scores with their record.
//! - `demo` runs a chain, a validator and five miners of different quality on this machine.
//! - `prompt` is `tao prompt`: it sends a question to miners, rewards the completions, and prints
//!   the best one.
//!
//! This subnet is built on the kit: protocol, miner and challenge are in
//! `taonet-prompting-neurons`, and everything that a validator of any subnet does is in
//! `taonet-kit`. The commands open keys, models and addresses, and start the parts.
//!
//! This subnet has the least code of its own: it is the example to read before adding another
//! subnet, since the commands of a subnet on the kit need about this much code.
//!
//! Questions come from files of questions or of texts; docs/prompting.md is the guide. Exit codes,
//! JSON output and options follow the rules of all commands.
//!
//! Completions of the demonstration come from a table, so that it needs no model.
//!
//! The feature `localnet` has `tao prompting demo`, whose chain is that of `taonet-cli-localnet`.
//!
//! Uses `taonet-chain`, `taonet-cli-base`, `taonet-cli-models`, `taonet-cli-subnets`,
//! `taonet-doctor`, `taonet-http`, `taonet-kit`, `taonet-lm`, `taonet-neuron`, `taonet-primitives`,
//! `taonet-prompting-core`, `taonet-prompting-neurons`, `taonet-service`, `taonet-speech` and
//! `taonet-wallet`. Used by `taonet-cli`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

#[cfg(feature = "localnet")]
mod demo;
mod explain;
mod judge;
mod miner;
mod prompt;
mod validator;

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use taonet_cli_base::chain::NetworkArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_subnets::scores::state;
use taonet_primitives::NetUid;

pub use prompt::PromptArgs;

/// The commands of `tao prompting`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    #[cfg(feature = "localnet")]
    Demo(demo::DemoArgs),
    Explain(explain::ExplainArgs),
    Miner(Box<miner::MinerArgs>),
    /// Export and import the scores of a validator
    #[command(subcommand)]
    State(state::Command),
    Validator(Box<validator::ValidatorArgs>),
}

/// Arguments of a miner or a validator
#[derive(Debug, Args)]
struct NeuronArgs {
    /// Netuid of the subnet
    #[arg(long)]
    netuid: NetUid,
    /// Listen address of /metrics and /readyz [default: disabled]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `tao prompt`.
pub fn prompt(args: &PromptArgs, context: &Context) -> anyhow::Result<()> {
    prompt::run(args, context)
}

/// Runs a command of `tao prompting`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        #[cfg(feature = "localnet")]
        Command::Demo(args) => demo::run(args, context),
        Command::Explain(args) => explain::run(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::State(command) => state::run(command, "taonet.prompting-state/1", context),
        Command::Validator(args) => validator::run(args, context),
    }
}
