//! The `tao nineteen validator` command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::routing::get;
use axum::{Json, Router};
use clap::{Args, ValueEnum};
use taonet_cli_base::chain::NetworkArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs, state_directory};
use taonet_cli_base::input;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::preflight;
use taonet_cli_models::chat_model;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::{Readiness, disable_huge_pages};
use taonet_neuron::AddressPolicy;
use taonet_nineteen_checker::{CheckingServer, LocalReference};
use taonet_nineteen_control::{ControlSettings, Nineteen, PeerVotes, References, Voter, VotesFeed};
use taonet_nineteen_entry::Gateway;
use taonet_nineteen_query::QueryDeadlines;
use taonet_nineteen_store::{ControlLock, StoreError};
use taonet_nineteen_transport::Trust;
use taonet_primitives::NetUid;
use taonet_service::{Shutdown, system_clock};
use taonet_validator::{LocalWeights, Validator};
use url::Url;
use zeroize::Zeroizing;

use super::database::DatabaseArgs;
use super::operation::{MarketServices, MarketServicesSettings, STATE_FILE, validator_settings};
use super::shared::{QueueArgs, TasksArgs, WebhookArgs};
use super::tokenizers;
use super::topups::TopUpArgs;

/// Timeout of a request to a checking server.
const CHECK_TIMEOUT: Duration = Duration::from_mins(3);

/// Run a validator: test miners, check their answers, serve buyers, set weights
#[derive(Debug, Args)]
pub struct ValidatorArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Base URL of an OpenAI-compatible server with the text tasks' models, including /v1. Without
    /// it, answers of these tasks are not checked, and their miners earn no weight; so for the next
    /// two options
    #[arg(long, value_name = "URL", conflicts_with = "model")]
    checker_url: Option<Url>,
    /// Check the answers of text tasks on the CPU of this machine instead, with this Llama model: a
    /// directory, a GGUF file, or a name in `tao models list`
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Base URL of an image server with the routes of the reference's image workers, such as
    /// /text-to-image
    #[arg(long, value_name = "URL")]
    checker_image_url: Option<Url>,
    /// Base URL of an OpenAI-compatible server with the embedding tasks' models, including /v1
    #[arg(long, value_name = "URL")]
    checker_embedding_url: Option<Url>,
    /// File with the bearer token for the checking servers
    #[arg(long, value_name = "FILE")]
    checker_token_file: Option<PathBuf>,
    /// Model name at the server of --checker-url, for all text tasks [default: each task's
    /// load_model_config.model]
    #[arg(long, value_name = "NAME", requires = "checker_url")]
    checker_model: Option<String>,
    /// Base URL of a service with the task weights that the validators vote for; GET URL/v1/weights
    /// returns {task: weight}. The votes replace the weights of the task file at the next period
    /// [default: no votes]
    #[arg(long, value_name = "URL")]
    votes_url: Option<Url>,
    /// Base URL of another validator's gateway, whose vote on the weights of tasks counts by its
    /// stake, like that of the own task file; may be repeated. URL/v1/vote returns the signed vote
    /// [default: no votes]
    #[arg(long, value_name = "URL", conflicts_with = "votes_url")]
    vote_peer: Vec<Url>,
    /// State directory [default: one per subnet and hotkey in the user's state directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Accepted encryption keys of miners
    #[arg(long, value_enum, default_value = "any")]
    trust: TrustArg,
    /// Also call miners at private addresses, for development networks
    #[arg(long)]
    allow_private: bool,
    /// Milliseconds without a first token after which a buyer's request is also sent to a second
    /// miner [default: never]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    hedge: Option<u64>,
    /// Send buyers' text requests whose prompts begin alike to the same miner, whose server may
    /// have the beginning in its cache
    #[arg(long)]
    prefix_affinity: bool,
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    topups: TopUpArgs,
    #[command(flatten)]
    webhook: WebhookArgs,
    /// Epoch length in blocks
    #[arg(long, value_name = "BLOCKS", default_value = "360", value_parser = clap::value_parser!(u32).range(1..))]
    tempo: u32,
    /// Listen address of the buyers' API
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// Netuid of the subnet
    #[arg(long, default_value = "19")]
    netuid: NetUid,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TrustArg {
    /// Keys signed by the miner's hotkey, and unsigned keys of miners that sign none, as in fiber
    Any,
    /// Only keys signed by the miner's hotkey
    Signed,
}

impl ValidatorArgs {
    fn references(&self) -> anyhow::Result<References> {
        let token = self
            .checker_token_file
            .as_ref()
            .map(|file| anyhow::Ok(Zeroizing::new(input::read_text(file)?)));
        let token = token.transpose()?;
        let mut references = match &self.model {
            Some(model) => {
                let model = chat_model::load(&chat_model::model_name(model), model)?;
                References::for_all(Arc::new(LocalReference::new(Arc::new(model))))
            }
            None => References::default(),
        };
        if let Some(url) = &self.checker_url {
            let server = CheckingServer::new(url, token.as_ref(), CHECK_TIMEOUT)?;
            references = references.with_text_server(server, self.checker_model.clone());
        }
        if let Some(url) = &self.checker_image_url {
            let server = CheckingServer::new(url, token.as_ref(), CHECK_TIMEOUT)?;
            references = references.with_image_server(server);
        }
        if let Some(url) = &self.checker_embedding_url {
            let server = CheckingServer::new(url, token.as_ref(), CHECK_TIMEOUT)?;
            references = references.with_embedding_server(server);
        }
        Ok(references)
    }

    fn market_services_settings(&self) -> MarketServicesSettings {
        let control = ControlSettings {
            addresses: AddressPolicy {
                allow_private: self.allow_private,
                ..AddressPolicy::default()
            },
            ..ControlSettings::default()
        };
        let trust = match self.trust {
            TrustArg::Any => Trust::Any,
            TrustArg::Signed => Trust::Signed,
        };
        let deadlines = QueryDeadlines {
            hedge: self.hedge.map(Duration::from_millis),
            ..QueryDeadlines::default()
        };
        MarketServicesSettings {
            netuid: self.netuid,
            control,
            deadlines,
            queue: self.queue.settings(),
            trust,
        }
    }
}

/// Holds the lock of the database in the background. When another process has acquired it, shuts
/// down, and sets the error.
fn hold_lock(lock: ControlLock, shutdown: &Shutdown) -> Arc<OnceLock<StoreError>> {
    let (lock_loss, stop) = (Arc::new(OnceLock::new()), shutdown.clone());
    let lock_loss_cell = Arc::clone(&lock_loss);
    shutdown.spawn("lock", async move {
        tokio::select! {
            () = stop.requested() => {}
            error = lock.hold() => {
                let _ = lock_loss_cell.set(error);
                stop.request();
            }
        }
    });
    lock_loss
}

/// Returns the route of the validator's own vote on the weights of tasks, which other validators
/// count.
fn vote_route(voter: Voter) -> Router {
    let vote = move || {
        let ballot = voter.ballot();
        async move { Json(ballot) }
    };
    Router::new().route("/v1/vote", get(vote))
}

pub(crate) fn run(args: &ValidatorArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.key.load(Some(&args.network))?;
    let hotkey = keypair.hotkey();
    let market = args.tasks.open(args.model.as_deref())?;
    let references = args.references()?;
    let webhook = args.webhook.open()?;
    // A model computes faster with huge pages.
    if args.model.is_none() {
        disable_huge_pages();
    }
    let directory = args.state.clone();
    let directory = directory
        .unwrap_or_else(|| state_directory("nineteen").join(format!("{}-{hotkey}", args.netuid)));
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        LocalWeights::describe_metrics();
        taonet_nineteen_query::describe_metrics();
        taonet_nineteen_control::describe_metrics();
        taonet_nineteen_entry::describe_metrics();
        taonet_validator::describe_metrics();
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        preflight::spawn_disk_check(
            vec![WriteDirectory::new("state", &directory, DiskNeeds::STATE)],
            &shutdown,
        );
        let chain = Arc::new(args.key.connect(&args.network).await?);
        preflight::spawn_clock_check(Arc::clone(&chain) as _, &shutdown);
        let store = args.database.open(Some(&directory)).await?;
        let lock = store.lock_control().await?;
        let lock_loss = hold_lock(lock, &shutdown);
        args.topups.start(&chain, &store, &shutdown).await?;
        let market_services = MarketServices::new(
            &keypair,
            Arc::clone(&chain),
            store,
            market,
            references,
            args.market_services_settings(),
        )?;
        market_services.querier.set_prefix_affinity(args.prefix_affinity);
        let subnet = Nineteen::new(
            market_services.store.clone(),
            market_services.market.clone(),
            system_clock(),
        );
        let settings = validator_settings(args.netuid, args.tempo);
        let voter = Voter::new(
            keypair.clone(),
            args.netuid,
            market_services.market.clone(),
            system_clock(),
        );
        if !args.vote_peer.is_empty() {
            let votes = PeerVotes::new(&args.vote_peer, voter.clone(), Arc::clone(&chain) as _)?;
            shutdown.spawn_until("votes", |stop| async move { votes.run(&stop).await });
        }
        let readiness = Readiness::starting();
        let validator =
            Validator::open(subnet, keypair, chain, &directory, STATE_FILE, settings, &shutdown)
                .await?;
        let mut validator = validator.with_readiness(readiness.clone());
        if let Some(url) = &args.votes_url {
            let votes_feed = VotesFeed::new(url, market_services.market.clone())?;
            shutdown.spawn_until("votes", |stop| async move { votes_feed.run(&stop).await });
        }
        let market_services = market_services.spawn(&shutdown);
        let (controller, stop) = (Arc::clone(&market_services.controller), shutdown.clone());
        shutdown.spawn("periods", async move { controller.run(&stop).await });
        shutdown.spawn_until("weights", |stop| async move { validator.run(&stop).await });
        context.print_notice(&format!("hotkey {hotkey}"));
        let gateway = Gateway::new(
            market_services.store.clone(),
            market_services.querier.clone(),
            market_services.market.clone(),
            system_clock(),
        );
        let gateway = gateway.with_budget_webhook(webhook);
        gateway.load_tokenizers(tokenizers::finder()?).await;
        gateway.recover().await?;
        let (maintained_gateway, stop) = (gateway.clone(), shutdown.clone());
        shutdown
            .spawn("maintenance", async move { maintained_gateway.run_maintenance(&stop).await });
        let router = gateway.router().merge(vote_route(voter));
        daemon.serve_with(readiness, shutdown, "nineteen validator", router, context).await?;
        match Arc::into_inner(lock_loss).and_then(OnceLock::into_inner) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    })
}
