//! The `tao subnets explain` command.

use clap::Args;
use taonet_cli_base::context::Context;

use crate::scores::{MinerSelector, ScoreReport, StateArgs};

/// Show how the score of a miner came about
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Hotkey of the miner, or its uid in the recorded steps
    #[arg(value_name = "HOTKEY|UID")]
    miner: MinerSelector,
    /// Show this step only
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn run(args: &ExplainArgs, context: &Context) -> anyhow::Result<()> {
    let explanation = context.block_on(args.miner.explanation(&args.state))?;
    ScoreReport::new("taonet.subnets-explain/1", explanation).print(args.step, context)
}
