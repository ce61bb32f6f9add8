//! `tao nineteen validator`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::Value;
use taonet_http::Readiness;
use taonet_nineteen_checker::OpenAiReference;
use taonet_nineteen_control::{AddressRules, ControlSettings, MarketFile, Nineteen, References};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::CheckingFunction;
use taonet_nineteen_entry::Gateway;
use taonet_nineteen_query::QueryDeadlines;
use taonet_nineteen_transport::Trust;
use taonet_primitives::NetUid;
use taonet_service::{Shutdown, system_clock};
use url::Url;
use zeroize::Zeroizing;

use super::database::DatabaseArgs;
use super::operation::{Operation, OperationSettings, validator_settings, weights_loop};
use crate::chain::NetworkArgs;
use crate::context::Context;
use crate::daemon::{Daemon, MetricsArgs, state_directory};
use crate::keys::KeyArgs;
use crate::{input, settings};

/// Timeout of a request to the checking server.
const CHECK_TIMEOUT: Duration = Duration::from_mins(3);

/// Run a validator: test miners, check their answers, serve buyers, set weights
#[derive(Debug, Args)]
pub(crate) struct ValidatorArgs {
    /// Task file, reloaded at each period [default: the tasks that `tao nineteen tasks` prints]
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,
    /// Base URL of an OpenAI-compatible server with the tasks' models, including /v1. Without it no answer is checked,
    /// and no miner earns weight
    #[arg(long, value_name = "URL")]
    checker_url: Option<Url>,
    /// File with the bearer token for the checking server
    #[arg(long, value_name = "FILE", requires = "checker_url")]
    checker_token_file: Option<PathBuf>,
    /// Model name at the checking server, for all tasks [default: each task's load_model_config.model]
    #[arg(long, value_name = "NAME", requires = "checker_url")]
    checker_model: Option<String>,
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
    /// Milliseconds without a first token after which a buyer's request is also sent to a second miner [default: never]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    hedge: Option<u64>,
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
    fn market(&self) -> anyhow::Result<MarketFile> {
        match &self.tasks {
            Some(path) => Ok(MarketFile::open(path)?),
            None => Ok(MarketFile::fixed(MarketConfig::default())),
        }
    }

    fn references(&self, config: &MarketConfig) -> anyhow::Result<References> {
        let Some(url) = &self.checker_url else {
            tracing::warn!("no --checker-url: answers are not checked, and no miner earns weight");
            return Ok(References::default());
        };
        let token = self.checker_token_file.as_ref().map(|file| {
            let bytes = input::read(file)?;
            let text = String::from_utf8(bytes).with_context(|| format!("{} is not text", file.display()))?;
            anyhow::Ok(Zeroizing::new(text))
        });
        let token = token.transpose()?;
        let mut references = References::default();
        for task in &config.tasks {
            let checker = &task.orchestrator_server_config;
            if checker.checking_function != CheckingFunction::CheckTextResult {
                continue;
            }
            let model = checker.load_model_config.get("model").and_then(Value::as_str);
            let model = self.checker_model.as_deref().or(model).unwrap_or(task.task.as_str());
            let reference = OpenAiReference::new(url, model, token.as_ref(), CHECK_TIMEOUT)?;
            references = references.with(task.task.clone(), Arc::new(reference));
        }
        Ok(references)
    }
}

pub(crate) fn run(args: &ValidatorArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.key.load(&settings::load()?.network)?;
    let hotkey = keypair.hotkey();
    let market = args.market()?;
    let references = args.references(&market.current())?;
    let directory = args.state.clone();
    let directory = directory.unwrap_or_else(|| state_directory("nineteen").join(format!("{}-{hotkey}", args.netuid)));
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        taonet_nineteen_query::describe_metrics();
        taonet_nineteen_control::describe_metrics();
        taonet_nineteen_entry::describe_metrics();
        taonet_validator::describe_metrics();
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let chain = Arc::new(args.network.connect().await?);
        let store = args.database.open(Some(&directory)).await?;
        let control = ControlSettings {
            addresses: AddressRules { substitutes: Vec::new(), allow_private: args.allow_private },
            ..ControlSettings::default()
        };
        let trust = match args.trust {
            TrustArg::Any => Trust::Any,
            TrustArg::Signed => Trust::Signed,
        };
        let deadlines = QueryDeadlines { hedge: args.hedge.map(Duration::from_millis), ..QueryDeadlines::default() };
        let settings = OperationSettings { netuid: args.netuid, control, deadlines, trust };
        let operation = Operation::new(&keypair, Arc::clone(&chain), store, market, references, settings)?;
        let subnet = Nineteen::new(operation.store.clone(), operation.market.clone(), system_clock());
        let settings = validator_settings(args.netuid, args.tempo);
        let readiness = Readiness::starting();
        let validator = weights_loop(&keypair, chain, &directory, subnet, settings, &shutdown).await?;
        let mut validator = validator.with_readiness(readiness.clone());
        let operation = operation.spawn(&shutdown);
        let (controller, stop) = (Arc::clone(&operation.controller), shutdown.clone());
        shutdown.spawn("periods", async move { controller.run(&stop).await });
        let stop = shutdown.clone();
        shutdown.spawn("weights", async move { validator.run(&stop).await });
        context.say(&format!("hotkey {hotkey}"));
        let gateway =
            Gateway::new(operation.store.clone(), operation.querier.clone(), operation.market.clone(), system_clock());
        gateway.recover().await?;
        let (books, stop) = (gateway.clone(), shutdown.clone());
        shutdown.spawn("books", async move { books.keep_books(&stop).await });
        daemon.serve_with(readiness, shutdown, "nineteen validator", gateway.router(), context).await
    })
}
