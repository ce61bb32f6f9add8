//! The arena gateway: takes submissions of miners, says who is in the arena, and passes validators' messages on.
//!
//! | Route | Who | Answer |
//! |---|---|---|
//! | `POST /auth/token` | a validator, by signature | a token for the other routes |
//! | `GET /list_arena_miners` | a token | who is in the arena |
//! | `POST /runsync` | a token | a miner's answer to one message, as `{"output": …}` |
//! | `POST /v1/arena/submit` | a miner, by signature | that it wants to enter |
//! | `GET /healthz` | everyone | `{"status": "ok", "hotkey": …}` |
//!
//! The first three stand below `/v1`, too. Every error is `{"error": marker, "detail": text}`; clients decide by the marker
//! whether they try again.
//!
//! In the arena are the best [`ArenaGatewayConfig::slots`] of the miners that asked to enter: where qualifying results are
//! known ([`Results`]), those with a win within the window, by wins and then by score; otherwise whoever came first.
//! Submissions and wins are in one file that is replaced as a whole, so that what was acknowledged survives `kill -9`;
//! tokens are in memory.

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
    BabelbitScheme, BtauthScheme, CallError, ClientConfig, Limits, Load, Rate, ReplayLogError, SignedClient,
    SignedLayer, Signer,
};
use tokio::sync::Semaphore;

use taonet_babelbit_runner::AddressPolicy;
use taonet_http::RateLimit;
use taonet_http::SlidingWindow;
use taonet_service::{Clock, system_clock};

pub use client::{SubmitError, submit};
pub use entries::EntriesError;
pub use members::Members;
pub use results::Results;

use entries::{Entries, Listed};
use grants::Grants;

/// What the list of miners says of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// That it is called through this gateway.
    Gateway,
    /// Its own endpoint, which validators call directly.
    Endpoints,
}

/// Everything that an [`ArenaGateway`] needs.
#[derive(Clone)]
pub struct ArenaGatewayConfig {
    /// The gateway's own key: miners sign their submissions for it.
    pub keypair: Arc<Keypair>,
    /// Who may get tokens; none means anyone, for local networks.
    pub allowed: Option<BTreeSet<Hotkey>>,
    /// Which endpoints are called.
    pub policy: AddressPolicy,
    /// Path of the miners' predict route.
    pub predict_path: String,
    /// Most miners in the arena.
    pub slots: usize,
    /// How long a win counts.
    pub window: Duration,
    /// Whether a miner needs a win to enter.
    pub wins_needed: bool,
    /// What the list of miners says.
    pub listing: Listing,
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// Limit of `/auth/token` and submissions together, per address.
    pub auth_limit: RateLimit,
    /// Limit of all other routes together, per hotkey.
    pub data_limit: RateLimit,
    /// Calls of miners at a time; one more is refused.
    pub calls: usize,
    /// Longest time for one call of a miner.
    pub call_timeout: Duration,
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Largest answer of a miner, in bytes.
    pub max_answer_bytes: usize,
    /// What time it is.
    pub clock: Clock,
}

impl ArenaGatewayConfig {
    /// The usual limits: seven slots, wins of the last seven days, tokens for half an hour; anyone may get a token, and no
    /// wins are needed.
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
            max_answer_bytes: 16 << 20,
            clock: system_clock(),
        }
    }
}

/// Why a gateway was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaGatewayError {
    /// The submissions cannot be used.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// The record of accepted requests cannot be used.
    #[error("accepted requests cannot be remembered")]
    Replay(#[from] ReplayLogError),
    /// The HTTP client cannot be set up.
    #[error("the gateway's HTTP client cannot be set up")]
    Client(#[source] CallError),
}

/// What the routes share.
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
}

/// Who was in the arena at some moment.
struct CachedList {
    version: u64,
    at: SystemTime,
    miners: Arc<[Listed]>,
}

impl State {
    fn now(&self) -> SystemTime {
        (self.config.clock)()
    }
}

/// An arena gateway. Cheap to clone; clones are one gateway.
#[derive(Clone)]
pub struct ArenaGateway {
    state: Arc<State>,
    submissions: SignedLayer,
}

impl ArenaGateway {
    /// A gateway with its state in `directory`. Where `remember` says so, requests that were accepted before a restart are
    /// not accepted again after it. Only `members` may enter, where they are known.
    ///
    /// # Errors
    /// [`ArenaGatewayError`] when another gateway works there, or the state cannot be used.
    pub async fn open(
        config: ArenaGatewayConfig,
        directory: &Path,
        remember: bool,
        members: Option<Members>,
    ) -> Result<Self, ArenaGatewayError> {
        // First of all: it takes the directory's lock.
        let entries = Entries::open(directory).await?;
        let log = |name: &str| -> Option<PathBuf> { remember.then(|| directory.join(name)) };
        let grants = Grants::open(&config, log("tokens.log").as_deref())?;
        let limits = Limits { body_bytes: 8 << 10, ..Limits::default() };
        // A miner changes its endpoint now and then.
        let load = Load { rate: Some(Rate { per_second: 1, burst: 10 }), ..Load::default() };
        let layer = SignedLayer::builder(config.keypair.hotkey(), BtauthScheme::new()).limits(limits).load(load);
        let submissions = match log("submissions.log") {
            Some(path) => layer.build_with_replay_log(path)?,
            None => layer.build(),
        };
        // Messages come signed; the client's own signature is not used.
        let signer = Signer::new(Keypair::clone(&config.keypair), "0.0.0.0", BabelbitScheme::managed());
        let bounds = ClientConfig { max_response_bytes: config.max_answer_bytes, ..ClientConfig::default() };
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
            config,
        };
        Ok(Self { state: Arc::new(state), submissions })
    }

    /// The routes, with all limits.
    ///
    /// Serve it with connect info: without it all callers share one limit for tokens and submissions.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.state), self.submissions.clone())
    }

    /// Whose submissions it takes.
    pub fn hotkey(&self) -> Hotkey {
        self.state.config.keypair.hotkey()
    }

    /// Gives the gateway's metrics their help texts. Call after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_arena_gateway_requests_total", "Requests by route and status");
        metrics::describe_counter!("taonet_arena_gateway_calls_total", "Messages passed on, by what came of them");
        metrics::describe_histogram!("taonet_arena_gateway_call_seconds", "Time that a miner took to answer a message");
        metrics::describe_gauge!("taonet_arena_gateway_tokens", "Tokens held in memory");
        metrics::describe_gauge!("taonet_arena_gateway_submissions", "Miners that asked to enter");
        metrics::describe_gauge!("taonet_arena_gateway_listed", "Miners in the arena");
        metrics::describe_gauge!("taonet_arena_gateway_challenges", "Challenges whose winners count");
        metrics::describe_counter!(
            "taonet_arena_gateway_looks_total",
            "Looks for qualifying results, by what came of them"
        );
    }
}

impl fmt::Debug for ArenaGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaGateway").field("hotkey", &self.hotkey()).finish_non_exhaustive()
    }
}
