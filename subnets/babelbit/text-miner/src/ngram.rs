//! An n-gram model with back-off.
//!
//! For each context of up to [`MAX_CONTEXT`] words, the model stores the most frequent next word in
//! training. To complete an utterance, the model looks up the longest context at the end of the
//! text, backs off to shorter contexts until one is known, adds the stored word, and repeats until
//! the most frequent continuation is the end of an utterance.
//!
//! A context is stored only if its continuation can differ from that of a shorter context: when all
//! occurrences of a context have the same continuation, so have all occurrences of the longer
//! contexts that end with it.

mod file;
mod input;
mod train;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{MAX_ADDED_WORDS, TextModel};

pub use file::{ModelFileError, Problem};
pub use input::{InputError, read_utterances};
pub use train::{MAX_WORDS, TrainError, Trainer};

/// Maximum number of words in a context.
pub const MAX_CONTEXT: usize = 6;
/// ID that marks the start and end of an utterance. The ID of a word is its position in the
/// vocabulary plus 1.
const BOUNDARY: u32 = 0;
/// ID of all words that are not in the vocabulary.
const UNKNOWN: u32 = u32::MAX;

/// A trained n-gram model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NgramModel {
    vocabulary: Vocabulary,
    /// Continuations by context length, in ascending order from one word.
    tables: Vec<Table>,
}

/// Mapping between words and IDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Vocabulary {
    words: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

/// Continuations of the contexts of one length, by hash of the context in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    contexts: Vec<u64>,
    continuations: Vec<u32>,
}

impl Vocabulary {
    /// Returns the ID of a word, if the vocabulary has it.
    fn id(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied()
    }

    /// Returns the ID of a word, and adds a new word to the vocabulary.
    fn id_or_insert(&mut self, word: &str) -> u32 {
        if let Some(id) = self.id(word) {
            return id;
        }
        let word = Arc::<str>::from(word);
        self.words.push(Arc::clone(&word));
        let id = u32::try_from(self.words.len()).unwrap_or(UNKNOWN);
        self.ids.insert(word, id);
        id
    }

    fn word(&self, id: u32) -> Option<&str> {
        self.words.get(usize::try_from(id).ok()?.checked_sub(1)?).map(|word| &**word)
    }
}

impl Table {
    fn continuation(&self, context: u64) -> Option<u32> {
        let position = self.contexts.binary_search(&context).ok()?;
        self.continuations.get(position).copied()
    }
}

/// Computes the hash of a context, which is part of the file format.
fn hash(context: &[u32]) -> u64 {
    context.iter().fold(0, |hash, id| {
        // Mixes the bits like splitmix64.
        let mut hash = (hash ^ u64::from(*id)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    })
}

impl NgramModel {
    /// Returns the number of distinct words.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary.words.len()
    }

    /// Returns the distinct words, in the order of their first occurrence in training.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.vocabulary.words.iter().map(|word| &**word)
    }

    /// Returns the number of stored contexts.
    pub fn contexts(&self) -> usize {
        self.tables.iter().map(|table| table.contexts.len()).sum()
    }

    /// Returns the number of words in the longest stored contexts.
    pub fn context_words(&self) -> usize {
        self.tables.len()
    }

    /// Returns the most probable words after `prefix`, up to the end of the utterance.
    pub fn continuation<'a>(&'a self, prefix: &str) -> Vec<&'a str> {
        let max_context = self.tables.len();
        let mut history: Vec<u32> =
            prefix.split_whitespace().rev().take(max_context).map(|word| self.id(word)).collect();
        if history.len() < max_context {
            history.push(BOUNDARY);
        }
        history.reverse();
        let mut added = Vec::new();
        while added.len() < MAX_ADDED_WORDS {
            let Some(word) =
                self.next(&history).and_then(|id| self.vocabulary.word(id).zip(Some(id)))
            else {
                break;
            };
            history.push(word.1);
            added.push(word.0);
            // A repeated context would repeat the same words forever.
            let mut windows = history.windows(max_context).rev();
            if windows.next().is_some_and(|last| windows.any(|earlier| earlier == last)) {
                break;
            }
        }
        added
    }

    /// Returns the utterance that begins with `prefix` and continues with its
    /// [`continuation`](Self::continuation).
    pub fn complete(&self, prefix: &str) -> String {
        let mut text = prefix.to_owned();
        for word in self.continuation(prefix) {
            if !text.is_empty() && !text.ends_with(char::is_whitespace) {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    fn id(&self, word: &str) -> u32 {
        self.vocabulary.id(word).unwrap_or(UNKNOWN)
    }

    /// Returns the continuation of the longest known context.
    fn next(&self, history: &[u32]) -> Option<u32> {
        let mut tables = (1..=self.tables.len()).rev().zip(self.tables.iter().rev());
        tables.find_map(|(length, table)| {
            let context = history.get(history.len().checked_sub(length)?..)?;
            if context.contains(&UNKNOWN) { None } else { table.continuation(hash(context)) }
        })
    }
}

#[async_trait]
impl TextModel for NgramModel {
    fn name(&self) -> &'static str {
        "n-gram"
    }

    async fn predict(&self, prefix: &str, _: &str) -> String {
        self.complete(prefix)
    }
}

#[cfg(test)]
mod tests;
