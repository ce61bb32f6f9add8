#![allow(clippy::float_cmp)] // Times are exact in binary, or rounded in the same way.
#![allow(clippy::type_complexity)] // Tables.

use super::*;

const PUNCTUATION: Punctuation =
    Punctuation { prepended: "\"'“¿([{-", appended: "\"'.。,，!！?？:：”)]}、" };
const END: u32 = 1000;

fn word(text: &str, start: f64, end: f64) -> TimedWord {
    TimedWord { text: text.to_owned(), tokens: vec![1], start, end, probability: 1.0 }
}

fn texts(words: &[TimedWord]) -> Vec<(&str, usize)> {
    words.iter().map(|word| (word.text.as_str(), word.tokens.len())).collect()
}

#[test]
fn punctuation_is_merged_with_its_neighbour() {
    let cases: [(&[&str], &[(&str, usize)]); 6] = [
        (&[" Hello", ",", " world", "."], &[(" Hello,", 2), ("", 0), (" world.", 2), ("", 0)]),
        (&[" \"", "Hi", "!", "\""], &[("", 0), (" \"Hi!\"", 4), ("", 0), ("", 0)]),
        (&[" (", " [", "a"], &[("", 0), ("", 0), (" ( [a", 3)]),
        // An opening mark without a leading space is not merged with the next word.
        (&[" a", "("], &[(" a", 1), ("(", 1)]),
        // A closing mark is not merged with a word that ends with a space.
        (&[" a ", "."], &[(" a ", 1), (".", 1)]),
        (&[], &[]),
    ];
    for (words, expected) in cases {
        let mut words: Vec<TimedWord> = words.iter().map(|text| word(text, 0.0, 0.1)).collect();
        merge_punctuation(&mut words, PUNCTUATION);
        assert_eq!(texts(&words), expected);
    }
}

#[test]
fn tokens_begin_where_the_path_reaches_them() {
    let path = vec![(0, 3), (0, 4), (1, 10), (1, 11), (2, 20), (3, 30), (3, 31)];
    let alignment = Alignment { path, probabilities: vec![0.5, 0.25, 0.75] };
    let words = vec![
        (" a".to_owned(), vec![7]),
        (" bc".to_owned(), vec![8, 9]),
        (String::new(), vec![END]),
    ];
    let words = time_words(words, &alignment);
    let times: Vec<(f64, f64, f64)> =
        words.iter().map(|word| (word.start, word.end, word.probability)).collect();
    assert_eq!(times, [(0.06, 0.2, 0.5), (0.2, 0.6, 0.5)]);
    // Only the end of text: no words.
    assert!(time_words(vec![(String::new(), vec![END])], &alignment).is_empty());
    // A window shorter than one position of the encoder has no alignment path.
    let alignment = Alignment { path: Vec::new(), probabilities: vec![0.5] };
    assert!(
        time_words(vec![(" a".to_owned(), vec![7]), (String::new(), vec![END])], &alignment)
            .is_empty()
    );
}

#[test]
fn median_ignores_words_without_duration() {
    let words =
        |durations: &[f64]| durations.iter().map(|d| word("a", 0.0, *d)).collect::<Vec<_>>();
    for (list, expected) in [
        (&[][..], 0.0),
        (&[0.0, 0.0], 0.0),
        (&[0.0, 0.25, 0.5], 0.375),
        (&[0.125, 0.5, 0.25], 0.25),
        (&[2.0, 3.0], 0.7),
    ] {
        assert_eq!(median_and_max_duration(&words(list)), (expected, 2.0 * expected));
    }
}

#[test]
fn long_words_are_shortened_at_sentence_ends() {
    // The punctuation mark and the word after it are shortened; the first word and the others are
    // not.
    let mut words = vec![
        word(" a", 0.0, 9.0),
        word(".", 9.0, 12.0),
        word(" b", 12.0, 15.0),
        word(" c", 15.0, 19.0),
    ];
    shorten_at_sentence_ends(&mut words, 1.0);
    let times: Vec<(f64, f64)> = words.iter().map(|word| (word.start, word.end)).collect();
    assert_eq!(times, [(0.0, 9.0), (9.0, 10.0), (14.0, 15.0), (15.0, 19.0)]);
}

#[test]
fn words_after_a_pause_are_shortened() {
    // (words, last speech) -> words; median 0.5, longest 1.0
    let cases: [(&[(f64, f64)], f64, &[(f64, f64)]); 5] = [
        // The first word is too long after a pause.
        (&[(0.0, 5.0), (5.0, 5.5)], 0.0, &[(4.0, 5.0), (5.0, 5.5)]),
        // Without a pause, a long first word is unchanged: it ends within four medians of the last
        // speech.
        (&[(0.0, 5.0), (5.0, 5.5)], 3.0, &[(0.0, 5.0), (5.0, 5.5)]),
        // Both together are too long: the boundary moves, too.
        (&[(4.0, 4.5), (4.5, 8.0)], 0.0, &[(6.0, 7.0), (7.0, 8.0)]),
        // The second word alone is short enough.
        (&[(4.0, 5.5), (5.5, 6.25)], 0.0, &[(4.5, 5.5), (5.5, 6.25)]),
        // The boundary is one maximum duration before the second word's end, or at that word's
        // midpoint if this is later.
        (&[(0.0, 1.25), (0.5, 1.75)], -9.0, &[(0.0, 0.875), (0.875, 1.75)]),
    ];
    for (index, (times, last_speech, expected)) in cases.into_iter().enumerate() {
        let mut words: Vec<TimedWord> =
            times.iter().map(|&(start, end)| word("a", start, end)).collect();
        correct_start(&mut words, 0.5, 1.0, last_speech);
        let times: Vec<(f64, f64)> = words.iter().map(|word| (word.start, word.end)).collect();
        assert_eq!(times, expected, "case {index}");
    }
}

#[test]
fn segment_times_follow_words_within_limits() {
    // (segment, words) -> segment, words; median 0.25
    type Times = ((f64, f64), &'static [(f64, f64)]);
    let cases: [(Times, Times); 3] = [
        // The segment takes the words' times.
        (((0.0, 2.0), &[(0.25, 0.5), (1.0, 2.25)]), ((0.25, 2.25), &[(0.25, 0.5), (1.0, 2.25)])),
        // The first word begins far before the segment: its start is cut to the segment's start.
        (((2.0, 3.0), &[(1.0, 2.5), (2.5, 3.0)]), ((2.0, 3.0), &[(2.0, 2.5), (2.5, 3.0)])),
        // The last word ends far behind the segment: its end is cut to the segment's end.
        (((0.0, 1.5), &[(0.0, 0.5), (1.0, 3.0)]), ((0.0, 1.5), &[(0.0, 0.5), (1.0, 1.5)])),
    ];
    for (((start, end), words), expected) in cases {
        let mut draft = SegmentDraft { start, end, tokens: Vec::new(), words: Vec::new() };
        let mut words: Vec<TimedWord> =
            words.iter().map(|&(start, end)| word("a", start, end)).collect();
        fit_segment(&mut draft, &mut words, 0.25);
        let times: Vec<(f64, f64)> = words.iter().map(|word| (word.start, word.end)).collect();
        assert_eq!(((draft.start, draft.end), times.as_slice()), expected);
    }
}

#[test]
fn words_are_attached_to_the_segment_of_their_tokens() {
    let draft = |start, end, tokens: &[u32]| SegmentDraft {
        start,
        end,
        tokens: tokens.to_vec(),
        words: Vec::new(),
    };
    let mut drafts = [draft(30.0, 31.0, &[1100, 1, 2, 1150]), draft(31.0, 32.0, &[1150, 3, 1200])];
    let words = vec![word(" a", 0.1, 0.3), word(" b", 0.3, 0.6), word(" c", 1.02, 1.4)];
    attach_words(&mut drafts, words, 3000, END, PUNCTUATION, 29.5);
    assert_eq!(texts(&drafts[0].words), [(" a", 1), (" b", 1)]);
    assert_eq!(texts(&drafts[1].words), [(" c", 1)]);
    assert_eq!((drafts[0].start, drafts[0].end), (30.1, 30.6));
    assert_eq!((drafts[1].start, drafts[1].end), (31.02, 31.4));
    assert_eq!(last_end(&drafts), Some(31.4));
    let silent = [draft(1.0, 2.0, &[])];
    assert_eq!((last_end(&silent), last_end(&[])), (Some(2.0), None));
}
