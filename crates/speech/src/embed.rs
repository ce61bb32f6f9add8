//! Sentences as vectors: equal meaning points the same way.

mod minilm;

use std::sync::Arc;

pub use self::minilm::MiniLm;
use crate::models::ModelError;

/// A sentence vector of unit length. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(pub Arc<[f32]>);

impl Embedding {
    /// The cosine of the angle between two sentences, computed in 32-bit floats as the reference does.
    pub fn dot(&self, other: &Self) -> f32 {
        self.0.iter().zip(other.0.iter()).map(|(a, b)| a * b).sum()
    }
}

/// Why sentences were not embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The model is absent or is not the published one.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A text could not be cut into tokens.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// The engine itself failed.
    #[error("the embedding model failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Turns sentences into unit vectors.
///
/// Calls block for as long as the work takes: run them on a thread for heavy work, never on an async executor.
pub trait SentenceEmbedder: Send + Sync {
    /// The name that settings and records use, e.g. `all-MiniLM-L6-v2`.
    fn name(&self) -> &str;

    /// Identifies weights and options: two embedders with equal fingerprints give equal vectors.
    fn fingerprint(&self) -> &str;

    /// One vector per text, in order.
    ///
    /// # Errors
    /// [`EmbedError`] when a text cannot be tokenised or the engine fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;
}
