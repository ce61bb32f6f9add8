//! Phonemes of a text, and their numbers.

use taonet_speech::{Espeak, SynthesisError};
use unicode_normalization::UnicodeNormalization as _;

use crate::clauses::Clause;
use crate::config::{BEGIN, Config, END, PAD};

/// Number of phonemes, about 4 s of speech, from which a phrase ends with the clause: its samples are ready earlier than
/// those of the sentence would be.
const ENOUGH: usize = 60;
/// Maximum number of phonemes in a phrase, about 25 s of speech, which limits time and memory. A longer clause is cut
/// between two words.
const MOST: usize = 400;

/// Returns the phrases of a sentence: the phonemes of one or more clauses, with their punctuation.
///
/// # Errors
/// As [`Espeak::phonemes`].
pub(crate) fn phrases(espeak: &Espeak, voice: &str, sentence: &[Clause]) -> Result<Vec<String>, SynthesisError> {
    let text: Vec<&str> = sentence.iter().map(|clause| &*clause.text).collect();
    let mut lines = espeak.phonemes(&text.join(" "), voice)?;
    if lines.len() != sentence.len() {
        // espeak-ng ended a clause elsewhere, for example because it is too long: ask for each clause alone.
        lines.clear();
        for clause in text {
            lines.push(espeak.phonemes(clause, voice)?.join(" "));
        }
    }
    Ok(join(sentence.iter().map(|clause| clause.mark).zip(lines)))
}

/// Joins the phonemes of clauses to phrases.
fn join(clauses: impl Iterator<Item = (Option<char>, String)>) -> Vec<String> {
    let mut phrases = Vec::new();
    let mut phrase = String::new();
    for (mark, line) in clauses {
        let line = without_languages(&line);
        if !phrase.is_empty() {
            phrase.push(' ');
        }
        phrase.extend(line.nfd().chain(mark));
        if phrase.chars().count() >= ENOUGH {
            phrases.extend(cut(std::mem::take(&mut phrase)));
        }
    }
    if !phrase.is_empty() {
        phrases.push(phrase);
    }
    phrases.retain(|phrase| phrase.chars().any(char::is_alphabetic));
    phrases
}

/// Removes the names of languages, such as `(fr)`, in which espeak-ng encloses words of another language.
fn without_languages(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('(') {
        kept.push_str(before);
        match after.split_once(')') {
            Some((name, following)) if !name.is_empty() => rest = following,
            _ => {
                kept.push('(');
                rest = after;
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// Cuts a phrase that is too long, between two words if possible.
fn cut(phrase: String) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = &*phrase;
    while let Some((end, _)) = rest.char_indices().nth(MOST) {
        let (head, _) = rest.split_at(end);
        let (part, following) = match head.rsplit_once(' ') {
            Some((part, _)) if !part.trim().is_empty() => (part, &rest[part.len()..]),
            _ => rest.split_at(end),
        };
        parts.push(part.trim().to_owned());
        rest = following.trim_start();
    }
    if parts.is_empty() {
        return vec![phrase];
    }
    parts.push(rest.to_owned());
    parts
}

/// Returns the numbers of a phrase's phonemes, and the phonemes that the voice does not know, which are left out.
pub(crate) fn numbers(phrase: &str, config: &Config) -> (Vec<i32>, Vec<char>) {
    let known = |phoneme: &str| config.ids.get(phoneme).map(Vec::as_slice);
    let of = |phoneme| known(phoneme).unwrap_or_default().iter();
    let mut numbers: Vec<i32> = of(BEGIN).chain(of(PAD)).copied().collect();
    let mut unknown = Vec::new();
    let mut rest = phrase;
    while let Some(character) = rest.chars().next() {
        let clusters = config.clusters.iter().filter(|cluster| !cluster.is_empty() && rest.starts_with(&***cluster));
        let single = character.len_utf8();
        let length = clusters.map(String::len).max().unwrap_or(single).max(single);
        let (phoneme, following) = rest.split_at(length);
        match known(phoneme) {
            Some(ids) => numbers.extend(ids.iter().chain(of(PAD))),
            None => unknown.extend(phoneme.chars()),
        }
        rest = following;
    }
    numbers.extend(of(END));
    (numbers, unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clauses::sentences;
    use crate::testing::parsed_config;

    fn joined(clauses: &[(&str, Option<char>)]) -> Vec<String> {
        join(clauses.iter().map(|(line, mark)| (*mark, (*line).to_owned())))
    }

    #[test]
    fn clauses_are_joined_with_their_punctuation() {
        assert_eq!(joined(&[("wˈɛl", Some(',')), ("jˈɛs", Some('.'))]), ["wˈɛl, jˈɛs."]);
        assert_eq!(joined(&[("ðə (fr)bɔ̃ʒˈuʁ(en) ɪz", None)]), ["ðə bɔ̃ʒˈuʁ ɪz"]);
        // The cedilla is a phoneme of its own.
        assert_eq!(joined(&[("ç()", None)]), ["c\u{327}()"]);
        assert_eq!(joined(&[("()", Some('.'))]), [""; 0]);
        assert_eq!(joined(&[]), [""; 0]);
    }

    #[test]
    fn long_sentences_are_several_phrases() {
        let clause = "a".repeat(ENOUGH - 1);
        let clauses = [(&*clause, Some(',')), ("b", Some(',')), (&*clause, None)];
        assert_eq!(joined(&clauses), [format!("{clause},"), format!("b, {clause}")]);
        let words = vec!["ˈabcdefgh"; 100].join(" ");
        let phrases = joined(&[(&words, Some('.'))]);
        assert_eq!(phrases.join(" "), format!("{words}."));
        assert!(phrases.iter().all(|phrase| phrase.chars().count() <= MOST && phrase.starts_with('ˈ')), "{phrases:?}");
        let word = "ɑ".repeat(2 * MOST + 1);
        assert_eq!(
            joined(&[(&word, None)]).iter().map(|part| part.chars().count()).collect::<Vec<_>>(),
            [MOST, MOST, 1]
        );
    }

    #[test]
    fn phonemes_become_numbers() {
        let mut config = parsed_config();
        assert_eq!(numbers("ab", &config), (vec![1, 0, 14, 0, 15, 0, 2], vec![]));
        assert_eq!(numbers("a\u{1f600}b☃", &config), (vec![1, 0, 14, 0, 15, 0, 2], vec!['\u{1f600}', '☃']));
        assert_eq!(numbers("", &config), (vec![1, 0, 2], vec![]));
        config.clusters = vec!["ab".to_owned(), "abb".to_owned(), String::new()];
        config.ids.insert("ab".to_owned(), serde_json::from_value(json!([90, 91])).unwrap());
        assert_eq!(numbers("aab", &config), (vec![1, 0, 14, 0, 90, 91, 0, 2], vec![]));
        assert_eq!(numbers("abb", &config), (vec![1, 0, 2], vec!['a', 'b', 'b']));
    }

    #[test]
    fn sentences_are_translated_by_espeak() {
        let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
        let spoken = |text: &str| -> Vec<String> {
            let sentences = sentences(text);
            sentences.iter().flat_map(|sentence| phrases(&espeak, "en-us", sentence).unwrap()).collect()
        };
        assert_eq!(spoken("Hello world, this is a test. Yes!"), ["həlˈoʊ wˈɜːld, ðɪs ɪz ɐ tˈɛst.", "jˈɛs!"]);
        assert_eq!(spoken("?!"), [""; 0]);
        // espeak-ng itself ends a clause of this length.
        let long = spoken(&"abc ".repeat(400));
        assert!(long.len() > 1 && long.iter().all(|phrase| phrase.chars().count() <= MOST), "{long:?}");
        assert_eq!(long.join(" ").split_whitespace().count(), 400);
    }
}
