use std::sync::LazyLock;

use super::*;

static RULES: LazyLock<Rewriter> = LazyLock::new(|| Rewriter::builtin().unwrap());

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn rewrite(text: &str) -> String {
    RULES.rewrite(&mut Context::default(), &words(text), true, true).join(" ")
}

fn rewrite_phrases(phrases: &[&str]) -> Vec<String> {
    let mut context = Context::default();
    (1..)
        .zip(phrases)
        .map(|(number, phrase)| {
            RULES.rewrite(&mut context, &words(phrase), true, number == phrases.len()).join(" ")
        })
        .collect()
}

#[track_caller]
fn check(table: &[(&str, &str)]) {
    for (phrase, expected) in table {
        assert_eq!(rewrite(phrase), *expected, "heard: {phrase}");
    }
}

#[test]
fn rule_tables_have_enough_entries() {
    for (book, minimum) in [
        (&RULES.expletives, 200),
        (&RULES.fillers, 250),
        (&RULES.meanings, 5000),
        (&RULES.ellipsis, 200),
        (&RULES.condense, 30),
    ] {
        assert!(book.len() >= minimum, "{} < {minimum}", book.len());
    }
}

#[test]
fn rewrites_of_recorded_sentences_match_a_human_interpreter() {
    check(&[
        (
            "i i think i think that it would be best to finish now",
            "i think that it would be best to finish now",
        ),
        ("what a load of fucking nonsense", "what a load of nonsense"),
        ("what a load of shit", "what a load of rubbish"),
        (
            "i mean when you really stop and think about it it kind of speaks for itself",
            "if you think about it it is obvious",
        ),
        ("that's not cricket", "that is not fair"),
    ]);
}

#[test]
fn fillers_are_removed() {
    check(&[
        ("um well you know it was uh sort of late", "it was late"),
        ("to be perfectly honest with you i like it", "i like it"),
        ("i'm excuse me excuse me we are late", "excuse me we are late"),
        ("i am we are late", "we are late"),
        ("the man i am she said", "the man i am she said"),
        ("as i was saying the shop is closed", "the shop is closed"),
        ("do you know this sort of cheese", "do you know this sort of cheese"),
        ("she looks like her mother", "she looks like her mother"),
        ("it went well", "it went well"),
    ]);
}

#[test]
fn expletives_are_removed_or_softened() {
    check(&[
        ("where the hell is the bloody key", "where is the key"),
        ("i do not give a damn", "i do not care"),
        ("that is complete bullshit", "that is complete nonsense"),
    ]);
}

#[test]
fn wordy_phrases_are_shortened() {
    check(&[
        ("at this point in time we cannot help", "now we cannot help"),
        ("we stopped due to the fact that it rained", "we stopped because it rained"),
        ("in the event that he calls tell me", "if he calls tell me"),
        ("a large number of people came", "many people came"),
        ("she made a decision to stay", "she decided to stay"),
        ("i had no choice but to leave", "i had to leave"),
    ]);
}

#[test]
fn figures_of_speech_become_literal() {
    check(&[
        ("the exam was a piece of cake", "the exam was very easy"),
        ("i am feeling a bit under the weather", "i am feeling a bit ill"),
        ("we meet once in a blue moon", "we meet rarely"),
        ("the car cost an arm and a leg", "the car was very expensive"),
        ("the ball is in your court", "it is your decision"),
        ("let us bite the bullet", "let us accept it"),
        ("she was pulling his leg", "she was joking with him"),
        ("i take his stories with a pinch of salt", "i take his stories with some doubt"),
    ]);
}

#[test]
fn omitted_words_are_restored() {
    check(&[
        ("sounds good", "that sounds good"),
        ("been busy lately", "i have been busy lately"),
        ("want some tea", "do you want some tea"),
        ("seen him today", "have you seen him today"),
        ("well looks like rain", "it looks like rain"),
        ("he has seen him today", "he has seen him today"),
    ]);
}

#[test]
fn rewriting_keeps_numbers() {
    check(&[("call me on five five one two two", "call me on five five one two two")]);
}

#[test]
fn figures_of_speech_are_recognised_across_phrases() {
    assert_eq!(
        rewrite_phrases(&["it is true at the end", "of the day we lost"]),
        ["it is true", "finally we lost"]
    );
    assert_eq!(
        rewrite_phrases(&["we walked home", "walked home in the rain"]),
        ["we walked home", "in the rain"]
    );
    // "as well" is deferred: "as well as" means "and".
    assert_eq!(
        rewrite_phrases(&["three hours i might as well", "i might as well stay here"]),
        ["three hours i might", "as well stay here"]
    );
    assert_eq!(
        rewrite_phrases(&["i do not want to jump out of the frying pan", "into the fire"]),
        ["i do not want to", "make things worse"]
    );
    // The meaning repeats the word before it.
    assert_eq!(
        rewrite_phrases(&["we wait two hours now and at this point", "in time nobody is here"]),
        ["we wait two hours", "now and nobody is here"]
    );
    // The meaning begins with a word that has been spoken.
    assert_eq!(
        rewrite_phrases(&["we wait two hours now", "and at this point in time", "nobody is here"]),
        ["we wait two hours now", "and", "nobody is here"]
    );
    // "now" was heard, but not spoken.
    assert_eq!(
        rewrite_phrases(&["for many years now", "and at this point in time nobody is here"]),
        ["for years", "and now nobody is here"]
    );
    // The end of a sentence and the start of the next one are no figure of speech.
    assert_eq!(
        rewrite_phrases(&["the meeting will continue", "on monday we meet again"]),
        ["the meeting will continue", "on monday we meet again"]
    );
    // Mid-sentence, no word was omitted.
    assert_eq!(rewrite_phrases(&["he said it", "sounds good"]), ["he said it", "sounds good"]);
    // A lone joining word is deferred to its sentence.
    assert_eq!(rewrite_phrases(&["and", "we left"]), ["", "and we left"]);
}

#[test]
fn condensing_drops_dispensable_words() {
    assert_eq!(
        RULES.condense(&words("i think it is really very good indeed")).join(" "),
        "it is good"
    );
}

#[test]
fn empty_phrase_stays_empty() {
    assert_eq!(rewrite(""), "");
    assert_eq!(rewrite("um uh er"), "");
}

#[test]
fn words_are_normalised_without_case_and_punctuation() {
    let table = [
        ("Hello,", "hello"),
        ("Don’t!", "don't"),
        ("...", ""),
        ("3.5.", "3.5"),
        ("1,000,000", "1,000,000"),
        ("10:30,", "10:30"),
        (".5", "5"),
        ("3..5", "35"),
        ("a.5", "a5"),
        ("3.B", "3b"),
    ];
    for (phrase, word) in table {
        assert_eq!(normalized(phrase), word);
    }
}

#[test]
fn word_that_continues_a_number_is_recognised() {
    for (previous, word, expected) in [
        ("3", ".5", true),
        ("1", ",000", true),
        ("10", ":30.", true),
        ("1,000", ",000", true),
        ("3.", "5", false),
        ("3", "5", false),
        ("3", ".", false),
        ("3", ".b", false),
        ("now", ".5", false),
    ] {
        assert_eq!(continues_number(previous, word), expected, "{previous} {word}");
    }
}
