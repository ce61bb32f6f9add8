//! Phonemes of a text, and their IDs.

use taonet_speech::{Espeak, SynthesisError};
use unicode_normalization::UnicodeNormalization as _;

use crate::clauses::{Clause, split_at_length};
use crate::config::{BEGIN, Config, END, PAD};

/// Maximum number of phonemes in a phrase at a length scale of 1: about 10 s of speech. Limits time
/// and memory.
const MAX_PHONEMES: usize = 150;
/// Minimum of that number at large length scales, so that words stay whole.
const MIN_PHONEMES: usize = 10;

/// Returns the maximum number of phonemes in a phrase, such that its speech has about the same
/// duration at every length scale of at least 1.
pub(crate) fn max_phonemes(length_scale: f32) -> usize {
    ((MAX_PHONEMES as f32 / length_scale.max(1.0)) as usize).max(MIN_PHONEMES)
}

/// Returns the phrases of a sentence, each of at most `max_phonemes` phonemes with their
/// punctuation: a single one if it fits. A longer sentence ends its phrases between clauses; a
/// longer clause is cut between two words.
///
/// # Errors
/// As [`Espeak::phonemes`].
pub(crate) fn phrases(
    espeak: &Espeak,
    voice: &str,
    sentence: &[Clause],
    max_phonemes: usize,
) -> Result<Vec<String>, SynthesisError> {
    let text: Vec<&str> = sentence.iter().map(|clause| &*clause.text).collect();
    let mut lines = espeak.phonemes(&text.join(" "), voice)?;
    if lines.len() != sentence.len() {
        // espeak-ng ended a clause elsewhere, for example because it is too long: ask for each
        // clause alone.
        lines.clear();
        for clause in text {
            lines.push(espeak.phonemes(clause, voice)?.join(" "));
        }
    }
    Ok(join_into_phrases(sentence.iter().map(|clause| clause.mark).zip(lines), max_phonemes))
}

/// Joins the phonemes of clauses to phrases of at most `max_phonemes` phonemes.
fn join_into_phrases(
    clauses: impl Iterator<Item = (Option<char>, String)>,
    max_phonemes: usize,
) -> Vec<String> {
    let mut phrases: Vec<String> = Vec::new();
    for (mark, line) in clauses {
        let clause: String = without_languages(&line).nfd().chain(mark).collect();
        match phrases.last_mut() {
            Some(phrase) if phrase.chars().count() + 1 + clause.chars().count() <= max_phonemes => {
                phrase.push(' ');
                phrase.push_str(&clause);
            }
            _ => phrases
                .extend(split_at_length(&clause, max_phonemes).into_iter().map(str::to_owned)),
        }
    }
    phrases.retain(|phrase| phrase.chars().any(char::is_alphabetic));
    phrases
}

/// Removes the names of languages, such as `(fr)`, in which espeak-ng encloses words of another
/// language.
fn without_languages(line: &str) -> String {
    let mut phonemes = String::new();
    let mut unread = line;
    while let Some((before, after)) = unread.split_once('(') {
        phonemes.push_str(before);
        match after.split_once(')') {
            Some((name, following)) if !name.is_empty() => unread = following,
            _ => {
                phonemes.push('(');
                unread = after;
            }
        }
    }
    phonemes.push_str(unread);
    phonemes
}

/// Returns the IDs of a phrase's phonemes, and the phonemes that the voice does not know, which
/// are left out.
pub(crate) fn phoneme_ids(phrase: &str, config: &Config) -> (Vec<i32>, Vec<char>) {
    let pad = marker_ids(config, PAD);
    let mut ids: Vec<i32> = marker_ids(config, BEGIN).iter().chain(pad).copied().collect();
    let mut unknown = Vec::new();
    let mut unread = phrase;
    while let Some(character) = unread.chars().next() {
        let clusters = config
            .clusters
            .iter()
            .filter(|cluster| !cluster.is_empty() && unread.starts_with(&***cluster));
        let first_length = character.len_utf8();
        let length = clusters.map(String::len).max().unwrap_or(first_length).max(first_length);
        let (phoneme, following) = unread.split_at(length);
        match config.ids.get(phoneme) {
            Some(phoneme_ids) => ids.extend(phoneme_ids.iter().chain(pad)),
            None => unknown.extend(phoneme.chars()),
        }
        unread = following;
    }
    ids.extend(marker_ids(config, END));
    (ids, unknown)
}

/// Returns the IDs of a marker; none if the voice does not know it.
fn marker_ids<'a>(config: &'a Config, name: &str) -> &'a [i32] {
    config.ids.get(name).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clauses::sentences;
    use crate::testing::parsed_config;

    fn join_clauses(clauses: &[(&str, Option<char>)]) -> Vec<String> {
        join_into_phrases(
            clauses.iter().map(|(line, mark)| (*mark, (*line).to_owned())),
            MAX_PHONEMES,
        )
    }

    #[test]
    fn clauses_are_joined_with_their_punctuation() {
        assert_eq!(join_clauses(&[("wˈɛl", Some(',')), ("jˈɛs", Some('.'))]), ["wˈɛl, jˈɛs."]);
        assert_eq!(join_clauses(&[("ðə (fr)bɔ̃ʒˈuʁ(en) ɪz", None)]), ["ðə bɔ̃ʒˈuʁ ɪz"]);
        // The cedilla is a separate phoneme.
        assert_eq!(join_clauses(&[("ç()", None)]), ["c\u{327}()"]);
        assert_eq!(join_clauses(&[("()", Some('.'))]), [""; 0]);
        assert_eq!(join_clauses(&[]), [""; 0]);
    }

    #[test]
    fn long_sentences_are_split_into_phrases() {
        let half_phrase = "a".repeat(MAX_PHONEMES / 2 - 1);
        // 74 phonemes, a comma, a space and 74 more are the maximum.
        let full_phrase = [(&*half_phrase, Some(',')), (&*half_phrase, None)];
        assert_eq!(join_clauses(&full_phrase), [format!("{half_phrase}, {half_phrase}")]);
        let clauses = [
            (&*half_phrase, Some(',')),
            (&*half_phrase, Some(',')),
            ("b", Some(',')),
            (&*half_phrase, None),
        ];
        assert_eq!(
            join_clauses(&clauses),
            [format!("{half_phrase},"), format!("{half_phrase}, b,"), half_phrase.clone()]
        );
        let words = vec!["ˈabcdefgh"; 100].join(" ");
        let phrases = join_clauses(&[(&words, Some('.'))]);
        assert_eq!(phrases.join(" "), format!("{words}."));
        let fits_and_begins_a_word =
            |phrase: &String| phrase.chars().count() <= MAX_PHONEMES && phrase.starts_with('ˈ');
        assert!(phrases.iter().all(fits_and_begins_a_word), "{phrases:?}");
        let word = "ɑ".repeat(2 * MAX_PHONEMES + 1);
        assert_eq!(
            join_clauses(&[(&word, None)])
                .iter()
                .map(|part| part.chars().count())
                .collect::<Vec<_>>(),
            [MAX_PHONEMES, MAX_PHONEMES, 1]
        );
    }

    /// Columns: length scale · maximum number of phonemes
    #[test]
    fn phoneme_limit_falls_with_length_scale() {
        for (length_scale, expected) in
            [(0.1, 150), (1.0, 150), (2.0, 75), (37.5, 10), (f32::INFINITY, 10)]
        {
            assert_eq!(max_phonemes(length_scale), expected, "{length_scale}");
        }
    }

    #[test]
    fn phonemes_are_mapped_to_ids() {
        let mut config = parsed_config();
        assert_eq!(phoneme_ids("ab", &config), (vec![1, 0, 14, 0, 15, 0, 2], vec![]));
        assert_eq!(
            phoneme_ids("a\u{1f600}b☃", &config),
            (vec![1, 0, 14, 0, 15, 0, 2], vec!['\u{1f600}', '☃'])
        );
        assert_eq!(phoneme_ids("", &config), (vec![1, 0, 2], vec![]));
        config.clusters = vec!["ab".to_owned(), "abb".to_owned(), String::new()];
        config.ids.insert("ab".to_owned(), serde_json::from_value(json!([90, 91])).unwrap());
        assert_eq!(phoneme_ids("aab", &config), (vec![1, 0, 14, 0, 90, 91, 0, 2], vec![]));
        assert_eq!(phoneme_ids("abb", &config), (vec![1, 0, 2], vec!['a', 'b', 'b']));
    }

    #[test]
    fn espeak_converts_sentences_to_phonemes() {
        let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
        let spoken = |text: &str| -> Vec<String> {
            let sentences = sentences(text);
            sentences
                .iter()
                .flat_map(|sentence| phrases(&espeak, "en-us", sentence, MAX_PHONEMES).unwrap())
                .collect()
        };
        assert_eq!(
            spoken("Hello world, this is a test. Yes!"),
            ["həlˈoʊ wˈɜːld, ðɪs ɪz ɐ tˈɛst.", "jˈɛs!"]
        );
        assert_eq!(spoken("?!"), [""; 0]);
        // espeak-ng itself ends a clause of this length.
        let long = spoken(&"abc ".repeat(400));
        assert!(
            long.len() > 1 && long.iter().all(|phrase| phrase.chars().count() <= MAX_PHONEMES),
            "{long:?}"
        );
        assert_eq!(long.join(" ").split_whitespace().count(), 400);
    }
}
