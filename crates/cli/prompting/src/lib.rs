//! `tao prompting …` and `tao prompt`: the text-prompting subnet.

mod ask;
mod demo;
mod judge;
mod miner;
mod validator;

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use taonet_primitives::NetUid;

use crate::chain::NetworkArgs;
use crate::context::Context;
use crate::keys::KeyArgs;

pub(crate) use ask::PromptArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    Miner(Box<miner::MinerArgs>),
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
pub(crate) fn ask(args: &PromptArgs, context: &Context) -> anyhow::Result<()> {
    ask::run(args, context)
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::Validator(args) => validator::run(args, context),
    }
}
