//! The `tao nineteen model` command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs};
use taonet_cli_models::chat_model;
use taonet_lm::server::router;
use taonet_lm::{EngineSettings, LanguageModel};

/// Serve a small language model and painted images for development networks
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Llama model: a directory (config.json, safetensors, tokenizer.json), a GGUF file, or a name
    /// in `tao models list` [default: a model with random weights]
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["seed", "layers"])]
    model: Option<PathBuf>,
    /// Seed of the weights: the same seed gives the same model on every machine
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Number of layers
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u8).range(1..=64))]
    layers: u8,
    /// Model name [default: the name of --model's directory or file, or random]
    #[arg(long)]
    name: Option<String>,
    /// Maximum number of concurrent requests; more are queued
    #[arg(long, default_value = "16", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Minimum time per token, in milliseconds
    #[arg(long, value_name = "MS", default_value = "0")]
    pace: u32,
    /// Listen address
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(crate) fn run(args: &ModelArgs, context: &Context) -> anyhow::Result<()> {
    let name = args.name.clone();
    let model = match &args.model {
        Some(model) => {
            chat_model::load(&name.unwrap_or_else(|| chat_model::model_name(model)), model)?
        }
        None => LanguageModel::random(
            name.as_deref().unwrap_or("random"),
            usize::from(args.layers),
            args.seed,
        )?,
    };
    let model = Arc::new(model);
    let settings = EngineSettings {
        streams: usize::from(args.concurrency),
        pace: Duration::from_millis(u64::from(args.pace)),
        ..EngineSettings::default()
    };
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        let routes = router(model, settings)?.merge(taonet_nineteen_images::router());
        daemon.serve("nineteen model", routes, context).await
    })
}
