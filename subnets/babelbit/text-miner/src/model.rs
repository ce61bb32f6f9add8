//! The interface of a text model, and two trivial models as baselines.

use std::num::NonZeroU32;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Maximum number of words that a model adds to a prefix.
pub(crate) const MAX_ADDED_WORDS: usize = 32;

/// Options of completions by a language model or a completion server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionOptions {
    /// Maximum number of generated tokens.
    pub max_tokens: NonZeroU32,
    /// Text to add if the model adds none.
    pub fallback: Option<String>,
}

impl Default for CompletionOptions {
    /// Returns the defaults: 64 tokens, which is about two per word, and no text.
    fn default() -> Self {
        Self { max_tokens: NonZeroU32::MIN.saturating_add(63), fallback: None }
    }
}

/// A model that completes utterances. Predictions run on the server's async threads: a model that
/// computes for more than a few milliseconds must do so on separate threads.
#[async_trait]
pub trait TextModel: Send + Sync {
    /// Returns the name of the model, for health checks.
    fn name(&self) -> &str;

    /// Returns whether the model can predict. The health check fails when it cannot.
    fn is_loaded(&self) -> bool {
        true
    }

    /// Predicts the complete utterance that begins with `prefix`; returns an empty string without a
    /// prediction. `context` holds the earlier utterances of the dialogue, separated by ` EOF `.
    async fn predict(&self, prefix: &str, context: &str) -> String;
}

/// A model that predicts nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

#[async_trait]
impl TextModel for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    async fn predict(&self, _: &str, _: &str) -> String {
        String::new()
    }
}

/// A model that adds random words to the prefix; equal prefixes get equal words.
#[derive(Debug, Clone)]
pub struct RandomWords {
    words: Vec<String>,
}

impl RandomWords {
    /// Maximum number of added words.
    const ADDED_WORDS: usize = 8;

    /// Creates a model that draws from `words`.
    pub fn new(words: Vec<String>) -> Self {
        Self { words }
    }

    /// Returns the prefix with random words after it.
    pub fn complete(&self, prefix: &str) -> String {
        let seed = prefix
            .bytes()
            .fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut random = StdRng::seed_from_u64(seed);
        let mut text = prefix.to_owned();
        for _ in 0..random.random_range(1..=Self::ADDED_WORDS) {
            let Some(bound) = self.words.len().checked_sub(1) else { break };
            if let Some(word) = self.words.get(random.random_range(0..=bound)) {
                text.push(' ');
                text.push_str(word);
            }
        }
        text
    }
}

#[async_trait]
impl TextModel for RandomWords {
    fn name(&self) -> &'static str {
        "random"
    }

    async fn predict(&self, prefix: &str, _: &str) -> String {
        self.complete(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_follow_the_prefix_reproducibly() {
        let model = RandomWords::new(vec!["a".to_owned(), "b".to_owned()]);
        let predicted = model.complete("I would");
        assert_eq!(model.complete("I would"), predicted);
        let added = predicted.strip_prefix("I would").unwrap().split_whitespace().count();
        assert!((1..=8).contains(&added), "{predicted}");
        assert_eq!(RandomWords::new(Vec::new()).complete("I"), "I");
    }
}
