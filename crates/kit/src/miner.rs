//! The server half of a subnet: verified requests of registered validators, in the order of their
//! stake.

mod chain_sync;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use futures::Stream;
use http::StatusCode;
use taonet_chain::{Chain, ChainError};
use taonet_http::{Readiness, ServeLimits, count_requests, name_service, serve};
use taonet_primitives::{Hotkey, NetUid};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::{
    BtauthScheme, Caller, Concurrency, DendriteScheme, Limits, Load, Policy, Rate,
    RegistrationTable, ReplayLogError, SignedLayer, Synapse, SynapseError, event_stream,
};
use tokio::net::TcpListener;

use crate::metrics;
use crate::protocol::{Protocol, serialise_fields};
use crate::request_scheme::RequestScheme;
use crate::validator::BoxError;

pub use chain_sync::ChainSync;

/// Settings of a [`Miner`]. [`MinerSettings::new`] has defaults for everything but the subnet.
#[derive(Debug, Clone)]
pub struct MinerSettings {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// External address to publish on the chain, where validators find the miner; `None` leaves the
    /// chain as it is.
    pub announce: Option<SocketAddr>,
    /// Version of the miner that is published with its address.
    pub version: u32,
    /// Admission policy for callers: lists of hotkeys, registration, stake, validator permit.
    /// Stakes and permits come from the chain.
    pub policy: Policy,
    /// Rate limit of each caller, and the bounded queue, in which callers with more stake are
    /// served first.
    pub load: Load,
    /// The scheme that signs the requests of the subnet.
    pub scheme: RequestScheme,
    /// Limits on the size and time of requests and responses.
    pub limits: Limits,
    /// Log of accepted requests, with which replays are refused after a restart, too. Each miner
    /// needs its own file.
    pub replay_log: Option<PathBuf>,
    /// Interval between two reads of stakes, permits and the published address.
    pub refresh: Duration,
    /// Grace period for requests in flight at shutdown; those that take longer are aborted.
    /// [`Limits::answer_timeout`] is longer by default, since supervisors kill a program that takes
    /// minutes to stop.
    pub drain: Duration,
    /// Name with which health checks tell the miner from another program on its port, such as
    /// `prompting miner`; `None` sends none.
    pub service: Option<&'static str>,
}

impl MinerSettings {
    /// Creates the default settings: registered validators only, 10 requests per second each after
    /// a burst of 100, 10 concurrent requests and 64 in the queue, no replay log, the chain is read
    /// every 5 minutes, and requests in flight have 10 s at shutdown.
    pub fn new(netuid: NetUid) -> Self {
        let queue = Concurrency { running: 10, waiting: 64, max_wait: Duration::from_secs(12) };
        Self {
            netuid,
            announce: None,
            version: 1,
            policy: Policy::open().registered_only().validators_only(),
            load: Load {
                rate: Some(Rate { per_second: 10, burst: 100 }),
                concurrency: Some(queue),
            },
            scheme: RequestScheme::default(),
            limits: Limits::default(),
            replay_log: None,
            refresh: Duration::from_mins(5),
            drain: ServeLimits::default().drain,
            service: None,
        }
    }
}

/// Why a miner could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MinerError {
    /// The chain is unreachable, or has no such subnet.
    #[error("cannot read the neurons of the subnet")]
    Chain(#[from] ChainError),
    /// The miner's hotkey has no uid on the subnet.
    #[error(
        "{hotkey} is not registered on subnet {netuid}; hint: register it with `tao register --netuid {netuid}`"
    )]
    NotRegistered {
        /// Hotkey of the miner.
        hotkey: Hotkey,
        /// Netuid of the subnet.
        netuid: NetUid,
    },
    /// The replay log cannot be used.
    #[error(transparent)]
    ReplayLog(#[from] ReplayLogError),
}

/// A miner: an axon that serves one or more kinds of requests.
#[must_use = "a miner does nothing until it runs"]
pub struct Miner {
    keypair: Keypair,
    settings: MinerSettings,
    /// The dendrite scheme with the classes of all kinds of requests.
    dendrite: DendriteScheme,
    routes: Router,
    readiness: Readiness,
}

impl Miner {
    /// Creates a miner that serves only the ping of the SDK, a request of the base class `Synapse`.
    pub fn new(keypair: Keypair, settings: MinerSettings) -> Self {
        let routes = Router::new().route("/Synapse", any(|synapse: Synapse| async { synapse }));
        Self {
            keypair,
            settings,
            dendrite: DendriteScheme::new(),
            routes,
            readiness: Readiness::starting(),
        }
    }

    /// Marks `readiness` as ready once the miner knows its callers and serves.
    pub fn with_readiness(self, readiness: Readiness) -> Self {
        Self { readiness, ..self }
    }

    /// Adds a kind of request, which `forward` answers. The response is the returned message; a
    /// [`SynapseError`] is a status and a text for the caller. A request whose fields are missing
    /// or have other types does not reach `forward`: it is refused with status 422. Work that keeps
    /// a processor busy for more than some milliseconds belongs on its own thread
    /// (`tokio::task::spawn_blocking`): otherwise it delays all other requests.
    ///
    /// # Panics
    /// When a kind with the same name was added before.
    pub fn serve<P, F, Fut>(self, forward: F) -> Self
    where
        P: Protocol,
        F: Fn(P, Caller) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<P, SynapseError>> + Send + 'static,
    {
        let class = P::class();
        let kind = class.name().to_owned();
        let path = format!("/{kind}");
        let routes = self.routes.route(
            &path,
            any(move |caller: Caller, synapse: Synapse| {
                respond::<P, F, Fut>(kind.clone(), forward.clone(), caller, synapse)
            }),
        );
        Self { dendrite: self.dendrite.class(class), routes, ..self }
    }

    /// Adds a kind of request whose response is a text in parts, such as the tokens of a language
    /// model: the form of a Python class derived from `bt.StreamingSynapse`. Each part is sent at
    /// once. A [`SynapseError`] is a status, as with [`Self::serve`]; an error of the stream closes
    /// the connection, so that the caller notices it. When the caller leaves, the stream is
    /// dropped.
    ///
    /// # Panics
    /// When a kind with the same name was added before.
    pub fn serve_stream<P, F, Fut, S>(self, forward: F) -> Self
    where
        P: Protocol,
        F: Fn(P, Caller) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<S, SynapseError>> + Send + 'static,
        S: Stream<Item = Result<String, BoxError>> + Send + 'static,
    {
        let class = P::class();
        let kind = class.name().to_owned();
        let path = format!("/{kind}");
        let routes = self.routes.route(
            &path,
            any(move |caller: Caller, synapse: Synapse| {
                respond_in_parts::<P, F, Fut, S>(kind.clone(), forward.clone(), caller, synapse)
            }),
        );
        Self { dendrite: self.dendrite.class(class), routes, ..self }
    }

    /// Serves requests on `listener` until shutdown, then completes those in flight within
    /// [`MinerSettings::drain`]. While it runs, it keeps stakes and permits up to date, and
    /// publishes its address on the chain if another or none is published.
    ///
    /// # Errors
    /// [`MinerError`] when the chain cannot be read at the start, the hotkey is not registered, or
    /// the replay log cannot be used.
    pub async fn run(
        self,
        listener: TcpListener,
        chain: Arc<dyn Chain>,
        shutdown: &Shutdown,
    ) -> Result<(), MinerError> {
        let (hotkey, netuid, refresh_interval) =
            (self.keypair.hotkey(), self.settings.netuid, self.settings.refresh);
        let limits = ServeLimits { drain: self.settings.drain, ..ServeLimits::default() };
        let registrations = Arc::<RegistrationTable>::default();
        let sync = ChainSync::new(chain, netuid, Arc::clone(&registrations)).with_neuron(
            self.keypair.clone(),
            self.settings.announce,
            self.settings.version,
        );
        let neurons = sync.refresh().await?;
        if neurons.uid_of(&hotkey).is_none() {
            return Err(MinerError::NotRegistered { hotkey, netuid });
        }
        let readiness = self.readiness.clone();
        let router = self.build_router(registrations)?;
        readiness.set_ready();
        sync.spawn(neurons, refresh_interval, shutdown);
        serve(listener, router, shutdown, limits).await;
        Ok(())
    }

    /// Builds the routes behind the checks of signature, admission, replay and load.
    fn build_router(self, registrations: Arc<RegistrationTable>) -> Result<Router, ReplayLogError> {
        let Self { keypair, settings, dendrite, routes, .. } = self;
        let layer = match settings.scheme {
            RequestScheme::Dendrite => SignedLayer::builder(keypair.hotkey(), dendrite),
            RequestScheme::Btauth => SignedLayer::builder(keypair.hotkey(), BtauthScheme::new()),
        };
        let layer = layer
            .limits(settings.limits)
            .policy(settings.policy.with_registrations(registrations))
            .load(settings.load);
        let signed_layer = match settings.replay_log {
            Some(path) => layer.build_with_replay_log(path)?,
            None => layer.build(),
        };
        let count_layer = from_fn(|route: Option<MatchedPath>, request: Request, next: Next| {
            count_requests(metrics::REQUESTS, route, request, next)
        });
        // The dendrite scheme itself refuses unknown names; requests reach it only through a route,
        // here the fallback.
        let routes = routes
            .fallback(|| async { StatusCode::NOT_FOUND })
            .layer(signed_layer)
            .layer(count_layer);
        Ok(match settings.service {
            Some(name) => name_service(routes, name),
            None => routes,
        })
    }
}

impl std::fmt::Debug for Miner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Miner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Answers one request: the fields of the returned message replace those of the request.
async fn respond<P, F, Fut>(
    kind: String,
    forward: F,
    caller: Caller,
    mut synapse: Synapse,
) -> Result<Synapse, SynapseError>
where
    P: Protocol,
    F: Fn(P, Caller) -> Fut + Send + Sync,
    Fut: Future<Output = Result<P, SynapseError>> + Send,
{
    let request = synapse.parse::<P>()?;
    let start = Instant::now();
    let response = forward(request, caller).await;
    metrics::record_forward(kind, start.elapsed());
    for (field, value) in
        serialise_fields(&response?).map_err(|error| SynapseError::internal(&error))?
    {
        synapse.set(field, value);
    }
    Ok(synapse)
}

/// Answers one request with a stream. Its time is that until the stream begins.
async fn respond_in_parts<P, F, Fut, S>(
    kind: String,
    forward: F,
    caller: Caller,
    synapse: Synapse,
) -> Result<Response, SynapseError>
where
    P: Protocol,
    F: Fn(P, Caller) -> Fut + Send + Sync,
    Fut: Future<Output = Result<S, SynapseError>> + Send,
    S: Stream<Item = Result<String, BoxError>> + Send + 'static,
{
    let request = synapse.parse::<P>()?;
    let start = Instant::now();
    let parts = forward(request, caller).await;
    metrics::record_forward(kind, start.elapsed());
    Ok(event_stream(Body::from_stream(parts?)))
}

#[cfg(test)]
mod tests;
