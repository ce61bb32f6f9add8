use serde::{Deserialize, Serialize};

/// One spoken word with the time it was heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word without surrounding white space.
    #[serde(rename = "word")]
    pub text: String,
    /// When it begins, in seconds from the start of the recording.
    pub start: f64,
    /// When it ends, in seconds from the start of the recording.
    pub end: f64,
}

/// What a recogniser heard in one recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Transcript {
    /// The whole text, trimmed.
    #[serde(default)]
    pub text: String,
    /// Its words in order of time.
    #[serde(default)]
    pub words: Vec<Word>,
    /// ISO 639-1 code of the language heard; empty when unknown.
    #[serde(default)]
    pub detected_language: String,
}

impl Transcript {
    /// Whether nothing at all was heard: blank text and no words.
    pub fn is_silent(&self) -> bool {
        self.text.trim().is_empty() && self.words.is_empty()
    }
}
