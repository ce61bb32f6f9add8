//! The `tao nineteen miner` command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use taonet_cli_base::chain::{NetworkArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{CallerArgs, Daemon, MetricsArgs, serve_on_loopback};
use taonet_cli_base::input;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::preflight;
use taonet_cli_models::{chat_model, engines::PAINTER};
use taonet_http::Readiness;
use taonet_kit::ChainSync;
use taonet_lm::EngineSettings;
use taonet_lm::server::router as model_router;
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_miner::{
    Backend, Deadlines, Miner, MinerConfig, ServedTask, describe_metrics, miner_router,
};
use taonet_nineteen_transport::{
    FiberRules, MAX_REQUEST_BYTES, MinerHandshake, RsaKey, signed_requests,
};
use taonet_primitives::{Hotkey, NetUid, Rao};
use taonet_service::Shutdown;
use taonet_wire::{Limits, Policy, RegistrationTable};
use url::Url;

/// Refresh interval of the stakes.
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);

/// Run a miner in front of an OpenAI-compatible server, or with a local model
#[derive(Debug, Args)]
pub struct MinerArgs {
    /// Base URL of the backend server, including /v1 if it has that prefix
    #[arg(long, value_name = "URL", required_unless_present = "model")]
    backend_url: Option<Url>,
    /// File with the bearer token for the backend
    #[arg(long, value_name = "FILE", requires = "backend_url")]
    backend_token_file: Option<PathBuf>,
    /// Serve this Llama model on the CPU, without a backend: a directory (config.json, safetensors,
    /// tokenizer.json), a GGUF file, or a name in `tao models list`. With --type image: painter,
    /// which draws images without a model
    #[arg(long, value_name = "MODEL", conflicts_with = "backend_url")]
    model: Option<PathBuf>,
    /// Image protocol of the backend
    #[arg(long, value_enum, default_value = "workers")]
    image_protocol: ImageProtocol,
    /// Task to serve, with its capacity per period, shared by all validators (default: the largest
    /// accepted), and the backend's model name (default: the task's name); may be repeated
    #[arg(long = "task", value_name = "TASK[@CAPACITY][=MODEL]", required = true)]
    tasks: Vec<ServedTask>,
    /// Type of the tasks
    #[arg(long = "type", value_enum, default_value = "text")]
    kind: Kind,
    /// Maximum number of concurrent requests
    #[arg(long, default_value = "16", value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: u32,
    /// Admission rules for requests
    #[arg(long, value_enum, default_value = "strict")]
    rules: Rules,
    /// Listen address
    #[arg(long, default_value = "127.0.0.1:4001")]
    listen: SocketAddr,
    /// Netuid of the subnet
    #[arg(long, default_value = "19")]
    netuid: NetUid,
    /// Minimum stake of callers, in TAO
    #[arg(long, value_name = "TAO", default_value = "1000", conflicts_with = "no_metagraph")]
    min_stake: Rao,
    /// Blocked hotkeys
    #[arg(long, value_name = "HOTKEY")]
    block: Vec<Hotkey>,
    /// Do not query the chain: admit any caller with a valid signature
    #[arg(long)]
    no_metagraph: bool,
    #[command(flatten)]
    callers: CallerArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Chat and text completions
    Text,
    /// Images
    Image,
    /// Embeddings
    Embedding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ImageProtocol {
    /// The routes of the image workers, such as /text-to-image
    Workers,
    /// OpenAI's /images/generations and /images/edits
    Openai,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rules {
    /// Require requests signed for this miner
    Strict,
    /// Also accept requests signed for other miners, as fiber 1.0 does
    Reference,
}

impl MinerArgs {
    fn config(&self) -> MinerConfig {
        let task_type = match self.kind {
            Kind::Text => TaskType::Text,
            Kind::Image => TaskType::Image,
            Kind::Embedding => TaskType::Embedding,
        };
        MinerConfig {
            task_type,
            served: self.tasks.clone(),
            concurrency: usize::try_from(self.concurrency).unwrap_or(usize::MAX),
            deadlines: Deadlines::default(),
        }
    }

    async fn create_backend(&self, shutdown: &Shutdown) -> anyhow::Result<Backend> {
        if let Some(model) = &self.model {
            if matches!(self.kind, Kind::Image) {
                let is_painter = model == Path::new(PAINTER);
                anyhow::ensure!(
                    is_painter,
                    "--model serves no images, except painter\nhint: set --model {PAINTER}"
                );
                let url =
                    serve_on_loopback(PAINTER, taonet_nineteen_images::router(), shutdown).await?;
                return Ok(Backend::new(&url, None)?);
            }
            let model = Arc::new(chat_model::load("local", model)?);
            let streams = usize::try_from(self.concurrency).unwrap_or(usize::MAX);
            let settings = EngineSettings { streams, ..EngineSettings::default() };
            let url = serve_on_loopback("model", model_router(model, settings)?, shutdown).await?;
            return Ok(Backend::new(&url.join("/v1")?, None)?);
        }
        let url = self.backend_url.as_ref().context("--backend-url is required without --model")?;
        let token =
            self.backend_token_file.as_ref().map(|file| anyhow::Ok(input::read_text(file)?.into()));
        let backend = Backend::new(url, token.transpose()?.as_ref())?;
        Ok(if self.image_protocol == ImageProtocol::Openai {
            backend.with_openai_images()
        } else {
            backend
        })
    }

    fn admission_policy(&self, validators: Option<&Arc<RegistrationTable>>) -> Policy {
        let policy = self.callers.policy().block(self.block.iter().copied());
        match validators {
            Some(validators) => policy
                .with_registrations(validators.clone())
                .registered_only()
                .min_stake(self.min_stake.get()),
            None => policy,
        }
    }
}

pub(crate) fn run(args: &MinerArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.key.load(Some(&args.network))?;
    let hotkey = keypair.hotkey();
    let rules = match args.rules {
        Rules::Strict => FiberRules::Strict,
        Rules::Reference => FiberRules::Reference,
    };
    let handshake = MinerHandshake::new(keypair, RsaKey::generate()?, rules);
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        let daemon =
            daemon.with_write_directories(args.callers.replay_directory(&hotkey, args.listen));
        describe_metrics();
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let backend = args.create_backend(&shutdown).await?;
        let validators = (!args.no_metagraph).then(Arc::<RegistrationTable>::default);
        let limits = Limits { body_bytes: MAX_REQUEST_BYTES, ..Limits::default() };
        let layer = signed_requests(hotkey, rules).limits(limits);
        let signature_layer = args.callers.build_with(
            layer,
            args.admission_policy(validators.as_ref()),
            &hotkey,
            args.listen,
        )?;
        let router = miner_router(
            Miner::new(args.config(), backend, validators.clone()),
            handshake,
            signature_layer,
        );
        let readiness = Readiness::starting();
        if let Some(validators) = validators {
            let chain = Arc::new(args.key.connect(&args.network).await?);
            preflight::spawn_clock_check(Arc::clone(&chain) as _, &shutdown);
            let chain_sync = ChainSync::new(chain, args.netuid, validators);
            chain_sync.start(REFRESH_INTERVAL, &shutdown).await.map_err(chain_error)?;
        } else {
            preflight::spawn_network_clock_check(&shutdown);
        }
        readiness.set_ready();
        context.print_notice(&format!("hotkey {hotkey}"));
        daemon.serve_with(readiness, shutdown, "nineteen miner", router, context).await
    })
}
