//! Miner profiles: one [`Profile`] per reply strategy, one [`Interpretation`] per utterance.

use std::fmt;
use std::str::FromStr;

use taonet_speech::{RecognizeError, SynthesisError};

mod interpreter;
mod mumbler;
mod parrot;
mod phrasing;
mod playback;
mod recognizer;
mod segmenter;
mod silent;
mod speaker;

pub use interpreter::{Interpreter, InterpreterVoice, Patient};
pub use mumbler::Mumbler;
pub use parrot::Parrot;
pub use silent::Silent;

/// A strategy for replying to source speech.
pub trait Profile: Send + Sync {
    /// Returns the profile's name, as used in settings.
    fn name(&self) -> ProfileName;

    /// Returns the name of the recogniser's model; `None` if the profile uses no recogniser.
    fn model(&self) -> Option<&str> {
        None
    }

    /// Starts an utterance with `channels` interleaved channels, at least 1. `language` is the code
    /// of the language spoken that the caller announced.
    fn open(&self, channels: u16, language: Option<&str>) -> Box<dyn Interpretation>;
}

/// The reply to one utterance, computed frame by frame.
pub trait Interpretation: Send {
    /// Processes the next interleaved samples at 24 kHz, usually 80 ms, and returns the speech that
    /// is ready.
    ///
    /// `is_last_frame` marks the last frame of the source. After it, empty frames may follow until
    /// the reply is [`done`](Reply::done). Blocks until the frame is processed. The result depends
    /// only on the frames.
    ///
    /// # Errors
    /// [`ProfileError`] when an engine fails. The utterance then ends without a complete reply.
    fn push(&mut self, frame: &[f32], is_last_frame: bool) -> Result<Reply, ProfileError>;
}

/// Output of a profile for one frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// Interleaved samples at 24 kHz, with as many channels as the source.
    pub samples: Vec<f32>,
    /// Whether the reply is complete.
    pub done: bool,
}

/// Why an utterance could not be interpreted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Recognition of the source failed.
    #[error("cannot transcribe the source: {0}")]
    Recognize(#[from] RecognizeError),
    /// Synthesis of the reply failed.
    #[error("cannot synthesise the reply: {0}")]
    Speak(#[from] SynthesisError),
}

/// Name of an available profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileName {
    /// Profile that interprets while the source is playing.
    Interpreter,
    /// Profile that speaks its interpretation after the source has ended.
    Patient,
    /// Profile that returns the source unchanged.
    Parrot,
    /// Profile that speaks unrelated sentences.
    Mumbler,
    /// Profile that returns no speech.
    Silent,
}

impl ProfileName {
    /// The names of all available profiles.
    pub const ALL: [Self; 5] =
        [Self::Interpreter, Self::Patient, Self::Parrot, Self::Mumbler, Self::Silent];

    /// Returns the name used in settings and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interpreter => "interpreter",
            Self::Patient => "patient",
            Self::Parrot => "parrot",
            Self::Mumbler => "mumbler",
            Self::Silent => "silent",
        }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown profile `{0}`, expected interpreter, patient, parrot, mumbler or silent")]
pub struct UnknownProfile(String);

impl FromStr for ProfileName {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_names_round_trip() {
        for name in ProfileName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert_eq!("Parrot".parse::<ProfileName>(), Err(UnknownProfile("Parrot".to_owned())));
    }
}
