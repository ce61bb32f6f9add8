//! Challenges: dialogues to interpret, each with the speech to play and a reference translation.
//!
//! A challenge is a JSON file; the README beside the shipped files documents the format. The engine
//! serves it utterance by utterance, miners interpret the speech, and their replies are compared
//! with the reference.
//!
//! - [`Challenge`] is a loaded and validated file ([`Challenge::load`], [`Challenge::parse`]): its
//!   [`Utterance`]s, each with a [`Source`] (a recording, or a text for the synthesiser) and a
//!   [`Target`], the reference with the times of its words. A [`ChallengeError`] names the file,
//!   the path in it, and the [`Problem`].
//! - [`BuiltChallenge`] has the audio of all utterances, ready to be served. [`ChallengeLibrary`]
//!   builds challenges on first use and caches the 16 most recently used ones; concurrent callers
//!   share one synthesis.
//! - [`TextChallenge`] belongs to the text-prediction contest: its words are revealed one by one,
//!   without speech. [`ChallengeFile`] is a file of either kind.
//! - [`Challenges`] parses the challenges that are embedded in the program: English ones, and one
//!   in French, German and Spanish each.
//!
//! ```
//! use taonet_babelbit_challenges::{ChallengeError, Challenges};
//!
//! # fn main() -> Result<(), ChallengeError> {
//! assert_eq!(Challenges::english()?.len(), 8);
//! let french = Challenges::find("fr-1")?.expect("a shipped challenge");
//! assert_eq!((&*french.language, &*french.target_language), ("fr", "en"));
//! # Ok(())
//! # }
//! ```
//!
//! The uid of a challenge is in its file, or else derived from the file's name and content: the
//! same file has the same uid on every machine, and results refer to it. The crate neither selects
//! the current challenge (the engine's rotation does) nor plays or scores anything; word times of a
//! reference come from `bb align`.
//!
//! Uses `taonet-speech` (WAV files, the trait of synthesisers), `taonet-babelbit-core` (messages
//! and words) and `taonet-primitives`. Used by `taonet-babelbit-engine`, which serves challenges,
//! by `taonet-babelbit-audit` for conformance tests, and by `bb engine`, `bb test-miner`, `bb bench
//! interpret` and `tao demo`.

mod audio;
mod file;
mod library;
mod problem;
mod shipped;
mod text;

use std::path::Path;

use serde_json::{Value, json};
use taonet_primitives::Word;
use taonet_speech::Voice;

pub use audio::{BuildError, BuiltChallenge, UtteranceAudio};
pub use library::ChallengeLibrary;
pub use problem::{ChallengeError, Problem};
pub use shipped::Challenges;
pub use text::{ChallengeFile, RevealedToken, TextChallenge, TextDialogue};

/// A dialogue with its reference translation.
#[derive(Debug, Clone, PartialEq)]
pub struct Challenge {
    /// ID of the challenge: letters, digits, `.`, `_` and `-`. The same file always has the same
    /// uid.
    pub uid: String,
    /// Title, for display.
    pub title: String,
    /// Language of the source speech, e.g. `en`.
    pub language: String,
    /// Language of the reference, e.g. `en`.
    pub target_language: String,
    /// Utterances in order; at least one.
    pub utterances: Vec<Utterance>,
}

/// A turn of a dialogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// ID of the utterance. The part after the last `:` is unique in the challenge.
    pub id: String,
    /// Name of the speaker, for display.
    pub speaker: Option<String>,
    /// The speech to interpret.
    pub source: Source,
    /// Reference translation of the utterance.
    pub target: Target,
}

/// Source of an utterance's speech.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Text for the synthesiser.
    Text {
        /// Text to speak.
        text: String,
        /// Voice and speaking rate.
        voice: Voice,
    },
    /// A recording, loaded and validated with the challenge.
    Recording(UtteranceAudio),
}

/// Reference translation of an utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The full text of the translation.
    pub text: String,
    /// Words with times in seconds, in order; may be empty.
    pub words: Vec<Word>,
    /// Words per second of the reference speech, if the file states it; takes precedence over the
    /// words' times.
    pub words_per_second: Option<f64>,
}

impl Challenge {
    /// Loads and validates the challenge file at `path`. Paths of recordings are relative to the
    /// file's folder.
    ///
    /// Blocks: call it on a blocking thread.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the file, the path in it and the defect.
    pub fn load(path: &Path) -> Result<Self, ChallengeError> {
        file::load(path)
    }

    /// Parses and validates the text of a challenge file called `name`. A challenge parsed from
    /// text has no folder, so its sources cannot be recordings.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the file, the path in it and the defect.
    pub fn parse(name: &str, text: &str) -> Result<Self, ChallengeError> {
        file::parse(name, text, None)
    }

    /// Returns the reference document of the complete challenge, as `GET /transcription` serves it
    /// under `metadata`.
    ///
    /// `{"challenge_uid", "language", "target_language", "utterances": [{"utterance_id",
    /// "utterance_index", "language", "target": {"language", "text", "words": [{"word", "start",
    /// "end"}], "wps"?}}]}`
    pub fn reference_document(&self) -> Value {
        let utterances: Vec<Value> = self
            .utterances
            .iter()
            .enumerate()
            .map(|(index, utterance)| {
                json!({
                    "utterance_id": utterance.id,
                    "utterance_index": index,
                    "language": self.language,
                    "target": utterance.target.document(&self.target_language),
                })
            })
            .collect();
        json!({
            "challenge_uid": self.uid,
            "language": self.language,
            "target_language": self.target_language,
            "utterances": utterances,
        })
    }
}

impl Target {
    /// Returns the reference in the `target` schema: `{"language", "text", "words", "wps"?}`.
    pub fn document(&self, language: &str) -> Value {
        let mut document = json!({ "language": language, "text": self.text, "words": self.words });
        if let (Some(wps), Some(fields)) = (self.words_per_second, document.as_object_mut()) {
            fields.insert("wps".to_owned(), json!(wps));
        }
        document
    }
}

#[cfg(test)]
mod tests;
