//! Speech synthesis: text to audio.

use std::ops::RangeInclusive;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::{Pcm, WavError};

mod espeak;

pub use espeak::Espeak;

/// The voice, speed and pitch of the speech.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voice {
    /// The synthesiser's name for the voice, e.g. `en-gb`.
    pub name: String,
    /// Words per minute, in [`Voice::WORDS_PER_MINUTE`].
    pub words_per_minute: u16,
    /// Pitch, in `0..=99`; 50 is the voice's default.
    #[serde(default = "Voice::default_pitch")]
    pub pitch: u8,
}

impl Voice {
    /// Range of the speaking rate: that of espeak-ng.
    pub const WORDS_PER_MINUTE: RangeInclusive<u16> = 80..=450;

    const fn default_pitch() -> u8 {
        50
    }

    /// Validates the characters of the name, as for espeak-ng, and the ranges of speed and pitch.
    ///
    /// # Errors
    /// [`SynthesisError::VoiceName`] or [`SynthesisError::Range`].
    pub fn validate(&self) -> Result<(), SynthesisError> {
        check_name(&self.name)?;
        self.validate_ranges()
    }

    /// Validates the ranges of speed and pitch only: for synthesisers whose voices have names
    /// unlike those of espeak-ng.
    ///
    /// # Errors
    /// [`SynthesisError::Range`].
    pub fn validate_ranges(&self) -> Result<(), SynthesisError> {
        check_range("words per minute", self.words_per_minute, Self::WORDS_PER_MINUTE)?;
        check_range("pitch", u16::from(self.pitch), 0..=99)
    }
}

fn check_range(
    setting: &'static str,
    value: u16,
    range: RangeInclusive<u16>,
) -> Result<(), SynthesisError> {
    if range.contains(&value) {
        Ok(())
    } else {
        let (min, max) = range.into_inner();
        Err(SynthesisError::Range { setting, value, min, max })
    }
}

/// Validates the characters of a voice name, which must not be parsed as an option or a path.
fn check_name(name: &str) -> Result<(), SynthesisError> {
    if !(1..=64).contains(&name.len())
        || name.starts_with('-')
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'_'))
    {
        return Err(SynthesisError::VoiceName { name: name.to_owned() });
    }
    Ok(())
}

/// Why a text could not be synthesised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthesisError {
    /// The synthesiser is not installed.
    #[error("espeak-ng is not installed; hint: install it with {install}")]
    Missing {
        /// The command that installs the synthesiser on this machine.
        install: String,
    },
    /// The voice name is malformed, and could be parsed as an option or a path.
    #[error(
        "malformed voice name `{name}`, expected 1 to 64 letters, digits, `+`, `-` and `_`, without a leading `-`"
    )]
    VoiceName {
        /// The rejected voice name.
        name: String,
    },
    /// A setting of the voice is outside its range.
    #[error("{setting} is {value}, expected {min} to {max}")]
    Range {
        /// Name of the setting.
        setting: &'static str,
        /// The rejected value of the setting.
        value: u16,
        /// The smallest allowed value.
        min: u16,
        /// The largest allowed value.
        max: u16,
    },
    /// The synthesiser exceeded its timeout and was killed.
    #[error("espeak-ng timed out after {seconds:.0} s")]
    TimedOut {
        /// The timeout in seconds.
        seconds: f64,
    },
    /// The synthesiser's output is not a WAV file.
    #[error("espeak-ng wrote a malformed WAV file")]
    Output(#[from] WavError),
    /// The synthesiser exited with an error.
    #[error("espeak-ng failed: {0}")]
    Failed(String),
    /// A neural voice failed.
    #[error("the voice {voice} failed: {reason}")]
    NeuralVoice {
        /// Name of the voice.
        voice: String,
        /// Why inference failed.
        reason: String,
    },
    /// Starting the synthesiser or communicating with it failed.
    #[error("cannot run espeak-ng")]
    Io(#[from] std::io::Error),
}

/// Speech synthesiser. Calls block.
pub trait Synthesizer: Send + Sync {
    /// Synthesises `text` with `voice` as mono audio at the engine's native sample rate.
    ///
    /// # Errors
    /// [`SynthesisError`] when the engine is missing or fails.
    fn speak(&self, text: &str, voice: &Voice) -> Result<Pcm, SynthesisError>;

    /// Synthesises like [`speak`](Self::speak). A synthesiser that waits for a server stops waiting
    /// at `deadline`; one that computes in the process ignores it.
    ///
    /// # Errors
    /// The errors of [`speak`](Self::speak).
    fn speak_until(
        &self,
        text: &str,
        voice: &Voice,
        _deadline: Instant,
    ) -> Result<Pcm, SynthesisError> {
        self.speak(text, voice)
    }

    /// Returns the maximum speed at which listeners understand the voices as well as at their
    /// normal rate, which is 1.
    fn max_clear_speed(&self) -> f64 {
        1.0
    }
}
