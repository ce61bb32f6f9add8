//! `tao proof …`: circuits from models, proofs of their outputs.

mod circuit;
mod prove;
mod table;

use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a circuit and its keys from an ONNX model
    Compile(Box<circuit::CompileArgs>),
    /// Show who contributed to a circuit's trusted setup, or contribute to it
    Setup(circuit::SetupArgs),
    /// Show what a circuit computes, and check its files
    Inspect(circuit::InspectArgs),
    /// Run a circuit on an input and prove the output
    Prove(prove::ProveArgs),
    /// Verify a proof bundle offline
    Verify(prove::VerifyArgs),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Compile(args) => circuit::compile(args, context),
        Command::Setup(args) => circuit::setup(args, context),
        Command::Inspect(args) => circuit::inspect(args, context),
        Command::Prove(args) => prove::prove(args, context),
        Command::Verify(args) => prove::verify(args, context),
    }
}
