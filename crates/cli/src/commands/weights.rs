//! `tao weights …`.

mod by_hash;
mod pairs;
mod set;
mod show;

use clap::{Args, Subcommand};
use taonet_primitives::{MechId, NetUid};

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set a validator's weights: in clear, or hidden until later where the subnet wants that
    Set(set::SetArgs),
    /// Commit to weights by their hash, to be revealed with `reveal`
    Commit(by_hash::CommitArgs),
    /// Reveal weights that were committed to
    Reveal(by_hash::RevealArgs),
    /// Show the weights that validators have set
    Show(show::ShowArgs),
}

/// Whose weights
#[derive(Debug, Args)]
struct MechanismArgs {
    /// The subnet's number
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// The incentive mechanism, where the subnet has several
    #[arg(long, value_name = "MECHANISM", default_value = "0")]
    mech: MechId,
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Set(args) => set::run(args, context),
        Command::Commit(args) => by_hash::commit(args, context),
        Command::Reveal(args) => by_hash::reveal(args, context),
        Command::Show(args) => show::run(args, context),
    }
}
