//! The `tao stake` commands.

mod auto;
pub mod burn;
mod child;
mod claim;
mod limit;
mod list;
mod moves;
mod trade;
mod unstake_all;

use clap::Subcommand;
use taonet_cli_base::chain::ReadColdkeyArgs;
use taonet_cli_base::context::Context;

/// The commands of `tao stake`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stake TAO on a hotkey by buying the subnet's alpha
    Add(trade::AddArgs),
    /// Unstake from a hotkey by selling the subnet's alpha
    Remove(trade::RemoveArgs),
    UnstakeAll(unstake_all::UnstakeAllArgs),
    /// List a coldkey's stake and its value
    List(ReadColdkeyArgs),
    Move(moves::MoveArgs),
    Swap(moves::SwapArgs),
    Transfer(moves::TransferArgs),
    /// Lend stake to child hotkeys
    #[command(subcommand)]
    Child(child::Command),
    Claim(claim::ClaimArgs),
    /// Choose the hotkeys on which mining emission is staked
    #[command(subcommand)]
    Auto(auto::Command),
}

/// Runs a command of `tao stake`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => trade::add(args, context),
        Command::Remove(args) => trade::remove(args, context),
        Command::UnstakeAll(args) => unstake_all::run(args, context),
        Command::List(args) => list::run(args, context),
        Command::Move(args) => moves::move_stake(args, context),
        Command::Swap(args) => moves::swap(args, context),
        Command::Transfer(args) => moves::transfer(args, context),
        Command::Child(command) => child::run(command, context),
        Command::Claim(args) => claim::run(args, context),
        Command::Auto(command) => auto::run(command, context),
    }
}
