use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use taonet_http::Fault;

/// A data call of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `POST /source-audio/start`.
    StartMain,
    /// `POST /source-audio/next`.
    NextMain,
    /// `GET /solo/start`.
    StartSolo,
    /// `POST /solo/next`.
    NextSolo,
    /// `GET /transcription`.
    Transcription,
    /// `GET /start`.
    StartText,
    /// `POST /next`.
    NextText,
    /// `GET /solo/start`, of text.
    StartTextSolo,
    /// `POST /solo/next`, of text.
    NextTextSolo,
}

impl Call {
    /// Description of the call in error texts.
    pub const fn label(self) -> &'static str {
        match self {
            Self::StartMain => "start source-audio session",
            Self::NextMain => "advance source-audio session",
            Self::StartSolo => "start solo-audio session",
            Self::NextSolo => "advance solo-audio session",
            Self::Transcription => "fetch transcription ground truth",
            Self::StartText => "start text session",
            Self::NextText => "advance text session",
            Self::StartTextSolo => "start solo-text session",
            Self::NextTextSolo => "advance solo-text session",
        }
    }
}

/// A step of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthStep {
    /// Requests a challenge: `POST /auth`.
    Challenge,
    /// Submits the signed challenge: `POST /auth/verify`.
    Verify,
}

impl fmt::Display for AuthStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Challenge => "no challenge to sign",
            Self::Verify => "the signed challenge was refused",
        })
    }
}

/// Why a request to the engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine's URL is invalid.
    #[error("invalid engine URL {url:?}, expected http://… or https://…")]
    BaseUrl {
        /// The URL without credentials.
        url: String,
    },
    /// The HTTP client could not be created.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// Authentication failed.
    #[error("engine authentication failed: {step}: {fault}")]
    Auth {
        /// The failed step.
        step: AuthStep,
        /// The HTTP fault.
        #[source]
        fault: Fault,
    },
    /// Authentication failed permanently: the engine rejects this hotkey.
    #[error("Permanent authentication failure: {0}")]
    PermanentAuth(#[source] Box<EngineError>),
    /// A data call failed.
    #[error("Failed to {}: {fault}", call.label())]
    Call {
        /// The failed call.
        call: Call,
        /// The HTTP fault.
        #[source]
        fault: Fault,
    },
    /// The engine does not know the text session.
    #[error("Invalid session")]
    InvalidSession,
    /// An utterance before the end marker has no audio.
    #[error("empty audio payload for an active utterance")]
    EmptyAudio,
    /// The challenge exceeds the maximum number of utterances.
    #[error("the challenge has more than {0} utterances")]
    TooManyUtterances(usize),
    /// The challenge exceeds the size limit in memory.
    #[error("the challenge has more than {0} bytes of audio")]
    ChallengeTooLarge(usize),
}

impl EngineError {
    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Auth { fault, .. } | Self::Call { fault, .. } => Some(fault),
            Self::PermanentAuth(inner) => inner.fault(),
            _ => None,
        }
    }

    /// HTTP status of the engine's response, if the status is the error.
    pub fn status(&self) -> Option<StatusCode> {
        match self.fault() {
            Some(Fault::Status { status, .. }) => Some(*status),
            _ => None,
        }
    }

    /// Whether authentication failed, rather than the call that required it.
    pub const fn is_auth(&self) -> bool {
        matches!(self, Self::Auth { .. } | Self::PermanentAuth(_))
    }

    /// Whether the engine rejects this hotkey, so that a retry is useless.
    pub fn is_permanent_auth(&self) -> bool {
        self.is_auth() && matches!(self.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }

    /// Requested delay after a rate limit: the `Retry-After` header, else the body's `detail.retry_after`, else its
    /// `detail.window_sec`; the first that is a positive number of seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.fault() {
            Some(Fault::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// The error as recorded in score files: `<kind>:<text>`, e.g.
    /// `AudioChallengeError:Failed to advance source-audio session: HTTP 503`.
    pub fn record(&self) -> String {
        let kind = match (self, self.fault()) {
            (_, Some(Fault::Timeout)) => "TimeoutError",
            (_, Some(Fault::Transport(_))) => "ClientError",
            (Self::Auth { .. } | Self::PermanentAuth(_), _) => "AuthenticationError",
            _ => "AudioChallengeError",
        };
        format!("{kind}:{self}")
    }
}
