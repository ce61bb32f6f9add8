//! Removal of stutters, repeated phrases, false starts and corrected words.

/// Maximum number of words in a detected repetition.
const MAX_WORDS: usize = 6;

/// Words that speakers often repeat on purpose.
const INTENTIONAL_REPETITIONS: [&str; 28] = [
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "hundred", "thousand", "had", "bye", "so", "knock", "ha", "cha", "twenty", "thirty", "forty",
    "fifty", "sixty", "seventy", "eighty", "ninety",
];

const PREPOSITIONS: [&str; 14] = [
    "about", "of", "for", "with", "in", "on", "at", "to", "from", "by", "like", "after", "before",
    "without",
];

/// Removes immediate repetitions of phrases: "i i think i think that" becomes "i think that".
///
/// Repeated numbers stay: "five five one" is a number.
pub(super) fn drop_repeated(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    for length in (1..=MAX_WORDS).rev() {
        let mut start = 0;
        while start + 2 * length <= words.len() {
            let first = words.get(start..start + length);
            let before = start.checked_sub(1).and_then(|before| words.get(before));
            if first == words.get(start + length..start + 2 * length)
                && !first.is_some_and(is_intentional)
                && !first.is_some_and(|phrase| is_object_then_subject(before, phrase))
            {
                words.drain(start..start + length);
            } else {
                start += 1;
            }
        }
    }
    words
}

/// Removes from `words` a phrase that repeats the end of `before`, or continues a repetition that
/// started there: "so i think | i think that" leaves "that", and "i might | as well i might as well
/// go" leaves "as well go".
pub(super) fn drop_repeated_across(before: &[String], words: &[String]) -> Vec<String> {
    let mut joined = [before, words].concat();
    let lengths = (1..=MAX_WORDS).rev();
    let mut candidates = lengths.flat_map(|length| {
        (before.len().saturating_sub(length)..before.len())
            .map(move |start| (start, start + length, length))
    });
    let repeated = candidates.find(|(start, end, length)| {
        let first = joined.get(*start..*end);
        first.is_some()
            && first == joined.get(*end..end + length)
            && !first.is_some_and(is_intentional)
    });
    if let Some((_, end, length)) = repeated {
        joined.drain(end..end + length);
    }
    joined.split_off(before.len())
}

/// Whether the repeated word is first an object and then a subject: "about it | it is".
fn is_object_then_subject(before: Option<&String>, phrase: &[String]) -> bool {
    let is_object_or_subject =
        |word: &String| ["it", "you", "that", "this"].contains(&word.as_str());
    matches!(phrase, [word] if is_object_or_subject(word))
        && before.is_some_and(|word| PREPOSITIONS.contains(&word.as_str()))
}

fn is_intentional(phrase: &[String]) -> bool {
    phrase.iter().all(|word| INTENTIONAL_REPETITIONS.contains(&word.as_str()))
}

const PRONOUNS: [&str; 7] = ["i", "you", "he", "she", "it", "we", "they"];
const AUXILIARIES: [&str; 27] = [
    "am", "is", "are", "was", "were", "have", "has", "had", "do", "does", "did", "will", "would",
    "could", "can", "should", "might", "may", "must", "shall", "want", "wanted", "need", "went",
    "just", "really", "never",
];
/// Words that may precede a false start.
const SENTENCE_STARTS: [&str; 8] = ["and", "but", "so", "because", "then", "well", "that", "yes"];

/// Removes abandoned sentence starts: "we could we should leave" becomes "we should leave".
///
/// Only a pronoun with an auxiliary, followed by the same pronoun, is detected, and only where no
/// clause such as "if i could" can precede it.
pub(super) fn drop_false_starts(words: &[String]) -> Vec<String> {
    let mut kept_words: Vec<String> = Vec::with_capacity(words.len());
    let mut remaining = words;
    while let Some((word, after)) = remaining.split_first() {
        if let [pronoun, auxiliary, repeated, _, ..] = remaining
            && pronoun == repeated
            && PRONOUNS.contains(&pronoun.as_str())
            && AUXILIARIES.contains(&auxiliary.as_str())
            && kept_words.last().is_none_or(|before| SENTENCE_STARTS.contains(&before.as_str()))
        {
            remaining = remaining.get(2..).unwrap_or_default();
            continue;
        }
        kept_words.push(word.clone());
        remaining = after;
    }
    kept_words
}

/// Phrases that introduce a correction.
const CORRECTION_MARKERS: [&[&str]; 10] = [
    &["no", "wait"],
    &["wait", "no"],
    &["no", "sorry"],
    &["sorry", "no"],
    &["or", "rather"],
    &["sorry", "i", "mean"],
    &["no", "i", "mean"],
    &["i", "mean"],
    &["scratch", "that"],
    &["let", "me", "rephrase", "that"],
];
/// Number of words before a marker among which the first word of the correction is searched.
const MAX_CORRECTION_DISTANCE: usize = 5;

/// Applies corrections: "on tuesday no wait on wednesday" becomes "on wednesday".
///
/// The words after the marker must start with a word that also occurs shortly before the marker;
/// otherwise only the marker is removed.
pub(super) fn apply_corrections(words: &[String]) -> Vec<String> {
    let mut kept_words: Vec<String> = Vec::with_capacity(words.len());
    let mut remaining = words;
    while let Some((word, after)) = remaining.split_first() {
        let marker = CORRECTION_MARKERS.iter().find(|marker| {
            remaining.len() >= marker.len()
                && marker.iter().zip(remaining).all(|(expected, word)| expected == word)
        });
        if let Some(marker) = marker
            && !kept_words.is_empty()
        {
            let corrected = remaining.get(marker.len()..).unwrap_or_default();
            let window_start = kept_words.len().saturating_sub(MAX_CORRECTION_DISTANCE);
            let repeated = corrected.first().and_then(|next| {
                kept_words.iter().skip(window_start).rposition(|word| word == next)
            });
            if let Some(offset) = repeated {
                kept_words.truncate(window_start + offset);
            } else if *marker == ["i", "mean"] {
                // The marker is part of a longer filler, as in "if you know what i mean", or a
                // filler itself.
                kept_words.push(word.clone());
                remaining = after;
                continue;
            }
            remaining = corrected;
        } else {
            kept_words.push(word.clone());
            remaining = after;
        }
    }
    kept_words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn repetitions_are_removed() {
        let table = [
            ("i i think i think that it would be best", "i think that it would be best"),
            ("the the the dog", "the dog"),
            ("we should go we should go home", "we should go home"),
            ("what i want to say what i want to say is no", "what i want to say is no"),
            ("call five five one two two", "call five five one two two"),
            ("he had had enough", "he had had enough"),
            ("", ""),
        ];
        for (phrase, expected) in table {
            assert_eq!(drop_repeated(&words(phrase)).join(" "), expected);
        }
    }

    #[test]
    fn repetition_across_phrases_is_removed() {
        let table = [
            ("so i think", "i think that", "that"),
            ("so i think", "think that", "that"),
            ("i might", "as well i might as well go", "as well go"),
            ("three hours i", "might as well i might as well go", "might as well go"),
            ("i might", "as well he might as well go", "as well he might as well go"),
            ("number five", "five one", "five one"),
            ("", "five one", "five one"),
            ("so i think", "", ""),
        ];
        for (before, phrase, expected) in table {
            assert_eq!(
                drop_repeated_across(&words(before), &words(phrase)).join(" "),
                expected,
                "{before} | {phrase}"
            );
        }
    }

    #[test]
    fn false_starts_are_removed() {
        let table = [
            ("we could we should leave", "we should leave"),
            ("and i was i went home", "and i went home"),
            ("if i could i would go", "if i could i would go"),
            ("what i can i will", "what i can i will"),
        ];
        for (phrase, expected) in table {
            assert_eq!(drop_false_starts(&words(phrase)).join(" "), expected);
        }
    }

    #[test]
    fn corrections_replace_the_corrected_words() {
        let table = [
            ("we meet on tuesday no wait on wednesday", "we meet on wednesday"),
            ("give it to him sorry i mean to her", "give it to her"),
            ("it was red or rather orange", "it was red orange"),
            ("no wait for me", "no wait for me"),
            ("it is late if you know what i mean", "it is late if you know what i mean"),
        ];
        for (phrase, expected) in table {
            assert_eq!(apply_corrections(&words(phrase)).join(" "), expected);
        }
    }
}
