//! `tao nineteen …`: the inference market.

mod collect;
mod database;
mod demo;
mod entry;
mod explain;
mod keys;
mod miner;
mod model;
mod operation;
mod period_score;
mod query;
mod shared;
mod tasks;
mod teams;
mod tokenizers;
mod topups;
mod validator;
mod weights;

use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;

use crate::context::Context;
use crate::input;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Collect(Box<collect::CollectArgs>),
    Demo(demo::DemoArgs),
    Entry(entry::EntryArgs),
    Explain(explain::ExplainArgs),
    Keys(keys::KeysArgs),
    Miner(Box<miner::MinerArgs>),
    Model(model::ModelArgs),
    PeriodScore(period_score::PeriodScoreArgs),
    Query(Box<query::QueryArgs>),
    Tasks(tasks::TasksArgs),
    Validator(Box<validator::ValidatorArgs>),
    Weights(weights::WeightsArgs),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Collect(args) => collect::run(args, context),
        Command::Demo(args) => demo::run(args, context),
        Command::Entry(args) => entry::run(args, context),
        Command::Explain(args) => explain::run(args, context),
        Command::Keys(args) => keys::run(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::Model(args) => model::run(args, context),
        Command::PeriodScore(args) => period_score::run(args, context),
        Command::Query(args) => query::run(args, context),
        Command::Tasks(args) => tasks::run(args, context),
        Command::Validator(args) => validator::run(args, context),
        Command::Weights(args) => weights::run(args, context),
    }
}

/// Reads a JSON document; `-` is standard input.
fn document(path: &Path) -> anyhow::Result<Value> {
    serde_json::from_str(&input::read_text(path)?).with_context(|| format!("{} is not JSON", path.display()))
}
