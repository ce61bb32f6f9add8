//! What the daemons' commands share: listening, metrics, signals.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use axum::Router;
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use taonet_http::{Readiness, ServeLimits, readiness_routes, serve};
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use taonet_telemetry::Metrics;
use taonet_wire::{Policy, SignedLayer, SignedLayerBuilder};
use tokio::net::TcpListener;
use url::Url;

use crate::context::Context;

/// Where metrics are served
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Serve /metrics and /readyz here; left out, they are part of a service that listens on loopback
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

/// Which signed requests are accepted
#[derive(Debug, Args)]
pub(crate) struct CallerArgs {
    /// Hotkeys that may call; left out, everyone with a valid signature
    #[arg(long, value_name = "HOTKEY")]
    allow: Vec<Hotkey>,
    /// Remember here which requests were accepted, so that none is accepted again after a restart [default: a file for
    /// hotkey and port in the state directory; none where the system chooses the port]
    #[arg(long, value_name = "FILE")]
    replay_log: Option<PathBuf>,
}

impl CallerArgs {
    /// The layer that a service of `me` at the address `listen` checks requests with.
    pub(crate) fn build(
        &self,
        layer: SignedLayerBuilder,
        me: &Hotkey,
        listen: SocketAddr,
    ) -> anyhow::Result<SignedLayer> {
        self.build_with(layer, self.policy(), me, listen)
    }

    /// Who may call.
    pub(crate) fn policy(&self) -> Policy {
        if self.allow.is_empty() { Policy::open() } else { Policy::only(self.allow.iter().copied()) }
    }

    /// As [`Self::build`], with a policy that asks for more than [`Self::policy`].
    pub(crate) fn build_with(
        &self,
        layer: SignedLayerBuilder,
        policy: Policy,
        me: &Hotkey,
        listen: SocketAddr,
    ) -> anyhow::Result<SignedLayer> {
        let layer = layer.policy(policy);
        let path = match (&self.replay_log, listen.port()) {
            (Some(path), _) => path.clone(),
            // Nobody can come back to a port that the system chose: there is no restart to speak of.
            (None, 0) => return Ok(layer.build()),
            (None, port) => state_directory("replay").join(format!("{me}-{port}.log")),
        };
        let named =
            || format!("cannot keep accepted requests in {}; name another file with --replay-log", path.display());
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).with_context(named)?;
        }
        layer.build_with_replay_log(&path).with_context(named)
    }
}

/// Where a daemon keeps what it must not forget, unless it is told otherwise.
pub(crate) fn state_directory(name: &str) -> PathBuf {
    let state = dirs::state_dir().or_else(dirs::data_local_dir).unwrap_or_else(std::env::temp_dir);
    state.join("taonet").join(name)
}

/// A bound service that has not begun to answer.
pub(crate) struct Daemon {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Metrics,
    metrics_listener: Option<TcpListener>,
}

impl Daemon {
    /// Takes the ports and installs the metrics recorder.
    pub(crate) async fn bind(listen: SocketAddr, metrics: &MetricsArgs) -> anyhow::Result<Self> {
        allow_connections();
        let listener = bind(listen).await?;
        let address = listener.local_addr()?;
        let metrics_listener = match metrics.metrics {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let metrics = Metrics::install().context("the metrics recorder cannot be installed")?;
        Ok(Self { listener, address, metrics, metrics_listener })
    }

    /// Where it listens, the port that the system chose included.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says where the service listens and serves until SIGTERM or Ctrl-C, then lets running requests end.
    pub(crate) async fn serve(self, name: &str, router: Router, context: &Context) -> anyhow::Result<()> {
        let shutdown = Shutdown::on_signals().context("signals cannot be handled")?;
        self.serve_until(shutdown, name, router, context).await
    }

    /// As [`Self::serve`], for a daemon that has tasks of its own.
    pub(crate) async fn serve_until(
        self,
        shutdown: Shutdown,
        name: &str,
        router: Router,
        context: &Context,
    ) -> anyhow::Result<()> {
        let readiness = Readiness::starting();
        readiness.set_ready();
        self.serve_with(readiness, shutdown, name, router, context).await
    }

    /// As [`Self::serve_until`], for a daemon that is ready when it says so itself.
    pub(crate) async fn serve_with(
        self,
        readiness: Readiness,
        shutdown: Shutdown,
        name: &str,
        router: Router,
        context: &Context,
    ) -> anyhow::Result<()> {
        let routes = readiness_routes(readiness, Some(self.metrics));
        let router = match self.metrics_listener {
            Some(listener) => {
                spawn_metrics(listener, routes, &shutdown);
                router
            }
            None if self.address.ip().is_loopback() => router.merge(routes),
            None => router,
        };
        if context.json {
            // One line, so that a program can read it and leave the rest.
            context.print(&json!({ "service": name, "url": format!("http://{}", self.address) }).to_string())?;
        } else {
            context.print(&format!("{name} listens on http://{}", self.address))?;
        }
        let stop = shutdown.clone();
        shutdown.spawn("http", async move { serve(self.listener, router, &stop, ServeLimits::default()).await });
        shutdown.finished().await.context("the service did not stop in time")
    }
}

/// Serves `/metrics` and `/readyz` for a daemon whose own port speaks another protocol.
pub(crate) async fn serve_metrics(address: Option<SocketAddr>, shutdown: &Shutdown) -> anyhow::Result<Readiness> {
    allow_connections();
    let readiness = Readiness::starting();
    let metrics = Metrics::install().context("the metrics recorder cannot be installed")?;
    if let Some(address) = address {
        let listener = bind(address).await?;
        spawn_metrics(listener, readiness_routes(readiness.clone(), Some(metrics)), shutdown);
    }
    Ok(readiness)
}

/// Serves on a free port of this machine; gives the URL.
pub(crate) async fn serve_here(name: &'static str, router: Router, shutdown: &Shutdown) -> anyhow::Result<Url> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on this machine")?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    let stop = shutdown.clone();
    shutdown.spawn(name, async move { serve(listener, router, &stop, ServeLimits::default()).await });
    Ok(url)
}

fn spawn_metrics(listener: TcpListener, routes: Router, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn("metrics", async move { serve(listener, routes, &stop, ServeLimits::default()).await });
}

/// Raises the soft limit on open files to the hard one: shells set 1 024, fewer than a server's connections and its own
/// files.
fn allow_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; is the port taken?"))
}
