//! The commands of subnet 2, proofs of inference: `tao proof …`.
//!
//! - `circuit` compiles models to circuits, sets them up and shows them; `store` writes and reads
//!   catalogues of circuits, in directories and in buckets.
//! - `prove` proves outputs, verifies bundles and reveals hidden inputs, `external` runs a prover
//!   of another program. `inputs` reads the inputs to prove, and the sample of a model.
//! - `miner` and `validator` are the daemons; started through links, they are also `sn2-miner` and
//!   `sn2-validator`, with the options of the reference's programs, and can update themselves.
//!   `api` has the keys of the user API, which the validator serves. `probe` checks that signed
//!   requests reach a running miner.
//! - `demo` runs an epoch on this machine: honest and dishonest miners, a validator, and a user.
//!
//! The libraries in subnets/proof implement all of this; the commands open keys, circuits and
//! state, and connect the parts. `table` formats what several commands show of a circuit and of a
//! validator's tallies.
//!
//! With `--loopback` there is no chain: miner and validator find each other on this machine, and
//! development keys are accepted.
//!
//! A bundle is verified without any other file. `--prover` selects a program that proves in place
//! of this one.
//!
//! The feature `localnet` has `tao proof demo`, whose chain is that of `taonet-cli-localnet`.
//!
//! Uses `taonet-cli-base`, `taonet-doctor`, `taonet-http`, `taonet-kit`, `taonet-neuron`,
//! `taonet-objects`, `taonet-primitives`, `taonet-proof-api`, `taonet-proof-backends`,
//! `taonet-proof-circuits`, `taonet-proof-core`, `taonet-proof-lm`, `taonet-proof-miner`,
//! `taonet-proof-store`, `taonet-proof-validator`, `taonet-service`, `taonet-update`,
//! `taonet-validator`, `taonet-wallet` and `taonet-wire`. Used by `taonet-cli`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

mod api;
mod circuit;
#[cfg(feature = "localnet")]
mod demo;
mod export;
mod external;
mod inputs;
mod miner;
mod probe;
mod prove;
mod store;
mod table;
mod validator;

use std::path::Path;

use clap::Subcommand;
use taonet_cli_base::chain::NetworkArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::keys::NeuronKeyArgs;
use taonet_proof_circuits::Catalogue;
use taonet_wallet::Keypair;

use store::CatalogueArgs;

/// The commands of `tao proof`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    #[cfg(feature = "localnet")]
    Demo(demo::DemoArgs),
    Compile(Box<circuit::CompileArgs>),
    Setup(circuit::SetupArgs),
    Inspect(circuit::InspectArgs),
    Prove(prove::ProveArgs),
    Verify(prove::VerifyArgs),
    Reveal(prove::RevealArgs),
    ExportVerifier(export::ExportArgs),
    Miner(Box<miner::MinerArgs>),
    Validator(Box<validator::ValidatorArgs>),
    ApiKey(api::ApiKeyArgs),
    Catalogue(store::ListingArgs),
}

/// Runs a command of `tao proof`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        #[cfg(feature = "localnet")]
        Command::Demo(args) => demo::run(args, context),
        Command::Compile(args) => circuit::compile(args, context),
        Command::Setup(args) => circuit::setup(args, context),
        Command::Inspect(args) => circuit::inspect(args, context),
        Command::Prove(args) => prove::prove(args, context),
        Command::Verify(args) => prove::verify(args, context),
        Command::Reveal(args) => prove::reveal(args, context),
        Command::ExportVerifier(args) => export::run(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::Validator(args) => validator::run(args, context),
        Command::ApiKey(args) => api::manage_keys(args, context),
        Command::Catalogue(args) => store::write_catalogue(args, context),
    }
}

/// Verifies the circuits in a directory against the sums in their metadata; returns their number.
///
/// # Errors
/// If there is no circuit, or one is malformed or modified.
pub fn verify_circuits(directory: &Path) -> anyhow::Result<usize> {
    Ok(Catalogue::open(directory)?.circuits().count())
}

/// Opens the key of a neuron: with `--loopback` there is no chain, so development keys are
/// accepted.
fn load_key(
    key: &NeuronKeyArgs,
    network: &NetworkArgs,
    is_loopback: bool,
) -> anyhow::Result<Keypair> {
    if is_loopback { key.load_offline() } else { key.load(Some(network)) }
}
