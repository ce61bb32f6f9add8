/// Returns the words of a text in lower case: runs of letters and digits.
pub fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Returns the n-grams of `length` words; the complete text if it has fewer words.
pub(crate) fn n_grams(words: &[String], length: usize) -> Vec<&[String]> {
    if words.is_empty() || length == 0 {
        return Vec::new();
    }
    words.windows(length.min(words.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(words("What's 2+2? ÉCOLE—東京"), ["what", "s", "2", "2", "école", "東京"]);
        assert!(words(" \n?!\u{0}").is_empty());
    }

    /// Columns: text · number of 3-grams
    #[test]
    fn text_has_an_n_gram_per_position_and_short_text_has_one() {
        for (text, count) in [("", 0), ("one", 1), ("one two three", 1), ("one two three four", 2)]
        {
            assert_eq!(n_grams(&words(text), 3).len(), count, "{text}");
        }
        assert!(n_grams(&words("one"), 0).is_empty());
    }
}
