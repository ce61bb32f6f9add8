use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::{EmbedError, Embedding, SentenceEmbedder};

/// An embedder that remembers the vectors of the texts it saw last.
///
/// A challenge scores every miner against the same reference texts: each is embedded once. Memory is bounded: the
/// text that was not asked for longest goes first.
pub struct CachedEmbedder<E> {
    inner: E,
    cache: Mutex<LruCache<Box<str>, Embedding>>,
}

impl<E: SentenceEmbedder> CachedEmbedder<E> {
    /// Remembers the vectors of at most `texts` texts.
    pub fn new(inner: E, texts: NonZeroUsize) -> Self {
        Self { inner, cache: Mutex::new(LruCache::new(texts)) }
    }

    /// How many texts are remembered now.
    pub fn len(&self) -> usize {
        self.cache().len()
    }

    /// Whether no text is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A panic elsewhere cannot leave an entry half-written, so a poisoned cache is still right.
    fn cache(&self) -> MutexGuard<'_, LruCache<Box<str>, Embedding>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: SentenceEmbedder> SentenceEmbedder for CachedEmbedder<E> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn fingerprint(&self) -> &str {
        self.inner.fingerprint()
    }

    /// The lock is not held while the model works: two threads may embed one new text at once, to the same vector.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let mut vectors: Vec<Option<Embedding>> = {
            let mut cache = self.cache();
            texts.iter().map(|&text| cache.get(text).cloned()).collect()
        };
        let absent = texts.iter().zip(&vectors).filter(|(_, vector)| vector.is_none());
        let mut new: Vec<&str> = absent.map(|(&text, _)| text).collect();
        new.sort_unstable();
        new.dedup();
        if !new.is_empty() {
            let fresh = self.inner.embed(&new)?;
            for (vector, &text) in vectors.iter_mut().zip(texts) {
                if vector.is_none() {
                    *vector = new.binary_search(&text).ok().and_then(|index| fresh.get(index)).cloned();
                }
            }
            let mut cache = self.cache();
            for (text, vector) in new.into_iter().zip(fresh) {
                cache.put(text.into(), vector);
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Embeds a text as its length and notes what it was asked.
    #[derive(Default)]
    struct Lengths {
        asked: Mutex<Vec<Vec<String>>>,
    }

    impl SentenceEmbedder for Lengths {
        fn name(&self) -> &'static str {
            "lengths"
        }

        fn fingerprint(&self) -> &'static str {
            "lengths-1"
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
            if texts.contains(&"bad") {
                return Err(EmbedError::Tokenizer("bad text".to_owned()));
            }
            self.asked.lock().unwrap().push(texts.iter().map(ToString::to_string).collect());
            Ok(texts.iter().map(|text| Embedding(Arc::new([text.len() as f32]))).collect())
        }
    }

    fn cached(texts: usize) -> CachedEmbedder<Lengths> {
        CachedEmbedder::new(Lengths::default(), NonZeroUsize::new(texts).unwrap())
    }

    fn lengths(cached: &CachedEmbedder<Lengths>, texts: &[&str]) -> Vec<f32> {
        cached.embed(texts).unwrap().iter().map(|vector| vector.0[0]).collect()
    }

    fn asked(cached: &CachedEmbedder<Lengths>) -> Vec<Vec<String>> {
        cached.inner.asked.lock().unwrap().clone()
    }

    #[test]
    fn vectors_come_in_order_and_each_text_is_embedded_once() {
        let cached = cached(8);
        assert_eq!(lengths(&cached, &["three", "a", "three", ""]), [5.0, 1.0, 5.0, 0.0]);
        assert_eq!(lengths(&cached, &["a", "two2", "three"]), [1.0, 4.0, 5.0]);
        assert_eq!(lengths(&cached, &[]), [0.0; 0]);
        assert_eq!(asked(&cached), [vec!["", "a", "three"], vec!["two2"]]);
    }

    #[test]
    fn the_least_recently_used_text_is_forgotten_first() {
        let cached = cached(2);
        for texts in [&["a"], &["bb"], &["a"], &["ccc"], &["a"], &["bb"]] {
            lengths(&cached, texts);
        }
        assert_eq!(asked(&cached), [["a"], ["bb"], ["ccc"], ["bb"]]);
        assert_eq!(cached.len(), 2);
    }

    #[test]
    fn a_batch_larger_than_the_cache_is_answered_in_full() {
        let cached = cached(1);
        assert_eq!(lengths(&cached, &["a", "bb", "ccc"]), [1.0, 2.0, 3.0]);
        assert_eq!(cached.len(), 1);
    }

    #[test]
    fn an_error_is_passed_on_and_nothing_is_remembered() {
        let cached = cached(4);
        assert!(matches!(cached.embed(&["good", "bad"]), Err(EmbedError::Tokenizer(_))));
        assert!(cached.is_empty());
    }
}
