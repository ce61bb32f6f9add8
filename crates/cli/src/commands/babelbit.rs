//! `bb …`: engine, miner, runner, validator, and the tools that score and check.

mod access;
mod align;
mod arena_gateway;
mod arena_submit;
mod audit;
mod compute_weights;
mod config;
mod engine;
mod evidence;
pub(crate) mod miner;
mod register_axon;
pub(crate) mod runner;
mod score;
mod scoring_api;
mod signer;
mod subtensor_gateway;
mod test_miner;
mod validate;

use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play the engine's current challenge to all miners, score them and write the result files
    Runner(runner::RunnerArgs),
    /// Set weights by the scores of the current challenge, once an epoch
    Validate(validate::ValidateArgs),
    /// Hold the validator's hotkey for others: sign texts, have weights set
    Signer(signer::SignerArgs),
    /// Talk to the chain for others: blocks, neurons, weights
    SubtensorGateway(subtensor_gateway::GatewayArgs),
    /// Let miners into the arena and pass validators' messages on to them
    ArenaGateway(arena_gateway::ArenaGatewayArgs),
    /// Ask the arena gateway to let a miner in, at this address
    ArenaSubmit(arena_submit::ArenaSubmitArgs),
    /// Take validators' results, and give each the scores of all: the subnet owner's side
    ScoringApi(scoring_api::ScoringApiArgs),
    /// Serve challenges to validators
    Engine(engine::EngineArgs),
    /// Serve a miner: interpreter, patient, parrot, mumbler or silent
    Miner(miner::MinerArgs),
    /// Publish where a miner serves, so that validators find it
    RegisterAxon(register_axon::RegisterAxonArgs),
    /// Test a miner as a validator would call it: rules, timing, score
    TestMiner(test_miner::TestMinerArgs),
    /// Recompute every score of a challenge from the kept replies and compare
    Audit(audit::AuditArgs),
    /// Pack what another validator needs to check a challenge, or check it
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Score one reply
    Score(score::ScoreArgs),
    /// Score several miners' replies to one utterance, with the duplication penalty
    ScoreBatch(score::BatchArgs),
    /// Compute weights from scores
    ComputeWeights(compute_weights::WeightsArgs),
    /// Speak each reference text of challenge files, time its words and write them into the files
    Align(align::AlignArgs),
    /// Show or check the settings that the environment gives
    #[command(subcommand)]
    Config(config::Command),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Runner(args) => runner::run(args, context),
        Command::Validate(args) => validate::run(args, context),
        Command::Signer(args) => signer::run(args, context),
        Command::SubtensorGateway(args) => subtensor_gateway::run(args, context),
        Command::ArenaGateway(args) => arena_gateway::run(args, context),
        Command::ArenaSubmit(args) => arena_submit::run(args, context),
        Command::ScoringApi(args) => scoring_api::run(args, context),
        Command::Engine(args) => engine::run(args, context),
        Command::Miner(args) => miner::run(args, context),
        Command::RegisterAxon(args) => register_axon::run(args, context),
        Command::TestMiner(args) => test_miner::run(args, context),
        Command::Audit(args) => audit::run(args, context),
        Command::Evidence(command) => evidence::run(command, context),
        Command::Score(args) => score::run(args, context),
        Command::ScoreBatch(args) => score::run_batch(args, context),
        Command::ComputeWeights(args) => compute_weights::run(args, context),
        Command::Align(args) => align::run(args, context),
        Command::Config(command) => config::run(command, context),
    }
}
