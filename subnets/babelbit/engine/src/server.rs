//! The utterance engine: serves challenges to authenticated validators.
//!
//! | Route | Answer |
//! |---|---|
//! | `POST /auth` | a text to sign, valid for one use |
//! | `POST /auth/verify` | a bearer token for the signed text |
//! | `POST /source-audio/start` | a session of the main challenge, with the first utterance |
//! | `POST /source-audio/next` | its next utterance |
//! | `GET /solo/start` | a session of the solo challenge, with the first utterance |
//! | `POST /solo/next` | its next utterance |
//! | `GET /transcription` | the reference of the caller's main challenge |
//! | `GET /start` | a session of the main text challenge, with the first word |
//! | `POST /next` | its next word |
//! | `GET /healthz` | `{"status": "ok"}`, without a token |
//!
//! An engine without speech challenges serves its solo text challenge at the solo routes.
//!
//! The last utterance has audio and `done`. Further calls return the end marker: no audio and `done`. Every error is
//! `{"detail": …}`. Repeated slashes in a path are collapsed.
//!
//! Sessions and tokens are in memory; the current challenge follows from configuration and clock alone, so that a
//! restarted engine serves the same one.

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

use taonet_babelbit_challenges::{BuildError, BuiltChallenge, Challenge, ChallengeLibrary, TextChallenge};
use taonet_http::{RateLimit, SlidingWindow, WholeBodies};
use taonet_service::{Clock, system_clock, unix_time};

use auth::Authenticator;
use sessions::{Sessions, Stream};
use text::TokenStream;

/// Rotation of the current challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// No rotation: the first of the list is current, the second is the solo challenge.
    Fixed,
    /// Each challenge is current for this long, in turn, counted from the Unix epoch. The solo challenge is the next
    /// one.
    Every(Duration),
}

impl Rotation {
    /// Number of turns completed before `now`.
    fn turn(self, now: SystemTime) -> usize {
        match self {
            Self::Fixed => 0,
            Self::Every(period) => {
                let elapsed = unix_time(now).as_millis();
                let turn = elapsed.checked_div(period.as_millis()).unwrap_or_default();
                usize::try_from(turn).unwrap_or_default()
            }
        }
    }
}

/// Dependencies and settings of an [`Engine`].
#[derive(Clone)]
pub struct EngineConfig {
    /// Speech challenges in the order of rotation, with unique uids.
    pub challenges: Vec<Challenge>,
    /// Text challenges in the order of rotation, with unique uids. There is at least one challenge of either contest.
    pub texts: Vec<TextChallenge>,
    /// Synthesises the challenges that are texts.
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
    /// Maximum number of sessions of one hotkey; beyond it the oldest ends.
    pub sessions_per_hotkey: usize,
    /// Rate limit of `/auth` and `/auth/verify` together, per address.
    pub auth_limit: RateLimit,
    /// Rate limit of all other routes together, per hotkey.
    pub data_limit: RateLimit,
    /// Rate limit of the text routes together, per hotkey.
    pub text_limit: RateLimit,
    /// Timeout of a request, which is then answered 503.
    pub request_timeout: Duration,
    /// Maximum size of a request body in bytes.
    pub max_body_bytes: usize,
    /// Source of the current time.
    pub clock: Clock,
}

impl EngineConfig {
    /// Default limits: tokens for a day, 30 authentication calls and 1200 others per minute, all hotkeys allowed.
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

    /// Like [`Self::new`], for text challenges alone, which need no synthesiser.
    pub fn for_texts(texts: Vec<TextChallenge>) -> Self {
        Self { texts, ..Self::new(Vec::new(), Arc::new(NoVoice)) }
    }
}

/// The synthesiser of an engine without speech challenges.
struct NoVoice;

impl Synthesizer for NoVoice {
    fn speak(&self, _: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Err(SynthesisError::Failed("the engine serves text only".to_owned()))
    }
}

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Memory of all bodies together beyond 64 KiB each, in bytes.
const LARGE_BODIES: usize = 16 << 20;

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
    #[error("the {what} must be above 0 and at most {} days, not {} s", MAX_LIFETIME.as_secs() / 86_400, got.as_secs_f64())]
    Lifetime {
        /// Name of the setting.
        what: &'static str,
        /// The invalid value.
        got: Duration,
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
    bodies: WholeBodies,
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
    /// [`EngineSetupError`] when there is no challenge, two have the same uid, or a lifetime is 0 or more than a year.
    pub fn new(config: EngineConfig) -> Result<Self, EngineSetupError> {
        if config.challenges.is_empty() && config.texts.is_empty() {
            return Err(EngineSetupError::NoChallenge);
        }
        let mut uids = HashSet::new();
        let speech = config.challenges.iter().map(|challenge| challenge.uid.as_str());
        let texts = config.texts.iter().map(|challenge| challenge.uid.as_str());
        if let Some(twice) = speech.chain(texts).find(|uid| !uids.insert(*uid)) {
            return Err(EngineSetupError::DuplicateUid(twice.to_owned()));
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
            texts: config.texts.iter().map(TokenStream::new).map(Arc::new).collect(),
            text_sessions: Sessions::new(config.session_idle, config.sessions_per_hotkey),
            auth_limit: SlidingWindow::new(config.auth_limit),
            data_limit: SlidingWindow::new(config.data_limit),
            text_limit: SlidingWindow::new(config.text_limit),
            library: ChallengeLibrary::new(config.challenges, config.synthesizer),
            rotation: config.rotation,
            bodies: WholeBodies::new(config.max_body_bytes, BODY_WITHIN, LARGE_BODIES),
            clock: config.clock,
        };
        Ok(Self { state: Arc::new(state), request_timeout: config.request_timeout })
    }

    /// Builds the audio of the current challenges, so that the first caller does not wait and a missing synthesiser is
    /// detected at startup.
    ///
    /// # Errors
    /// [`BuildError`] when the synthesis of an utterance fails.
    pub async fn prepare(&self) -> Result<(), BuildError> {
        self.state.current(Stream::Main).await?;
        self.state.current(Stream::Solo).await?;
        Ok(())
    }

    /// Router with all limits applied.
    ///
    /// Serve it with connect info (`into_make_service_with_connect_info::<SocketAddr>()`): without it, all callers
    /// share one authentication limit.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.state), self.request_timeout)
    }

    /// Registers help texts of the engine's metrics. Call after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_engine_requests_total", "Requests by route and status");
        metrics::describe_gauge!("taonet_engine_sessions", "Live sessions");
        metrics::describe_gauge!("taonet_engine_tokens", "Live tokens");
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
