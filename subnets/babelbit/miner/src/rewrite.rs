//! How the interpreter cleans up what it heard: rules over lower-case words without punctuation.
//!
//! Fillers, stutters and gratuitous expletives go, meaningful expletives become polite, wordy phrases short and
//! figures of speech literal, and words that the speaker left out come back. The phrases stand in text files beside
//! this module, [`Phrasebook`] describes their form.

mod phrasebook;
mod repetition;

pub use phrasebook::{Phrasebook, PhrasebookError};

/// The most words that wait for the phrase after them.
const LONGEST_WAIT: usize = 6;
/// How much of the phrase before is remembered, in words.
const MEMORY: usize = 8;

/// Words after which a phrase ends in mid-sentence.
const UNFINISHED: [&str; 54] = [
    "a", "an", "the", "i", "you", "he", "she", "it", "we", "they", "my", "your", "his", "her", "our", "their", "am",
    "is", "are", "was", "were", "be", "been", "have", "has", "had", "do", "does", "did", "will", "would", "could",
    "can", "should", "might", "may", "must", "to", "of", "in", "on", "at", "for", "with", "from", "and", "that", "who",
    "which", "not", "but", "or", "because", "if",
];
/// Of these, what may well end a phrase: "he likes it".
const OBJECTS: [&str; 4] = ["you", "it", "her", "that"];
/// Words that join a sentence to the one before it.
const JOINING: [&str; 7] = ["and", "but", "so", "because", "or", "then", "yes"];

/// The rules. Cheap to share; what depends on the conversation is a [`Context`].
#[derive(Debug, Clone)]
pub struct Rewriter {
    misheard: Phrasebook,
    contractions: Phrasebook,
    expletives: Phrasebook,
    fillers: Phrasebook,
    meanings: Phrasebook,
    ellipsis: Phrasebook,
    condense: Phrasebook,
}

/// What was heard before, and what still waits to be said.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The end of the phrase before.
    before: Vec<String>,
    /// The start of a figure of speech that may go on.
    waiting: Vec<String>,
    /// Whether the words that wait begin a sentence.
    waiting_begins: bool,
}

impl Rewriter {
    /// The rules that come with the product.
    ///
    /// # Errors
    /// [`PhrasebookError`] when a file was edited and is malformed.
    pub fn builtin() -> Result<Self, PhrasebookError> {
        let mut meanings = Phrasebook::parse("figurative", include_str!("rewrite/phrases/figurative.txt"))?;
        meanings.extend("wordy", include_str!("rewrite/phrases/wordy.txt"))?;
        Ok(Self {
            misheard: Phrasebook::parse("misheard", include_str!("rewrite/phrases/misheard.txt"))?,
            contractions: Phrasebook::parse("contractions", include_str!("rewrite/phrases/contractions.txt"))?,
            expletives: Phrasebook::parse("expletives", include_str!("rewrite/phrases/expletives.txt"))?,
            fillers: Phrasebook::parse("fillers", include_str!("rewrite/phrases/fillers.txt"))?,
            meanings,
            ellipsis: Phrasebook::parse("ellipsis", include_str!("rewrite/phrases/ellipsis.txt"))?,
            condense: Phrasebook::parse("condense", include_str!("rewrite/phrases/condense.txt"))?,
        })
    }

    /// What to say for the phrase `heard`, in lower case.
    ///
    /// `begins` says that a clear pause came before the phrase. Words at the end that may begin a figure of speech
    /// wait for the next phrase, unless this is the `last`.
    pub fn rewrite(&self, context: &mut Context, heard: &[String], begins: bool, last: bool) -> Vec<String> {
        let mut words = std::mem::take(&mut context.waiting);
        let begins = if words.is_empty() { begins } else { context.waiting_begins };
        let begins = begins && !context.before.last().is_some_and(|word| UNFINISHED.contains(&word.as_str()));
        words.extend_from_slice(heard);

        let words = self.misheard.apply(&words, begins);
        let words = self.contractions.apply(&words, begins);
        let words = self.expletives.apply(&words, begins);
        let words = repetition::carry_out_corrections(&words);
        let words = self.fillers.apply(&words, begins);
        let words = repetition::say_once(&words);
        let words = repetition::drop_false_starts(&words);
        let mut words = repetition::say_once_across(&context.before, &words);
        if !last {
            context.waiting = words.split_off(words.len() - self.wait(&words));
            context.waiting_begins = begins && words.is_empty();
        }
        if !words.is_empty() {
            context.before = words.get(words.len().saturating_sub(MEMORY)..).unwrap_or_default().to_vec();
        }
        // Twice: the meaning of a figure of speech may hold a wordy phrase.
        let words = self.meanings.apply(&words, begins);
        let words = self.meanings.apply(&words, begins);
        let words = repetition::say_once(&words);
        if begins { self.restore(words) } else { words }
    }

    /// The same in fewer words, for a reply that is late.
    pub fn condense(&self, words: &[String]) -> Vec<String> {
        self.condense.apply(words, false)
    }

    /// How many words at the end of the phrase should wait for the next one.
    fn wait(&self, words: &[String]) -> usize {
        if words.iter().all(|word| JOINING.contains(&word.as_str())) {
            return words.len();
        }
        let books = [&self.meanings, &self.fillers, &self.expletives];
        for length in (2..=LONGEST_WAIT.min(words.len())).rev() {
            let end = words.get(words.len() - length..).unwrap_or_default();
            // A phrase that is complete is said at once, although a longer one might begin like it.
            if books.iter().any(|book| book.replacement(end, false).is_some_and(|(n, _)| n == length)) {
                return 0;
            }
            if books.iter().any(|book| book.goes_on(end)) {
                return length;
            }
        }
        let clings = |word: &&String| UNFINISHED.contains(&word.as_str()) && !OBJECTS.contains(&word.as_str());
        words.iter().rev().take_while(clings).count().min(LONGEST_WAIT)
    }

    /// Puts back what the speaker left out at the start of a sentence.
    fn restore(&self, words: Vec<String>) -> Vec<String> {
        let joining = words.iter().take_while(|word| JOINING.contains(&word.as_str())).count();
        let (before, sentence) = words.split_at(joining);
        match self.ellipsis.replacement(sentence, true) {
            Some((length, replacement)) => {
                let rest = sentence.iter().skip(length).cloned();
                before.iter().cloned().chain(replacement).chain(rest).collect()
            }
            None => words,
        }
    }
}

#[cfg(test)]
mod tests;
