//! Challenges: dialogues to interpret, each with the speech to play and the reference to compare with.
//!
//! A challenge is a JSON file ([`Challenge::load`]; the README beside the shipped files documents the format). Its
//! speech is a WAV file or a text that a synthesiser speaks; [`BuiltChallenge`] holds the sound of all utterances,
//! ready to be served, and [`ChallengeLibrary`] builds each challenge once.

mod audio;
mod file;
mod library;
mod problem;
mod shipped;

use std::path::Path;

use serde_json::{Value, json};
use taonet_primitives::Word;
use taonet_speech::Voice;

pub use audio::{BuildError, BuiltChallenge, UtteranceAudio};
pub use library::ChallengeLibrary;
pub use problem::{ChallengeError, Problem};
pub use shipped::Challenges;

/// One dialogue: what is said, and what a good interpreter would say.
#[derive(Debug, Clone, PartialEq)]
pub struct Challenge {
    /// Names the challenge everywhere: letters, digits, `.`, `_` and `-`. The same file always has the same uid.
    pub uid: String,
    /// For people.
    pub title: String,
    /// Language of the source speech, e.g. `en`.
    pub language: String,
    /// Language of the reference, e.g. `en`.
    pub target_language: String,
    /// At least one.
    pub utterances: Vec<Utterance>,
}

/// One turn of a dialogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Unique in the challenge, also after its last `:` alone is looked at.
    pub id: String,
    /// Who speaks, for people.
    pub speaker: Option<String>,
    /// The speech to interpret.
    pub source: Source,
    /// What a good interpreter would say.
    pub target: Target,
}

/// Where the speech of an utterance comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A synthesiser speaks it.
    Text {
        /// The words.
        text: String,
        /// Who speaks, and how fast.
        voice: Voice,
    },
    /// A recording, read and checked when the challenge was loaded.
    Recording(UtteranceAudio),
}

/// The reference of an utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The whole text.
    pub text: String,
    /// Its words with times in seconds, in order; may be empty.
    pub words: Vec<Word>,
    /// Words per second of the reference speech, where the file states it; it then counts before the words' times.
    pub words_per_second: Option<f64>,
}

impl Challenge {
    /// Reads and checks the challenge file at `path`. Recordings are looked for beside it.
    ///
    /// Blocks: call it on a thread that may.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the file, the place in it and what is wrong there.
    pub fn load(path: &Path) -> Result<Self, ChallengeError> {
        file::load(path)
    }

    /// Checks the text of a challenge file called `name`. Such a challenge has no folder, so it has no recordings.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the file, the place in it and what is wrong there.
    pub fn parse(name: &str, text: &str) -> Result<Self, ChallengeError> {
        file::parse(name, text, None)
    }

    /// The reference of the whole challenge, as `GET /transcription` serves it under `metadata`.
    ///
    /// `{"challenge_uid", "language", "target_language", "utterances": [{"utterance_id", "utterance_index",
    /// "language", "target": {"language", "text", "words": [{"word", "start", "end"}], "wps"?}}]}`
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
    /// The reference in the `target` schema: `{"language", "text", "words", "wps"?}`.
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
