//! `tao subnets …`.

mod own;
mod read;

use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all subnets
    List(read::ListArgs),
    /// Show one subnet
    Show(read::SubnetArgs),
    /// Show what can be set on a subnet
    Hyperparameters(read::SubnetArgs),
    /// Create a subnet: the coldkey owns it and pays the lock, the hotkey is its first neuron
    Create(own::CreateArgs),
    /// Start a subnet's emission, as its owner
    Start(own::StartArgs),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::List(args) => read::list(args, context),
        Command::Show(args) => read::show(args, context),
        Command::Hyperparameters(args) => read::hyperparameters(args, context),
        Command::Create(args) => own::create(args, context),
        Command::Start(args) => own::start(args, context),
    }
}
