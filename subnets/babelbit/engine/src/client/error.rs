use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use taonet_http::Fault;

/// A data request to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// The request `POST /source-audio/start`.
    StartMain,
    /// The request `POST /source-audio/next`.
    NextMain,
    /// The request `GET /solo/start`.
    StartSolo,
    /// The request `POST /solo/next`.
    NextSolo,
    /// The request `GET /transcription`.
    Transcription,
    /// The request `GET /start`.
    StartText,
    /// The request `POST /next`.
    NextText,
    /// The request `GET /solo/start` of the text contest.
    StartTextSolo,
    /// The request `POST /solo/next` of the text contest.
    NextTextSolo,
}

impl Call {
    /// Returns the description of the call for error messages.
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

/// Step of the challenge–response authentication.
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
        /// The failed authentication step.
        step: AuthStep,
        /// The HTTP fault of that step.
        #[source]
        fault: Fault,
    },
    /// The client refused to sign the engine's challenge, which could be a transaction payload or
    /// its hash.
    #[error(
        "engine authentication failed: refused to sign a challenge that could be a transaction; expected 1 to {max} \
         printable characters (if exactly 32: only letters, digits, - and _)"
    )]
    UnsafeChallenge {
        /// Maximum length of a challenge in bytes.
        max: usize,
    },
    /// Authentication failed permanently: the engine rejects this hotkey.
    #[error("Permanent authentication failure: {0}")]
    PermanentAuth(#[source] Box<EngineError>),
    /// A data request failed.
    #[error("Failed to {}: {fault}", call.label())]
    Call {
        /// The failed data request.
        call: Call,
        /// The HTTP fault of that request.
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
    /// The challenge's audio exceeds the size limit.
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

    /// Returns the HTTP status of the response, if the request failed because of that status.
    pub fn status(&self) -> Option<StatusCode> {
        match self.fault() {
            Some(Fault::Status { status, .. }) => Some(*status),
            _ => None,
        }
    }

    /// Whether a request for authentication failed, as opposed to a data request.
    pub const fn is_auth(&self) -> bool {
        matches!(self, Self::Auth { .. } | Self::PermanentAuth(_))
    }

    /// Whether the engine permanently rejects this hotkey, so a retry cannot succeed.
    pub fn is_permanent_auth(&self) -> bool {
        self.is_auth()
            && matches!(self.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }

    /// Returns the delay requested by a rate-limiting engine: the `Retry-After` header, else
    /// `detail.retry_after` of the body, else its `detail.window_sec`. Skips values that are not a
    /// positive number of seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.fault() {
            Some(Fault::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// Returns the error in the format of score files, `<kind>:<text>`, e.g.
    /// `AudioChallengeError:Failed to advance source-audio session: HTTP 503`.
    pub fn to_score_file_text(&self) -> String {
        let kind = match (self, self.fault()) {
            (_, Some(Fault::Timeout)) => "TimeoutError",
            (_, Some(Fault::Transport(_))) => "ClientError",
            (Self::Auth { .. } | Self::PermanentAuth(_), _) => "AuthenticationError",
            _ => "AudioChallengeError",
        };
        format!("{kind}:{self}")
    }
}
