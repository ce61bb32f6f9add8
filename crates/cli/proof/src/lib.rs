//! `tao proof …`: circuits from models, proofs of their outputs, miner and validator of subnet 2.

mod api;
mod circuit;
mod demo;
mod export;
mod external;
mod miner;
mod probe;
mod prove;
mod store;
mod table;
mod validator;

use clap::Subcommand;
use taonet_wallet::Keypair;

use crate::chain::NetworkArgs;
use crate::context::Context;
use crate::keys::NeuronKeyArgs;
use store::CatalogueArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    Compile(Box<circuit::CompileArgs>),
    Setup(circuit::SetupArgs),
    Inspect(circuit::InspectArgs),
    Prove(prove::ProveArgs),
    Verify(prove::VerifyArgs),
    ExportVerifier(export::ExportArgs),
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
        Command::ExportVerifier(args) => export::run(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::Validator(args) => validator::run(args, context),
        Command::ApiKey(args) => api::keys(args, context),
        Command::Catalogue(args) => store::write(args, context),
    }
}

/// Opens the key of a neuron: with `--loopback` there is no chain, so development keys are accepted.
fn load_key(key: &NeuronKeyArgs, network: &NetworkArgs, is_loopback: bool) -> anyhow::Result<Keypair> {
    if is_loopback { key.load_offline() } else { key.load(Some(network)) }
}
