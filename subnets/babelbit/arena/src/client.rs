//! Client of the arena: discovery of its miners, and connections to them.
//!
//! The arena gateway lists the arena's miners ([`Arena::miners`]); the client omits miners that are
//! not registered on the chain. A miner is reached in one of three ways: through the gateway,
//! directly in a managed container, or in a pod that may have to be started first. Each connection
//! implements [`MinerConnection`] and signs the hash of each message. [`Arena::text_miners`] lists
//! the same miners with connections for the text contest.

mod auth;
mod container;
mod gateway;
mod pod;
mod registry;
mod registry_rows;
mod resolve;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use taonet_primitives::Uid;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, ClientConfig, PeerError, SignedClient, Signer};
use url::Url;

pub use auth::TokenError;
pub(crate) use container::predict_url;
pub use registry::RegistryError;

use crate::ArenaSettings;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::{
    AddressPolicy, ArenaUnavailable, ListArenaMiners, Miner, MinerAddress, MinerConnection,
    MinerEntry,
};
use taonet_service::{MonotonicClock, Sleeper, monotonic_clock, sleeper};

use auth::Tokens;
#[cfg(test)]
pub(crate) use auth::signed_request;
use container::ContainerMiner;
use gateway::{GatewayMiner, GatewayRoute};
use pod::{PodMiner, Pods};
use registry::Registry;
use resolve::{Endpoints, Pod, ResolvedRoutes, Route, RouteError, Target, resolve};

/// Minimum interval between polls for ready miners.
const MIN_POLL: Duration = Duration::from_secs(1);
/// Maximum size of the gateway's envelope around a miner's response in bytes.
const MAX_ENVELOPE_BYTES: usize = 4 << 10;

/// Dependencies and settings of an [`Arena`].
#[derive(Clone)]
pub struct ArenaConfig {
    /// Settings for discovering and calling miners.
    pub settings: ArenaSettings,
    /// URL of the arena gateway; see `BB_ARENA_GATEWAY_URL`.
    pub gateway: Url,
    /// Keypair of the calling validator.
    pub keypair: Arc<Keypair>,
    /// External IP address of the calling validator, included in the signed headers.
    pub external_ip: String,
    /// Policy for the endpoints listed by the gateway.
    pub policy: AddressPolicy,
    /// Path of the miners' predict route.
    pub predict_path: String,
    /// Maximum size of a miner's response in bytes; see
    /// [`taonet_babelbit_runner::PlaySettings::max_response_bytes`].
    pub max_response_bytes: usize,
}

/// Sources of time of an [`Arena`]; tests replace them.
#[derive(Clone)]
pub struct ArenaTime {
    /// Source of monotonic time.
    pub now: MonotonicClock,
    /// Function that sleeps for a given duration.
    pub sleeper: Sleeper,
}

impl Default for ArenaTime {
    fn default() -> Self {
        Self { now: monotonic_clock(), sleeper: sleeper() }
    }
}

impl ArenaTime {
    fn now(&self) -> Instant {
        (self.now)()
    }

    async fn sleep(&self, pause: Duration) {
        (self.sleeper)(pause).await;
    }
}

/// Why the arena's miners are unavailable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// The gateway's list is unavailable.
    #[error("cannot list the arena's miners: {0}")]
    Registry(#[from] RegistryError),
    /// The signed HTTP client could not be created.
    #[error("cannot set up the HTTP clients of the arena")]
    Client(#[source] taonet_wire::CallError),
    /// The plain HTTP client could not be created.
    #[error("cannot set up the HTTP clients of the arena")]
    Http(#[from] reqwest::Error),
}

/// Client of the arena. Cheap to clone; clones share tokens and connections.
#[derive(Clone)]
pub struct Arena {
    config: Arc<ArenaConfig>,
    registry: Arc<Registry>,
    tokens: Arc<Tokens>,
    clients: Clients,
    pods: Arc<Pods>,
    time: ArenaTime,
}

/// HTTP clients: one for the configured gateway, one for the endpoints that the gateway lists.
#[derive(Clone)]
struct Clients {
    unrestricted: SignedClient,
    address_checked: SignedClient,
}

impl Arena {
    /// Creates a client of the configured arena gateway.
    ///
    /// # Errors
    /// [`ArenaError`] when TLS initialisation fails.
    pub fn new(config: ArenaConfig) -> Result<Self, ArenaError> {
        Self::with_time(config, ArenaTime::default())
    }

    /// Creates a client with custom sources of time.
    ///
    /// # Errors
    /// [`ArenaError`] when TLS initialisation fails.
    pub fn with_time(config: ArenaConfig, time: ArenaTime) -> Result<Self, ArenaError> {
        let signer = Signer::new(
            Keypair::clone(&config.keypair),
            &config.external_ip,
            BabelbitScheme::managed(),
        );
        let limits = ClientConfig {
            max_response_bytes: config.max_response_bytes.saturating_add(MAX_ENVELOPE_BYTES),
            ..ClientConfig::default()
        };
        let clients = Clients {
            unrestricted: SignedClient::new(signer.clone(), limits).map_err(ArenaError::Client)?,
            address_checked: SignedClient::with_addresses(
                signer,
                limits,
                config.policy.permitted(),
            )
            .map_err(ArenaError::Client)?,
        };
        let tokens = Arc::new(Tokens::new(
            Arc::clone(&config.keypair),
            config.settings.registry_timeout,
            time.clone(),
        ));
        let registry = Registry::new(
            &config,
            clients.unrestricted.clone(),
            Arc::clone(&tokens),
            time.clone(),
        )?;
        let pods = Pods::new(&config.settings, config.policy.permitted(), time.clone())?;
        Ok(Self {
            registry: Arc::new(registry),
            pods: Arc::new(pods),
            config: Arc::new(config),
            tokens,
            clients,
            time,
        })
    }

    /// Waits until all `registered` miners of the arena are ready, and returns them. Omits miners
    /// that are not ready before the timeout.
    ///
    /// # Errors
    /// [`ArenaError::Registry`] when the gateway's list of miners is unavailable.
    pub async fn miners(&self, registered: &[MinerEntry]) -> Result<Vec<Miner>, ArenaError> {
        let routes = self.ready_routes(registered).await?;
        let connected_miners = routes.into_iter().filter_map(|route| {
            let uid = route.miner.uid;
            self.connect(route).inspect_err(|error| log_skipped(uid, error)).ok()
        });
        Ok(connected_miners.collect())
    }

    /// Returns the function that lists the miners in a runner.
    pub fn into_list(self) -> ListArenaMiners {
        Arc::new(move |registered| {
            let arena = self.clone();
            async move {
                let miners = arena.miners(&registered).await;
                miners.map_err(|error| ArenaUnavailable(Box::new(error)))
            }
            .boxed()
        })
    }

    /// Polls until all miners are ready or the timeout expires.
    async fn ready_routes(&self, registered: &[MinerEntry]) -> Result<Vec<Route>, RegistryError> {
        let settings = &self.config.settings;
        let start = self.time.now();
        let poll = settings.ready_poll.max(MIN_POLL);
        let mut last_routes = None;
        let mut logged = HashSet::new();
        loop {
            let failure = match self.poll(registered, &mut logged).await {
                Ok(routes) if !routes.is_empty() && routes.iter().all(Route::is_ready) => {
                    return Ok(routes);
                }
                Ok(routes) => {
                    tracing::info!(
                        routes = routes.len(),
                        waiting = waiting_count(&routes),
                        "arena miners are not ready yet"
                    );
                    last_routes = Some(routes);
                    None
                }
                Err(error) if last_routes.is_none() && !error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot list the arena's miners, retrying");
                    Some(error)
                }
            };
            let remaining = settings
                .ready_timeout
                .saturating_sub(self.time.now().saturating_duration_since(start));
            if remaining.is_zero() {
                let Some(mut latest) = last_routes else {
                    return failure.map_or_else(|| Ok(Vec::new()), Err);
                };
                tracing::warn!(
                    left_out = waiting_count(&latest),
                    "arena miners skipped: not ready before the timeout"
                );
                latest.retain(Route::is_ready);
                return Ok(latest);
            }
            self.time.sleep(poll.min(remaining)).await;
        }
    }

    /// Polls the gateway once. Logs why a miner is skipped, unless the miner is in `logged`.
    async fn poll(
        &self,
        registered: &[MinerEntry],
        logged: &mut HashSet<Uid>,
    ) -> Result<Vec<Route>, RegistryError> {
        let listing = self.registry.listing().await?;
        let endpoints = Endpoints { policy: &self.config.policy, gateway: &self.config.gateway };
        let ResolvedRoutes { routes, unregistered, terminated, refused } =
            resolve(&listing.rows, registered, &endpoints);
        let (rows, malformed) = (listing.rows.len(), listing.malformed);
        for (uid, error) in &refused {
            match error {
                RouteError::ForeignGateway { origin, .. } if logged.insert(*uid) => {
                    tracing::warn!(miner = %uid, origin, "arena miner skipped: {error}");
                }
                _ => {
                    tracing::debug!(miner = %uid, %error, "arena miner skipped: endpoint not allowed");
                }
            }
        }
        let refused = refused.len();
        tracing::debug!(
            rows,
            malformed,
            unregistered,
            terminated,
            refused,
            routes = routes.len(),
            "arena miners listed"
        );
        if malformed > 0 || refused > 0 {
            tracing::warn!(
                malformed,
                refused,
                "the arena gateway's list of miners has invalid entries"
            );
        }
        Ok(routes)
    }

    fn connect(&self, route: Route) -> Result<Miner, PeerError> {
        let Route { miner, target, .. } = route;
        let connection: Arc<dyn MinerConnection> = match target {
            Target::Gateway { url, is_ours } => Arc::new(self.gateway_miner(&miner, url, is_ours)?),
            Target::Container(address) => Arc::new(self.container(&miner, &address)?),
            Target::Pod { address, pod } => Arc::new(self.pod_miner(&miner, &address, pod)?),
        };
        let key = MinerKey { uid: miner.uid, hotkey: miner.hotkey };
        Ok(Miner { key, name: miner.name, connection })
    }

    fn gateway_miner(
        &self,
        miner: &MinerEntry,
        url: Url,
        is_ours: bool,
    ) -> Result<GatewayMiner, PeerError> {
        let client =
            if is_ours { &self.clients.unrestricted } else { &self.clients.address_checked };
        let route = GatewayRoute { url, hotkey: miner.hotkey, uid: miner.uid };
        let tokens = Arc::clone(&self.tokens);
        GatewayMiner::new(client.clone(), tokens, route, &self.config.settings, self.time.clone())
    }

    fn container(
        &self,
        miner: &MinerEntry,
        address: &MinerAddress,
    ) -> Result<ContainerMiner, PeerError> {
        ContainerMiner::new(
            self.clients.address_checked.clone(),
            miner.hotkey,
            address,
            &self.config.predict_path,
        )
    }

    fn pod_miner(
        &self,
        miner: &MinerEntry,
        address: &MinerAddress,
        pod: Pod,
    ) -> Result<PodMiner, PeerError> {
        let container = self.container(miner, address)?;
        Ok(PodMiner::new(
            container,
            Arc::clone(&self.pods),
            address,
            &self.config.predict_path,
            pod,
        ))
    }
}

/// Logs a miner that takes no part in the round.
fn log_skipped(miner: Uid, error: &PeerError) {
    tracing::warn!(%miner, %error, "arena miner skipped: cannot set up its client");
}

/// Returns the number of miners that are not ready.
fn waiting_count(routes: &[Route]) -> usize {
    routes.iter().filter(|route| !route.is_ready()).count()
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("gateway", &self.config.gateway.as_str())
            .finish_non_exhaustive()
    }
}
