//! Shared code of the daemons' commands: listening, metrics, signals.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use taonet_doctor::{DiskNeeds, WriteDirectory, log_findings, open_files};
use taonet_http::{Readiness, ServeLimits, name_service, readiness_routes, serve};
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use taonet_telemetry::Metrics;
use taonet_wire::{Policy, SignedLayer, SignedLayerBuilder};
use tokio::net::TcpListener;
use url::Url;

use crate::context::Context;
use crate::preflight;

/// Time for in-flight requests to the startup routes when the service is ready.
const STARTUP_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Argument that selects the listen address of the metrics
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Listen address of /metrics and /readyz [default: the service's own port, if it listens on
    /// loopback]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

/// Arguments for the admission of signed requests
#[derive(Debug, Args)]
pub struct CallerArgs {
    /// Hotkeys allowed to send requests [default: any with a valid signature]
    #[arg(long, value_name = "HOTKEY")]
    allow: Vec<Hotkey>,
    /// Log of accepted requests, to reject replays after a restart [default: one file per hotkey
    /// and port in the state directory; none with port 0]
    #[arg(long, value_name = "FILE")]
    replay_log: Option<PathBuf>,
}

impl CallerArgs {
    /// Builds the request verification layer of the service that listens on `listen` with the
    /// hotkey `hotkey`.
    pub fn build(
        &self,
        layer: SignedLayerBuilder,
        hotkey: &Hotkey,
        listen: SocketAddr,
    ) -> anyhow::Result<SignedLayer> {
        self.build_with(layer, self.policy(), hotkey, listen)
    }

    /// Whether an argument is given.
    pub const fn is_given(&self) -> bool {
        !self.allow.is_empty() || self.replay_log.is_some()
    }

    /// Returns the hotkeys that may call; any if empty.
    pub fn allowed(&self) -> &[Hotkey] {
        &self.allow
    }

    /// Returns the admission policy that the arguments select.
    pub fn policy(&self) -> Policy {
        if self.allow.is_empty() {
            Policy::open()
        } else {
            Policy::only(self.allow.iter().copied())
        }
    }

    /// Returns the directory of the log of accepted requests; none without a log.
    pub fn replay_directory(&self, hotkey: &Hotkey, listen: SocketAddr) -> Vec<WriteDirectory> {
        let log = replay_log(self.replay_log.as_deref(), hotkey, listen);
        log.iter()
            .map(|path| WriteDirectory::of_file("replay log", path, DiskNeeds::STATE))
            .collect()
    }

    /// Builds the verification layer with a stricter policy than [`Self::policy`].
    pub fn build_with(
        &self,
        layer: SignedLayerBuilder,
        policy: Policy,
        hotkey: &Hotkey,
        listen: SocketAddr,
    ) -> anyhow::Result<SignedLayer> {
        let layer = layer.policy(policy);
        let Some(path) = replay_log(self.replay_log.as_deref(), hotkey, listen) else {
            return Ok(layer.build());
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).with_context(|| replay_log_error(&path))?;
        }
        layer.build_with_replay_log(&path).with_context(|| replay_log_error(&path))
    }
}

/// Returns the selected log of accepted requests, or the default one of the service that listens on
/// `listen` with the hotkey `hotkey`.
pub fn replay_log(selected: Option<&Path>, hotkey: &Hotkey, listen: SocketAddr) -> Option<PathBuf> {
    match (selected, listen.port()) {
        (Some(path), _) => Some(path.to_owned()),
        // Port 0 selects another port at each start, so there is nothing to persist.
        (None, 0) => None,
        (None, port) => Some(state_directory("replay").join(format!("{hotkey}-{port}.log"))),
    }
}

fn replay_log_error(path: &Path) -> String {
    format!(
        "cannot open the replay log {}\nhint: choose another file with --replay-log",
        path.display()
    )
}

/// Returns the default directory of a daemon's persistent state.
pub fn state_directory(name: &str) -> PathBuf {
    let state = dirs::state_dir().or_else(dirs::data_local_dir).unwrap_or_else(std::env::temp_dir);
    state.join("taonet").join(name)
}

/// A service that is bound but does not serve yet.
pub struct Daemon {
    listener: StdListener,
    address: SocketAddr,
    metrics: Metrics,
    metrics_listener: Option<StdListener>,
    /// The directories in which it writes, for the pre-flight checks.
    directories: Vec<WriteDirectory>,
}

impl Daemon {
    /// Binds the ports and installs the metrics recorder.
    pub async fn bind(listen: SocketAddr, metrics: &MetricsArgs) -> anyhow::Result<Self> {
        raise_open_file_limit();
        let listener = bind(listen).await?.into_std()?;
        let address = listener.local_addr()?;
        let metrics_listener = match metrics.metrics {
            Some(address) => Some(bind(address).await?.into_std()?),
            None => None,
        };
        let metrics = Metrics::install().context("the metrics recorder cannot be installed")?;
        Ok(Self { listener, address, metrics, metrics_listener, directories: Vec::new() })
    }

    /// Sets the directories in which the service writes, which are checked beside its start.
    #[must_use]
    pub fn with_write_directories(self, directories: Vec<WriteDirectory>) -> Self {
        Self { directories, ..self }
    }

    /// Returns the bound address, with the actual port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loads what the service needs, such as a model; until then, its ports have the routes of
    /// `loading_router`.
    pub async fn load<T>(
        &self,
        loading_router: Router,
        load: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let shutdown = Shutdown::new();
        for listener in [Some(&self.listener), self.metrics_listener.as_ref()].into_iter().flatten()
        {
            let listener = TcpListener::from_std(listener.try_clone()?)?;
            let (router, stop) = (loading_router.clone(), shutdown.clone());
            let limits = ServeLimits { drain: STARTUP_DRAIN_TIMEOUT, ..ServeLimits::default() };
            shutdown.spawn("startup", async move { serve(listener, router, &stop, limits).await });
        }
        let result = load.await;
        shutdown.request();
        shutdown.finished().await.context("the service did not start in time")?;
        result
    }

    /// Prints the listen address and serves until SIGTERM or Ctrl-C, then finishes in-flight
    /// requests.
    pub async fn serve(self, name: &str, router: Router, context: &Context) -> anyhow::Result<()> {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        self.serve_until(shutdown, name, router, context).await
    }

    /// Like [`Self::serve`], and compares the clock with the chain of the settings, for a daemon
    /// without a connection to it.
    pub async fn serve_with_clock_check(
        self,
        name: &str,
        router: Router,
        context: &Context,
    ) -> anyhow::Result<()> {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        preflight::spawn_network_clock_check(&shutdown);
        self.serve_until(shutdown, name, router, context).await
    }

    /// Prints the listen address and serves until `shutdown`, which also stops the daemon's
    /// background tasks.
    pub async fn serve_until(
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

    /// Prints the listen address and serves until `shutdown`; the daemon sets `readiness` itself.
    pub async fn serve_with(
        self,
        readiness: Readiness,
        shutdown: Shutdown,
        name: &str,
        router: Router,
        context: &Context,
    ) -> anyhow::Result<()> {
        // The name without details, such as the model of a miner.
        let service = name.split(" (").next().unwrap_or(name);
        let routes = name_service(readiness_routes(readiness, Some(self.metrics)), service);
        let router = name_service(router, service);
        let listener = TcpListener::from_std(self.listener)?;
        let router = match self.metrics_listener {
            Some(listener) => {
                spawn_metrics(TcpListener::from_std(listener)?, routes, &shutdown);
                router
            }
            None if self.address.ip().is_loopback() => router.merge(routes),
            None => router,
        };
        print_address(name, self.address, context)?;
        if !self.directories.is_empty() {
            preflight::spawn_disk_check(self.directories, &shutdown);
        }
        shutdown.spawn_until("http", |stop| async move {
            serve(listener, router, &stop, ServeLimits::default()).await;
        });
        shutdown.finished().await.context("the service did not stop in time")
    }
}

/// Prints the listen address of the service `name`.
pub fn print_address(name: &str, address: SocketAddr, context: &Context) -> anyhow::Result<()> {
    let url = format!("http://{address}");
    if context.json {
        // The message is on one line, so that a program can read it separately.
        context.print(&json!({ "service": name, "url": url }).to_string())
    } else {
        context.print(&format!("{name} listens on {url}"))
    }
}

/// Serves `/metrics` and `/readyz` for the daemon `name`, whose own port uses another protocol.
/// Without an address, no metrics are recorded.
pub async fn serve_metrics(
    name: &str,
    address: Option<SocketAddr>,
    shutdown: &Shutdown,
) -> anyhow::Result<Readiness> {
    raise_open_file_limit();
    let readiness = Readiness::starting();
    if let Some(address) = address {
        // Installing the recorder takes milliseconds, in which its clock is calibrated.
        let metrics = Metrics::install().context("the metrics recorder cannot be installed")?;
        let listener = bind(address).await?;
        let routes = name_service(readiness_routes(readiness.clone(), Some(metrics)), name);
        spawn_metrics(listener, routes, shutdown);
    }
    Ok(readiness)
}

/// Serves the metrics of the daemon `name` at `address`, by default `default_address`. If the
/// default address is in use, logs a warning and continues without metrics.
pub async fn serve_metrics_or_warn(
    name: &str,
    address: Option<SocketAddr>,
    default_address: SocketAddr,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Readiness>> {
    match (address, serve_metrics(name, Some(address.unwrap_or(default_address)), shutdown).await) {
        (None, Err(error)) => {
            tracing::warn!(
                "metrics are not served: {error:#}; hint: set the listen address with --metrics"
            );
            Ok(None)
        }
        (_, result) => result.map(Some),
    }
}

/// Runs a demonstration with a temporary directory, then stops its servers. A signal stops the
/// demonstration with an error.
pub async fn run_demonstration<T>(
    demonstration: impl AsyncFnOnce(&Path, &Shutdown) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let result = tokio::select! {
        result = demonstration(directory.path(), &shutdown) => result?,
        () = shutdown.requested() => anyhow::bail!("the demonstration was interrupted"),
    };
    shutdown.request();
    shutdown.finished().await.context("a server did not stop in time")?;
    Ok(result)
}

/// Serves `router` on a free loopback port and returns its URL.
pub async fn serve_on_loopback(
    name: &'static str,
    router: Router,
    shutdown: &Shutdown,
) -> anyhow::Result<Url> {
    let listener =
        TcpListener::bind("127.0.0.1:0").await.context("cannot listen on this machine")?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    shutdown.spawn_until(name, |stop| async move {
        serve(listener, router, &stop, ServeLimits::default()).await;
    });
    Ok(url)
}

fn spawn_metrics(listener: TcpListener, routes: Router, shutdown: &Shutdown) {
    shutdown.spawn_until("metrics", |stop| async move {
        serve(listener, routes, &stop, ServeLimits::default()).await;
    });
}

/// Raises the soft limit on open files to the hard limit: the usual 1024 is too low for a server's
/// connections. Logs a hard limit that is too low as well.
fn raise_open_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "cannot raise the limit on open files");
    }
    log_findings(open_files(getrlimit(Resource::Nofile).maximum).as_slice());
}

/// Binds a listener; the hint of an error names why the address is unusable.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrNotAvailable => {
                "choose an address of this machine, which `ip address` lists"
            }
            _ => "check that the port is free",
        };
        anyhow::Error::new(error).context(format!("cannot listen on {address}\nhint: {hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hint_names_why_the_address_is_unusable() {
        let error = async |address| bind(address).await.unwrap_err().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let used = listener.local_addr().unwrap();
        assert_eq!(
            error(used).await,
            format!("cannot listen on {used}\nhint: check that the port is free")
        );
        // Reserved for documentation: no machine has this address.
        let foreign = error("192.0.2.1:8092".parse().unwrap()).await;
        let hint = "\nhint: choose an address of this machine, which `ip address` lists";
        assert!(foreign.ends_with(hint), "{foreign}");
    }
}
