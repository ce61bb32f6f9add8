//! Sentence vectors of a batch: one call of the embedder for all distinct texts.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use taonet_babelbit_core::scoring::ScoreError;
use taonet_primitives::{counted, panic_message};
use taonet_speech::{Embedding, SentenceEmbedder};

use super::EngineIdentity;

/// Vector or error of each requested text.
pub(super) type Vectors<'a> = HashMap<&'a str, Result<Embedding, ScoreError>>;

/// Wraps an embedder: converts panics to errors and caches the vectors of references.
pub(super) struct Vectorizer {
    embedder: Arc<dyn SentenceEmbedder>,
    references: Mutex<LruCache<String, Embedding>>,
}

impl Vectorizer {
    const MAX_CACHED_REFERENCES: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

    pub(super) fn new(embedder: Arc<dyn SentenceEmbedder>) -> Self {
        Self { embedder, references: Mutex::new(LruCache::new(Self::MAX_CACHED_REFERENCES)) }
    }

    pub(super) fn identity(&self) -> EngineIdentity {
        EngineIdentity::for_embedder(&*self.embedder)
    }

    /// Returns the vector of a reference text, from the cache if possible.
    pub(super) fn reference_vector(&self, text: &str) -> Result<Embedding, ScoreError> {
        let cached =
            self.references.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(vector) = cached {
            return Ok(vector);
        }
        let vector = self.embed_one(text)?;
        self.references
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(text.to_owned(), vector.clone());
        Ok(vector)
    }

    /// Embeds all texts. If the embedder fails on the batch, embeds each text separately, so that a
    /// bad text does not affect the others.
    pub(super) fn embed_all<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Vectors<'a> {
        let mut distinct_texts: Vec<_> = texts.into_iter().collect();
        distinct_texts.sort_unstable();
        distinct_texts.dedup();
        if distinct_texts.is_empty() {
            return Vectors::new();
        }
        match self.embed(&distinct_texts) {
            Ok(vectors) => distinct_texts.into_iter().zip(vectors.into_iter().map(Ok)).collect(),
            Err(error) if distinct_texts.len() > 1 => {
                tracing::warn!(%error, "batch embedding failed, embedding the sentences one by one");
                distinct_texts.into_iter().map(|text| (text, self.embed_one(text))).collect()
            }
            Err(error) => {
                distinct_texts.into_iter().map(|text| (text, Err(error.clone()))).collect()
            }
        }
    }

    fn embed_one(&self, text: &str) -> Result<Embedding, ScoreError> {
        self.embed(&[text])?
            .pop()
            .ok_or_else(|| ScoreError::failed("RuntimeError", &"no embedding"))
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, ScoreError> {
        let vectors = catch_unwind(AssertUnwindSafe(|| self.embedder.embed(texts)))
            .map_err(|panic| {
                let message = panic_message(&*panic).unwrap_or("no message");
                tracing::error!(embedder = self.embedder.name(), message, "the embedder panicked");
                ScoreError::failed(
                    "RuntimeError",
                    &format_args!("the embedder panicked: {message}"),
                )
            })?
            .map_err(|error| ScoreError::failed("RuntimeError", &error))?;
        if vectors.len() == texts.len() {
            return Ok(vectors);
        }
        let message = format!(
            "{} for {}",
            counted(vectors.len(), "sentence vector"),
            counted(texts.len(), "text")
        );
        Err(ScoreError::failed("ValueError", &message))
    }
}
