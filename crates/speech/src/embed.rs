//! Sentence embeddings: vectors that point in similar directions for similar meanings.

mod minilm;

use std::sync::Arc;

pub use self::minilm::MiniLm;
use crate::models::ModelError;

/// A sentence embedding of unit length. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(pub Arc<[f32]>);

impl Embedding {
    /// Computes the cosine similarity of two sentences in 32-bit floats, as in the reference.
    pub fn dot(&self, other: &Self) -> f32 {
        self.0.iter().zip(other.0.iter()).map(|(a, b)| a * b).sum()
    }
}

/// Why a text could not be embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The model is missing, or does not match the published hash.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Tokenising a text failed.
    #[error("tokenisation failed: {0}")]
    Tokenizer(String),
    /// The inference engine failed.
    #[error("embedding failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A model that embeds sentences as unit vectors.
///
/// Calls block: run them on a thread for CPU-heavy work, never on an async executor.
pub trait SentenceEmbedder: Send + Sync {
    /// Returns the model name in settings and records, e.g. `all-MiniLM-L6-v2`.
    fn name(&self) -> &str;

    /// Returns a fingerprint of weights and options: embedders with equal fingerprints give equal
    /// vectors.
    fn fingerprint(&self) -> &str;

    /// Embeds texts: returns one vector per text, in order.
    ///
    /// # Errors
    /// [`EmbedError`] when a text cannot be tokenised or the engine fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;
}
