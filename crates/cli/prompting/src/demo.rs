//! `tao prompting demo`: a text-prompting subnet on this machine, including its chain.

mod miners;
mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_chain::Chain;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::run_demonstration;
use taonet_cli_localnet::demo_chain::{DemoChain, NETUID, PLACEHOLDER_ADDRESS, submit_weights};
use taonet_kit::{AddressPolicy, Validator, ValidatorSettings};
use taonet_prompting_core::compute_weights;
use taonet_prompting_neurons::{
    ChallengeSettings, Dataset, EventLog, GateFile, HashedWords, Judge, PromptingChallenge,
    StepRecord, query_limits,
};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;

use report::DemoReport;

/// The validator's key: a public development key.
const VALIDATOR: &str = "//validator";
/// Timeout of a request. The silent miner lets each step take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of steps with --once, and without.
const STEPS: [u16; 2] = [5, 25];
/// Epoch length in blocks: the demonstration's blocks are so short that a usual epoch would end
/// within a few steps.
const TEMPO: u32 = 5_000;

/// Run a text-prompting subnet on this machine: a chain, five miners and a validator
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Make 5 steps instead of 25
    #[arg(long)]
    once: bool,
    /// Seed of the questions
    #[arg(long, default_value = "1")]
    seed: u64,
}

pub(crate) fn run(args: &DemoArgs, context: &Context) -> anyhow::Result<()> {
    let report = context.block_on(run_demonstration(async |directory, shutdown| {
        play(args, directory, shutdown, context).await
    }))?;
    if context.json {
        context.print_json(&report.document())
    } else {
        context.print(&report.to_string())
    }
}

async fn play(
    args: &DemoArgs,
    directory: &Path,
    shutdown: &Shutdown,
    context: &Context,
) -> anyhow::Result<DemoReport> {
    let [short, long] = STEPS;
    let steps = if args.once { short } else { long };
    let key = Keypair::from_uri(VALIDATOR)?;
    let chain = DemoChain::start(key.clone()).await?;
    let miners = miners::start(&chain, REQUEST_TIMEOUT, shutdown).await?;
    let mut validator = open_validator(&chain, key, args.seed, directory, shutdown).await?;
    let mut scores = BTreeMap::new();
    for step in 1..=steps {
        scores = validator.step().await?.scores;
        if !context.json {
            context.print_notice(&format!("step {step} of {steps}"));
        }
    }
    let epoch = submit_weights(async || validator.set_weights().await).await?;
    let submitted_weights = epoch.weights.context("no miner has earned weight")?;
    chain.pass_epoch().await?;
    let on_chain = chain.standings(&submitted_weights).await?;
    chain.stop().await;
    let records = EventLog::in_directory(directory).read()?;
    let events: Vec<_> = records.iter().map(StepRecord::event).collect();
    let recomputed_weights = compute_weights(&events, ValidatorSettings::new(NETUID).alpha);
    let judge = Judge::new(Arc::new(HashedWords), None);
    let gate = GateFile::open(directory, &judge, args.seed)?;
    let question = records.last().map(|record| record.question.clone()).unwrap_or_default();
    let preferences = gate.gate().scores(
        &judge.embed(&question)?,
        &miners.iter().map(|miner| miner.hotkey).collect::<Vec<_>>(),
    );
    Ok(DemoReport::new(
        &miners,
        &records,
        &scores,
        &preferences,
        &submitted_weights,
        &recomputed_weights,
        &on_chain,
    ))
}

async fn open_validator(
    chain: &DemoChain,
    key: Keypair,
    seed: u64,
    directory: &Path,
    shutdown: &Shutdown,
) -> anyhow::Result<Validator<PromptingChallenge>> {
    let judge = Judge::new(Arc::new(HashedWords), None);
    let settings = ChallengeSettings { deadline: REQUEST_TIMEOUT, ..ChallengeSettings::default() };
    let challenge =
        PromptingChallenge::open(directory, judge, Dataset::built_in()?, seed, settings)?;
    let mut settings = ValidatorSettings {
        query: query_limits(REQUEST_TIMEOUT),
        addresses: AddressPolicy {
            local_miner_ip: Some(PLACEHOLDER_ADDRESS.to_string()),
            ..AddressPolicy::default()
        },
        ..ValidatorSettings::new(NETUID)
    };
    settings.epochs.tempo = TEMPO;
    let client: Arc<dyn Chain> = chain.client();
    Ok(Validator::open(challenge, key, client, directory, settings, shutdown).await?)
}
