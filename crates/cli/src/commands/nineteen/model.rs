//! The `tao nineteen model` command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use taonet_lm::server::router;
use taonet_lm::{EngineSettings, LanguageModel};

use crate::context::Context;
use crate::daemon::{Daemon, MetricsArgs};

/// Serve a language model from a directory, or a small one with random weights for development networks
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Directory of a Llama model: config.json, safetensors, tokenizer.json [default: a model with random weights]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["seed", "layers"])]
    model: Option<PathBuf>,
    /// Seed of the weights: the same seed gives the same model on every machine
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Number of layers
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u8).range(1..=64))]
    layers: u8,
    /// Model name
    #[arg(long, default_value = "random")]
    name: String,
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
    let model = match &args.model {
        Some(directory) => LanguageModel::open(&args.name, directory)?,
        None => LanguageModel::random(&args.name, usize::from(args.layers), args.seed)?,
    };
    let model = Arc::new(model);
    let settings = EngineSettings {
        streams: usize::from(args.concurrency),
        pace: Duration::from_millis(u64::from(args.pace)),
        ..EngineSettings::default()
    };
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        daemon.serve("nineteen model", router(model, settings)?, context).await
    })
}
