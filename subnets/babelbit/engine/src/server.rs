//! The utterance engine: serves challenges to authenticated validators.
//!
//! | Route | Response |
//! |---|---|
//! | `POST /auth` | a text to sign, for one use |
//! | `POST /auth/verify` | a bearer token for the signed text |
//! | `POST /source-audio/start` | a session of the main challenge, with the first utterance |
//! | `POST /source-audio/next` | the next utterance of that session |
//! | `GET /solo/start` | a session of the solo challenge, with the first utterance |
//! | `POST /solo/next` | the next utterance of that session |
//! | `GET /transcription` | the reference of the caller's main challenge |
//! | `GET /start` | a session of the main text challenge, with the first word |
//! | `POST /next` | the next word of that session |
//! | `GET /healthz` | `{"status": "ok"}`, without a token |
//!
//! An engine without speech challenges serves its solo text challenge at the solo routes.
//!
//! The last utterance has audio and `"done": true`. Further calls return the end marker: no audio
//! and `"done": true`. Every error response is `{"detail": …}`; errors of text sessions also have
//! the field `error`. Repeated slashes in a path are collapsed.
//!
//! Sessions and tokens exist only in memory. The current challenge depends only on configuration
//! and clock, so a restarted engine serves the same challenge.

mod answer;
mod auth;
mod routes;
mod sessions;
mod text;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use taonet_primitives::Hotkey;
use taonet_speech::{Pcm, SynthesisError, Synthesizer, Voice};

use taonet_babelbit_challenges::{
    BuildError, BuiltChallenge, Challenge, ChallengeLibrary, TextChallenge,
};
use taonet_http::{BodyLimits, RateLimit, SlidingWindow};
use taonet_service::{Clock, system_clock, unix_time};

use auth::Authenticator;
use sessions::{Sessions, Stream};
use text::TokenStream;

/// Rotation of the current challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// No rotation: the first challenge is the current one, the second is the solo challenge.
    Fixed,
    /// Each challenge in turn is current for this duration, counted from the Unix epoch. The next
    /// challenge in the list is the solo challenge.
    Every(Duration),
}

impl Rotation {
    /// Returns the number of turns completed before `now`.
    fn index_at(self, now: SystemTime) -> usize {
        match self {
            Self::Fixed => 0,
            Self::Every(period) => {
                let elapsed = unix_time(now).as_millis();
                let index = elapsed.checked_div(period.as_millis()).unwrap_or_default();
                usize::try_from(index).unwrap_or_default()
            }
        }
    }
}

/// Dependencies and settings of an [`Engine`].
#[derive(Clone)]
pub struct EngineConfig {
    /// Speech challenges in the order of rotation, with unique uids.
    pub challenges: Vec<Challenge>,
    /// Text challenges in the order of rotation, with unique uids. At least one speech or text
    /// challenge is required.
    pub texts: Vec<TextChallenge>,
    /// Synthesiser for speech challenges whose utterances are texts.
    pub synthesizer: Arc<dyn Synthesizer>,
    /// Rotation of the current challenge.
    pub rotation: Rotation,
    /// Hotkeys that may authenticate; `None` allows all, for local networks.
    pub allowed: Option<BTreeSet<Hotkey>>,
    /// Validity period of a token: more than 0, at most a year.
    pub token_lifetime: Duration,
    /// Validity period of a text to sign: more than 0, at most a year.
    pub challenge_lifetime: Duration,
    /// Idle timeout of a session.
    pub session_idle: Duration,
    /// Maximum number of sessions per hotkey; a further session ends the oldest one.
    pub sessions_per_hotkey: usize,
    /// Combined rate limit of `/auth` and `/auth/verify`, per address.
    pub auth_limit: RateLimit,
    /// Combined rate limit of the speech routes and `/transcription`, per hotkey.
    pub data_limit: RateLimit,
    /// Combined rate limit of the text routes, per hotkey.
    pub text_limit: RateLimit,
    /// Timeout of a request, after which the response has status 503.
    pub request_timeout: Duration,
    /// Maximum size of a request body in bytes.
    pub max_body_bytes: usize,
    /// Clock for rotation and expiry.
    pub clock: Clock,
}

impl EngineConfig {
    /// Creates a configuration with the default limits: tokens valid for a day, all hotkeys
    /// allowed; per minute, 30 authentication requests, 1200 speech requests and 60 000 text
    /// requests.
    pub fn new(challenges: Vec<Challenge>, synthesizer: Arc<dyn Synthesizer>) -> Self {
        let minute = Duration::from_mins(1);
        Self {
            challenges,
            texts: Vec::new(),
            synthesizer,
            rotation: Rotation::Fixed,
            allowed: None,
            token_lifetime: Duration::from_hours(24),
            challenge_lifetime: minute,
            session_idle: Duration::from_mins(15),
            sessions_per_hotkey: 16,
            auth_limit: RateLimit { requests: 30, window: minute },
            data_limit: RateLimit { requests: 1_200, window: minute },
            text_limit: RateLimit { requests: 60_000, window: minute },
            request_timeout: Duration::from_mins(1),
            max_body_bytes: 64 << 10,
            clock: system_clock(),
        }
    }

    /// Creates a configuration with the default limits for text challenges only, which need no
    /// synthesiser.
    pub fn for_texts(texts: Vec<TextChallenge>) -> Self {
        Self { texts, ..Self::new(Vec::new(), Arc::new(UnavailableSynthesizer)) }
    }
}

/// Synthesiser of an engine without speech challenges: it always fails.
struct UnavailableSynthesizer;

impl Synthesizer for UnavailableSynthesizer {
    fn speak(&self, _: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Err(SynthesisError::Failed("the engine serves text only".to_owned()))
    }
}

/// Timeout for receiving a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Total memory limit in bytes for request bodies; the first 64 KiB of each body do not count.
const MAX_LARGE_BODY_BYTES: usize = 16 << 20;

/// Maximum validity period of tokens and texts to sign: a year.
const MAX_LIFETIME: Duration = Duration::from_hours(365 * 24);

/// Why an engine could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineSetupError {
    /// There are no challenges to serve.
    #[error("an utterance engine needs at least one challenge")]
    NoChallenge,
    /// Two challenges have the same uid.
    #[error("duplicate challenge uid {0}")]
    DuplicateUid(String),
    /// The validity period of tokens or of texts to sign is 0 or too long.
    #[error(
        "the {setting} must be above 0 and at most {} days, not {} s",
        MAX_LIFETIME.as_secs() / 86_400,
        lifetime.as_secs_f64()
    )]
    Lifetime {
        /// Name of the setting.
        setting: &'static str,
        /// The rejected duration.
        lifetime: Duration,
    },
}

/// State shared by the routes.
struct State {
    library: ChallengeLibrary,
    rotation: Rotation,
    auth: Authenticator,
    sessions: Sessions<BuiltChallenge>,
    texts: Vec<Arc<TokenStream>>,
    text_sessions: Sessions<TokenStream>,
    auth_limit: SlidingWindow<std::net::IpAddr>,
    data_limit: SlidingWindow<Hotkey>,
    text_limit: SlidingWindow<Hotkey>,
    bodies: BodyLimits,
    clock: Clock,
}

impl State {
    fn now(&self) -> SystemTime {
        (self.clock)()
    }

    fn position(&self, stream: Stream) -> usize {
        let index = self.rotation.index_at(self.now());
        match stream {
            Stream::Main => index,
            Stream::Solo => index.wrapping_add(1),
        }
    }

    async fn current(&self, stream: Stream) -> Result<Option<Arc<BuiltChallenge>>, BuildError> {
        self.library.get_or_build(self.position(stream)).await
    }
}

/// The utterance engine. Cheap to clone; clones share state.
#[derive(Clone)]
pub struct Engine {
    state: Arc<State>,
    request_timeout: Duration,
}

impl Engine {
    /// Creates an engine from `config`.
    ///
    /// # Errors
    /// [`EngineSetupError`] when there is no challenge, two have the same uid, or a lifetime is 0
    /// or more than a year.
    pub fn new(config: EngineConfig) -> Result<Self, EngineSetupError> {
        if config.challenges.is_empty() && config.texts.is_empty() {
            return Err(EngineSetupError::NoChallenge);
        }
        let mut uids = HashSet::new();
        let speech = config.challenges.iter().map(|challenge| challenge.uid.as_str());
        let texts = config.texts.iter().map(|challenge| challenge.uid.as_str());
        if let Some(duplicate) = speech.chain(texts).find(|uid| !uids.insert(*uid)) {
            return Err(EngineSetupError::DuplicateUid(duplicate.to_owned()));
        }
        for (setting, lifetime) in [
            ("token lifetime", config.token_lifetime),
            ("challenge lifetime", config.challenge_lifetime),
        ] {
            if lifetime.is_zero() || lifetime > MAX_LIFETIME {
                return Err(EngineSetupError::Lifetime { setting, lifetime });
            }
        }
        let state = State {
            auth: Authenticator::new(
                config.allowed,
                config.challenge_lifetime,
                config.token_lifetime,
            ),
            sessions: Sessions::new(config.session_idle, config.sessions_per_hotkey),
            texts: config.texts.iter().map(TokenStream::new).map(Arc::new).collect(),
            text_sessions: Sessions::new(config.session_idle, config.sessions_per_hotkey),
            auth_limit: SlidingWindow::new(config.auth_limit),
            data_limit: SlidingWindow::new(config.data_limit),
            text_limit: SlidingWindow::new(config.text_limit),
            library: ChallengeLibrary::new(config.challenges, config.synthesizer),
            rotation: config.rotation,
            bodies: BodyLimits::new(config.max_body_bytes, BODY_TIMEOUT, MAX_LARGE_BODY_BYTES),
            clock: config.clock,
        };
        Ok(Self { state: Arc::new(state), request_timeout: config.request_timeout })
    }

    /// Builds the audio of the current challenges, so that the first caller does not wait and
    /// startup detects a missing synthesiser.
    ///
    /// # Errors
    /// [`BuildError`] when the synthesis of an utterance fails.
    pub async fn prepare(&self) -> Result<(), BuildError> {
        self.state.current(Stream::Main).await?;
        self.state.current(Stream::Solo).await?;
        Ok(())
    }

    /// Returns the engine's HTTP router, with all limits applied.
    ///
    /// Serve the router with connect info (`into_make_service_with_connect_info::<SocketAddr>()`):
    /// without connect info, all callers share one authentication limit.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.state), self.request_timeout)
    }

    /// Registers the help texts of the engine's metrics. Call it after the metrics recorder is
    /// installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_engine_requests_total", "Requests by route and status");
        metrics::describe_gauge!("taonet_engine_sessions", "Live sessions");
        metrics::describe_gauge!("taonet_engine_tokens", "Issued tokens that have not expired");
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let State { library, texts, .. } = &*self.state;
        f.debug_struct("Engine")
            .field("challenges", &library.len())
            .field("texts", &texts.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
