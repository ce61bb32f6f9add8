use proptest::prelude::*;

use super::*;

fn trained_model(context_words: usize, utterances: &[&str]) -> NgramModel {
    let mut trainer = Trainer::new(context_words).unwrap();
    for utterance in utterances {
        trainer.add(utterance).unwrap();
    }
    trainer.finish(|_| ()).unwrap()
}

fn bytes(model: &NgramModel) -> Vec<u8> {
    let mut bytes = Vec::new();
    model.write(&mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<NgramModel, Problem> {
    NgramModel::read(bytes, bytes.len() as u64)
}

/// Columns: prefix, prediction.
#[test]
fn prediction_uses_longest_known_context() {
    let model = trained_model(
        3,
        &[
            "I would like tea.",
            "I would like tea.",
            "You would rather have coffee.",
            "We like cake a lot",
        ],
    );
    for (prefix, expected) in [
        ("", "I would like tea."),
        ("You", "You would rather have coffee."),
        ("You would", "You would rather have coffee."),
        ("Would", "Would"),
        // "would" alone: "like" is more frequent than "rather".
        ("They would", "They would like tea."),
        ("We like", "We like cake a lot"),
        ("Do you like", "Do you like tea."),
        ("cake  a ", "cake  a lot"),
        ("I would like tea.", "I would like tea."),
    ] {
        assert_eq!(model.complete(prefix), expected, "{prefix:?}");
    }
}

#[test]
fn first_of_equally_frequent_words_is_predicted() {
    let model = trained_model(2, &["a x", "a y", "b y", "b x"]);
    assert_eq!((model.complete("a"), model.complete("b")), ("a x".to_owned(), "b x".to_owned()));
}

#[test]
fn repeating_prediction_ends() {
    let model = trained_model(1, &["the end of the end of the end of the end of the end"]);
    let predicted = model.complete("the");
    assert!(predicted.split(' ').count() < 10, "{predicted}");
}

#[test]
fn context_with_the_same_prediction_is_not_stored() {
    let model = trained_model(4, &["one two three four five"]);
    let lengths: Vec<_> = model.tables.iter().map(|table| table.contexts.len()).collect();
    assert_eq!(lengths, [6, 0, 0, 0]);
    assert_eq!(model.complete("one two"), "one two three four five");
}

#[test]
fn end_marker_is_not_a_word() {
    let model = trained_model(2, &["a b EOF", "EOF", ""]);
    assert_eq!(model.words().collect::<Vec<_>>(), ["a", "b"]);
    let mut empty = Trainer::new(2).unwrap();
    empty.add(" EOF ").unwrap();
    assert_eq!(empty.finish(|_| ()).unwrap_err(), TrainError::Empty);
    for context_words in [0, MAX_CONTEXT + 1] {
        assert_eq!(Trainer::new(context_words).unwrap_err(), TrainError::Context(context_words));
    }
}

#[test]
fn only_the_end_of_a_long_prefix_is_used() {
    let model = trained_model(4, &["so it goes on and on"]);
    let prefix = "word ".repeat(20_000) + "it goes";
    let predicted = model.complete(&prefix);
    assert!(predicted.ends_with("it goes on and on"), "{}", &predicted[predicted.len() - 40..]);
}

#[test]
fn saved_model_round_trips() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.bin");
    let model = trained_model(3, &["Grüße aus Köln.", "Grüße aus Bonn.", "Grüße"]);
    model.save(&path).unwrap();
    assert_eq!(NgramModel::load(&path).unwrap(), model);
    std::fs::write(&path, "text").unwrap();
    let error = NgramModel::load(&path).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "is not a usable model: not an n-gram model\nhint: bb text train writes a new one"
        ),
        "{error}"
    );
}

/// Returns the bytes with a matching checksum.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    bytes.truncate(bytes.len() - 32);
    let checksum = Sha256::digest(&bytes);
    bytes.extend(checksum);
    bytes
}

#[test]
fn invalid_model_file_is_reported() {
    let model = trained_model(1, &["a b"]);
    let valid = bytes(&model);
    // Offsets: magic 0, version 8, lengths 12, words 16, contexts 24, "a" 32, "b" 35, hashes 38,
    // continuations 62, checksum 74
    assert_eq!(valid.len(), 38 + 3 * 12 + 32);
    let altered = |at: usize, new: &[u8]| {
        let mut bytes = valid.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        read(&with_checksum(bytes)).unwrap_err().to_string()
    };
    #[rustfmt::skip]
    let table: [(usize, &[u8], &str); 10] = [
        (0, b"T", "not an n-gram model"),
        (8, &[2], "version is 2, expected 1"),
        (12, &[0], "the model has contexts of up to 0 words, expected 1 to 6"),
        (12, &[7], "the model has contexts of up to 7 words, expected 1 to 6"),
        (16, &[0xff; 8], "the file ends within the vocabulary"),
        (24, &[0xff; 8], "the file ends within the contexts"),
        (34, &[0xff], "word 1 of the vocabulary is invalid"),
        (34, b" ", "word 1 of the vocabulary is invalid"),
        (37, b"a", "word 2 of the vocabulary is invalid"),
        (62, &[3], "a continuation is not in the vocabulary"),
    ];
    for (at, new, expected) in table {
        assert_eq!(altered(at, new), expected, "{at}");
    }
    assert_eq!(altered(46, &valid[38..46]), "contexts are out of order");
    let trailing_data = with_checksum([&valid[..74], &[0; 5], &[0; 32]].concat());
    assert_eq!(read(&trailing_data).unwrap_err().to_string(), "data after the checksum (bytes: 5)");
    let mut flipped_bit = valid.clone();
    flipped_bit[40] ^= 1;
    let problem = read(&flipped_bit).unwrap_err().to_string();
    assert!(problem.contains("checksum") || problem.contains("order"), "{problem}");
    let mut wrong_checksum = valid;
    *wrong_checksum.last_mut().unwrap() ^= 1;
    assert_eq!(
        read(&wrong_checksum).unwrap_err().to_string(),
        "checksum does not match the content"
    );
}

proptest! {
    #[test]
    fn models_round_trip_through_files(
        utterances in prop::collection::vec("[a-e]{1,2}( [a-e]{1,2}){0,6}", 1..20),
        context_words in 1..=MAX_CONTEXT,
    ) {
        let texts: Vec<_> = utterances.iter().map(String::as_str).collect();
        let model = trained_model(context_words, &texts);
        prop_assert_eq!(read(&bytes(&model)).unwrap(), model);
    }

    #[test]
    fn altered_model_file_is_refused(position in 0_usize..1_000, flip in 1_u8..=255) {
        let mut bytes = bytes(&trained_model(2, &["a b c", "a c b", "b a"]));
        let length = bytes.len();
        bytes[position % length] ^= flip;
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn model_file_of_wrong_length_is_refused(cut in 1_usize..200, added in prop::collection::vec(any::<u8>(), 1..50)) {
        let valid = bytes(&trained_model(2, &["a b c", "a c b", "b a"]));
        prop_assert!(read(&valid[..valid.len().saturating_sub(cut)]).is_err());
        prop_assert!(read(&[valid, added].concat()).is_err());
    }

    #[test]
    fn arbitrary_file_is_refused_without_panic(content in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read(&content).is_err());
        // Arbitrary content with a valid magic number, version and checksum is mostly invalid, and
        // never panics.
        let file = with_checksum([b"taongram\x01\0\0\0".as_slice(), &content, &[0; 32]].concat());
        let _ = read(&file);
    }

    /// Back-off without pruning: the continuation of the longest context that training has seen.
    #[test]
    fn pruned_contexts_change_no_prediction(
        utterances in prop::collection::vec("[ab]( [abc]){0,5}", 1..12),
        history in prop::collection::vec(0_u32..4, 1..5),
    ) {
        let texts: Vec<_> = utterances.iter().map(String::as_str).collect();
        let model = trained_model(3, &texts);
        let mut tokens = vec![BOUNDARY];
        for text in &texts {
            tokens.extend(text.split(' ').map(|word| model.id(word)));
            tokens.push(BOUNDARY);
        }
        prop_assert_eq!(model.next(&history), most_frequent_continuation(&tokens, &history, 3));
    }
}

fn most_frequent_continuation(tokens: &[u32], history: &[u32], longest: usize) -> Option<u32> {
    (1..=longest.min(history.len())).rev().find_map(|length| {
        let context = &history[history.len() - length..];
        if context[1..].contains(&BOUNDARY) {
            return None;
        }
        let mut counts = std::collections::BTreeMap::<u32, usize>::new();
        for window in tokens.windows(length + 1).filter(|window| &window[..length] == context) {
            *counts.entry(window[length]).or_default() += 1;
        }
        let maximum = counts.values().copied().max()?;
        counts.into_iter().find(|(_, count)| *count == maximum).map(|(word, _)| word)
    })
}
