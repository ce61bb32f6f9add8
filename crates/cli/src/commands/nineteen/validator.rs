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
use taonet_nineteen_store::Store;
use taonet_nineteen_transport::Trust;
use taonet_primitives::NetUid;
use taonet_service::{Shutdown, system_clock};
use url::Url;
use zeroize::Zeroizing;

use super::keys::now_ms;
use super::operation::{Operation, OperationSettings, validator_settings, weights_loop};
use crate::chain::NetworkArgs;
use crate::context::Context;
use crate::daemon::{Daemon, MetricsArgs, state_directory};
use crate::keys::KeyArgs;
use crate::{input, settings};

/// How long the checking server may take for one answer.
const CHECK_TIMEOUT: Duration = Duration::from_mins(3);

/// Run a validator: test miners, check their answers, sell their work, set weights
#[derive(Debug, Args)]
pub(crate) struct ValidatorArgs {
    /// File with the tasks; `tao nineteen tasks` prints the default one. Read again at each period
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,
    /// OpenAI-compatible server that runs the tasks' models, with its /v1. Without one no answer is checked, and nobody
    /// earns weight
    #[arg(long, value_name = "URL")]
    checker_url: Option<Url>,
    /// File with the bearer token that the checking server asks for
    #[arg(long, value_name = "FILE", requires = "checker_url")]
    checker_token_file: Option<PathBuf>,
    /// The checking server's name of the model, for all tasks [default: each task's load_model_config.model]
    #[arg(long, value_name = "NAME", requires = "checker_url")]
    checker_model: Option<String>,
    /// Directory of the validator's state [default: one for subnet and hotkey in the state directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Which miners' encryption keys are trusted
    #[arg(long, value_enum, default_value = "any")]
    trust: TrustArg,
    /// Also call miners at private addresses, for networks of your own
    #[arg(long)]
    allow_private: bool,
    /// Milliseconds without a first token after which a buyer's request goes to a second miner too [default: never]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    hedge: Option<u64>,
    /// Blocks of an epoch of weights
    #[arg(long, value_name = "BLOCKS", default_value = "360", value_parser = clap::value_parser!(u32).range(1..))]
    tempo: u32,
    /// Where buyers' requests arrive
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// The subnet's number
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
    /// Keys that the hotkey signed, and of miners that sign none, as fiber
    Any,
    /// Only keys that the hotkey signed
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
            tracing::warn!("no --checker-url: answers are not checked, and nobody earns weight");
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
        let shutdown = Shutdown::on_signals().context("signals cannot be handled")?;
        let chain = Arc::new(args.network.connect().await?);
        let store = Store::open(&directory).await?;
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
        // What an earlier process held for requests that it did not finish.
        let released = operation.store.release_holds(now_ms()).await?;
        if released > 0 {
            tracing::warn!(released, "credits of unfinished requests are given back");
        }
        let gateway =
            Gateway::new(operation.store.clone(), operation.querier.clone(), operation.market.clone(), system_clock());
        daemon.serve_with(readiness, shutdown, "nineteen validator", gateway.router(), context).await
    })
}
