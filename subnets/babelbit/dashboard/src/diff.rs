//! Word-by-word comparison of a transcript with its reference.

use std::time::{Duration, Instant};

use maud::{Markup, html};
use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};
use taonet_dashboard::printable;

/// Maximum number of words of a text; longer texts are shown without comparison.
const MAX_WORDS: usize = 600;
/// Time limit of the comparison; after this limit, differences are computed more coarsely.
const TIME_LIMIT: Duration = Duration::from_millis(5);

/// Compares a transcript with its reference and marks the differences: missing words in the
/// reference, additional words in the transcript.
pub(crate) fn compare(reference: &str, transcript: &str) -> (Markup, Markup) {
    let (expected, actual): (Vec<_>, Vec<_>) =
        (reference.split_whitespace().collect(), transcript.split_whitespace().collect());
    if expected.len() > MAX_WORDS || actual.len() > MAX_WORDS {
        return (html! { (printable(reference)) }, html! { (printable(transcript)) });
    }
    let (left, right): (Vec<_>, Vec<_>) = (
        expected.iter().map(|word| fold_case(word)).collect(),
        actual.iter().map(|word| fold_case(word)).collect(),
    );
    let parts = capture_diff_slices_deadline(
        Algorithm::Myers,
        &left,
        &right,
        Some(Instant::now() + TIME_LIMIT),
    );
    let join = |words: &[&str], range: std::ops::Range<usize>| {
        printable(&words.get(range).unwrap_or_default().join(" "))
    };
    let reference = html! {
        @for part in &parts {
            @if part.tag() == DiffTag::Equal { (join(&expected, part.old_range())) " " }
            @else if !part.old_range().is_empty() { del { (join(&expected, part.old_range())) } " " }
        }
    };
    let transcript = html! {
        @for part in &parts {
            @if part.tag() == DiffTag::Equal { (join(&actual, part.new_range())) " " }
            @else if !part.new_range().is_empty() { ins { (join(&actual, part.new_range())) } " " }
        }
    };
    (reference, transcript)
}

/// Returns a word in lower case without punctuation.
fn fold_case(word: &str) -> String {
    let folded: String = word.chars().filter(|character| character.is_alphanumeric()).collect();
    if folded.is_empty() { word.to_owned() } else { folded.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare_as_text(reference: &str, transcript: &str) -> (String, String) {
        let (left, right) = compare(reference, transcript);
        (left.into_string(), right.into_string())
    }

    #[test]
    fn differences_are_marked_by_word() {
        assert_eq!(
            compare_as_text("The train, is late.", "the train was late today"),
            (
                "The train, <del>is</del> late. ".into(),
                "the train <ins>was</ins> late <ins>today</ins> ".into()
            )
        );
        assert_eq!(compare_as_text("a b", ""), ("<del>a b</del> ".into(), String::new()));
        assert_eq!(compare_as_text("", ""), (String::new(), String::new()));
    }

    #[test]
    fn markup_is_escaped() {
        let (left, right) = compare_as_text("<script>", "</ins><script> \u{202e}");
        assert!(!left.contains("<script>") && !right.contains("<script>"), "{left} {right}");
        assert!(right.contains("\\u{202e}"), "{right}");
    }

    #[test]
    fn long_transcripts_take_bounded_time() {
        let (left, right) = ("a b c d e f ".repeat(99), "f a e b d c ".repeat(99));
        let start = Instant::now();
        compare_as_text(&left, &right);
        compare_as_text(&left.repeat(100), &right);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}
