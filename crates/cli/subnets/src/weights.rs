//! The `tao weights` commands.

mod by_hash;
mod pairs;
mod set;
mod show;

use clap::{Args, Subcommand};
use taonet_cli_base::context::Context;
use taonet_primitives::{MechId, NetUid};

/// The commands of `tao weights`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set a validator's weights, unencrypted or by commit-reveal as the subnet requires
    Set(set::SetArgs),
    /// Commit to weights by hash; reveal them later with `reveal`
    Commit(by_hash::CommitArgs),
    /// Reveal committed weights
    Reveal(by_hash::RevealArgs),
    /// Show the weights of validators
    Show(show::ShowArgs),
}

/// Arguments that select a subnet and an incentive mechanism
#[derive(Debug, Args)]
struct MechanismArgs {
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// Incentive mechanism, numbered from 0, on subnets with several
    #[arg(long, value_name = "MECHANISM", default_value = "0")]
    mech: MechId,
}

/// Runs a command of `tao weights`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Set(args) => set::run(args, context),
        Command::Commit(args) => by_hash::commit(args, context),
        Command::Reveal(args) => by_hash::reveal(args, context),
        Command::Show(args) => show::run(args, context),
    }
}
