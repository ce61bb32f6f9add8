//! Recognition of a known phrase although a word of it was misheard.

use super::UNFINISHED;

/// Minimum number of words of the phrase, without function words, that were understood.
const MIN_UNDERSTOOD: usize = 3;

/// Returns whether a phrase was heard, with one word misheard as a similar one at most, and one
/// function word as another at most. The pairs are the words of the phrase and those heard.
pub(super) fn is_same_phrase<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let (mut understood, mut misheard, mut replaced) = (0, 0, 0);
    for (expected, heard) in pairs {
        if expected == heard {
            understood += usize::from(!UNFINISHED.contains(&expected));
        } else if is_function_word(expected) && is_function_word(heard) {
            replaced += 1;
        } else if is_similar(expected, heard) {
            misheard += 1;
        } else {
            return false;
        }
    }
    understood >= MIN_UNDERSTOOD && misheard <= 1 && replaced <= 1
}

/// Whether another function word in place of this one does not reverse the meaning.
fn is_function_word(word: &str) -> bool {
    word != "not" && UNFINISHED.contains(&word)
}

/// Whether at most half of the letters differ. Numbers are similar to no other word.
fn is_similar(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let has_digit = |word: &[char]| word.iter().any(|letter| letter.is_numeric());
    !has_digit(&one)
        && !has_digit(&other)
        && 2 * distance(&one, &other) <= one.len().max(other.len())
}

/// Returns the edit distance of two words.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (count, letter) in (1..).zip(one) {
        let mut left = count;
        let mut next = vec![left];
        for (pair, expected) in row.windows(2).zip(other) {
            let [diagonal, above] = pair else { continue };
            left = (left + 1).min(above + 1).min(diagonal + usize::from(letter != expected));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrase_with_a_misheard_word_is_recognised() {
        let phrase = "count my chickens before they hatch";
        for (heard, expected) in [
            ("count my chickens before they hatch", true),
            ("count my chickens before they hash", true),
            ("count my chickens before a hash", true),
            ("count my kitchens before they hatch", true),
            // Two words.
            ("count my kitchens before they hash", false),
            ("count a chickens before a hatch", false),
            // Not similar.
            ("count my chickens before they leave", false),
            ("count my chickens before not hatch", false),
        ] {
            let pairs = phrase.split(' ').zip(heard.split(' '));
            assert_eq!(is_same_phrase(pairs), expected, "{heard}");
        }
        let pairs = "at the end of the day".split(' ').zip("at the end of the play".split(' '));
        assert!(!is_same_phrase(pairs), "too few words are understood");
    }

    #[test]
    fn similar_words_share_half_of_their_letters() {
        for (one, other, expected) in [
            ("hatch", "hash", true),
            ("leg", "lag", true),
            ("beat", "meet", true),
            ("day", "week", false),
            ("", "a", false),
            ("10", "11", false),
        ] {
            assert_eq!(is_similar(one, other), expected, "{one} {other}");
        }
    }
}
