//! Speech recognition: audio to text.

use std::num::NonZeroUsize;
use std::time::Instant;

use taonet_primitives::Transcript;

use crate::WavHeader;

mod ctc;
mod simultaneous;

pub use ctc::{CtcError, CtcRecognizer};
pub use simultaneous::{LocalAgreement, SimultaneousRecognition, SimultaneousRecognizer};

/// The result of recognising a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognition {
    /// The text, its words with timestamps, and the language.
    pub transcript: Transcript,
    /// The confidence in the complete text, in `0..=1`.
    pub confidence: f32,
}

/// Why a recording could not be recognised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecognizeError {
    /// The recording has no samples.
    #[error("the recording is empty")]
    Empty,
    /// The recording exceeds the maximum duration.
    #[error("the recording lasts {seconds:.1} s, the limit is {limit:.0} s")]
    TooLong {
        /// The duration of the recording, in seconds.
        seconds: f64,
        /// The maximum duration, in seconds.
        limit: f64,
    },
    /// The inference engine failed.
    #[error("speech recognition failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The recogniser has stopped: no later call succeeds either.
    #[error("the recogniser has stopped")]
    Stopped,
}

/// The maximum duration of a recording, in seconds.
const MAX_SECONDS: f64 = 600.0;

/// Checks the duration of a recording before it is decoded and resampled: at a low sample rate, a
/// small file can contain a very long recording.
///
/// # Errors
/// [`RecognizeError::TooLong`] when the recording exceeds the maximum duration.
pub fn check_recording(header: &WavHeader) -> Result<(), RecognizeError> {
    check_duration(header.duration().get())
}

fn check_duration(seconds: f64) -> Result<(), RecognizeError> {
    if seconds > MAX_SECONDS {
        Err(RecognizeError::TooLong { seconds, limit: MAX_SECONDS })
    } else {
        Ok(())
    }
}

/// Recogniser of 16 kHz mono speech, with word timestamps.
///
/// Calls block: run them on a thread for CPU-heavy work, never on an async executor.
pub trait Recognizer: Send + Sync {
    /// Returns the model name in settings and records, e.g. `tiny-ctc`.
    fn name(&self) -> &str;

    /// Returns a fingerprint of weights and decoding options: recognisers with equal fingerprints
    /// give equal results.
    fn fingerprint(&self) -> &str;

    /// Returns the number of concurrent calls at which the recogniser is fastest; `None` for one
    /// call per core.
    fn concurrency(&self) -> Option<NonZeroUsize> {
        None
    }

    /// Recognises mono samples at 16 kHz in `-1..=1`. NaN is treated as 0.
    ///
    /// # Errors
    /// [`RecognizeError`] when the recording is empty or too long, or the engine fails or has
    /// stopped.
    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError>;

    /// Recognises like [`recognize`](Self::recognize). A recogniser that waits for a server stops
    /// waiting at `deadline`; one that computes in the process ignores it.
    ///
    /// # Errors
    /// The errors of [`recognize`](Self::recognize).
    fn recognize_by(
        &self,
        samples: &[f32],
        _deadline: Instant,
    ) -> Result<Recognition, RecognizeError> {
        self.recognize(samples)
    }
}

#[cfg(test)]
mod tests {
    use taonet_primitives::SampleRate;

    use super::*;
    use crate::SampleFormat;

    #[test]
    fn recordings_are_limited_before_they_are_decoded() {
        let header = |frames| WavHeader {
            format: SampleFormat::U8,
            channels: 1,
            rate: SampleRate::new(1000).unwrap(),
            frames,
            missing_bytes: 0,
        };
        check_recording(&header(600_000)).unwrap();
        let error = check_recording(&header(256 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "the recording lasts 268435.5 s, the limit is 600 s");
    }
}
