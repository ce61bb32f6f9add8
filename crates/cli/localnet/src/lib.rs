//! `tao localnet …`: a development chain on this machine; and the chain of the demonstrations.
//!
//! The chain is the library `taonet-localnet`. This crate starts it as a daemon with a state
//! directory, controls a running one through its development methods, and records the state of
//! subnets of another network for a fork.
//!
//! - `start` runs the chain; `data_dir`, `clock`, `beacon` and `announce` have its options and what
//!   it prints.
//! - `rpc` calls the development methods of a running chain, for `control`, `time`, `impersonate`,
//!   `set_storage` and `snapshots`; `reset` deletes state and loads snapshot files.
//! - `record` writes the recording that `--fork` starts from.
//!
//! [`demo_chain::DemoChain`] is a chain in memory with short blocks, on which the demonstrations of
//! all subnets register their miners, submit weights and pay an epoch's emission;
//! [`output_directory::OutputDirectory`] is the directory that a demonstration writes to, kept or
//! temporary.
//! They are here so that no other crate of commands builds the chain.
//!
//! The commands work on development chains only: the methods that they call exist nowhere else.
//! docs/localnet.md is the guide, with the JSON keys of every command.
//!
//! Each module of a command has its arguments with their help, and functions that run it; the tests
//! of the whole commands are in tests/e2e.
//!
//! Uses `taonet-chain`, `taonet-cli-base`, `taonet-doctor`, `taonet-localnet`,
//! `taonet-localnet-recording`, `taonet-localnet-runtime`, `taonet-primitives`, `taonet-service`,
//! `taonet-validator` and `taonet-wallet`. Used by `taonet-cli`, `taonet-cli-demo`,
//! `taonet-cli-nineteen`, `taonet-cli-prompting` and `taonet-cli-proof`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

mod announce;
mod beacon;
mod clock;
mod control;
mod data_dir;
pub mod demo_chain;
mod impersonate;
pub mod output_directory;
mod record;
mod reset;
mod rpc;
mod set_storage;
mod snapshots;
mod start;
mod time;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use taonet_cli_base::context::Context;

/// Run and control a development chain on this machine.
///
/// Without a subcommand, starts the chain and runs until Ctrl-C or SIGTERM. It has the pallets,
/// calls and storage of the main network that neurons, validators and owners need; Bittensor's
/// tools connect to it as to any node. State is stored in a directory, and the next start resumes
/// from it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LocalnetArgs {
    #[command(flatten)]
    start: start::StartArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the chain (the default)
    Start(start::StartArgs),
    /// Show height, clock, pool and size of the running chain
    Status(control::TargetArgs),
    /// Stop the running chain
    Stop(control::TargetArgs),
    /// Stop the chain and delete its state
    Reset(reset::ResetArgs),
    /// Produce blocks immediately
    Mine(control::MineArgs),
    /// Produce blocks up to and including the next epoch of a subnet
    ToEpoch(control::EpochArgs),
    /// Add to the timestamps of the following blocks
    Advance(time::AdvanceArgs),
    /// Make a call as any account, without its key
    As(impersonate::AsArgs),
    /// Set a storage item of the chain
    SetStorage(set_storage::SetStorageArgs),
    /// Record the state of subnets from another node, for --fork
    Record(record::RecordArgs),
    /// Take snapshots of the chain and revert to them, or save one to a file
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// Take a named snapshot of the running chain
    Take(snapshots::NameArgs),
    /// List the named snapshots
    List(control::TargetArgs),
    /// Revert the running chain to a named snapshot
    Revert(snapshots::NameArgs),
    /// Drop a named snapshot
    Drop(snapshots::NameArgs),
    /// Save a snapshot of the running chain to a file
    Save(control::SaveArgs),
    /// Load a snapshot file for the next start
    Load(LoadArgs),
}

/// Load a snapshot file for the next start
#[derive(Debug, Args)]
struct LoadArgs {
    /// Snapshot file, written by `tao localnet snapshot save`
    file: PathBuf,
    #[command(flatten)]
    data: data_dir::DataArgs,
}

/// Runs `tao localnet`.
pub fn run(args: &LocalnetArgs, context: &Context) -> anyhow::Result<()> {
    match &args.command {
        None => start::run(&args.start, context),
        Some(Command::Start(args)) => start::run(args, context),
        Some(Command::Status(args)) => control::status(args, context),
        Some(Command::Stop(args)) => control::stop(args, context),
        Some(Command::Reset(args)) => reset::run(args, context),
        Some(Command::Mine(args)) => control::mine(args, context),
        Some(Command::ToEpoch(args)) => control::to_epoch(args, context),
        Some(Command::Advance(args)) => time::advance(args, context),
        Some(Command::As(args)) => impersonate::run(args, context),
        Some(Command::SetStorage(args)) => set_storage::run(args, context),
        Some(Command::Record(args)) => record::run(args, context),
        Some(Command::Snapshot(command)) => match command {
            SnapshotCommand::Take(args) => snapshots::take(args, context),
            SnapshotCommand::List(args) => snapshots::list(args, context),
            SnapshotCommand::Revert(args) => snapshots::revert(args, context),
            SnapshotCommand::Drop(args) => snapshots::drop_snapshot(args, context),
            SnapshotCommand::Save(args) => control::save(args, context),
            SnapshotCommand::Load(args) => reset::load(&args.file, &args.data, context),
        },
    }
}
