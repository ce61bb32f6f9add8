//! The interpreter's rules for cleaning up a transcript of lowercase words without punctuation.
//!
//! The rules remove fillers, stutters and gratuitous expletives, replace meaningful expletives with
//! polite words, wordy phrases with short ones and figures of speech with their meaning, and
//! restore words that the speaker omitted. The phrases are in text files beside this module;
//! [`Phrasebook`] describes their format.

mod phrasebook;
mod repetition;

pub use phrasebook::{Phrasebook, PhrasebookError};

/// Maximum number of words deferred to the next phrase.
const MAX_DEFERRED_WORDS: usize = 6;
/// Number of words remembered from the end of the previous phrase.
const CONTEXT_WORDS: usize = 8;

/// Words that cannot end a sentence: a phrase that ends with one of them continues in the next
/// phrase.
const NON_FINAL_WORDS: [&str; 54] = [
    "a", "an", "the", "i", "you", "he", "she", "it", "we", "they", "my", "your", "his", "her",
    "our", "their", "am", "is", "are", "was", "were", "be", "been", "have", "has", "had", "do",
    "does", "did", "will", "would", "could", "can", "should", "might", "may", "must", "to", "of",
    "in", "on", "at", "for", "with", "from", "and", "that", "who", "which", "not", "but", "or",
    "because", "if",
];
/// Exceptions to [`NON_FINAL_WORDS`]: words that may also end a sentence, as in "he likes it".
const OBJECT_PRONOUNS: [&str; 4] = ["you", "it", "her", "that"];
/// Words that join a sentence to the previous one.
const CONJUNCTIONS: [&str; 7] = ["and", "but", "so", "because", "or", "then", "yes"];

/// Marks within numbers, as in `3.5`, `1,000` and `10:30`.
const NUMBER_MARKS: [char; 3] = ['.', ',', ':'];

/// Returns a word in lowercase without punctuation, as the rules expect it. Marks between digits
/// stay, since a number is spoken as a whole.
pub(crate) fn normalized(word: &str) -> String {
    let mut previous = None;
    let mut letters = word.chars().peekable();
    let mut normalized = String::new();
    while let Some(letter) = letters.next() {
        let letter = if letter == '’' { '\'' } else { letter };
        let is_in_number = NUMBER_MARKS.contains(&letter)
            && previous.is_some_and(char::is_numeric)
            && letters.peek().copied().is_some_and(char::is_numeric);
        if letter.is_alphanumeric() || letter == '\'' || is_in_number {
            normalized.extend(letter.to_lowercase());
        }
        previous = Some(letter);
    }
    normalized
}

/// Whether a word continues the number at the end of the previous word: recognisers such as Whisper
/// split numbers before their marks.
pub(crate) fn continues_number(previous: &str, word: &str) -> bool {
    let mut letters = word.chars();
    previous.ends_with(char::is_numeric)
        && letters.next().is_some_and(|mark| NUMBER_MARKS.contains(&mark))
        && letters.next().is_some_and(char::is_numeric)
}

/// The rewriting rules. One instance can serve many conversations; a [`Context`] holds the state of
/// each.
#[derive(Debug, Clone)]
pub struct Rewriter {
    misheard: Phrasebook,
    contractions: Phrasebook,
    expletives: Phrasebook,
    fillers: Phrasebook,
    meanings: Phrasebook,
    redundant: Phrasebook,
    ellipsis: Phrasebook,
    condense: Phrasebook,
}

/// State of a conversation: previous words and deferred words.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// End of the previous phrase, before figures of speech were replaced.
    previous_words: Vec<String>,
    /// End of the previous phrase as it was returned.
    spoken_words: Vec<String>,
    /// Deferred words: the start of a possible figure of speech.
    deferred: Vec<String>,
    /// Whether the deferred words start a sentence.
    deferred_starts_sentence: bool,
}

impl Rewriter {
    /// Loads the built-in rules.
    ///
    /// # Errors
    /// [`PhrasebookError`] when a built-in phrase book is malformed.
    pub(crate) fn builtin() -> Result<Self, PhrasebookError> {
        let mut meanings =
            Phrasebook::parse("figurative", include_str!("rewrite/phrases/figurative.txt"))?;
        meanings.extend("wordy", include_str!("rewrite/phrases/wordy.txt"))?;
        let redundant = include_str!("rewrite/phrases/redundant.txt");
        meanings.extend("redundant", redundant)?;
        Ok(Self {
            misheard: Phrasebook::parse("misheard", include_str!("rewrite/phrases/misheard.txt"))?,
            contractions: Phrasebook::parse(
                "contractions",
                include_str!("rewrite/phrases/contractions.txt"),
            )?,
            expletives: Phrasebook::parse(
                "expletives",
                include_str!("rewrite/phrases/expletives.txt"),
            )?,
            fillers: Phrasebook::parse("fillers", include_str!("rewrite/phrases/fillers.txt"))?,
            meanings,
            redundant: Phrasebook::parse("redundant", redundant)?,
            ellipsis: Phrasebook::parse("ellipsis", include_str!("rewrite/phrases/ellipsis.txt"))?,
            condense: Phrasebook::parse("condense", include_str!("rewrite/phrases/condense.txt"))?,
        })
    }

    /// Rewrites a lowercase phrase.
    ///
    /// `starts_sentence` means that a clear pause preceded the phrase. Final words that may start a
    /// figure of speech, or that cannot end a phrase, are deferred to the next phrase, unless
    /// `is_last` marks the last phrase.
    pub fn rewrite(
        &self,
        context: &mut Context,
        phrase: &[String],
        starts_sentence: bool,
        is_last: bool,
    ) -> Vec<String> {
        let mut words = std::mem::take(&mut context.deferred);
        let starts_sentence =
            if words.is_empty() { starts_sentence } else { context.deferred_starts_sentence };
        let starts_sentence = starts_sentence
            && !context
                .previous_words
                .last()
                .is_some_and(|word| NON_FINAL_WORDS.contains(&word.as_str()));
        words.extend_from_slice(phrase);

        let words = self.misheard.apply(&words, starts_sentence);
        let words = self.contractions.apply(&words, starts_sentence);
        let words = self.expletives.apply(&words, starts_sentence);
        let words = repetition::apply_corrections(&words);
        let words = self.fillers.apply(&words, starts_sentence);
        let words = repetition::drop_repeated(&words);
        let words = repetition::drop_false_starts(&words);
        let mut words = repetition::drop_repeated_across(&context.previous_words, &words);
        if !is_last {
            context.deferred = words.split_off(words.len() - self.deferred_count(&words));
            context.deferred_starts_sentence = starts_sentence && words.is_empty();
        }
        if words.is_empty() {
            return words;
        }
        context.previous_words = last_words(&words);
        let words = self.redundant.complete(&context.spoken_words, words);
        // Twice: the meaning of a figure of speech may contain a wordy phrase.
        let words = self.meanings.apply(&words, starts_sentence);
        let words = self.meanings.apply(&words, starts_sentence);
        let words = repetition::drop_repeated(&words);
        let words = if starts_sentence { self.restore_omitted(words) } else { words };
        context.spoken_words = last_words(&words);
        words
    }

    /// Shortens the words further, for a reply that lags behind the source.
    pub(crate) fn condense(&self, words: &[String]) -> Vec<String> {
        self.condense.apply(words, false)
    }

    /// Returns how many words at the end of the phrase to defer.
    fn deferred_count(&self, words: &[String]) -> usize {
        if words.iter().all(|word| CONJUNCTIONS.contains(&word.as_str())) {
            return words.len();
        }
        let books = [&self.meanings, &self.fillers, &self.expletives];
        for length in (2..=MAX_DEFERRED_WORDS.min(words.len())).rev() {
            let end = words.get(words.len() - length..).unwrap_or_default();
            // A complete phrase is spoken at once, even if a longer phrase starts with the same
            // words.
            if books
                .iter()
                .any(|book| book.replacement(end, false).is_some_and(|(n, _)| n == length))
            {
                return 0;
            }
            if books.iter().any(|book| book.is_prefix(end)) {
                return length;
            }
        }
        let is_non_final = |word: &&String| {
            NON_FINAL_WORDS.contains(&word.as_str()) && !OBJECT_PRONOUNS.contains(&word.as_str())
        };
        words.iter().rev().take_while(is_non_final).count().min(MAX_DEFERRED_WORDS)
    }

    /// Restores words that the speaker omitted at the start of a sentence.
    fn restore_omitted(&self, words: Vec<String>) -> Vec<String> {
        let conjunction_count =
            words.iter().take_while(|word| CONJUNCTIONS.contains(&word.as_str())).count();
        let (before, sentence) = words.split_at(conjunction_count);
        match self.ellipsis.replacement(sentence, true) {
            Some((length, replacement)) => {
                let remaining = sentence.iter().skip(length).cloned();
                before.iter().cloned().chain(replacement).chain(remaining).collect()
            }
            None => words,
        }
    }
}

/// Returns the last [`CONTEXT_WORDS`] words.
fn last_words(words: &[String]) -> Vec<String> {
    words.get(words.len().saturating_sub(CONTEXT_WORDS)..).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests;
