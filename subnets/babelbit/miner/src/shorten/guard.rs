//! The guard of proposals: decides whether a proposal may be spoken instead of the phrase of the rules.

use std::collections::HashSet;
use std::sync::Arc;

use taonet_speech::SentenceEmbedder;

use super::{ProposalError, Rejection};

/// Minimum cosine of the sentence embeddings of a phrase and its proposal. With all-MiniLM-L6-v2, shortened phrases that
/// keep the meaning have 0.80 and more, and those that lose half of it 0.77 and less.
pub const MIN_SIMILARITY: f32 = 0.78;
/// Maximum length of a word sequence whose immediate repetition is found.
const LONGEST_REPEATED: usize = 4;
/// One foreign function word in this many words marks a text of another language.
const WORDS_PER_FOREIGN: usize = 4;

/// Words that negate a statement.
const NEGATIONS: &[&str] = &[
    "no", "not", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot", "without", "hardly",
    "unless",
];
/// Number words. "One" is missing, because it is also a pronoun.
const NUMBERS: &[&str] = &[
    "zero",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "hundred",
    "thousand",
    "million",
    "billion",
];
/// Frequent function words of French, German, Spanish, Italian, Portuguese and Dutch that are no English words.
const FOREIGN: &[&str] = &[
    "le", "la", "les", "des", "du", "une", "est", "et", "sont", "dans", "que", "qui", "nous", "vous", "avec", "mais",
    "elle", "cette", "der", "das", "und", "ist", "sind", "nicht", "ein", "eine", "wir", "ich", "sie", "mit", "auf",
    "dem", "zu", "von", "auch", "wird", "el", "los", "las", "una", "y", "del", "por", "muy", "pero", "como", "il",
    "gli", "che", "di", "della", "sono", "os", "um", "uma", "para", "mais", "het", "een", "niet", "ik", "zijn", "voor",
];

/// The checks of a proposal.
pub(super) struct Guard {
    embedder: Arc<dyn SentenceEmbedder>,
}

impl Guard {
    pub(super) fn new(embedder: Arc<dyn SentenceEmbedder>) -> Self {
        Self { embedder }
    }

    /// Checks a proposal against the phrase. The cheap checks come first.
    pub(super) fn check(&self, phrase: &[String], proposal: &[String]) -> Result<(), Rejection> {
        if proposal == phrase {
            return Ok(());
        }
        if proposal.is_empty() {
            return Err(Rejection::Meaning);
        }
        // Longer words take longer to speak, too.
        if proposal.len() > phrase.len() || letters(proposal) > letters(phrase) {
            return Err(ProposalError::TooLong.into());
        }
        if has_repetition(proposal) && !has_repetition(phrase) {
            return Err(Rejection::Repetitive);
        }
        if is_foreign(phrase, proposal) {
            return Err(Rejection::Foreign);
        }
        if is_negated(phrase) != is_negated(proposal) || numbers(phrase) != numbers(proposal) {
            return Err(Rejection::Meaning);
        }
        let (one, other) = (phrase.join(" "), proposal.join(" "));
        let embedded = self.embedder.embed(&[one.as_str(), other.as_str()])?;
        match embedded.as_slice() {
            [one, other] if one.dot(other) >= MIN_SIMILARITY => Ok(()),
            _ => Err(Rejection::Meaning),
        }
    }
}

fn letters(words: &[String]) -> usize {
    words.iter().map(|word| word.chars().count()).sum()
}

/// Whether a word sequence follows itself immediately, or three consecutive words appear twice.
fn has_repetition(words: &[String]) -> bool {
    let follows_itself = |length: usize| {
        words.windows(2 * length).any(|window| {
            let (one, other) = window.split_at(length);
            one == other
        })
    };
    let mut seen = HashSet::new();
    (1..=LONGEST_REPEATED).any(follows_itself) || words.windows(3).any(|window| !seen.insert(window))
}

/// Whether the proposal's own words are of another language: one has a letter outside ASCII, or many are function words
/// of another language. Words of the phrase, such as names, do not count.
fn is_foreign(phrase: &[String], proposal: &[String]) -> bool {
    let own = || proposal.iter().filter(move |word| !phrase.contains(word));
    let foreign = own().filter(|word| FOREIGN.contains(&word.as_str())).count();
    own().any(|word| !word.is_ascii()) || (foreign > 0 && foreign * WORDS_PER_FOREIGN >= proposal.len())
}

fn is_negated(words: &[String]) -> bool {
    words.iter().any(|word| NEGATIONS.contains(&word.as_str()) || word.ends_with("n't"))
}

/// Returns the numbers in alphabetical order.
fn numbers(words: &[String]) -> Vec<&str> {
    let is_number = |word: &&str| NUMBERS.contains(word) || word.contains(|letter: char| letter.is_ascii_digit());
    let mut numbers: Vec<&str> = words.iter().map(String::as_str).filter(is_number).collect();
    numbers.sort_unstable();
    numbers
}
