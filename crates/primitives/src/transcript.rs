use serde::{Deserialize, Serialize};

/// A spoken word with its timestamps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The text of the word, without surrounding white space.
    #[serde(rename = "word")]
    pub text: String,
    /// The start time, in seconds from the start of the recording.
    pub start: f64,
    /// The end time, in seconds from the start of the recording.
    pub end: f64,
}

/// The transcript of a recording by a speech recogniser.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Transcript {
    /// The complete text, without surrounding white space.
    #[serde(default)]
    pub text: String,
    /// The words in chronological order.
    #[serde(default)]
    pub words: Vec<Word>,
    /// ISO 639-1 code of the detected language; empty when unknown.
    #[serde(default)]
    pub detected_language: String,
}

impl Transcript {
    /// Whether no speech was recognised: blank text and no words.
    pub fn is_silent(&self) -> bool {
        self.text.trim().is_empty() && self.words.is_empty()
    }
}
