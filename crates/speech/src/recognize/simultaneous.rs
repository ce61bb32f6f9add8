//! Recognition of speech while it is spoken.

use taonet_primitives::Word;

use super::RecognizeError;

mod agreement;

pub use agreement::LocalAgreement;

/// A recogniser with a simultaneous policy, which decides when the words of unfinished speech are
/// ready for use.
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
///
/// The caller commits the words that it uses. A policy may revise all others after more audio, so a
/// caller that waits for a good place to cut gets better words in the meantime.
pub trait SimultaneousRecognition: Send {
    /// Appends mono samples at 16 kHz in `-1..=1` and returns the words that are ready and not
    /// committed. Each has a letter or a digit. Further calls may revise or drop them. `is_end`
    /// marks the end of the speech, at which all words are ready and no longer revised.
    ///
    /// # Errors
    /// [`RecognizeError`] when the engine fails or has stopped.
    fn push(&mut self, samples: &[f32], is_end: bool) -> Result<Vec<Word>, RecognizeError>;

    /// Commits the first `count` words that are not committed: they never change, and
    /// [`push`](Self::push) returns only the words after them.
    fn commit(&mut self, count: usize);

    /// Returns the end of the audio whose words are ready: unless they are revised, no further word
    /// starts before it.
    fn ready_until(&self) -> f64;
}
