use std::collections::BTreeSet;

use super::{Completion, Prompt, RewardModel};
use crate::words::{n_grams, words};

/// Share of an answer's runs of words that may come from the prompt: answers often repeat words
/// of the question.
const QUOTED_SHARE: f64 = 0.5;
/// Share from which on an answer is a repetition of the prompt.
const REPEATED_SHARE: f64 = 0.9;
/// Length of the compared runs, in words.
const N_GRAM_WORDS: usize = 3;

/// Reward for a suitable length: 1 from `min` to `max` words, less in proportion below and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Minimum number of words of a full reward.
    pub min: usize,
    /// Maximum number of words of a full reward.
    pub max: usize,
}

impl Default for Length {
    /// Returns the default range: a sentence to a page.
    fn default() -> Self {
        Self { min: 6, max: 300 }
    }
}

impl RewardModel for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn rewards(&self, _: &Prompt, completions: &[Completion]) -> Vec<f64> {
        let reward = |completion: &Completion| match words(&completion.text).len() {
            0 => 0.0,
            count if count < self.min => count as f64 / self.min as f64,
            count if count > self.max => self.max as f64 / count as f64,
            _ => 1.0,
        };
        completions.iter().map(reward).collect()
    }
}

/// Reward for text that does not repeat itself: the share of its pairs of successive words that are
/// distinct.
#[derive(Debug, Clone, Copy)]
pub struct Repetition;

impl RewardModel for Repetition {
    fn name(&self) -> &'static str {
        "repetition"
    }

    fn rewards(&self, _: &Prompt, completions: &[Completion]) -> Vec<f64> {
        let reward = |completion: &Completion| {
            let words = words(&completion.text);
            let pairs = n_grams(&words, 2);
            let distinct: BTreeSet<_> = pairs.iter().collect();
            if pairs.is_empty() { 0.0 } else { distinct.len() as f64 / pairs.len() as f64 }
        };
        completions.iter().map(reward).collect()
    }
}

/// Reward for text that does not repeat the prompt: 1 while at most half of its sequences of three
/// words come from a message of the prompt, less from there, and 0 from nine tenths on.
#[derive(Debug, Clone, Copy)]
pub struct Originality;

impl RewardModel for Originality {
    fn name(&self) -> &'static str {
        "originality"
    }

    fn rewards(&self, prompt: &Prompt, completions: &[Completion]) -> Vec<f64> {
        let messages: Vec<_> = prompt.messages.iter().map(|message| words(message)).collect();
        let reward = |completion: &Completion| {
            let words = words(&completion.text);
            let completion_ngrams = n_grams(&words, N_GRAM_WORDS);
            if completion_ngrams.is_empty() {
                return 0.0;
            }
            let length = completion_ngrams.first().map_or(N_GRAM_WORDS, |ngram| ngram.len());
            let prompt_ngrams: BTreeSet<&[String]> =
                messages.iter().flat_map(|message| message.windows(length)).collect();
            let share =
                completion_ngrams.iter().filter(|ngram| prompt_ngrams.contains(*ngram)).count()
                    as f64
                    / completion_ngrams.len() as f64;
            ((REPEATED_SHARE - share) / (REPEATED_SHARE - QUOTED_SHARE)).clamp(0.0, 1.0)
        };
        completions.iter().map(reward).collect()
    }
}
