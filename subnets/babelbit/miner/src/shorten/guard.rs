//! Guard against bad proposals of the language model: decides whether a proposal may be spoken
//! instead of the phrase from the rules.

use std::collections::HashSet;
use std::sync::Arc;

use taonet_speech::SentenceEmbedder;

use super::{ProposalError, Rejection};

/// Minimum cosine of the sentence embeddings of a phrase and its proposal. With all-MiniLM-L6-v2,
/// shortened phrases that keep the meaning have 0.80 and more, and those that lose half of it 0.77
/// and less. Opposites such as "buy" and "sell" have a high cosine, too: numbers and negations have
/// checks of their own.
pub const MIN_SIMILARITY: f32 = 0.78;
/// Maximum length of a word sequence whose immediate repetition is detected.
const MAX_REPEATED_LENGTH: usize = 4;
/// Number of words up to which a single foreign function word marks a text of another language.
const MAX_WORDS_PER_FOREIGN_WORD: usize = 4;

/// Words that negate a statement, or restrict it almost as much.
const NEGATIONS: &[&str] = &[
    "no", "not", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot",
    "without", "hardly", "barely", "scarcely", "rarely", "seldom", "unless", "except",
];
/// Words that are part of a number only beside one of [`NUMBERS`]: "one" is also a pronoun, "point"
/// also a noun.
const PARTS_OF_NUMBERS: &[&str] = &["one", "point"];
/// Words for numbers, ordinal numbers and fractions, and words that change them.
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
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "half",
    "quarter",
    "dozen",
    "once",
    "twice",
    "double",
    "triple",
    "percent",
    "minus",
];
/// Frequent function words of French, German, Spanish, Italian, Portuguese and Dutch that are not
/// English words.
const FOREIGN_WORDS: &[&str] = &[
    "le", "la", "les", "des", "du", "une", "est", "et", "sont", "dans", "que", "qui", "nous",
    "vous", "avec", "mais", "elle", "cette", "der", "das", "und", "ist", "sind", "nicht", "ein",
    "eine", "wir", "ich", "sie", "mit", "auf", "dem", "zu", "von", "auch", "wird", "el", "los",
    "las", "una", "y", "del", "por", "muy", "pero", "como", "il", "gli", "che", "di", "della",
    "sono", "os", "um", "uma", "para", "het", "een", "niet", "ik", "zijn", "voor",
];

/// The checks of a proposal.
pub(super) struct ProposalGuard {
    embedder: Arc<dyn SentenceEmbedder>,
}

impl ProposalGuard {
    pub(super) fn new(embedder: Arc<dyn SentenceEmbedder>) -> Self {
        Self { embedder }
    }

    /// Checks a proposal against the phrase. The cheap checks come first.
    pub(super) fn check(&self, phrase: &[String], proposal: &[String]) -> Result<(), Rejection> {
        if proposal == phrase {
            return Ok(());
        }
        if proposal.is_empty() {
            return Err(Rejection::MeaningChanged);
        }
        // Longer words take longer to speak, too.
        if proposal.len() > phrase.len() || count_letters(proposal) > count_letters(phrase) {
            return Err(ProposalError::TooLong.into());
        }
        if has_repetition(proposal) && !has_repetition(phrase) {
            return Err(Rejection::Repetitive);
        }
        if is_foreign(phrase, proposal) {
            return Err(Rejection::ForeignLanguage);
        }
        if count_negations(phrase) != count_negations(proposal)
            || number_words(phrase) != number_words(proposal)
        {
            return Err(Rejection::MeaningChanged);
        }
        let (phrase, proposal) = (phrase.join(" "), proposal.join(" "));
        let embeddings = self.embedder.embed(&[phrase.as_str(), proposal.as_str()])?;
        match embeddings.as_slice() {
            [phrase, proposal] if phrase.dot(proposal) >= MIN_SIMILARITY => Ok(()),
            _ => Err(Rejection::MeaningChanged),
        }
    }
}

/// Returns the number of characters without spaces.
fn count_letters(words: &[String]) -> usize {
    words.iter().map(|word| word.chars().count()).sum()
}

/// Whether a word sequence follows itself immediately, or three consecutive words appear twice.
fn has_repetition(words: &[String]) -> bool {
    let follows_itself = |length: usize| {
        words.windows(2 * length).any(|window| {
            let (first, second) = window.split_at(length);
            first == second
        })
    };
    let mut seen = HashSet::new();
    (1..=MAX_REPEATED_LENGTH).any(follows_itself)
        || words.windows(3).any(|window| !seen.insert(window))
}

/// Whether the words that only the proposal has are of another language: one has a letter outside
/// ASCII, or many are foreign function words. Words of the phrase, such as names, do not count.
fn is_foreign(phrase: &[String], proposal: &[String]) -> bool {
    let new_words = || proposal.iter().filter(move |word| !phrase.contains(word));
    let foreign_count = new_words().filter(|word| FOREIGN_WORDS.contains(&word.as_str())).count();
    new_words().any(|word| !word.is_ascii())
        || (foreign_count > 0 && foreign_count * MAX_WORDS_PER_FOREIGN_WORD >= proposal.len())
}

/// Returns the number of negations. Two of them may cancel each other out.
fn count_negations(words: &[String]) -> usize {
    words.iter().filter(|word| NEGATIONS.contains(&word.as_str()) || word.ends_with("n't")).count()
}

/// Returns the words of the numbers, in their order.
fn number_words(words: &[String]) -> Vec<&str> {
    let is_number = |word: &str| {
        NUMBERS.contains(&word) || word.contains(|letter: char| letter.is_ascii_digit())
    };
    let word = |index: usize| words.get(index).map(String::as_str);
    let is_number_part = |index: usize| {
        let mut neighbours =
            [index.checked_sub(1), Some(index + 1)].into_iter().flatten().filter_map(word);
        word(index).is_some_and(|word| PARTS_OF_NUMBERS.contains(&word))
            && neighbours.any(|word| is_number(word) || PARTS_OF_NUMBERS.contains(&word))
    };
    let indexed_words = words.iter().map(String::as_str).enumerate();
    indexed_words
        .filter(|(index, word)| is_number(word) || is_number_part(*index))
        .map(|(_, word)| word)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Columns: text · words of its numbers
    #[test]
    fn number_words_and_digits_are_extracted() {
        for (text, expected) in [
            ("the train leaves at 8 with 21 cars", "8 21"),
            (
                "twenty one people at three point five percent",
                "twenty one three point five percent",
            ),
            ("one point five million", "one point five million"),
            ("one of the points that i made at one time", ""),
            ("the second house costs half of it", "second half"),
        ] {
            assert_eq!(number_words(&words(text)).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn texts_with_reordered_numbers_differ() {
        assert_ne!(
            number_words(&words("two of the five")),
            number_words(&words("five of the two"))
        );
    }

    /// Columns: text · number of negations
    #[test]
    fn negations_are_counted() {
        for (text, expected) in [
            ("i do not think that nobody came", 2),
            ("we don't and can't go without you", 3),
            ("he hardly ever waits", 1),
            ("it is notable", 0),
        ] {
            assert_eq!(count_negations(&words(text)), expected, "{text}");
        }
    }
}
