//! The commands of Babelbit, subnet 59: `bb …` and `tao babelbit …`.
//!
//! Daemons of a validator: [`runner`] plays challenges, `scorer` transcribes for runners,
//! `validate` submits weights, `signer` holds the hotkey, `subtensor_gateway` has access to the
//! chain, `arena_gateway` admits miners of the arena. The subnet owner runs `scoring_api`, and
//! `engine` serves challenges. [`miner`] is a miner of both contests.
//!
//! Tools: `test_miner` calls a miner as a validator does; `score`, `score_text` and
//! `compute_weights` compute what validators compute; `audit` and `evidence` check what others
//! published; `bench` measures; `chutes` deploys text miners; `align` prepares challenges;
//! `register_axon` and `arena_submit` publish an address; `config` shows the settings.
//!
//! The libraries in subnets/babelbit implement all of this. A command reads Babelbit's table of
//! settings ([`settings`]), opens keys and models, and connects the parts: for a daemon, its
//! function `run` is a list of what runs, with which limits, until which signal.
//!
//! [`contest`] and [`challenge`] are arguments of several commands, and [`leaderboard`] is the
//! table of a challenge's results, which the demonstration also shows. [`access`] decides whether a
//! service requires a token.
//!
//! The features `cuda` and `metal` run the language models of text miners on a GPU. Exit codes,
//! JSON output and options follow the rules of all commands; names and variables are those of the
//! reference's programs where it has them.
//!
//! Uses `taonet-babelbit-arena`, `taonet-babelbit-audit`, `taonet-babelbit-challenges`,
//! `taonet-babelbit-chutes`, `taonet-babelbit-config`, `taonet-babelbit-core`,
//! `taonet-babelbit-engine`, `taonet-babelbit-miner`, `taonet-babelbit-runner`,
//! `taonet-babelbit-scorer`, `taonet-babelbit-scoring-api`, `taonet-babelbit-text-miner`,
//! `taonet-babelbit-text-runner`, `taonet-babelbit-validator`, `taonet-babelbit-workers`,
//! `taonet-chain`, `taonet-cli-base`, `taonet-cli-models`, `taonet-doctor`, `taonet-http`,
//! `taonet-ledger`, `taonet-lm`, `taonet-objects`, `taonet-primitives`, `taonet-service`,
//! `taonet-settings`, `taonet-speech`, `taonet-timelock`, `taonet-validator`, `taonet-wallet`,
//! `taonet-whisper` and `taonet-wire`. Used by `taonet-cli`, `taonet-cli-dashboard` and
//! `taonet-cli-demo`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod access;
mod align;
mod arena_gateway;
mod arena_submit;
mod audit;
mod bench;
pub mod challenge;
mod chutes;
mod compute_weights;
mod config;
pub mod contest;
mod engine;
mod evidence;
pub mod leaderboard;
mod migrate;
pub mod miner;
mod miner_url;
mod register_axon;
mod reply_error;
pub mod runner;
mod score;
mod score_text;
mod scorer;
mod scoring_api;
pub mod settings;
mod signer;
mod subtensor_gateway;
mod test_miner;
mod text;
mod validate;

use clap::Subcommand;
use taonet_cli_base::context::Context;

/// The commands of `bb`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run challenges against all miners, score the replies and submit the results
    Runner(runner::RunnerArgs),
    /// Transcribe replies for runners on this and other machines
    Scorer(scorer::ScorerArgs),
    /// Submit weights from the scores of the current challenge, once per epoch
    Validate(validate::ValidateArgs),
    /// Sign for the validator's daemons, so that only one process holds the hotkey
    Signer(signer::SignerArgs),
    /// Serve chain access to the validator's daemons: blocks, neurons, weights
    SubtensorGateway(subtensor_gateway::GatewayArgs),
    /// Admit miners to the arena and forward validators' messages to them
    ArenaGateway(arena_gateway::ArenaGatewayArgs),
    /// Submit a miner's address to the arena gateway
    ArenaSubmit(arena_submit::ArenaSubmitArgs),
    /// Collect validators' results and serve the scores over all validators (subnet owner)
    ScoringApi(scoring_api::ScoringApiArgs),
    /// Serve challenges to validators
    Engine(engine::EngineArgs),
    /// Run a miner of the speech contest or of the text contest
    Miner(Box<miner::MinerArgs>),
    /// Publish a miner's endpoint on the chain
    RegisterAxon(register_axon::RegisterAxonArgs),
    /// Test a miner the way a validator calls it: rules, timing, score
    TestMiner(test_miner::TestMinerArgs),
    /// Recompute every score of a challenge from the recorded replies and compare
    Audit(audit::AuditArgs),
    /// Export a challenge's evidence for other validators, or verify it
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Score one reply
    Score(score::ScoreArgs),
    /// Score several miners' replies to one utterance, with the duplication penalty
    ScoreBatch(score::BatchArgs),
    /// Score the predictions of text dialogues
    ScoreText(score_text::TextArgs),
    /// Train models for the text contest
    #[command(subcommand)]
    Text(text::Command),
    /// Upload a text miner's model, deploy it on Chutes, and publish the commitment on the chain
    Push(Box<chutes::push::PushArgs>),
    /// Show the slug and the ID of a text miner's chute
    ChuteSlug(chutes::manage::SlugArgs),
    /// Call a text miner's chute: its health, then five predictions
    PingChute(chutes::ping::PingArgs),
    /// Show the log of a chute's instance
    ChuteLogs(chutes::manage::LogsArgs),
    /// Delete a text miner's chute
    DeleteChute(chutes::manage::DeleteArgs),
    /// Write the Python script that defines a text miner's chute
    GenerateChuteScript(chutes::ScriptArgs),
    /// Compute weights from scores
    ComputeWeights(compute_weights::WeightsArgs),
    /// Add word timings to the reference texts of challenge files
    Align(align::AlignArgs),
    /// Measure interpretation, speech recognition and scoring
    #[command(subcommand)]
    Bench(bench::Command),
    /// Show or check the settings from the environment
    #[command(subcommand)]
    Config(config::Command),
    Migrate(migrate::MigrateArgs),
}

/// Runs a command of `bb`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    taonet_cli_base::settings::load_env_file()?;
    match command {
        Command::Runner(args) => runner::run(args, context),
        Command::Scorer(args) => scorer::run(args, context),
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
        Command::ScoreText(args) => score_text::run(args, context),
        Command::Text(command) => text::run(command, context),
        Command::Push(args) => chutes::push::push(args, context),
        Command::ChuteSlug(args) => chutes::manage::slug(args, context),
        Command::PingChute(args) => chutes::ping::ping(args, context),
        Command::ChuteLogs(args) => chutes::manage::logs(args, context),
        Command::DeleteChute(args) => chutes::manage::delete(args, context),
        Command::GenerateChuteScript(args) => chutes::generate(args, context),
        Command::ComputeWeights(args) => compute_weights::run(args, context),
        Command::Align(args) => align::run(args, context),
        Command::Bench(command) => bench::run(command, context),
        Command::Config(command) => config::run(command, context),
        Command::Migrate(args) => migrate::run(args, context),
    }
}
