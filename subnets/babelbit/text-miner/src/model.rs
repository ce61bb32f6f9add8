//! The interface of a text model, and two trivial models to compare with.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A model that completes utterances. Predictions run on the server's own threads: they take at most a few milliseconds.
pub trait TextModel: Send + Sync {
    /// Name of the model, for health checks.
    fn name(&self) -> &str;

    /// The whole utterance that begins with `prefix`, or an empty text. `context` has the earlier utterances of the
    /// dialogue, separated by ` EOF `.
    fn predict(&self, prefix: &str, context: &str) -> String;
}

/// Predicts nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl TextModel for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn predict(&self, _: &str, _: &str) -> String {
        String::new()
    }
}

/// Adds random words to the prefix: the same ones for the same prefix.
#[derive(Debug, Clone)]
pub struct RandomWords {
    words: Vec<String>,
}

impl RandomWords {
    /// Maximum number of added words.
    const ADDED: usize = 8;

    /// A model that draws from `words`.
    pub fn new(words: Vec<String>) -> Self {
        Self { words }
    }
}

impl TextModel for RandomWords {
    fn name(&self) -> &'static str {
        "random"
    }

    fn predict(&self, prefix: &str, _: &str) -> String {
        let seed = prefix.bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut random = StdRng::seed_from_u64(seed);
        let mut text = prefix.to_owned();
        for _ in 0..random.random_range(1..=Self::ADDED) {
            let Some(bound) = self.words.len().checked_sub(1) else { break };
            if let Some(word) = self.words.get(random.random_range(0..=bound)) {
                text.push(' ');
                text.push_str(word);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_follow_the_prefix_and_repeat() {
        let model = RandomWords::new(vec!["a".to_owned(), "b".to_owned()]);
        let predicted = model.predict("I would", "");
        assert_eq!(model.predict("I would", "other"), predicted);
        let added = predicted.strip_prefix("I would").unwrap().split_whitespace().count();
        assert!((1..=8).contains(&added), "{predicted}");
        assert_eq!(RandomWords::new(Vec::new()).predict("I", ""), "I");
    }
}
