use std::collections::HashMap;

/// A table of phrases and their replacements, indexed by first word, longest match first.
///
/// The text format has one entry per line, `phrase | replacement`; `#` starts a comment line.
/// - `hit/hits the nail | am/is right`: a choice expands to one entry per option. The n-th choice
///   of the replacement with k options follows the n-th choice of the phrase with k options.
///   `had+to` is an option of two words.
/// - `$his`, `$him`, `$they` and `$himself` are choices among the forms for each grammatical
///   person.
/// - `_` matches any one word and is copied to the replacement in order.
/// - `^` before the phrase restricts matches to the start of a sentence.
/// - An empty replacement removes the phrase; a replacement equal to the phrase protects it from
///   shorter entries.
#[derive(Debug, Clone, Default)]
pub struct Phrasebook {
    entries: HashMap<String, Vec<Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// Whether the phrase matches only at the start of a sentence.
    is_anchored: bool,
    phrase: Vec<Slot>,
    replacement: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Word(String),
    Wildcard,
}

impl Slot {
    fn matches(&self, word: &str) -> bool {
        match self {
            Self::Word(expected) => expected == word,
            Self::Wildcard => true,
        }
    }
}

/// Why a phrase book is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{book}, line {line}: {problem}")]
pub struct PhrasebookError {
    book: String,
    line: usize,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("expected one `|` between phrase and replacement")]
    Separator,
    #[error("the phrase must start with a word")]
    FirstWord,
    #[error("empty option")]
    EmptyOption,
    #[error("no choice in the phrase has as many options as `{0}`")]
    UnmatchedChoice(String),
    #[error("the replacement has more `_` than the phrase")]
    TooManyWildcards,
    #[error("the line expands to more than {MAX_ENTRIES} entries")]
    TooManyEntries,
}

/// Maximum number of entries to which one line may expand.
const MAX_ENTRIES: usize = 2_000;

impl Phrasebook {
    /// Parses entries in the text format; `book` names the text in errors. The first of several
    /// equal phrases wins.
    ///
    /// # Errors
    /// [`PhrasebookError`] that names the first malformed line.
    pub fn parse(book: &str, text: &str) -> Result<Self, PhrasebookError> {
        let mut phrases = Self::default();
        phrases.extend(book, text)?;
        Ok(phrases)
    }

    /// Parses another text and adds its entries; see [`Self::parse`].
    ///
    /// # Errors
    /// [`PhrasebookError`] that names the first malformed line.
    pub fn extend(&mut self, book: &str, text: &str) -> Result<(), PhrasebookError> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let expanded = expand(line);
            let entries = expanded.map_err(|problem| PhrasebookError {
                book: book.to_owned(),
                line: number + 1,
                problem,
            })?;
            for (first, entry) in entries {
                self.entries.entry(first).or_default().push(entry);
            }
        }
        for entries in self.entries.values_mut() {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.phrase.len()));
        }
        Ok(())
    }

    /// Returns the number of phrases after expansion.
    pub fn len(&self) -> usize {
        self.entries.values().map(Vec::len).sum()
    }

    /// Whether the book is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Replaces every phrase, from left to right, longest match first. Replacements are not scanned
    /// again.
    ///
    /// `starts_sentence` means that the words start a sentence.
    pub fn apply(&self, words: &[String], starts_sentence: bool) -> Vec<String> {
        let mut rewritten = Vec::with_capacity(words.len());
        let mut remaining = words;
        while let Some((word, after)) = remaining.split_first() {
            // Words removed so far do not count: without "well okay", "look" still starts the
            // sentence.
            if let Some((length, replacement)) =
                self.replacement(remaining, starts_sentence && rewritten.is_empty())
            {
                rewritten.extend(replacement);
                remaining = remaining.get(length..).unwrap_or_default();
            } else {
                rewritten.push(word.clone());
                remaining = after;
            }
        }
        rewritten
    }

    /// Replaces a phrase that begins in `spoken` words and ends in the `words` after them, if its
    /// replacement begins with the spoken part. Returns `words` with the rest of the replacement.
    pub(crate) fn complete(&self, spoken: &[String], words: Vec<String>) -> Vec<String> {
        for start in 0..spoken.len() {
            let spoken_part = spoken.get(start..).unwrap_or_default();
            let joined = [spoken_part, &words].concat();
            if let Some((length, replacement)) = self.replacement(&joined, false)
                && length > spoken_part.len()
                && let Some(unspoken) = replacement.strip_prefix(spoken_part)
            {
                return [unspoken, joined.get(length..).unwrap_or_default()].concat();
            }
        }
        words
    }

    /// Returns the replacement of the longest phrase at the start of `words`, and the number of
    /// words in that phrase.
    pub fn replacement(
        &self,
        words: &[String],
        starts_sentence: bool,
    ) -> Option<(usize, Vec<String>)> {
        let entry = self.candidates(words).find(|entry| {
            (starts_sentence || !entry.is_anchored)
                && entry.phrase.len() <= words.len()
                && entry.matches(words)
        })?;
        let mut carried = entry
            .phrase
            .iter()
            .zip(words)
            .filter(|(slot, _)| **slot == Slot::Wildcard)
            .map(|(_, word)| word);
        let replacement = entry.replacement.iter().filter_map(|slot| match slot {
            Slot::Word(word) => Some(word.clone()),
            Slot::Wildcard => carried.next().cloned(),
        });
        Some((entry.phrase.len(), replacement.collect()))
    }

    /// Whether a longer phrase starts with all of `words`. Wildcards do not count: they match
    /// everything.
    pub(crate) fn is_prefix(&self, words: &[String]) -> bool {
        self.candidates(words).any(|entry| {
            let has_literal_prefix = entry
                .phrase
                .get(..words.len())
                .is_some_and(|prefix| !prefix.contains(&Slot::Wildcard));
            has_literal_prefix
                && !entry.is_anchored
                && entry.phrase.len() > words.len()
                && entry.matches(words)
        })
    }

    fn candidates(&self, words: &[String]) -> impl Iterator<Item = &Entry> {
        words.first().and_then(|first| self.entries.get(first)).into_iter().flatten()
    }
}

impl Entry {
    /// Whether phrase and words match up to the end of the shorter one.
    fn matches(&self, words: &[String]) -> bool {
        self.phrase.iter().zip(words).all(|(slot, word)| slot.matches(word))
    }
}

/// Parses the options of one token in a line.
fn options(token: &str) -> Result<Vec<&str>, Problem> {
    let token = match token {
        "$his" => "my/your/his/her/our/their/its",
        "$him" => "me/you/him/her/us/them/it",
        "$they" => "i/you/he/she/we/they/it",
        "$himself" => "myself/yourself/himself/herself/ourselves/themselves/itself",
        plain => plain,
    };
    let options: Vec<_> = token.split('/').collect();
    if options.iter().any(|option| option.is_empty()) {
        Err(Problem::EmptyOption)
    } else {
        Ok(options)
    }
}

fn expand(line: &str) -> Result<Vec<(String, Entry)>, Problem> {
    let Some((left, right)) = line.split_once('|') else { return Err(Problem::Separator) };
    if right.contains('|') {
        return Err(Problem::Separator);
    }
    let (is_anchored, left) = match left.strip_prefix('^') {
        Some(phrase) => (true, phrase),
        None => (false, left),
    };
    let left = left.split_whitespace().map(options).collect::<Result<Vec<_>, _>>()?;
    let right = right.split_whitespace().map(options).collect::<Result<Vec<_>, _>>()?;
    let count =
        |tokens: &[Vec<&str>]| tokens.iter().filter(|options| options.as_slice() == ["_"]).count();
    if count(&right) > count(&left) {
        return Err(Problem::TooManyWildcards);
    }
    let option_sources = match_options(&left, &right)?;
    let total = left.iter().try_fold(1_usize, |total, options| total.checked_mul(options.len()));
    let total = total.filter(|total| *total <= MAX_ENTRIES).ok_or(Problem::TooManyEntries)?;
    (0..total)
        .map(|number| {
            // Decodes the number of the entry as a mixed-radix numeral with one digit per choice.
            let mut remaining = number;
            let selections: Vec<usize> = left
                .iter()
                .map(|options| {
                    let selection = remaining % options.len();
                    remaining /= options.len();
                    selection
                })
                .collect();
            let phrase = left
                .iter()
                .zip(&selections)
                .flat_map(|(options, selection)| slots(options, *selection))
                .collect::<Vec<_>>();
            let replacement = right.iter().zip(&option_sources).flat_map(|(options, index)| {
                let selection =
                    index.and_then(|index| selections.get(index)).copied().unwrap_or_default();
                slots(options, selection)
            });
            let replacement = replacement.collect();
            match phrase.first() {
                Some(Slot::Word(first)) => {
                    Ok((first.clone(), Entry { is_anchored, phrase, replacement }))
                }
                _ => Err(Problem::FirstWord),
            }
        })
        .collect()
}

/// Maps each token of the replacement to the choice in the phrase that it follows.
fn match_options(left: &[Vec<&str>], right: &[Vec<&str>]) -> Result<Vec<Option<usize>>, Problem> {
    let mut occurrences: HashMap<usize, usize> = HashMap::new();
    let index = |options: &Vec<&str>| {
        if options.len() == 1 {
            return Ok(None);
        }
        let mut same_size_choices = (0..)
            .zip(left)
            .filter(|(_, choice)| choice.len() == options.len())
            .map(|(index, _)| index);
        let occurrence = occurrences.entry(options.len()).or_default();
        let index = same_size_choices
            .clone()
            .nth(*occurrence)
            .or_else(|| same_size_choices.by_ref().last());
        *occurrence += 1;
        index.map(Some).ok_or_else(|| Problem::UnmatchedChoice(options.join("/")))
    };
    right.iter().map(index).collect()
}

fn slots(options: &[&str], selection: usize) -> Vec<Slot> {
    let words = options.get(selection).copied().unwrap_or_default().split('+');
    words
        .map(|word| if word == "_" { Slot::Wildcard } else { Slot::Word(word.to_owned()) })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn apply(book: &str, text: &str) -> String {
        Phrasebook::parse("test", book).unwrap().apply(&words(text), true).join(" ")
    }

    #[test]
    fn longest_matching_phrase_is_replaced() {
        let book = "in | within\nin the end | finally\nin the end zone | in the end zone";
        assert_eq!(
            apply(book, "in the end it is in the end zone in winter"),
            "finally it is in the end zone within winter"
        );
    }

    #[test]
    fn inflections_match_between_phrase_and_replacement() {
        let book = "pull/pulls/pulled $his leg/ear | joke/jokes/joked with $him";
        assert_eq!(
            apply(book, "she pulled my leg and pulls their ear"),
            "she joked with me and jokes with them"
        );
        assert_eq!(
            apply("have/had no choice but to | must/had+to", "i had no choice but to go"),
            "i had to go"
        );
    }

    #[test]
    fn wildcard_word_is_copied() {
        assert_eq!(
            apply("take _ for granted | undervalue _", "they take us for granted"),
            "they undervalue us"
        );
    }

    #[test]
    fn anchored_phrases_match_at_the_start_only() {
        assert_eq!(apply("^well |\n^so |", "well so it went well so far"), "it went well so far");
        let book = Phrasebook::parse("test", "^well |").unwrap();
        assert_eq!(book.apply(&words("well done"), false), words("well done"));
    }

    #[test]
    fn phrase_that_begins_in_spoken_words_is_completed() {
        let book = "now and at this time | now and\nin time | soon\nthe end | an end";
        let book = Phrasebook::parse("test", book).unwrap();
        for (spoken, text, expected) in [
            ("we wait now", "and at this time in time", "and in time"),
            ("we wait now and", "at this time we go", "we go"),
            // No phrase begins in the spoken words.
            ("we wait", "in time", "in time"),
            ("", "in time", "in time"),
            // What has been spoken does not begin the replacement.
            ("this is the", "end in time", "end in time"),
            ("we wait now", "", ""),
        ] {
            let completed = book.complete(&words(spoken), words(text));
            assert_eq!(completed.join(" "), expected, "{spoken} | {text}");
        }
    }

    #[test]
    fn incomplete_phrase_is_a_prefix() {
        let book = Phrasebook::parse("test", "at the end of the day | finally").unwrap();
        assert!(book.is_prefix(&words("at the end")));
        assert!(!book.is_prefix(&words("at the end of the day")));
        assert!(!book.is_prefix(&words("at the start")));
        assert!(!book.is_prefix(&[]));
    }

    #[test]
    fn invalid_line_of_phrasebook_is_reported() {
        let table = [
            ("a b", "expected one `|` between phrase and replacement"),
            ("a | b | c", "expected one `|` between phrase and replacement"),
            (" | b", "the phrase must start with a word"),
            ("_ b | c", "the phrase must start with a word"),
            ("a//b | c", "empty option"),
            ("a/b | c/d/e", "no choice in the phrase has as many options as `c/d/e`"),
            ("a | _", "the replacement has more `_` than the phrase"),
            ("$his $his $his $his | a", "the line expands to more than 2000 entries"),
        ];
        for (line, problem) in table {
            let error = Phrasebook::parse("test", &format!("# comment\n\n{line}")).unwrap_err();
            assert_eq!(error.to_string(), format!("test, line 3: {problem}"));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_phrasebook_never_panics(text in "[a-c/|_^$+ \n]{0,60}", spoken in "[a-c ]{0,20}") {
            if let Ok(book) = Phrasebook::parse("test", &text) {
                book.apply(&words(&spoken), true);
            }
        }
    }
}
