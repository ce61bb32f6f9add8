//! The `tao top` command.

use std::io::{IsTerminal as _, stdin, stdout};

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_dashboard::Top;
use taonet_service::Shutdown;

use crate::{PageSourceArgs, Sources};

/// Show contests, markets and a chain in the terminal: leaderboard, rounds, tasks, neurons
#[derive(Debug, Args)]
pub struct TopArgs {
    #[command(flatten)]
    sources: PageSourceArgs,
}

/// Runs `tao top`.
pub fn run(args: &TopArgs, context: &Context) -> anyhow::Result<()> {
    if context.json || !stdin().is_terminal() || !stdout().is_terminal() {
        let hint = "hint: `tao dashboard` serves the same overview to browsers";
        return Err(ClassifiedError::usage(format!("tao top needs a terminal\n{hint}")));
    }
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let Sources { sections, changes, .. } = args.sources.open(&shutdown).await?;
        let result = sections.into_iter().fold(Top::new(changes), Top::with).run(&shutdown).await;
        shutdown.request();
        result.context("cannot use the terminal")
    })
}
