//! The `tao prompting miner` command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_chain::Chain;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{bind, print_address, replay_log, serve_metrics};
use taonet_cli_base::input;
use taonet_cli_base::preflight;
use taonet_cli_models::chat_model;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::ModelServer;
use taonet_kit::{MinerSettings, describe_metrics};
use taonet_primitives::Hotkey;
use taonet_prompting_neurons::{CannedAnswers, Completer, miner};
use taonet_service::Shutdown;
use url::Url;

use super::NeuronArgs;

/// Timeout of a request to an inference server.
const SERVER_TIMEOUT: Duration = Duration::from_mins(1);

/// Run a miner that completes conversations
#[derive(Debug, Args)]
pub struct MinerArgs {
    #[command(flatten)]
    source: CompleterArgs,
    /// Model name at the server of --backend-url [default: the first one in its list]
    #[arg(long, value_name = "NAME", requires = "backend_url")]
    backend_model: Option<String>,
    /// File with the bearer token for the backend
    #[arg(long, value_name = "FILE", requires = "backend_url")]
    backend_token_file: Option<PathBuf>,
    /// Maximum number of tokens of a completion
    #[arg(long, value_name = "TOKENS", default_value = "200", value_parser = clap::value_parser!(u16).range(1..=8192))]
    max_tokens: u16,
    /// Listen address
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// External address to publish on the chain [default: leave the chain as it is]
    #[arg(long, value_name = "IP:PORT")]
    announce: Option<SocketAddr>,
    /// Log of accepted requests, to reject replays after a restart [default: one file per hotkey
    /// and port in the state directory; none with port 0]
    #[arg(long, value_name = "FILE")]
    replay_log: Option<PathBuf>,
    #[command(flatten)]
    neuron: NeuronArgs,
}

/// Arguments that select what completes
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct CompleterArgs {
    /// Complete with this Llama model, on the CPU: a directory (config.json, safetensors,
    /// tokenizer.json), a GGUF file, or a name in `tao models list`
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Complete with a server with OpenAI's API at this base URL, including /v1 if it has that
    /// prefix
    #[arg(long, value_name = "URL")]
    backend_url: Option<Url>,
    /// Complete with the answers of a file of JSON lines with `question` and `answer`
    #[arg(long, value_name = "FILE")]
    canned: Option<PathBuf>,
}

impl MinerArgs {
    async fn create_completer(&self) -> anyhow::Result<Completer> {
        let max_tokens = usize::from(self.max_tokens);
        if let Some(model) = &self.source.model {
            return Ok(Completer::model(Arc::new(chat_model::load("local", model)?), max_tokens)?);
        }
        if let Some(file) = &self.source.canned {
            return Ok(Completer::canned(CannedAnswers::open(file)?));
        }
        let url = self
            .source
            .backend_url
            .as_ref()
            .context("--model, --backend-url or --canned is required")?;
        let token =
            self.backend_token_file.as_ref().map(|file| input::read_text(file)).transpose()?;
        let server = ModelServer::new(url, token.as_deref().map(str::trim), SERVER_TIMEOUT)?;
        let model = if let Some(model) = &self.backend_model {
            model.clone()
        } else {
            let first_model = server
                .first_model()
                .await
                .context("cannot list the models of the server of --backend-url");
            first_model?.context("the server has no model\nhint: name one with --backend-model")?
        };
        Ok(Completer::server(server, model, max_tokens))
    }

    /// Returns the log of accepted requests; creates its directory.
    fn replay_log(&self, hotkey: &Hotkey) -> anyhow::Result<Option<PathBuf>> {
        let path = replay_log(self.replay_log.as_deref(), hotkey, self.listen);
        if let Some(directory) = path.as_deref().and_then(Path::parent) {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        Ok(path)
    }
}

pub(crate) fn run(args: &MinerArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.neuron.key.load(Some(&args.neuron.network))?;
    let hotkey = keypair.hotkey();
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let readiness = serve_metrics("prompting miner", args.neuron.metrics, &shutdown).await?;
        describe_metrics();
        let replay_log = args.replay_log(&hotkey)?;
        let directories = replay_log
            .iter()
            .map(|path| WriteDirectory::of_file("replay log", path, DiskNeeds::STATE));
        preflight::spawn_disk_check(directories.collect(), &shutdown);
        let settings = MinerSettings {
            announce: args.announce,
            replay_log,
            service: Some("prompting miner"),
            ..MinerSettings::new(args.neuron.netuid)
        };
        let miner =
            miner(keypair, settings, args.create_completer().await?).with_readiness(readiness);
        let listener = bind(args.listen).await?;
        let address = listener.local_addr()?;
        let chain: Arc<dyn Chain> = Arc::new(args.neuron.key.connect(&args.neuron.network).await?);
        preflight::spawn_clock_check(Arc::clone(&chain), &shutdown);
        context.print_notice(&format!("hotkey {hotkey}"));
        print_address("prompting miner", address, context)?;
        miner.run(listener, chain, &shutdown).await?;
        shutdown.finished().await.context("the service did not stop in time")
    })
}
