//! `tao speech …`.

use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {}

pub(crate) fn run(command: &Command, _: &Context) -> anyhow::Result<()> {
    match *command {}
}
