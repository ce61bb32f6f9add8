//! Training: counts the continuations of each context.

use rayon::slice::ParallelSliceMut as _;

use super::{BOUNDARY, MAX_CONTEXT, NgramModel, Table, Vocabulary, hash};

/// Maximum number of words in training. Building a model takes about 35 bytes of memory per word,
/// plus the vocabulary.
pub const MAX_WORDS: usize = 48_000_000;

/// Word that ends an utterance in the contest. No utterance contains this word.
const END_MARKER: &str = "EOF";

/// Maximum length of a word in bytes; training skips longer words.
const MAX_WORD: usize = 1_000;

/// Maximum size of the vocabulary in bytes. That of a natural language takes a few dozen megabytes.
const MAX_VOCABULARY: usize = 256 << 20;

/// Size of a word in the vocabulary, apart from its text: two references, its ID, and free places
/// of the tables.
const WORD_OVERHEAD: usize = 100;

/// Why a model could not be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The texts exceed the maximum number of words.
    #[error("more than {MAX_WORDS} words; hint: train on a part of the texts")]
    TooManyWords,
    /// The vocabulary is too large.
    #[error(
        "too many different words; hint: check that the file has texts, or train on a part of them"
    )]
    Vocabulary,
    /// The texts have no word.
    #[error("no utterances to train on")]
    Empty,
    /// The number of context words is out of range.
    #[error("expected 1 to {MAX_CONTEXT} context words, not {0}")]
    Context(usize),
}

/// Trainer that collects utterances, then builds a model. Collecting takes 4 to 8 bytes of memory
/// per word, plus the vocabulary.
#[derive(Debug)]
pub struct Trainer {
    context_words: usize,
    vocabulary: Vocabulary,
    /// Size of the vocabulary in bytes.
    vocabulary_bytes: usize,
    /// Word IDs of all utterances, with a boundary before, between and after the utterances.
    tokens: Vec<u32>,
    utterances: u64,
}

/// A context, its continuation, and the position of the continuation.
type Occurrence = (u64, u32, u32);

impl Trainer {
    /// Creates a trainer for a model with contexts of up to `context_words` words.
    ///
    /// # Errors
    /// [`TrainError::Context`] when `context_words` is out of range.
    pub fn new(context_words: usize) -> Result<Self, TrainError> {
        if !(1..=MAX_CONTEXT).contains(&context_words) {
            return Err(TrainError::Context(context_words));
        }
        let (vocabulary, tokens) = (Vocabulary::default(), vec![BOUNDARY]);
        Ok(Self { context_words, vocabulary, vocabulary_bytes: 0, tokens, utterances: 0 })
    }

    /// Adds an utterance.
    ///
    /// # Errors
    /// [`TrainError::TooManyWords`] when the utterances exceed [`MAX_WORDS`],
    /// [`TrainError::Vocabulary`] when they have too many different words.
    pub fn add(&mut self, utterance: &str) -> Result<(), TrainError> {
        let old_len = self.tokens.len();
        let words = utterance.split_whitespace();
        for word in words.filter(|word| *word != END_MARKER && word.len() <= MAX_WORD) {
            if self.tokens.len() > MAX_WORDS {
                return Err(TrainError::TooManyWords);
            }
            let word_count = self.vocabulary.words.len();
            let id = self.vocabulary.id_or_insert(word);
            if self.vocabulary.words.len() > word_count {
                self.vocabulary_bytes += word.len() + WORD_OVERHEAD;
            }
            if self.vocabulary_bytes > MAX_VOCABULARY {
                return Err(TrainError::Vocabulary);
            }
            self.tokens.push(id);
        }
        if self.tokens.len() > old_len {
            self.tokens.push(BOUNDARY);
            self.utterances += 1;
        }
        Ok(())
    }

    /// Returns the number of utterances added so far.
    pub const fn utterances(&self) -> u64 {
        self.utterances
    }

    /// Returns the number of words in the added utterances, without skipped words.
    pub fn words(&self) -> u64 {
        (self.tokens.len() as u64).saturating_sub(1).saturating_sub(self.utterances)
    }

    /// Builds the model. After counting the contexts of each length, calls `each` with that length,
    /// for progress reports.
    ///
    /// # Errors
    /// [`TrainError::Empty`] when there are no utterances.
    pub fn finish(self, mut each: impl FnMut(usize)) -> Result<NgramModel, TrainError> {
        if self.utterances == 0 {
            return Err(TrainError::Empty);
        }
        // Positions whose continuation is not determined by a shorter context.
        let mut open_positions: Vec<u32> =
            (1..u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)).collect();
        let mut tables = Vec::with_capacity(self.context_words);
        for length in 1..=self.context_words {
            let (table, ambiguous) = count(&self.tokens, &open_positions, length);
            tables.push(table);
            open_positions = ambiguous;
            each(length);
        }
        Ok(NgramModel { vocabulary: self.vocabulary, tables })
    }
}

/// Counts the continuations of each context of `length` words before the `open_positions`. Returns
/// the most frequent continuation per context, and the positions whose contexts have several
/// continuations. Ties go to the word that came first in training.
fn count(tokens: &[u32], open_positions: &[u32], length: usize) -> (Table, Vec<u32>) {
    let occurrence = |position: &u32| -> Option<Occurrence> {
        let position_index = *position as usize;
        let context = tokens.get(position_index.checked_sub(length)?..position_index)?;
        // A context may include the start of an utterance, but not the utterance before.
        let is_within = !context.get(1..)?.contains(&BOUNDARY);
        is_within.then_some((hash(context), *tokens.get(position_index)?, *position))
    };
    let mut occurrences: Vec<Occurrence> = Vec::with_capacity(open_positions.len());
    occurrences.extend(open_positions.iter().filter_map(occurrence));
    occurrences.par_sort_unstable();
    let (mut table, mut ambiguous) = (Table::default(), Vec::new());
    for context_occurrences in occurrences.chunk_by(|one, other| one.0 == other.0) {
        let mut best: Option<(usize, u32)> = None;
        let mut different = 0;
        for run in context_occurrences.chunk_by(|one, other| one.1 == other.1) {
            different += 1;
            let Some((_, continuation, _)) = run.first() else { continue };
            if best.is_none_or(|(most, _)| run.len() > most) {
                best = Some((run.len(), *continuation));
            }
        }
        if let (Some((context, ..)), Some((_, continuation))) = (context_occurrences.first(), best)
        {
            table.contexts.push(*context);
            table.continuations.push(continuation);
        }
        if different > 1 {
            ambiguous.extend(context_occurrences.iter().map(|(.., position)| *position));
        }
    }
    table.contexts.shrink_to_fit();
    table.continuations.shrink_to_fit();
    (table, ambiguous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vocabulary_is_bounded() {
        let mut trainer = Trainer::new(1).unwrap();
        trainer.add("one two").unwrap();
        trainer.add("two one two").unwrap();
        assert_eq!(trainer.vocabulary_bytes, 2 * (3 + WORD_OVERHEAD));
        trainer.vocabulary_bytes = MAX_VOCABULARY - 3 - WORD_OVERHEAD;
        trainer.add("two six one").unwrap();
        assert_eq!(trainer.add("one ten"), Err(TrainError::Vocabulary));
    }
}
