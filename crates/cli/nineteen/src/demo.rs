//! `tao nineteen demo`: a complete market on this machine, including its chain.

mod demo_market;
mod load;
mod miners;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::serve_on_loopback;
use taonet_cli_localnet::demo_chain::{
    DemoChain, MinerOnChain, NETUID, PLACEHOLDER_ADDRESS, submit_weights,
};
use taonet_cli_localnet::output_directory::OutputDirectory;
use taonet_neuron::AddressPolicy;
use taonet_nineteen_checker::{CheckingServer, LocalReference};
use taonet_nineteen_control::{ControlSettings, MarketFile, Nineteen, References, market_report};
use taonet_nineteen_query::{QueryDeadlines, QueueSettings};
use taonet_nineteen_store::Store;
use taonet_nineteen_transport::Trust;
use taonet_primitives::Uid;
use taonet_service::{Shutdown, system_clock, unix_time};
use taonet_validator::Validator;
use taonet_wallet::Keypair;

use super::operation::{
    MarketServices, MarketServicesSettings, RunningMarket, STATE_FILE, validator_settings,
};
use demo_market::DemoMarket;
use load::Buyer;
use miners::DemoMiner;
use report::{DemoReport, Round};

/// The validator's key: a public development key.
const VALIDATOR: &str = "//validator";
/// Name of the chat task.
const CHAT_TASK: &str = "chat-demo";
/// Name of the task for images from a prompt.
const IMAGE_TASK: &str = "painter-text-to-image";
/// Epoch length in blocks.
const TEMPO: u32 = 360;

/// Run a market on this machine: a chain, miners, and a validator that tests and scores them
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Exit after one round of periods
    #[arg(long)]
    once: bool,
    /// Number of periods per round
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=1000))]
    periods: u16,
    /// Seed of the models and tests
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Llama model of miners and validator: a directory, a GGUF file, a name in `tao models list`,
    /// or random for a small one with random weights [default: SmolLM2-135M-Instruct if it is
    /// installed, otherwise random]
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Also sell images, which a painter draws without a model: two more miners, one of which
    /// answers every request with the same image
    #[arg(long)]
    images: bool,
    /// Keep the validator's database in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: &DemoArgs, context: &Context) -> anyhow::Result<()> {
    let output_directory = OutputDirectory::open(args.keep.clone())?;
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let temporary_directory =
            tempfile::tempdir().context("cannot create a temporary directory")?;
        let play =
            play(args, output_directory.path(), temporary_directory.path(), &shutdown, context);
        let result = tokio::select! {
            result = play => result,
            // Without --once, an interruption is the only end.
            () = shutdown.requested() => {
                anyhow::ensure!(!args.once, "the demonstration was interrupted");
                Ok(())
            }
        };
        shutdown.request();
        shutdown.finished().await.context("a server did not stop in time")?;
        result
    })
}

async fn play(
    args: &DemoArgs,
    state_directory: &Path,
    weights_directory: &Path,
    shutdown: &Shutdown,
    context: &Context,
) -> anyhow::Result<()> {
    let demo_market = DemoMarket::load(args.model.as_deref(), args.images, args.seed, context)?;
    let validator = Keypair::from_uri(VALIDATOR)?;
    let chain = DemoChain::start(validator.clone()).await?;
    let miners = miners::start(&chain, &validator, &demo_market, shutdown).await?;
    let market_services =
        market_services(&chain, &validator, &demo_market, args.seed, state_directory, shutdown)
            .await?;
    let subnet = Nineteen::new(
        market_services.store.clone(),
        market_services.market.clone(),
        system_clock(),
    );
    let settings = validator_settings(NETUID, TEMPO);
    let client = chain.client();
    let mut epoch_loop = Validator::open(
        subnet,
        validator,
        client,
        weights_directory,
        STATE_FILE,
        settings,
        shutdown,
    )
    .await?;
    let market_services = market_services.spawn(shutdown);
    let buyer = Buyer::new(&market_services, demo_market.pause(), shutdown).await?;
    if !args.once {
        let (base_url, key) = buyer.access();
        context.print_notice(&format!("gateway {base_url}\nkey {key}"));
    }
    // Between rounds, the chain's state after the last round is shown: it has an epoch every few
    // blocks, after which the weights of that round may have expired.
    let (mut report, mut on_chain) = (DemoReport::new(demo_market.note), BTreeMap::new());
    loop {
        for period in 1..=args.periods {
            let load = buyer.start();
            let has_run = market_services.controller.run_period().await?;
            anyhow::ensure!(has_run, "no miner offers capacity");
            report.tokens += load.stop().await;
            report.periods += 1;
            if period == args.periods {
                on_chain = finish_round(&market_services, &chain, &mut epoch_loop).await?;
            } else if args.once {
                continue;
            }
            let round = round_results(&market_services, &miners, &on_chain).await?;
            report.set_round(
                round,
                market_services.store.balances().await?,
                market_services.store.is_balanced().await?,
            );
            if !args.once {
                print_report(&report, context)?;
                // The tests of a period show the gateway which miners answer well.
                if report.periods == 1 {
                    print_examples(&buyer, demo_market.has_images, context);
                }
            }
        }
        if args.once {
            break;
        }
    }
    chain.stop().await;
    print_report(&report, context)
}

/// Prints commands that buy an answer and an image.
fn print_examples(buyer: &Buyer, has_images: bool, context: &Context) {
    let (base_url, key) = buyer.access();
    let question = json!({
        "model": CHAT_TASK,
        "temperature": 0,
        "messages": [{"role": "user", "content": "What is the capital city of Italy? Answer in one sentence."}],
    });
    context.print_notice(&format!(
        "try it: curl {base_url}/chat/completions --header \"Authorization: Bearer {key}\" --json '{question}'"
    ));
    if has_images {
        let request =
            json!({"model": IMAGE_TASK, "prompt": "a red boat on a blue lake", "size": "768x576"});
        context.print_notice(&format!(
            "try an image: curl {base_url}/images/generations --header \"Authorization: Bearer {key}\" --json '{request}'"
        ));
    }
}

fn print_report(report: &DemoReport, context: &Context) -> anyhow::Result<()> {
    if context.json {
        context.print_json(&report.document())
    } else {
        context.print(&report.to_string())
    }
}

/// Creates the validator, with the model itself as its checker, and its own painter for
/// images.
async fn market_services(
    chain: &DemoChain,
    validator: &Keypair,
    demo_market: &DemoMarket,
    seed: u64,
    directory: &Path,
    shutdown: &Shutdown,
) -> anyhow::Result<MarketServices> {
    let market = MarketFile::from_config(demo_market.market.clone());
    let mut references =
        References::for_all(Arc::new(LocalReference::new(Arc::clone(&demo_market.model))));
    if demo_market.has_images {
        let url = serve_on_loopback("checking painter", taonet_nineteen_images::router(), shutdown)
            .await?;
        references = references.with_image_server(CheckingServer::new(
            &url,
            None,
            demo_market.response_timeout(),
        )?);
    }
    let control = ControlSettings {
        addresses: AddressPolicy {
            local_miner_ip: Some(PLACEHOLDER_ADDRESS.to_string()),
            ..AddressPolicy::default()
        },
        seed: Some(seed),
        ..ControlSettings::default()
    };
    let chunk_timeout = Some(demo_market.response_timeout());
    let deadlines = QueryDeadlines {
        first_chunk: chunk_timeout,
        between_chunks: chunk_timeout,
        ..QueryDeadlines::default()
    };
    let queue = QueueSettings::default();
    let settings =
        MarketServicesSettings { netuid: NETUID, control, deadlines, queue, trust: Trust::Signed };
    let store = Store::open(directory).await?;
    MarketServices::new(validator, chain.client(), store, market, references, settings)
}

/// Finishes a round: closes the last period, checks all answers, sets weights, and advances the
/// chain past its epoch. Returns the chain's state.
async fn finish_round(
    market_services: &RunningMarket,
    chain: &DemoChain,
    epoch_loop: &mut Validator<Nineteen>,
) -> anyhow::Result<BTreeMap<Uid, MinerOnChain>> {
    market_services.controller.close().await?;
    // Waits until the last answers are stored.
    tokio::time::sleep(Duration::from_millis(200)).await;
    while market_services.scorer.check_next().await? {}
    let epoch = submit_weights(async || epoch_loop.run_once().await).await?;
    let submitted_weights = epoch.weights.context("no miner has earned weight")?;
    chain.pass_epoch().await?;
    chain.standings(&submitted_weights).await
}

/// Returns the results so far, beside the chain's state after the last round.
async fn round_results(
    market_services: &RunningMarket,
    miners: &[DemoMiner],
    on_chain: &BTreeMap<Uid, MinerOnChain>,
) -> anyhow::Result<Round> {
    let now = i64::try_from(unix_time(std::time::SystemTime::now()).as_millis())?;
    let scores =
        market_report(&market_services.store, &market_services.market.current(), now).await?;
    let rewards = market_services.store.rewards_since(0).await?;
    let mut periods = Vec::new();
    if let Some(newest) = market_services.store.newest_period().await? {
        for id in 1..=newest.id.0 {
            periods
                .push(market_services.store.contenders(taonet_nineteen_store::PeriodId(id)).await?);
        }
    }
    Ok(Round::new(miners, &scores, &rewards, &periods, on_chain))
}
