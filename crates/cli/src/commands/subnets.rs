//! The `tao subnets` commands.

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
    /// Show a subnet's hyperparameters
    Hyperparameters(read::SubnetArgs),
    /// Create a subnet; the coldkey pays the lock cost, the hotkey becomes uid 0
    Create(own::CreateArgs),
    /// Start a subnet's emission (owner only)
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
