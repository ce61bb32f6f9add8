//! `tao prompting …` and `tao prompt`: the text-prompting subnet.

mod ask;
mod demo;
mod judge;
mod miner;
mod validator;

use clap::Subcommand;

use crate::context::Context;

pub(crate) use ask::PromptArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    Miner(Box<miner::MinerArgs>),
    Validator(Box<validator::ValidatorArgs>),
}

/// Runs `tao prompt`.
pub(crate) fn ask(args: &PromptArgs, context: &Context) -> anyhow::Result<()> {
    ask::run(args, context)
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::Validator(args) => validator::run(args, context),
    }
}
