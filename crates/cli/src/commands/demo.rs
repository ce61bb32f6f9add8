//! `tao demo`.

use clap::Args;

use crate::context::Context;

/// Play a whole contest on this machine.
#[derive(Debug, Default, Args)]
pub(crate) struct DemoArgs {}

pub(crate) fn run(_: &DemoArgs, _: &Context) -> anyhow::Result<()> {
    Ok(())
}
