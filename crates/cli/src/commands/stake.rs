//! The `tao stake` commands.

mod list;
mod trade;

use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stake TAO on a hotkey by buying the subnet's alpha
    Add(trade::AddArgs),
    /// Unstake from a hotkey by selling the subnet's alpha
    Remove(trade::RemoveArgs),
    /// List a coldkey's stake and its value
    List(list::ListArgs),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => trade::add(args, context),
        Command::Remove(args) => trade::remove(args, context),
        Command::List(args) => list::run(args, context),
    }
}
