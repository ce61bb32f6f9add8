//! Phrase boundaries within a sequence of words.

use taonet_primitives::Word;

use crate::rewrite::normalized;

/// Maximum number of words per breath: about 2.5 s.
const MAX_WORDS_PER_BREATH: usize = 8;

/// Words that may start a new phrase.
const PHRASE_STARTS: [&str; 36] = [
    "and", "but", "so", "or", "because", "if", "when", "while", "although", "before", "after",
    "until", "since", "that", "which", "who", "where", "then", "to", "in", "on", "at", "with",
    "for", "from", "of", "by", "about", "into", "i", "you", "he", "she", "it", "we", "they",
];
/// Words that do not end a phrase.
const NON_FINAL_WORDS: [&str; 44] = [
    "a", "an", "the", "my", "your", "his", "her", "our", "their", "its", "i", "you", "he", "she",
    "it", "we", "they", "am", "is", "are", "was", "were", "be", "not", "very", "to", "of", "in",
    "on", "at", "for", "with", "from", "and", "but", "or", "if", "that", "will", "would", "mr",
    "mrs", "ms", "dr",
];
/// Punctuation marks that end a clause.
const CLAUSE_END_MARKS: [char; 4] = ['.', '?', '!', ','];
/// Marks that may follow the punctuation mark at the end of a clause.
const CLOSING_MARKS: [char; 5] = ['"', '”', '\'', '’', ')'];

/// A recognised word of unfinished speech.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RecognisedWord {
    /// The word in lowercase, without punctuation.
    pub(super) word: Word,
    /// Whether the recogniser ends a clause after the word.
    ends_clause: bool,
}

impl RecognisedWord {
    /// Creates a word from one with the recogniser's punctuation.
    pub(super) fn new(mut word: Word) -> Self {
        let text = normalized(&word.text);
        // A mark after a single letter belongs to an initial or an abbreviation, such as "J." or
        // "U.S.", of which Whisper makes the words " U" and ".S.".
        let is_letter = text.chars().count() == 1 && text.starts_with(char::is_alphabetic);
        let ends_clause = word.text.trim_end_matches(CLOSING_MARKS).ends_with(CLAUSE_END_MARKS)
            && !is_letter
            && !NON_FINAL_WORDS.contains(&text.as_str());
        word.text = text;
        Self { word, ends_clause }
    }
}

/// Returns the quality of a phrase boundary between two words, 0 to 2.
fn boundary_quality(before: &str, after: &str) -> f64 {
    f64::from(u8::from(PHRASE_STARTS.contains(&after)))
        + f64::from(u8::from(!NON_FINAL_WORDS.contains(&before)))
}

/// Splits words at the best boundaries into parts of about equal length, each spoken in one breath.
pub(super) fn split_into_breath_groups(words: &[String]) -> Vec<&[String]> {
    let count = words.len().div_ceil(MAX_WORDS_PER_BREATH).max(1);
    if count == 1 {
        return if words.is_empty() { Vec::new() } else { vec![words] };
    }
    let even_length = words.len() as f64 / count as f64;
    let cuts = (1..words.len()).filter(|index| {
        index.abs_diff(even_length.round() as usize) <= 2 && *index <= MAX_WORDS_PER_BREATH
    });
    let cut_score = |index: &usize| {
        let (before, after) = (words.get(index - 1), words.get(*index));
        before.zip(after).map_or(0.0, |(before, after)| boundary_quality(before, after))
            - (*index as f64 - even_length).abs() * 0.2
    };
    let best =
        cuts.max_by(|a, b| cut_score(a).total_cmp(&cut_score(b))).unwrap_or(MAX_WORDS_PER_BREATH);
    let (first, remaining) = words.split_at(best);
    let mut groups = vec![first];
    groups.extend(split_into_breath_groups(remaining));
    groups
}

/// Returns the index of the word before which to cut speech of `length` seconds, if there is a good
/// boundary after at least `min_words` words.
///
/// Never cuts in the last 0.3 s, where words may be incomplete, or in the first 30 % of the speech.
pub(super) fn best_cut(words: &[Word], length: f64, min_words: usize) -> Option<usize> {
    let cut_score = |index: usize| {
        let (before, after) = words.get(index.checked_sub(1)?).zip(words.get(index))?;
        let cut_time = f64::midpoint(before.end, after.start);
        let is_allowed = cut_time >= 0.3 * length && after.start <= length - 0.3;
        let gap = (after.start - before.end).clamp(0.0, 0.3);
        is_allowed
            .then(|| boundary_quality(&before.text, &after.text) + 4.0 * gap + cut_time / length)
    };
    let cuts = (min_words.max(1)..words.len()).filter_map(|index| Some((index, cut_score(index)?)));
    cuts.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
}

/// Pause that ends a phrase, in seconds: word times of recognisers are inexact.
const PHRASE_PAUSE_S: f64 = 0.35;
/// Length in seconds above which speech without a pause is cut at a good boundary.
const LONG_SPEECH_S: f64 = 2.2;
/// Length in seconds above which speech is cut at a good boundary while the reply plays no speech:
/// a short phrase now is better than a long one later.
const LONG_SPEECH_WHEN_IDLE_S: f64 = 1.2;
/// Length in seconds above which speech is cut at the current position, even without a boundary.
const MAX_SPEECH_S: f64 = 5.0;

/// Returns the number of words of the first complete phrase; `None` while there is none. The next
/// word starts at `ready_until` or later. A phrase has at least `min_words` words, and is shorter
/// while the reply plays no speech (`is_idle`).
pub(super) fn complete_phrase_words(
    words: &[RecognisedWord],
    ready_until: f64,
    min_words: usize,
    is_idle: bool,
) -> Option<usize> {
    let (first, last) = (&words.first()?.word, &words.last()?.word);
    let starts = words.iter().skip(1).map(|recognised| recognised.word.start).chain([ready_until]);
    let mut boundaries = (1..).zip(words.iter().zip(starts));
    let boundary = boundaries.find(|(count, (recognised, next))| {
        // Recognisers tend to end a sentence where the audio ends, so punctuation counts only
        // before another word.
        let is_clause = recognised.ends_clause && *count < words.len();
        *count >= min_words && (is_clause || next - recognised.word.end >= PHRASE_PAUSE_S)
    });
    if let Some((count, _)) = boundary {
        return Some(count);
    }
    let length = last.end - first.start;
    if length < if is_idle { LONG_SPEECH_WHEN_IDLE_S } else { LONG_SPEECH_S } {
        return None;
    }
    let shifted: Vec<Word> = words
        .iter()
        .map(|RecognisedWord { word, .. }| Word {
            start: word.start - first.start,
            end: word.end - first.start,
            ..word.clone()
        })
        .collect();
    best_cut(&shifted, length, min_words).or((length > MAX_SPEECH_S).then_some(words.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of 0.35 s and pauses of 0.05 s, from 7 s on.
    fn timed_words(text: &str) -> Vec<RecognisedWord> {
        let word = |(n, text)| {
            let start = 7.0 + f64::from(n) * 0.4;
            RecognisedWord::new(Word { text, start, end: start + 0.35 })
        };
        (0..).zip(words(text)).map(word).collect()
    }

    #[test]
    fn phrases_end_at_pauses_or_good_boundaries() {
        let short_phrase = timed_words("we should leave");
        assert_eq!(complete_phrase_words(&short_phrase, 8.2, 3, false), None);
        assert_eq!(complete_phrase_words(&short_phrase, 8.6, 3, false), Some(3));
        assert_eq!(complete_phrase_words(&short_phrase, 8.6, 4, false), None);
        let mut with_pause = timed_words("we should leave it here");
        with_pause[4].word.start += 0.5;
        assert_eq!(complete_phrase_words(&with_pause, 9.7, 3, false), Some(4));
        let long_phrase = timed_words("we should leave the house because the train");
        assert_eq!(complete_phrase_words(&long_phrase, 10.2, 3, false), Some(5));
        assert_eq!(complete_phrase_words(&long_phrase[..5], 9.0, 3, false), None);
        assert_eq!(complete_phrase_words(&long_phrase[..5], 9.0, 3, true), Some(3));
        assert_eq!(complete_phrase_words(&long_phrase[..3], 8.2, 3, true), None);
        // The best boundary is after too few words.
        let early_conjunction = timed_words("so everybody and was running around");
        assert_eq!(complete_phrase_words(&early_conjunction, 9.4, 2, false), Some(2));
        assert_eq!(complete_phrase_words(&early_conjunction, 9.4, 3, false), Some(5));
        // No boundary, but too long.
        assert!(complete_phrase_words(&timed_words(&"the ".repeat(14)), 12.6, 3, false).is_some());
        assert_eq!(complete_phrase_words(&[], 12.6, 3, false), None);
    }

    /// Columns: recognised text · number of words of the phrase
    #[test]
    fn phrases_end_after_punctuation_before_another_word() {
        for (text, expected) in [
            ("we should leave because the", None),
            ("we should leave, because the", Some(3)),
            ("Should we leave? Because the", Some(3)),
            ("he shouted: \"leave!\" because", Some(3)),
            ("Yes, we should leave. because", Some(4)),
            // Another word may follow.
            ("we should leave.", None),
            // Fewer than three words.
            ("Yes. No. because the", None),
            ("please call Mr. Smith now", None),
            ("we met J. Smith there", None),
            ("the U .S. army left", None),
            ("they left at 5. because the", Some(4)),
            ("because of the, the train", None),
            ("it costs 3.5 euros now", None),
        ] {
            let words = timed_words(text);
            let until = words.last().unwrap().word.end;
            assert_eq!(complete_phrase_words(&words, until, 3, false), expected, "{text}");
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn breath_groups(text: &str) -> Vec<String> {
        split_into_breath_groups(&words(text)).iter().map(|part| part.join(" ")).collect()
    }

    #[test]
    fn long_phrases_are_split_at_conjunctions() {
        assert!(breath_groups("").is_empty());
        assert_eq!(breath_groups("we should leave now"), ["we should leave now"]);
        assert_eq!(
            breath_groups("we should leave the house now because the train is at noon"),
            ["we should leave the house now", "because the train is at noon"]
        );
        let long = breath_groups(&"word ".repeat(40));
        assert!(
            long.iter().all(|part| part.split(' ').count() <= MAX_WORDS_PER_BREATH),
            "{long:?}"
        );
    }

    #[test]
    fn phrases_are_split_before_conjunctions() {
        let text = "we should leave the house because the train";
        let word_times: Vec<_> = (0..)
            .zip(words(text))
            .map(|(n, text)| Word {
                text,
                start: f64::from(n) * 0.4,
                end: f64::from(n) * 0.4 + 0.35,
            })
            .collect();
        assert_eq!(best_cut(&word_times, 3.2, 1), Some(5));
        assert_eq!(best_cut(&word_times[..1], 3.2, 1), None);
        assert_eq!(best_cut(&[], 3.2, 1), None);
    }
}
