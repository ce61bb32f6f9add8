//! `bb bench …`: interpretation, speech recognition and scoring on this machine.

mod interpret;
mod measure;
mod scoring;
mod sounds;
mod stt;

use clap::Subcommand;
use taonet_cli_base::context::Context;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure the interpretation of a miner: quality, latency, speed, memory
    Interpret(interpret::InterpretArgs),
    /// Measure speech recognition: real-time factor, processor time, memory
    Stt(stt::SttArgs),
    /// Measure the scoring of all replies to an utterance
    Scoring(scoring::ScoringArgs),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Interpret(args) => interpret::run(args, context),
        Command::Stt(args) => stt::run(args, context),
        Command::Scoring(args) => scoring::run(args, context),
    }
}
