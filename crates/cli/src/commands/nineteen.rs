//! `tao nineteen …`: the inference market.

mod miner;
mod period_score;
mod weights;

use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;

use crate::context::Context;
use crate::input;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Miner(Box<miner::MinerArgs>),
    PeriodScore(period_score::PeriodScoreArgs),
    Weights(weights::WeightsArgs),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Miner(args) => miner::run(args, context),
        Command::PeriodScore(args) => period_score::run(args, context),
        Command::Weights(args) => weights::run(args, context),
    }
}

/// Reads a JSON document; `-` is standard input.
fn document(path: &Path) -> anyhow::Result<Value> {
    serde_json::from_slice(&input::read(path)?).with_context(|| format!("{} is not JSON", path.display()))
}
