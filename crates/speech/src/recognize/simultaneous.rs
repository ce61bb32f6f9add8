//! Recognition of speech while it is spoken.

use taonet_primitives::Word;

use super::RecognizeError;

mod agreement;

pub use agreement::LocalAgreement;

/// A recogniser with a simultaneous policy, which decides when the words of unfinished speech are
/// final.
///
/// Calls block, as those of [`Recognizer`](super::Recognizer) do.
pub trait SimultaneousRecognizer: Send + Sync {
    /// Returns the model name, e.g. `faster-whisper-base`.
    fn name(&self) -> &str;

    /// Starts the recognition of a speech. `language` is the code of the language spoken, such as
    /// `fr`, if it is known; a policy ignores it if its model does not support the language or must
    /// detect it.
    fn open(&self, language: Option<&str>) -> Box<dyn SimultaneousRecognition>;
}

/// Recognition of one speech while it is spoken. Times are in seconds from the start of the speech.
pub trait SimultaneousRecognition: Send {
    /// Appends mono samples at 16 kHz in `-1..=1` and returns the words that have become final: in
    /// most calls none. Final words never change. `is_end` marks the end of the speech, at which
    /// all words become final.
    ///
    /// # Errors
    /// [`RecognizeError`] when the engine fails or has stopped.
    fn push(&mut self, samples: &[f32], is_end: bool) -> Result<Vec<Word>, RecognizeError>;

    /// Returns the time before which no further word starts.
    fn final_until(&self) -> f64;
}
