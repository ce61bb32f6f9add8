//! `tao dashboard`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_dashboard::{BabelbitSection, BabelbitSettings};
use taonet_babelbit_runner::RunPaths;
use taonet_chain::Network;
use taonet_dashboard::{Access, BasePath, ChainSection, Changes, Dashboard};
use taonet_primitives::NetUid;
use taonet_service::Shutdown;

use crate::chain::parse_network;
use crate::context::Context;
use crate::daemon::{Daemon, MetricsArgs};
use crate::exit::{Classified, Failure};
use crate::secret_file;

/// Show a contest on a web page: leaderboard, recordings, scores, chain
#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    /// Directory of a run: that of `bb runner --keep` or `tao demo --keep`
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Chain to show as well: finney, test, archive, local, or node URLs
    #[arg(long, value_name = "NETWORK")]
    chain: Option<String>,
    /// Netuid of the subnet on the chain
    #[arg(long, default_value = "59")]
    netuid: NetUid,
    /// Listen address; beyond loopback, a token is required
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8099")]
    listen: SocketAddr,
    /// File with an access token, which browsers ask for as a password
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Path below which a proxy publishes the page, such as /contest
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    base_path: BasePath,
    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(crate) fn run(args: &DashboardArgs, context: &Context) -> anyhow::Result<()> {
    let access = access(args)?;
    let network = args.chain.as_deref().map(parse_network).transpose()?;
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let changes = Changes::default();
        let settings = BabelbitSettings { paths: RunPaths::below(&args.state), names: HashMap::new() };
        let babelbit = BabelbitSection::open(settings).await;
        let mut dashboard = Dashboard::new(access, args.base_path.clone(), changes.clone());
        dashboard = dashboard.with(Arc::clone(&babelbit) as _);
        if let Some(network) = network {
            let chain = ChainSection::new(args.netuid);
            dashboard = dashboard.with(Arc::clone(&chain) as _);
            follow_chain(chain, network, changes.clone(), &shutdown, shutdown.clone());
        }
        follow_contest(babelbit, changes, &shutdown);
        let router = dashboard.router(shutdown.clone());
        daemon.serve_until(shutdown, "dashboard", router, context).await
    })
}

/// Follows the runner as a task of the daemon.
pub(super) fn follow_contest(babelbit: Arc<BabelbitSection>, changes: Changes, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn("contest", async move { babelbit.follow(&changes, &stop).await });
}

/// Follows the chain as a task of the daemon, until `stop`.
pub(super) fn follow_chain(
    chain: Arc<ChainSection>,
    network: Network,
    changes: Changes,
    daemon: &Shutdown,
    stop: Shutdown,
) {
    daemon.spawn("chain", async move { chain.follow(&network, &changes, &stop).await });
}

/// Who may read the page: everybody on this machine, else bearers of the token.
fn access(args: &DashboardArgs) -> anyhow::Result<Access> {
    match &args.token_file {
        Some(path) => Ok(Access::Token(secret_file::read_token(path)?)),
        None if args.listen.ip().is_loopback() => Ok(Access::Local),
        None => Err(Classified::error(
            Failure::Usage,
            format!(
                "{} is not a loopback address: a token is required, since the page shows unpublished results\nhint: \
                 write one with `openssl rand -hex 32 > token` and pass --token-file token",
                args.listen
            ),
        )),
    }
}
