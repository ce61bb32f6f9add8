//! `tao nineteen model`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use taonet_lm::LanguageModel;
use taonet_lm::server::{ServerSettings, router};

use crate::context::Context;
use crate::daemon::{Daemon, MetricsArgs};

/// Serve a small language model with random weights, for networks of your own
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Seed of the weights: the same seed gives the same model on every machine
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Layers of the model
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u8).range(1..=64))]
    layers: u8,
    /// The model's name
    #[arg(long, default_value = "random")]
    name: String,
    /// Answers at a time; more wait
    #[arg(long, default_value = "16", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Least time for each token, in milliseconds
    #[arg(long, value_name = "MS", default_value = "0")]
    pace: u32,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(crate) fn run(args: &ModelArgs, context: &Context) -> anyhow::Result<()> {
    let model = Arc::new(LanguageModel::random(&args.name, usize::from(args.layers), args.seed)?);
    let settings = ServerSettings {
        concurrency: usize::from(args.concurrency),
        pace: Duration::from_millis(u64::from(args.pace)),
    };
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        daemon.serve("nineteen model", router(model, settings), context).await
    })
}
