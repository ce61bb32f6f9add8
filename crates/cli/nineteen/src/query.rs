//! The `tao nineteen query` command.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::serve_metrics_or_warn;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::preflight;
use taonet_http::{Readiness, disable_huge_pages};
use taonet_nineteen_query::{QueryDeadlines, QueueSettings, Worker};
use taonet_service::Shutdown;

use super::operation::worker_querier;
use super::shared::{MarketConnectionArgs, QueueArgs};

/// Default metrics port; transcription workers use 8012.
const METRICS_PORT: u16 = 8014;

/// Send the requests of entry processes to miners, on behalf of a validator
#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    connection: MarketConnectionArgs,
    /// Maximum number of concurrent requests; further requests go to other workers, or wait in the
    /// queue
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    concurrency: u16,
    /// Milliseconds without a first token after which a request is also sent to a second miner
    /// [default: never]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    hedge: Option<u64>,
    /// Send buyers' text requests whose prompts begin alike to the same miner, whose server may
    /// have the beginning in its cache
    #[arg(long)]
    prefix_affinity: bool,
    #[command(flatten)]
    queue: QueueArgs,
    /// Listen address of /metrics and /readyz [default: 127.0.0.1:8014]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &QueryArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.key.load(None)?;
    context.print_notice(&format!("hotkey {}", keypair.hotkey()));
    disable_huge_pages();
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        preflight::spawn_network_clock_check(&shutdown);
        let default_address = SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS_PORT));
        let readiness =
            serve_metrics_or_warn("nineteen query", args.metrics, default_address, &shutdown)
                .await?;
        taonet_nineteen_query::describe_metrics();
        let (store, queue) = Box::pin(args.connection.connect()).await?;
        let deadlines = QueryDeadlines {
            hedge: args.hedge.map(Duration::from_millis),
            ..QueryDeadlines::default()
        };
        let settings =
            QueueSettings { running: usize::from(args.concurrency), ..args.queue.settings() };
        let (querier, recorder) = worker_querier(&keypair, store, deadlines, settings, &shutdown)?;
        querier.set_prefix_affinity(args.prefix_affinity);
        let worker = Worker::new(queue, querier);
        shutdown.spawn_until("worker", |stop| async move {
            worker.run(&stop, || readiness.iter().for_each(Readiness::set_ready)).await;
            if let Err(error) = recorder.flush().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "failed to store the final counters"
                );
            }
        });
        shutdown.finished().await.context("the worker did not stop in time")
    })
}
