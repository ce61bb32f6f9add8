//! Counts of n-grams.

use std::collections::HashMap;
use std::hash::Hash;

/// Counts the n-grams of length `n`.
fn count_ngrams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], u64> {
    let mut counts = HashMap::new();
    for window in items.windows(n) {
        *counts.entry(window).or_insert(0) += 1;
    }
    counts
}

/// Counts of n-grams of one length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NgramCounts {
    /// Number of n-grams in the hypothesis.
    pub(super) hypothesis: u64,
    /// Number of n-grams in the reference.
    pub(super) reference: u64,
    /// Number of matches: n-grams in both texts, each counted as often as in the text where it is
    /// rarer.
    pub(super) matched: u64,
}

impl NgramCounts {
    /// Compares the n-grams of two sequences.
    pub(super) fn of<T: Eq + Hash>(hypothesis: &[T], reference: &[T], n: usize) -> Self {
        let expected = count_ngrams(reference, n);
        let matched = count_ngrams(hypothesis, n)
            .into_iter()
            .map(|(ngram, count)| count.min(expected.get(ngram).copied().unwrap_or(0)))
            .sum();
        Self {
            hypothesis: ngram_count(hypothesis, n),
            reference: ngram_count(reference, n),
            matched,
        }
    }

    /// Adds the counts of another pair of sequences.
    pub(super) fn add(&mut self, other: Self) {
        self.hypothesis += other.hypothesis;
        self.reference += other.reference;
        self.matched += other.matched;
    }
}

/// Returns the number of n-grams in a sequence.
fn ngram_count<T>(items: &[T], n: usize) -> u64 {
    (items.len() + 1).saturating_sub(n) as u64
}

/// Whether Python's `str.split` treats the character as white space: Unicode white space and the
/// four ASCII separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Splits a text at white space.
pub(super) fn words(text: &str) -> Vec<&str> {
    text.split(is_space).filter(|word| !word.is_empty()).collect()
}
