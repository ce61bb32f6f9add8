//! Speech to text.

use taonet_primitives::Transcript;

use crate::WavHeader;

mod ctc;

pub use ctc::{CtcError, CtcRecognizer};

/// What a recogniser makes of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognition {
    /// Text, words with times, and language.
    pub transcript: Transcript,
    /// How sure the recogniser is of the whole text, 0 to 1.
    pub confidence: f32,
}

/// Why a recording was not recognised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecognizeError {
    /// The recording holds no sample at all.
    #[error("the recording has no samples")]
    Empty,
    /// The recording is longer than the engine takes.
    #[error("the recording lasts {seconds:.1} s, at most {limit:.0} s are recognised")]
    TooLong {
        /// Length of the recording.
        seconds: f64,
        /// The engine's limit.
        limit: f64,
    },
    /// The engine itself failed.
    #[error("the recogniser failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The most speech that is recognised at once, in seconds.
const LONGEST: f64 = 600.0;

/// Checks that a recording is short enough to be recognised, before it is decoded and resampled: at a low rate a small
/// file becomes very much sound.
///
/// # Errors
/// [`RecognizeError::TooLong`] when it is not.
pub fn check_recording(header: &WavHeader) -> Result<(), RecognizeError> {
    check_duration(header.duration().get())
}

fn check_duration(seconds: f64) -> Result<(), RecognizeError> {
    if seconds > LONGEST { Err(RecognizeError::TooLong { seconds, limit: LONGEST }) } else { Ok(()) }
}

/// Turns 16 kHz mono speech into text with word times.
///
/// Calls block for as long as the work takes: run them on a thread for heavy work, never on an async executor.
pub trait Recognizer: Send + Sync {
    /// The name that settings and records use, e.g. `tiny-ctc`.
    fn name(&self) -> &str;

    /// Identifies weights and decoding options: two recognisers with equal fingerprints give equal results.
    fn fingerprint(&self) -> &str;

    /// Recognises mono samples at 16 kHz in [-1, 1]. NaN counts as 0.
    ///
    /// # Errors
    /// [`RecognizeError`] when the recording is empty or too long, or the engine fails.
    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError>;
}

#[cfg(test)]
mod tests {
    use taonet_primitives::SampleRate;

    use super::*;
    use crate::SampleFormat;

    #[test]
    fn recordings_are_limited_before_they_are_decoded() {
        let header =
            |frames| WavHeader { format: SampleFormat::U8, channels: 1, rate: SampleRate::new(1000).unwrap(), frames };
        check_recording(&header(600_000)).unwrap();
        let error = check_recording(&header(256 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "the recording lasts 268435.5 s, at most 600 s are recognised");
    }
}
