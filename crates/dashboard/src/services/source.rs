use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Client, Response, StatusCode};
use taonet_http::{Fault, client};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::ServiceAddress;
use super::metrics::{Metric, parse};
use crate::changes::Changes;
use crate::format::now_unix;

/// Interval between two reads of the services.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum size of a response in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Health of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Health {
    /// The service has not been read yet.
    #[default]
    Unknown,
    /// `/readyz` returns 200.
    Ready,
    /// `/readyz` returns 503.
    Starting,
    /// The service is unreachable, or its response is unexpected. Contains the reason.
    Failed(String),
    /// The service has stopped on purpose, and is no longer read.
    Stopped,
}

/// Latest known state of a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub(super) address: ServiceAddress,
    pub(super) health: Health,
    /// Duration of the last request to `/readyz`.
    pub(super) latency: Option<Duration>,
    /// Time of the last successful read in seconds since the Unix epoch.
    pub(super) read_unix: Option<i64>,
    /// Metrics of the last successful read.
    pub(super) metrics: Arc<Vec<Metric>>,
}

/// Reader of the services, with their latest states.
#[derive(Debug)]
pub(super) struct Source {
    states: RwLock<Arc<Vec<State>>>,
    added: Notify,
}

impl State {
    fn unknown(address: ServiceAddress) -> Self {
        Self {
            address,
            health: Health::Unknown,
            latency: None,
            read_unix: None,
            metrics: Arc::default(),
        }
    }

    /// Returns the service's name and why it failed; `None` if it has not failed.
    pub(super) fn problem(&self) -> Option<String> {
        match &self.health {
            Health::Failed(reason) => Some(format!("{}: {reason}", self.address.name)),
            Health::Unknown | Health::Ready | Health::Starting | Health::Stopped => None,
        }
    }

    /// Whether the health or a metric changed. Latency and time differ in every read.
    pub(super) fn is_changed(&self, before: &Self) -> bool {
        self.health != before.health || self.metrics != before.metrics
    }
}

impl Source {
    pub(super) fn new(services: Vec<ServiceAddress>) -> Self {
        let states = services.into_iter().map(State::unknown).collect();
        Self { states: RwLock::new(Arc::new(states)), added: Notify::new() }
    }

    pub(super) fn states(&self) -> Arc<Vec<State>> {
        Arc::clone(&self.states.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<State>)) {
        let mut current = self.states.write().unwrap_or_else(PoisonError::into_inner);
        let mut states = Vec::clone(&current);
        change(&mut states);
        *current = Arc::new(states);
    }

    /// Adds a service, or replaces the one with the same name, and schedules its first read.
    pub(super) fn add(&self, address: ServiceAddress) {
        self.change(|states| {
            match states.iter_mut().find(|state| state.address.name == address.name) {
                Some(state) => *state = State::unknown(address),
                None => states.push(State::unknown(address)),
            }
        });
        self.added.notify_one();
    }

    /// Sets the metrics of each service.
    #[cfg(test)]
    pub(super) fn set_metrics(&self, metrics: Vec<Vec<Metric>>) {
        self.change(|states| {
            for (state, metrics) in states.iter_mut().zip(metrics) {
                state.metrics = Arc::new(metrics);
            }
        });
    }

    /// Marks services as stopped; returns their names.
    pub(super) fn stop(&self, is_stopped: impl Fn(&str) -> bool) -> Vec<String> {
        let mut names = Vec::new();
        self.change(|states| {
            for state in states.iter_mut().filter(|state| is_stopped(&state.address.name)) {
                state.health = Health::Stopped;
                names.push(state.address.name.clone());
            }
        });
        names
    }

    /// Polls the services until the future is dropped, and reports each change.
    pub(super) async fn follow(&self, changes: &Changes) {
        loop {
            self.read(changes).await;
            // A service that was added is read at once.
            let _ = timeout(POLL_INTERVAL, self.added.notified()).await;
        }
    }

    /// Reads all services once, and reports a change.
    pub(super) async fn read(&self, changes: &Changes) {
        let client = match client::builder().timeout(TIMEOUT).build() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "cannot create the HTTP client for the services");
                return;
            }
        };
        let before = self.states();
        let followed: Vec<&State> =
            before.iter().filter(|state| state.health != Health::Stopped).collect();
        let states = join_all(followed.iter().map(|state| read(&client, state))).await;
        let is_changed =
            states.iter().zip(&followed).any(|(state, before)| state.is_changed(before));
        self.change(|services| {
            // Services may have been added, replaced or stopped in the meantime.
            for state in states {
                let mut running_services =
                    services.iter_mut().filter(|service| service.health != Health::Stopped);
                if let Some(service) =
                    running_services.find(|service| service.address == state.address)
                {
                    *service = state;
                }
            }
        });
        if is_changed {
            changes.report();
        }
    }
}

/// Reads a service; keeps the metrics of `before` if the read fails.
async fn read(client: &Client, before: &State) -> State {
    let mut state = before.clone();
    let start = Instant::now();
    state.health =
        match get(client, &state.address, "readyz").await.map(|response| response.status()) {
            Ok(StatusCode::OK) => Health::Ready,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => Health::Starting,
            Ok(status) => Health::Failed(format!("/readyz: HTTP {}", status.as_u16())),
            Err(fault) => Health::Failed(fault.to_string()),
        };
    state.latency = (!matches!(state.health, Health::Failed(_))).then(|| start.elapsed());
    if state.latency.is_none() {
        return state;
    }
    match metrics(client, &state.address).await {
        Ok(metrics) => {
            state.metrics = Arc::new(metrics);
            state.read_unix = Some(now_unix());
        }
        Err(fault) => state.health = Health::Failed(format!("/metrics: {fault}")),
    }
    state
}

async fn metrics(client: &Client, address: &ServiceAddress) -> Result<Vec<Metric>, Fault> {
    let response = get(client, address, "metrics").await?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(Fault::Status { status, retry_after: None });
    }
    let body = client::read_capped(response, MAX_BODY).await?;
    Ok(parse(&String::from_utf8_lossy(&body)))
}

async fn get(client: &Client, address: &ServiceAddress, path: &str) -> Result<Response, Fault> {
    client.get(client::join_path(&address.url, path)).send().await.map_err(client::fault)
}
