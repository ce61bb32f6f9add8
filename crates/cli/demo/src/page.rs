//! The demonstration's web page.

use std::io::{IsTerminal as _, stdin, stdout};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use taonet_babelbit_arena::gateway::ArenaGateway;
use taonet_babelbit_dashboard::{BabelbitSection, TextSection, TrySection, TrySettings};
use taonet_babelbit_engine::server::Engine;
use taonet_babelbit_runner::{Miner, RunPaths};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_babelbit_scoring_api::server::ScoringApi;
use taonet_chain::{Chain, Network};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::serve_on_loopback;
use taonet_cli_base::run_log::log_file;
use taonet_cli_dashboard::{
    follow_chain, follow_contest, follow_log, follow_scores, follow_services, follow_visitors,
    follow_weights,
};
use taonet_cli_localnet::demo_chain::NETUID;
use taonet_dashboard::{
    Access, BasePath, ChainSection, Changes, Dashboard, LogSection, NoticeSection, ServicesSection,
    WeightsSection,
};
use taonet_http::{Readiness, ServeLimits, readiness_routes, serve};
use taonet_service::Shutdown;
use taonet_telemetry::Metrics;
use taonet_validator::signer::Signer;
use taonet_validator::subtensor_gateway::Gateway;
use url::Url;

/// Prefixes of the names of miners among the services: those of the contest, and those for visitors
/// only.
pub(crate) const MINER_PREFIX: &str = "miner-";
pub(crate) const VISITORS_MINER_PREFIX: &str = "try-it-";
/// Preferred port of the page; if it is in use, the system chooses another one.
const PREFERRED_PORT: u16 = 8_099;

/// A page whose port is bound but not served yet; connecting browsers wait.
pub(crate) struct BoundPage {
    listener: TcpListener,
    url: String,
    metrics: Metrics,
}

/// The demonstration's page while it is served.
pub(crate) struct Page {
    url: String,
    changes: Changes,
    babelbit: Arc<BabelbitSection>,
    chain: Arc<ChainSection>,
    weights: Arc<WeightsSection>,
    services: Arc<ServicesSection>,
    visitors: Arc<TrySection>,
    notice: Arc<NoticeSection>,
    metrics: Metrics,
    shutdown: Shutdown,
    /// Shutdown of the views of the chain and of the services, requested before these stop so that
    /// the page continues to show their last state.
    services_stop: Shutdown,
}

impl BoundPage {
    pub(crate) fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PREFERRED_PORT))
            .or_else(|_| TcpListener::bind("127.0.0.1:0"));
        let listener = listener
            .context("cannot listen on this machine for the web page\nhint: pass --no-page")?;
        let url = format!("http://{}", listener.local_addr()?);
        let metrics = Metrics::install().context("the metrics recorder cannot be installed")?;
        describe_metrics();
        Ok(Self { listener, url, metrics })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Serves the page of a run's directory, with these settings of the page "Try it".
    pub(crate) async fn serve(
        self,
        directory: &Path,
        visitors: TrySettings,
    ) -> anyhow::Result<Page> {
        let Self { listener, url, metrics } = self;
        let listener = into_tokio(listener)?;
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let changes = Changes::default();
        let (babelbit, chain) = (
            BabelbitSection::open(RunPaths::in_directory(directory)).await,
            ChainSection::new(NETUID),
        );
        let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
        let weights = WeightsSection::new(Some(Arc::clone(&chain)));
        let notice = NoticeSection::new();
        let dashboard = dashboard.with(Arc::clone(&notice) as _);
        let dashboard = dashboard.with(Arc::clone(&babelbit) as _).with(Arc::clone(&weights) as _);
        let log = LogSection::new(vec![log_file(directory)]);
        let visitors = TrySection::new(visitors);
        let services = ServicesSection::new(Vec::new());
        let dashboard = dashboard.with(Arc::clone(&visitors) as _).with(Arc::clone(&chain) as _);
        let dashboard = dashboard.with(Arc::clone(&services) as _).with(Arc::clone(&log) as _);
        let router = dashboard.router(shutdown.clone());
        follow_contest(Arc::clone(&babelbit), changes.clone(), &shutdown);
        follow_log(log, changes.clone(), &shutdown);
        follow_visitors(Arc::clone(&visitors), &shutdown);
        let services_stop = Shutdown::new();
        follow_services(Arc::clone(&services), changes.clone(), &shutdown, services_stop.clone());
        shutdown.spawn_until("page", |stop| async move {
            serve(listener, router, &stop, ServeLimits::default()).await;
        });
        let page = Page {
            url,
            changes,
            babelbit,
            chain,
            weights,
            services,
            visitors,
            notice,
            metrics,
            shutdown,
            services_stop,
        };
        Ok(page)
    }
}

impl Page {
    /// Shows the chain until [`Self::stop_services`] is called.
    pub(crate) fn show_chain(&self, network: Network) {
        let chain = Arc::clone(&self.chain);
        follow_chain(
            chain,
            network,
            self.changes.clone(),
            &self.shutdown,
            self.services_stop.clone(),
        );
    }

    /// Shows the weight ledger in a directory until [`Self::stop_services`] is called.
    pub(crate) fn show_weights(&self, directory: &Path) {
        let (weights, directory) = (Arc::clone(&self.weights), directory.to_owned());
        follow_weights(
            weights,
            directory,
            self.changes.clone(),
            &self.shutdown,
            self.services_stop.clone(),
        );
    }

    /// Shows the scores of all validators until [`Self::stop_services`] is called.
    pub(crate) fn show_scores(&self, client: ScoresClient) {
        let (babelbit, changes) = (Arc::clone(&self.babelbit), self.changes.clone());
        follow_scores(babelbit, client, changes, &self.shutdown, self.services_stop.clone());
    }

    /// Lets visitors speak to the miners.
    pub(crate) fn offer_miners(&self, miners: &[Miner]) {
        self.visitors.offer(miners.to_vec(), &self.changes);
    }

    /// Returns the lifecycle of the page, which outlasts the contest on a terminal.
    pub(crate) const fn lifecycle(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Adds `/readyz` to the routes of a service, and its own part of the process's metrics.
    fn with_service_metrics(&self, router: Router, service: &str) -> Router {
        let (metrics, prefix) =
            (self.metrics.clone(), format!("taonet_{}_", service.replace('-', "_")));
        let service_metrics =
            get(move || async move { filter_metrics(&metrics.render(), &prefix) });
        let ready = Readiness::starting();
        ready.set_ready();
        router.merge(readiness_routes(ready, None)).route("/metrics", service_metrics)
    }

    /// Reads the last state of the services, the chain, the weight ledger and the scoring API, then
    /// stops following them, and says so on the page. The miners outlast the contest.
    pub(crate) async fn stop_services(
        &self,
        chain: &dyn Chain,
        weights: &Path,
        scores: &ScoresClient,
    ) {
        self.services.read(&self.changes).await;
        self.chain.read(chain, &self.changes).await;
        self.weights.read(weights, &self.changes).await;
        self.babelbit.read(scores, &self.changes).await;
        self.babelbit.end(&self.changes);
        self.services_stop.request();
        let is_miner = |name: &str| {
            [MINER_PREFIX, VISITORS_MINER_PREFIX].iter().any(|prefix| name.starts_with(prefix))
        };
        let stopped = self.services.stop(|name| !is_miner(name), &self.changes);
        let text = format!(
            "The chain and these services have stopped: {}. Their pages show the last state. The miners still answer on \
             the page Try it.",
            stopped.join(", ")
        );
        self.notice.show("The contest has ended", &text, &self.changes);
    }

    /// Serves the page until Ctrl-C in an interactive terminal; otherwise stops the page
    /// immediately.
    pub(crate) async fn finish(self, context: &Context) -> anyhow::Result<()> {
        self.services_stop.request();
        if is_interactive() && !self.shutdown.is_requested() {
            context
                .print(&format!("The page is served at {} until you press Ctrl-C.", self.url))?;
        } else {
            self.shutdown.request();
        }
        self.shutdown.finished().await.context("the page did not stop in time")
    }
}

/// Serves the results of the text contest in a run's directory until Ctrl-C.
pub(crate) async fn serve_text_results(directory: &Path, context: &Context) -> anyhow::Result<()> {
    let text = TextSection::open(&RunPaths::in_directory(directory))
        .await
        .context("the contest has no results")?;
    let BoundPage { listener, url, .. } = BoundPage::bind()?;
    let listener = into_tokio(listener)?;
    let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
    let dashboard =
        Dashboard::new(Access::Local, BasePath::default(), Changes::default()).with(text);
    let (router, stop) = (dashboard.router(shutdown.clone()), shutdown.clone());
    shutdown
        .spawn("page", async move { serve(listener, router, &stop, ServeLimits::default()).await });
    context.print(&format!("Every prediction is shown at {url}/text until you press Ctrl-C."))?;
    shutdown.finished().await.context("the page did not stop in time")
}

/// Whether standard input and output are terminals, so that a user can press Ctrl-C.
pub(crate) fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

fn into_tokio(listener: TcpListener) -> anyhow::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

/// Serves a service of the demonstration on a free loopback port and returns its URL. The page
/// shows its health under `name`, and the metrics of `service`, whose instances share one process.
pub(crate) async fn serve_listed(
    page: Option<&Page>,
    service: &'static str,
    name: &str,
    router: Router,
    shutdown: &Shutdown,
) -> anyhow::Result<Url> {
    let Some(page) = page else { return serve_on_loopback(service, router, shutdown).await };
    let url =
        serve_on_loopback(service, page.with_service_metrics(router, service), shutdown).await?;
    page.services.add(format!("{name}={url}").parse()?, &page.changes);
    Ok(url)
}

/// Registers the help texts of the services' metrics.
fn describe_metrics() {
    ArenaGateway::describe_metrics();
    Engine::describe_metrics();
    Gateway::describe_metrics();
    ScoringApi::describe_metrics();
    Signer::describe_metrics();
    taonet_babelbit_miner::describe_metrics();
}

/// Returns the metrics whose names begin with `prefix`, in the Prometheus text format.
fn filter_metrics(metrics: &str, prefix: &str) -> String {
    let lines = metrics.lines().filter(|line| {
        line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with(prefix)
    });
    lines.fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_filtered_by_service_prefix() {
        let all = "# HELP taonet_a_calls Calls\n# TYPE taonet_a_calls counter\ntaonet_a_calls{b=\"taonet_b_\"} 1\n\n\
                   # TYPE taonet_b_calls counter\ntaonet_b_calls 2\n";
        let expected = "# HELP taonet_a_calls Calls\n# TYPE taonet_a_calls counter\ntaonet_a_calls{b=\"taonet_b_\"} 1\n";
        assert_eq!(filter_metrics(all, "taonet_a_"), expected);
    }
}
