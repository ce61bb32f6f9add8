//! The `tao nineteen entry` command.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs};
use taonet_cli_base::preflight;
use taonet_http::disable_huge_pages;
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_entry::Gateway;
use taonet_nineteen_query::{Market, ProcessRole, Recorder, Workers};
use taonet_service::{Shutdown, system_clock};

use super::operation::follow;
use super::shared::{MarketConnectionArgs, WebhookArgs};
use super::tokenizers;

/// Serve a validator's buyers, and pass their requests to query workers
#[derive(Debug, Args)]
pub struct EntryArgs {
    #[command(flatten)]
    connection: MarketConnectionArgs,
    /// Listen address of the buyers' API
    #[arg(long, default_value = "127.0.0.1:8092")]
    listen: SocketAddr,
    #[command(flatten)]
    webhook: WebhookArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(crate) fn run(args: &EntryArgs, context: &Context) -> anyhow::Result<()> {
    let webhook = args.webhook.open()?;
    disable_huge_pages();
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        taonet_nineteen_query::describe_metrics();
        taonet_nineteen_entry::describe_metrics();
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        preflight::spawn_network_clock_check(&shutdown);
        let (store, queue) = Box::pin(args.connection.connect()).await?;
        let (live_market, market) = (Market::default(), MarketFile::empty());
        // Until the validator opens the next period, the tasks are those of the last one.
        if let Some(config) = store.config(None).await? {
            market.replace(config);
        }
        let followed_market = market.clone();
        follow(
            &Recorder::new(store.clone(), live_market.clone(), ProcessRole::Entry),
            move |config| followed_market.replace(config),
            &shutdown,
        );
        let gateway = Gateway::new(store, Workers::new(queue, live_market), market, system_clock());
        let gateway = gateway.with_budget_webhook(webhook);
        gateway.load_tokenizers(tokenizers::finder()?).await;
        gateway.recover().await?;
        let (maintained_gateway, stop) = (gateway.clone(), shutdown.clone());
        shutdown
            .spawn("maintenance", async move { maintained_gateway.run_maintenance(&stop).await });
        daemon.serve_until(shutdown, "nineteen entry", gateway.router(), context).await
    })
}
