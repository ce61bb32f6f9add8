//! The utterance engine: serves challenges to validators that prove who they are.
//!
//! | Route | Answer |
//! |---|---|
//! | `POST /auth` | a text to sign, good for one use |
//! | `POST /auth/verify` | a bearer token for the signed text |
//! | `POST /source-audio/start` | a session of the main challenge, with the first utterance |
//! | `POST /source-audio/next` | its next utterance |
//! | `GET /solo/start` | a session of the solo challenge, with the first utterance |
//! | `POST /solo/next` | its next utterance |
//! | `GET /transcription` | the reference of the caller's main challenge |
//! | `GET /healthz` | `{"status": "ok"}`, without a token |
//!
//! The last utterance has sound and `done`. Who asks for more gets the end marker, as often as wanted: no sound and
//! `done`. Every error is `{"detail": …}`. Repeated slashes in a path count as one.
//!
//! Sessions and tokens live in memory; which challenge is current follows from configuration and clock alone, so a
//! restarted engine serves the same one.

mod answer;
mod auth;
mod routes;
mod sessions;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use taonet_primitives::Hotkey;
use taonet_speech::Synthesizer;

use taonet_babelbit_challenges::{BuildError, BuiltChallenge, Challenge, ChallengeLibrary};
use taonet_http::{RateLimit, SlidingWindow};
use taonet_service::{Clock, since_1970, system_clock};

use auth::Authenticator;
use sessions::{Sessions, Stream};

/// When the current challenge changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Never: the first of the list is current, the second is the solo challenge.
    Fixed,
    /// Each challenge is current for this long, in turn, counted from 1970. The solo challenge is the one after it.
    Every(Duration),
}

impl Rotation {
    /// How many challenges had their turn before `now`.
    fn turn(self, now: SystemTime) -> usize {
        match self {
            Self::Fixed => 0,
            Self::Every(period) => {
                let elapsed = since_1970(now).as_millis();
                let turn = elapsed.checked_div(period.as_millis()).unwrap_or_default();
                usize::try_from(turn).unwrap_or_default()
            }
        }
    }
}

/// Everything that an [`Engine`] needs.
#[derive(Clone)]
pub struct EngineConfig {
    /// What is served, in this order. At least one; no uid twice.
    pub challenges: Vec<Challenge>,
    /// Speaks the challenges that are texts.
    pub synthesizer: Arc<dyn Synthesizer>,
    /// When the current challenge changes.
    pub rotation: Rotation,
    /// Who may authenticate; none means anyone, for local networks.
    pub allowed: Option<BTreeSet<Hotkey>>,
    /// How long a token is good: more than 0, at most a year.
    pub token_lifetime: Duration,
    /// How long a text to sign is good: more than 0, at most a year.
    pub challenge_lifetime: Duration,
    /// A session that is not used for this long ends.
    pub session_idle: Duration,
    /// Sessions of one hotkey; one more ends the oldest.
    pub sessions_per_hotkey: usize,
    /// Limit of `/auth` and `/auth/verify` together, per address.
    pub auth_limit: RateLimit,
    /// Limit of all other routes together, per hotkey.
    pub data_limit: RateLimit,
    /// A request that takes longer is answered 503.
    pub request_timeout: Duration,
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// What time it is.
    pub clock: Clock,
}

impl EngineConfig {
    /// The usual limits: tokens for a day, 30 authentication calls and 1200 others a minute, anyone may authenticate.
    pub fn new(challenges: Vec<Challenge>, synthesizer: Arc<dyn Synthesizer>) -> Self {
        let minute = Duration::from_mins(1);
        Self {
            challenges,
            synthesizer,
            rotation: Rotation::Fixed,
            allowed: None,
            token_lifetime: Duration::from_hours(24),
            challenge_lifetime: minute,
            session_idle: Duration::from_mins(15),
            sessions_per_hotkey: 16,
            auth_limit: RateLimit { requests: 30, window: minute },
            data_limit: RateLimit { requests: 1_200, window: minute },
            request_timeout: Duration::from_mins(1),
            max_body_bytes: 64 << 10,
            clock: system_clock(),
        }
    }
}

/// Longest lifetime of tokens and texts to sign: a year.
const MAX_LIFETIME: Duration = Duration::from_hours(365 * 24);

/// Why an engine was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineSetupError {
    /// There is nothing to serve.
    #[error("an utterance engine needs at least one challenge")]
    NoChallenge,
    /// Two challenges could not be told apart.
    #[error("two challenges have the uid {0}")]
    DuplicateUid(String),
    /// A token or a text to sign would be good for no time, or for longer than clocks can count.
    #[error("the {what} must be more than 0 and at most {} days, not {}s", MAX_LIFETIME.as_secs() / 86_400, got.as_secs_f64())]
    Lifetime {
        /// Whose lifetime it is.
        what: &'static str,
        /// The value.
        got: Duration,
    },
}

/// What the routes share.
struct State {
    library: ChallengeLibrary,
    rotation: Rotation,
    auth: Authenticator,
    sessions: Sessions,
    auth_limit: SlidingWindow<std::net::IpAddr>,
    data_limit: SlidingWindow<Hotkey>,
    clock: Clock,
}

impl State {
    fn now(&self) -> SystemTime {
        (self.clock)()
    }

    fn position(&self, stream: Stream) -> usize {
        let turn = self.rotation.turn(self.now());
        match stream {
            Stream::Main => turn,
            Stream::Solo => turn.wrapping_add(1),
        }
    }

    async fn current(&self, stream: Stream) -> Result<Option<Arc<BuiltChallenge>>, BuildError> {
        self.library.built(self.position(stream)).await
    }
}

/// An utterance engine. Cheap to clone; clones are one engine.
#[derive(Clone)]
pub struct Engine {
    state: Arc<State>,
    request_timeout: Duration,
    max_body_bytes: usize,
}

impl Engine {
    /// An engine that serves what `config` says.
    ///
    /// # Errors
    /// [`EngineSetupError`] when there is no challenge, or two with one uid, or a lifetime is 0 or more than a year.
    pub fn new(config: EngineConfig) -> Result<Self, EngineSetupError> {
        if config.challenges.is_empty() {
            return Err(EngineSetupError::NoChallenge);
        }
        let mut uids = HashSet::new();
        if let Some(twice) = config.challenges.iter().find(|challenge| !uids.insert(challenge.uid.as_str())) {
            return Err(EngineSetupError::DuplicateUid(twice.uid.clone()));
        }
        for (what, got) in
            [("token lifetime", config.token_lifetime), ("challenge lifetime", config.challenge_lifetime)]
        {
            if got.is_zero() || got > MAX_LIFETIME {
                return Err(EngineSetupError::Lifetime { what, got });
            }
        }
        let state = State {
            auth: Authenticator::new(config.allowed, config.challenge_lifetime, config.token_lifetime),
            sessions: Sessions::new(config.session_idle, config.sessions_per_hotkey),
            auth_limit: SlidingWindow::new(config.auth_limit),
            data_limit: SlidingWindow::new(config.data_limit),
            library: ChallengeLibrary::new(config.challenges, config.synthesizer),
            rotation: config.rotation,
            clock: config.clock,
        };
        Ok(Self {
            state: Arc::new(state),
            request_timeout: config.request_timeout,
            max_body_bytes: config.max_body_bytes,
        })
    }

    /// Makes the sound of the current challenges now, so that the first caller does not wait, and so that a missing
    /// synthesiser is noticed at the start.
    ///
    /// # Errors
    /// [`BuildError`] when an utterance cannot be spoken.
    pub async fn prepare(&self) -> Result<(), BuildError> {
        self.state.current(Stream::Main).await?;
        self.state.current(Stream::Solo).await?;
        Ok(())
    }

    /// The routes, with all limits.
    ///
    /// Serve it with connect info (`into_make_service_with_connect_info::<SocketAddr>()`): without it all callers
    /// share one authentication limit.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.state), self.request_timeout, self.max_body_bytes)
    }

    /// Gives the engine's metrics their help texts. Call after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_engine_requests_total", "Requests by route and status");
        metrics::describe_gauge!("taonet_engine_sessions", "Sessions held in memory");
        metrics::describe_gauge!("taonet_engine_tokens", "Tokens held in memory");
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("challenges", &self.state.library.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
