use std::fmt;

use super::{CATALOGUE, ModelSpec};

/// The kind of a model, by its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Sentence embeddings.
    Embedder,
    /// Speech recognition.
    Recognizer,
    /// Speech synthesis.
    Voice,
    /// Completion of text.
    LanguageModel,
}

impl ModelKind {
    /// Returns all models of this kind in the catalogue.
    pub fn models(self) -> impl Iterator<Item = &'static ModelSpec> {
        CATALOGUE.iter().filter(move |spec| spec.kind == self)
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedder => "sentence embedder",
            Self::Recognizer => "recogniser",
            Self::Voice => "voice",
            Self::LanguageModel => "language model",
        })
    }
}
