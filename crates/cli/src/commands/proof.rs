//! `tao proof …`: circuits from models, proofs of their outputs, miner and validator of subnet 2.

mod circuit;
mod demo;
mod miner;
mod probe;
mod prove;
mod table;
mod validator;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    Compile(Box<circuit::CompileArgs>),
    Setup(circuit::SetupArgs),
    Inspect(circuit::InspectArgs),
    Prove(prove::ProveArgs),
    Verify(prove::VerifyArgs),
    Miner(Box<miner::MinerArgs>),
    Validator(Box<validator::ValidatorArgs>),
}

/// Which circuits
#[derive(Debug, Args)]
struct CatalogueArgs {
    /// Directory of circuits, or of one circuit; by default ~/.bittensor/subnet-2/circuit_cache
    #[arg(long, value_name = "DIR", env = "SN2_CIRCUIT_CACHE_DIR", hide_env_values = true)]
    circuit_cache_dir: Option<PathBuf>,
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args, context),
        Command::Compile(args) => circuit::compile(args, context),
        Command::Setup(args) => circuit::setup(args, context),
        Command::Inspect(args) => circuit::inspect(args, context),
        Command::Prove(args) => prove::prove(args, context),
        Command::Verify(args) => prove::verify(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::Validator(args) => validator::run(args, context),
    }
}
