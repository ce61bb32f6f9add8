//! Reference data of a challenge: expected text and speaking rate of each reply.
//!
//! A document lists the utterances of one challenge: `{"challenge_uid"?, "utterances": […]}`. Each
//! utterance follows one of three schemas; the first applicable schema counts:
//!
//! | Schema | text | words | words per second |
//! |---|---|---|---|
//! | `target` schema: `target` is an object | `target.text` | `target.words` | `target.wps` |
//! | flat schema: `reference_text` is given | `reference_text` | `reference_words` | `reference_wps` |
//! | translations schema: `utterance_translations` is a list | `text` of the entry in the target language, else of the first object | its `words` | its `reference_wps` |

mod ids;
mod schema;

use std::path::PathBuf;

use serde_json::{Map, Value};
use taonet_primitives::Word;

pub use ids::same_utterance;

/// Default speaking rate in words per second, used if a reference has neither a rate nor usable
/// word times.
pub const DEFAULT_WORDS_PER_SECOND: f64 = 4.0;

/// Why an utterance has no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The utterance has no text.
    #[error("Missing reference text in scoring metadata")]
    MissingText,
    /// The utterance follows none of the three schemas.
    #[error("Unsupported scoring metadata schema")]
    UnknownSchema,
    /// The document is not an object with a list `utterances`.
    #[error("Scoring metadata must be an object with a list `utterances`")]
    NotADocument,
    /// The document has no utterance with this ID.
    // Python's KeyError prints its message in quotes.
    #[error("'Utterance {0} not found in scoring metadata'")]
    NotFound(String),
    /// An utterance ID is required, since the document does not have exactly one utterance.
    #[error("The document has {0} utterances: select one with `utterance_id`")]
    Ambiguous(usize),
    /// The challenge's document is not valid JSON, or too large.
    #[error("Scoring metadata cannot be read (not JSON, or too large): {}", .0.display())]
    Unreadable(PathBuf),
    /// The challenge has no document.
    #[error("Scoring metadata not found: {}", .0.display())]
    NoFile(PathBuf),
}

impl ReferenceError {
    /// Returns the name of the corresponding exception of the reference system.
    pub(crate) const fn python_name(&self) -> &'static str {
        match self {
            Self::MissingText
            | Self::UnknownSchema
            | Self::NotADocument
            | Self::Ambiguous(_)
            | Self::Unreadable(_) => "ValueError",
            Self::NotFound(_) => "KeyError",
            Self::NoFile(_) => "FileNotFoundError",
        }
    }
}

/// Expected text and speaking rate of a reply to one utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The text, trimmed, never empty.
    pub text: String,
    /// Words with times; empty if the document has none.
    pub words: Vec<Word>,
    /// Words per second, above 0.
    pub wps: f64,
    /// Language of the text according to the document, in lowercase.
    pub language: Option<String>,
    /// File or URL of the document, as recorded in the results.
    pub source: Option<String>,
}

impl Reference {
    /// Creates a reference from its parts; the speaking rate is `wps` if above 0, else
    /// [`words_per_second`] of `words`.
    ///
    /// # Errors
    /// [`ReferenceError::MissingText`] when the text is blank.
    pub fn new(text: &str, words: Vec<Word>, wps: Option<f64>) -> Result<Self, ReferenceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ReferenceError::MissingText);
        }
        let wps = wps
            .filter(|wps| wps.is_finite() && *wps > 0.0)
            .unwrap_or_else(|| words_per_second(&words));
        Ok(Self { text: text.to_owned(), words, wps, language: None, source: None })
    }

    /// Sets [`Self::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Computes the number of non-blank words per second from the first word's start to the last word's
/// end; [`DEFAULT_WORDS_PER_SECOND`] if there are fewer than two words, they span no time, or all
/// are blank.
pub fn words_per_second(words: &[Word]) -> f64 {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return DEFAULT_WORDS_PER_SECOND;
    };
    let span = last.end - first.start;
    let word_count = words.iter().filter(|word| !word.text.trim().is_empty()).count();
    if words.len() < 2 || span.is_nan() || span <= 0.0 || word_count == 0 {
        return DEFAULT_WORDS_PER_SECOND;
    }
    word_count as f64 / span
}

/// Reference document of a challenge.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceDocument {
    challenge_uid: Option<String>,
    language: Option<String>,
    is_single_utterance: bool,
    /// Each utterance with its position in the document.
    utterances: Vec<(usize, Map<String, Value>)>,
}

impl ReferenceDocument {
    /// Parses a document. A single utterance in one of the three schemas is accepted as a document
    /// with one utterance. Entries that are not objects are skipped.
    ///
    /// # Errors
    /// [`ReferenceError::NotADocument`] when the value is neither a document nor an utterance.
    pub fn parse(value: Value) -> Result<Self, ReferenceError> {
        let Value::Object(mut document) = value else { return Err(ReferenceError::NotADocument) };
        let challenge_uid = schema::text_of(document.get("challenge_uid"));
        let language = schema::language_of(document.get("target_language"));
        let utterances = document.remove("utterances");
        let is_single_utterance = utterances.is_none();
        let utterances = match utterances {
            Some(Value::Array(list)) => list
                .into_iter()
                .enumerate()
                .filter_map(|(position, entry)| match entry {
                    Value::Object(entry) => Some((position, entry)),
                    _ => None,
                })
                .collect(),
            None if schema::matches_schema(&document) => vec![(0, document)],
            _ => return Err(ReferenceError::NotADocument),
        };
        Ok(Self { challenge_uid, language, is_single_utterance, utterances })
    }

    /// Returns the ID of the challenge, if the document has one.
    pub fn challenge_uid(&self) -> Option<&str> {
        self.challenge_uid.as_deref()
    }

    /// Whether the parsed document was a single utterance instead of a list of utterances.
    pub fn is_single_utterance(&self) -> bool {
        self.is_single_utterance
    }

    /// Returns the number of utterances.
    pub fn len(&self) -> usize {
        self.utterances.len()
    }

    /// Whether the document has no utterances.
    pub fn is_empty(&self) -> bool {
        self.utterances.is_empty()
    }

    /// Returns the reference of the first utterance with this ID. `target_language` (e.g. `en`)
    /// selects the entry of the translations schema.
    ///
    /// # Errors
    /// [`ReferenceError::NotFound`] when no utterance has this ID,
    /// [`ReferenceError::UnknownSchema`] and [`ReferenceError::MissingText`] when the utterance is
    /// malformed.
    pub fn find(
        &self,
        utterance_id: &str,
        target_language: &str,
    ) -> Result<Reference, ReferenceError> {
        let entry = self
            .entry(utterance_id)
            .ok_or_else(|| ReferenceError::NotFound(utterance_id.to_owned()))?;
        self.read_entry(entry, target_language)
    }

    /// Returns the raw entry of the first utterance with this ID.
    pub fn entry(&self, utterance_id: &str) -> Option<&Map<String, Value>> {
        let is_match = |(position, entry): &&(usize, Map<String, Value>)| {
            same_utterance(utterance_id, &schema::id_of(entry, *position))
        };
        self.utterances.iter().find(is_match).map(|(_, entry)| entry)
    }

    /// Returns the reference of the only utterance.
    ///
    /// # Errors
    /// [`ReferenceError::Ambiguous`] when there are none or several,
    /// [`ReferenceError::UnknownSchema`] and [`ReferenceError::MissingText`] when the utterance
    /// itself is malformed.
    pub fn sole(&self, target_language: &str) -> Result<Reference, ReferenceError> {
        match self.utterances.as_slice() {
            [(_, entry)] => self.read_entry(entry, target_language),
            several => Err(ReferenceError::Ambiguous(several.len())),
        }
    }

    fn read_entry(
        &self,
        entry: &Map<String, Value>,
        target_language: &str,
    ) -> Result<Reference, ReferenceError> {
        let mut reference = schema::reference_of(entry, target_language)?;
        reference.language = reference
            .language
            .or_else(|| schema::language_of(entry.get("target_language")))
            .or_else(|| self.language.clone());
        Ok(reference)
    }
}

#[cfg(test)]
mod tests;
