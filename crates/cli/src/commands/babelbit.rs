//! `bb …`: engine, miner, runner and the scoring tools.

use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {}

pub(crate) fn run(command: &Command, _: &Context) -> anyhow::Result<()> {
    match *command {}
}
