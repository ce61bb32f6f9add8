//! The commands of Nineteen, subnet 19, the inference market: `tao nineteen …`.
//!
//! - `validator` runs a validator: periods, tests, checks, weights and the API for buyers; `entry`
//!   and `query` are further processes of it on any machines, which share its PostgreSQL database
//!   and NATS.
//! - `miner` serves tasks from a language model of its own or from servers beside it; `model` is
//!   such a server.
//! - `keys` manages the API keys of buyers and their credits, `topups` credits for TAO, and
//!   `collect` moves the TAO of deposit addresses to the validator's account.
//! - `migrate` imports the API keys, rewards and period scores of the reference's validator.
//! - `tasks`, `weights`, `explain` and `period_score` show and recompute what the validator
//!   decides.
//! - `demo` runs a market on this machine, with good and bad miners.
//!
//! The libraries in subnets/nineteen implement all of this. `operation` has the services that
//! validator and demonstration run; `database`, `shared` and `tokenizers` have the arguments and
//! files that several commands use.
//!
//! The files in `demo` and `tasks` are markets that ship with the program: tasks with the settings
//! of their load and of their checks.
//!
//! No command reads a variable of another subnet, except for the directory of models. The database
//! is SQLite in the state directory, or PostgreSQL.
//!
//! The feature `localnet` adds `tao nineteen demo`, which starts a chain with
//! `taonet-cli-localnet`.
//!
//! Uses `taonet-chain`, `taonet-cli-base`, `taonet-cli-models`, `taonet-doctor`, `taonet-http`,
//! `taonet-kit`, `taonet-lm`, `taonet-neuron`, `taonet-nineteen-checker`,
//! `taonet-nineteen-control`, `taonet-nineteen-core`, `taonet-nineteen-entry`,
//! `taonet-nineteen-images`, `taonet-nineteen-miner`, `taonet-nineteen-query`,
//! `taonet-nineteen-store`, `taonet-nineteen-transport`, `taonet-primitives`, `taonet-service`,
//! `taonet-validator`, `taonet-wallet` and `taonet-wire`. Used by `taonet-cli`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

mod collect;
mod database;
#[cfg(feature = "localnet")]
mod demo;
mod entry;
mod explain;
mod keys;
mod migrate;
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
use taonet_cli_base::context::Context;
use taonet_cli_base::input;

/// The commands of `tao nineteen`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    Collect(Box<collect::CollectArgs>),
    #[cfg(feature = "localnet")]
    Demo(demo::DemoArgs),
    Entry(entry::EntryArgs),
    Explain(explain::ExplainArgs),
    Keys(keys::KeysArgs),
    Migrate(migrate::MigrateArgs),
    Miner(Box<miner::MinerArgs>),
    Model(model::ModelArgs),
    PeriodScore(period_score::PeriodScoreArgs),
    Query(Box<query::QueryArgs>),
    Tasks(tasks::TasksArgs),
    Validator(Box<validator::ValidatorArgs>),
    Weights(weights::WeightsArgs),
}

/// Runs a command of `tao nineteen`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Collect(args) => collect::run(args, context),
        #[cfg(feature = "localnet")]
        Command::Demo(args) => demo::run(args, context),
        Command::Entry(args) => entry::run(args, context),
        Command::Explain(args) => explain::run(args, context),
        Command::Keys(args) => keys::run(args, context),
        Command::Migrate(args) => migrate::run(args, context),
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
fn read_json(path: &Path) -> anyhow::Result<Value> {
    serde_json::from_str(&input::read_text(path)?)
        .with_context(|| format!("{} is not JSON", path.display()))
}
