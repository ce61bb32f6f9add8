//! Text to speech.

use serde::{Deserialize, Serialize};

use crate::{Pcm, WavError};

mod espeak;

pub use espeak::Espeak;

/// Who speaks, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voice {
    /// The synthesiser's name of the voice, e.g. `en-gb`.
    pub name: String,
    /// Words per minute, 80 to 450.
    pub words_per_minute: u16,
    /// Pitch, 0 to 99; 50 is the voice's own.
    #[serde(default = "Voice::default_pitch")]
    pub pitch: u8,
}

impl Voice {
    const fn default_pitch() -> u8 {
        50
    }

    /// Checks the name's letters and the ranges.
    ///
    /// # Errors
    /// [`SynthesisError::VoiceName`] or [`SynthesisError::Range`].
    pub fn validate(&self) -> Result<(), SynthesisError> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'_');
        if !(1..=64).contains(&self.name.len()) || self.name.starts_with('-') || !self.name.bytes().all(letter) {
            return Err(SynthesisError::VoiceName { name: self.name.clone() });
        }
        let range = |what, value, min, max| match value {
            _ if (min..=max).contains(&value) => Ok(()),
            _ => Err(SynthesisError::Range { what, value, min, max }),
        };
        range("words per minute", self.words_per_minute, 80, 450)?;
        range("pitch", u16::from(self.pitch), 0, 99)
    }
}

/// Why a text was not spoken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthesisError {
    /// The synthesiser is not on this machine.
    #[error("espeak-ng is not installed. Install it with: {install}")]
    Missing {
        /// The command that installs it here.
        install: String,
    },
    /// The voice's name is not one: it could be taken for an option or a path.
    #[error("`{name}` is not a voice name: 1 to 64 letters, digits, `+`, `-` and `_`, not starting with `-`")]
    VoiceName {
        /// The name given.
        name: String,
    },
    /// A setting of the voice is outside its range.
    #[error("{what} is {value}, expected {min} to {max}")]
    Range {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: u16,
        /// The least value allowed.
        min: u16,
        /// The greatest value allowed.
        max: u16,
    },
    /// The synthesiser did not end in time and was stopped.
    #[error("espeak-ng was stopped after {seconds:.0} s")]
    TimedOut {
        /// The time it was given.
        seconds: f64,
    },
    /// What it wrote is not a WAV file.
    #[error("espeak-ng wrote a broken WAV file")]
    Output(#[from] WavError),
    /// The synthesiser ended with an error.
    #[error("espeak-ng failed: {0}")]
    Failed(String),
    /// It could not be started or talked to.
    #[error("espeak-ng could not be run")]
    Io(#[from] std::io::Error),
}

/// Speaks a text. Calls block.
pub trait Synthesizer: Send + Sync {
    /// Speaks `text` with `voice`; mono sound at the engine's own rate.
    ///
    /// # Errors
    /// [`SynthesisError`] when the engine is missing or fails.
    fn speak(&self, text: &str, voice: &Voice) -> Result<Pcm, SynthesisError>;
}
