//! The arena gateway: accepts miners' submissions, lists the arena's miners, and forwards
//! validators' messages.
//!
//! | Route | Caller | Response |
//! |---|---|---|
//! | `POST /auth/token` | a validator, by signature | a token for the other routes |
//! | `GET /list_arena_miners` | the holder of a token | list of the arena's miners |
//! | `POST /runsync` | the holder of a token | a miner's response to one message, as `{"output": …}` |
//! | `POST /v1/arena/submit` | a miner, by signature | acknowledgement of its submission |
//! | `GET /healthz` | anyone | `{"status": "ok", "hotkey": …}` |
//!
//! The first three are also available below `/v1`. Every error is `{"error": marker, "detail":
//! text}`; clients use the marker to decide whether to retry.
//!
//! The arena admits at most [`ArenaGatewayConfig::slots`] of the submitted miners. With qualifying
//! results ([`Results`]), miners are ranked by their number of wins within
//! [`ArenaGatewayConfig::window`] and then by best winning score; without results, by time of
//! submission. Submissions and wins are in one file that is replaced atomically, so that
//! acknowledged submissions survive a `kill -9`. Tokens are in memory only.

mod answer;
mod client;
mod entries;
mod forward;
mod grants;
mod members;
mod results;
mod routes;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use taonet_primitives::Hotkey;
use taonet_wallet::Keypair;
use taonet_wire::{
    BabelbitScheme, BtauthScheme, CallError, ClientConfig, Limits, Load, Rate, ReplayLogError,
    SignedClient, SignedLayer, Signer,
};
use tokio::sync::Semaphore;

use taonet_babelbit_runner::AddressPolicy;
use taonet_http::{BodyLimits, RateLimit, SlidingWindow};
use taonet_service::{Clock, system_clock};

pub use client::{SubmitError, submit};
pub use entries::EntriesError;
pub use members::Members;
pub use results::Results;

use entries::{Entries, ListedEntry};
use grants::Grants;

/// Format of the list of miners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Miners to be called through this gateway.
    Gateway,
    /// Miners with their own endpoints, which validators call directly.
    Endpoints,
}

/// Dependencies and settings of an [`ArenaGateway`].
#[derive(Clone)]
pub struct ArenaGatewayConfig {
    /// The gateway's keypair: miners sign their submissions for its hotkey.
    pub keypair: Arc<Keypair>,
    /// Hotkeys that may get tokens; `None` allows all, for local networks.
    pub allowed: Option<BTreeSet<Hotkey>>,
    /// Policy for the miners' endpoints.
    pub policy: AddressPolicy,
    /// Path of the miners' predict route.
    pub predict_path: String,
    /// Maximum number of miners in the arena.
    pub slots: usize,
    /// Period for which a win qualifies a miner.
    pub window: Duration,
    /// Whether a miner needs a win to qualify.
    pub wins_needed: bool,
    /// Format of the list of miners.
    pub listing: Listing,
    /// Validity period of a token.
    pub token_lifetime: Duration,
    /// Combined rate limit of `/auth/token` and submissions, per address.
    pub auth_limit: RateLimit,
    /// Combined rate limit of all other routes, per hotkey.
    pub data_limit: RateLimit,
    /// Maximum number of concurrent calls to miners; further calls are refused.
    pub calls: usize,
    /// Maximum timeout of a call to a miner.
    pub call_timeout: Duration,
    /// Maximum size of a request body in bytes.
    pub max_body_bytes: usize,
    /// Maximum size of a miner's response in bytes.
    pub max_response_bytes: usize,
    /// Source of the current time.
    pub clock: Clock,
}

impl ArenaGatewayConfig {
    /// Creates a configuration with the default limits: seven slots, wins of the last seven days,
    /// tokens for half an hour; all hotkeys may get a token, and no wins are required.
    pub fn new(keypair: Arc<Keypair>) -> Self {
        let minute = Duration::from_mins(1);
        Self {
            keypair,
            allowed: None,
            policy: AddressPolicy::default(),
            predict_path: "v1/predict".to_owned(),
            slots: 7,
            window: Duration::from_hours(7 * 24),
            wins_needed: false,
            listing: Listing::Gateway,
            token_lifetime: Duration::from_mins(30),
            auth_limit: RateLimit { requests: 120, window: minute },
            data_limit: RateLimit { requests: 60_000, window: minute },
            calls: 128,
            call_timeout: Duration::from_mins(10),
            max_body_bytes: 256 << 10,
            max_response_bytes: 16 << 20,
            clock: system_clock(),
        }
    }
}

/// Why a gateway could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaGatewayError {
    /// The stored submissions are unusable.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// The replay log is unusable.
    #[error("cannot set up the replay protection")]
    Replay(#[from] ReplayLogError),
    /// The HTTP client could not be created.
    #[error("cannot set up the gateway's HTTP client")]
    Client(#[source] CallError),
}

/// Timeout for receiving a request body: requests are small, and a slower client is likely
/// malicious.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of the memory for all request bodies together, in bytes. The first 64 KiB of each body do
/// not count.
const LARGE_BODIES: usize = 16 << 20;

/// State shared by the routes.
struct State {
    config: ArenaGatewayConfig,
    grants: Grants,
    entries: Entries,
    members: Option<Members>,
    client: SignedClient,
    calls: Semaphore,
    listed: tokio::sync::Mutex<Option<CachedList>>,
    auth_limit: SlidingWindow<std::net::IpAddr>,
    data_limit: SlidingWindow<Hotkey>,
    bodies: BodyLimits,
}

/// A cached list of the arena's miners.
struct CachedList {
    version: u64,
    read_at: SystemTime,
    miners: Arc<[ListedEntry]>,
}

impl State {
    fn now(&self) -> SystemTime {
        (self.config.clock)()
    }
}

/// The arena gateway. Cheap to clone; clones share state.
#[derive(Clone)]
pub struct ArenaGateway {
    state: Arc<State>,
    submissions: SignedLayer,
}

impl ArenaGateway {
    /// Opens a gateway with its state in `directory`. With `is_persistent`, the gateway also
    /// rejects replays of requests that it accepted before a restart. With `members`, only
    /// registered hotkeys may submit a miner.
    ///
    /// # Errors
    /// [`ArenaGatewayError`] when another gateway uses the directory, or the state is unusable.
    pub async fn open(
        config: ArenaGatewayConfig,
        directory: &Path,
        is_persistent: bool,
        members: Option<Members>,
    ) -> Result<Self, ArenaGatewayError> {
        // Opened first, since it acquires the directory's lock.
        let entries = Entries::open(directory).await?;
        let log = |name: &str| -> Option<PathBuf> { is_persistent.then(|| directory.join(name)) };
        let grants = Grants::open(&config, log("tokens.log").as_deref())?;
        let limits = Limits { body_bytes: 8 << 10, ..Limits::default() };
        // A miner rarely changes its endpoint.
        let load = Load { rate: Some(Rate { per_second: 1, burst: 10 }), ..Load::default() };
        let layer = SignedLayer::builder(config.keypair.hotkey(), BtauthScheme::new())
            .limits(limits)
            .load(load);
        let submissions = match log("submissions.log") {
            Some(path) => layer.build_with_replay_log(path)?,
            None => layer.build(),
        };
        // Messages are already signed; the client's own signature is unused.
        let signer =
            Signer::new(Keypair::clone(&config.keypair), "0.0.0.0", BabelbitScheme::managed());
        let bounds = ClientConfig {
            max_response_bytes: config.max_response_bytes,
            ..ClientConfig::default()
        };
        let client = SignedClient::with_addresses(signer, bounds, config.policy.permitted())
            .map_err(ArenaGatewayError::Client)?;
        let state = State {
            grants,
            entries,
            members,
            client,
            calls: Semaphore::new(config.calls.clamp(1, Semaphore::MAX_PERMITS)),
            listed: tokio::sync::Mutex::default(),
            auth_limit: SlidingWindow::new(config.auth_limit),
            data_limit: SlidingWindow::new(config.data_limit),
            bodies: BodyLimits::new(config.max_body_bytes, BODY_TIMEOUT, LARGE_BODIES),
            config,
        };
        Ok(Self { state: Arc::new(state), submissions })
    }

    /// Creates the gateway's HTTP router, with all limits applied.
    ///
    /// Serve the router with connect info: without connect info, all callers share one rate limit
    /// for tokens and submissions.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.state), self.submissions.clone())
    }

    /// Returns the gateway's hotkey, for which miners sign their submissions.
    pub fn hotkey(&self) -> Hotkey {
        self.state.config.keypair.hotkey()
    }

    /// Registers the help texts of the gateway's metrics. Call it after the metrics recorder is
    /// installed.
    pub fn describe_metrics() {
        metrics::describe_counter!(
            "taonet_arena_gateway_requests_total",
            "Requests by route and status"
        );
        metrics::describe_counter!(
            "taonet_arena_gateway_calls_total",
            "Messages forwarded, by outcome"
        );
        metrics::describe_histogram!(
            "taonet_arena_gateway_call_seconds",
            "Response time of miners"
        );
        metrics::describe_gauge!(
            "taonet_arena_gateway_tokens",
            "Issued tokens that have not expired"
        );
        metrics::describe_gauge!(
            "taonet_arena_gateway_submissions",
            "Miners that submitted an entry"
        );
        metrics::describe_gauge!("taonet_arena_gateway_listed", "Miners in the arena");
        metrics::describe_gauge!(
            "taonet_arena_gateway_challenges",
            "Challenges whose winners qualify"
        );
        metrics::describe_counter!(
            "taonet_arena_gateway_looks_total",
            "Polls for qualifying results, by outcome"
        );
    }
}

impl fmt::Debug for ArenaGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaGateway").field("hotkey", &self.hotkey()).finish_non_exhaustive()
    }
}
