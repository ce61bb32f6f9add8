//! `tao proof …`: circuits from models, proofs of their outputs, miner and validator of subnet 2.

mod api;
mod circuit;
mod demo;
mod external;
mod miner;
mod probe;
mod prove;
mod store;
mod table;
mod validator;

use clap::Subcommand;
use taonet_settings::Network;

use crate::context::Context;
use crate::settings;
use store::CatalogueArgs;

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
    ApiKey(api::ApiKeyArgs),
    Catalogue(store::ListingArgs),
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
        Command::ApiKey(args) => api::keys(args, context),
        Command::Catalogue(args) => store::write(args, context),
    }
}

/// Returns the network for which a key is used: with `--loopback` there is no chain, so development keys are allowed.
fn key_network(is_loopback: bool) -> anyhow::Result<Network> {
    if is_loopback { Ok(Network::Local) } else { Ok(settings::load()?.network) }
}
