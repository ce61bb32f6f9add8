//! Phrase boundaries within a sequence of words.

use taonet_primitives::Word;

/// Maximum number of words per breath: about 2.5 s.
const BREATH: usize = 8;

/// Words that may start a new phrase.
const OPENING: [&str; 36] = [
    "and", "but", "so", "or", "because", "if", "when", "while", "although", "before", "after", "until", "since",
    "that", "which", "who", "where", "then", "to", "in", "on", "at", "with", "for", "from", "of", "by", "about",
    "into", "i", "you", "he", "she", "it", "we", "they",
];
/// Words that do not end a phrase.
const CLINGING: [&str; 40] = [
    "a", "an", "the", "my", "your", "his", "her", "our", "their", "its", "i", "you", "he", "she", "it", "we", "they",
    "am", "is", "are", "was", "were", "be", "not", "very", "to", "of", "in", "on", "at", "for", "with", "from", "and",
    "but", "or", "if", "that", "will", "would",
];

/// Quality of a phrase boundary between two words, 0 to 2.
fn seam(before: &str, after: &str) -> f64 {
    f64::from(u8::from(OPENING.contains(&after))) + f64::from(u8::from(!CLINGING.contains(&before)))
}

/// Splits words at the best boundaries into parts of about equal length, each spoken in one breath.
pub(super) fn breaths(words: &[String]) -> Vec<&[String]> {
    let count = words.len().div_ceil(BREATH).max(1);
    if count == 1 {
        return if words.is_empty() { Vec::new() } else { vec![words] };
    }
    let even = words.len() as f64 / count as f64;
    let places = (1..words.len()).filter(|place| place.abs_diff(even.round() as usize) <= 2 && *place <= BREATH);
    let value = |place: &usize| {
        let (before, after) = (words.get(place - 1), words.get(*place));
        before.zip(after).map_or(0.0, |(before, after)| seam(before, after)) - (*place as f64 - even).abs() * 0.2
    };
    let best = places.max_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or(BREATH);
    let (first, rest) = words.split_at(best);
    let mut parts = vec![first];
    parts.extend(breaths(rest));
    parts
}

/// Index of the word before which speech of `length` seconds is best cut, if there is a good place.
///
/// The last words stay together, since they may be incomplete.
pub(super) fn best_cut(words: &[Word], length: f64) -> Option<usize> {
    let value = |place: usize| {
        let (before, after) = words.get(place.checked_sub(1)?).zip(words.get(place))?;
        let at = f64::midpoint(before.end, after.start);
        let allowed = at >= 0.3 * length && after.start <= length - 0.3;
        let gap = (after.start - before.end).clamp(0.0, 0.3);
        allowed.then(|| seam(&before.text, &after.text) + 4.0 * gap + at / length)
    };
    let places = (1..words.len()).filter_map(|place| Some((place, value(place)?)));
    places.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn spoken(text: &str) -> Vec<String> {
        breaths(&words(text)).iter().map(|part| part.join(" ")).collect()
    }

    #[test]
    fn long_phrases_are_broken_at_seams() {
        assert!(spoken("").is_empty());
        assert_eq!(spoken("we should leave now"), ["we should leave now"]);
        assert_eq!(
            spoken("we should leave the house now because the train is at noon"),
            ["we should leave the house now", "because the train is at noon"]
        );
        let long = spoken(&"word ".repeat(40));
        assert!(long.iter().all(|part| part.split(' ').count() <= BREATH), "{long:?}");
    }

    #[test]
    fn cuts_come_before_opening_words() {
        let text = "we should leave the house because the train";
        let timed: Vec<_> = (0..)
            .zip(words(text))
            .map(|(n, text)| Word { text, start: f64::from(n) * 0.4, end: f64::from(n) * 0.4 + 0.35 })
            .collect();
        assert_eq!(best_cut(&timed, 3.2), Some(5));
        assert_eq!(best_cut(&timed[..1], 3.2), None);
        assert_eq!(best_cut(&[], 3.2), None);
    }
}
