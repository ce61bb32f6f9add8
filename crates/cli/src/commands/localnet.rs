//! `tao localnet …`: a development chain on this machine.

mod announce;
mod clock;
mod control;
mod place;
mod reset;
mod rpc;
mod start;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::context::Context;

/// Run a development chain on this machine, and steer it.
///
/// Without a command below: starts it and runs until Ctrl-C or SIGTERM. It has the pallets, calls and storage of the real
/// chain, as far as neurons, validators and owners need them, and Bittensor's tools talk to it as to any node. State is kept
/// in a folder; the next start goes on from there.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LocalnetArgs {
    #[command(flatten)]
    start: start::StartArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the chain: the same as no command
    Start(start::StartArgs),
    /// Show the running chain: height, clock, pool, size
    Status(control::TargetArgs),
    /// Stop the running chain
    Stop(control::TargetArgs),
    /// Stop the chain and remove its state: the next start begins with the first block
    Reset(reset::ResetArgs),
    /// Make blocks now
    Mine(control::MineArgs),
    /// Make blocks up to and with the next one in which a subnet's epoch runs
    ToEpoch(control::EpochArgs),
    /// Save the chain in a file, or begin with such a file
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// Save the running chain
    Save(control::SaveArgs),
    /// Put a saved chain where the next start finds it
    Load(LoadArgs),
}

/// Put a saved chain where the next start finds it
#[derive(Debug, Args)]
struct LoadArgs {
    /// The file of `tao localnet snapshot save`
    file: PathBuf,
    #[command(flatten)]
    data: place::DataArgs,
}

pub(crate) fn run(args: &LocalnetArgs, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        None => start::run(&args.start, context),
        Some(Command::Start(args)) => start::run(args, context),
        Some(Command::Status(args)) => control::status(args, context),
        Some(Command::Stop(args)) => control::stop(args, context),
        Some(Command::Reset(args)) => reset::run(args, context),
        Some(Command::Mine(args)) => control::mine(args, context),
        Some(Command::ToEpoch(args)) => control::to_epoch(args, context),
        Some(Command::Snapshot(SnapshotCommand::Save(args))) => control::save(args, context),
        Some(Command::Snapshot(SnapshotCommand::Load(args))) => reset::load(&args.file, &args.data, context),
    }
}
