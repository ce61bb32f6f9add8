//! Text to speech.

use serde::{Deserialize, Serialize};

use crate::Pcm;

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
