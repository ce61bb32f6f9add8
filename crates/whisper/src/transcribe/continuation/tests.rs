use std::sync::Arc;

use super::*;
use crate::options::Options;
use crate::testing::{END_OF_TEXT, model, noise, options_without_thresholds};

/// Number of encoder positions of the audio: 4 s.
const LENGTH: usize = 200;
/// Tokens of the words " aa", " ba", " ca" and so on.
const WORD: u32 = 256;
/// Token of the letter "A".
const LETTER: u32 = 32;

fn recording(options: Options, samples: &[f32]) -> Recording {
    let mut recording = Recording::new(model(), Arc::new(options), samples);
    recording.language = recording.options.language.clone().unwrap_or_default();
    recording
}

fn continue_with(options: Options, prefix: &Prefix) -> Continuation {
    let (model, mut recording) = (model(), recording(options, &noise(64_000)));
    let (mut buffers, mut cache) = (model.buffers(), model.decoder.cache());
    let continuation = recording.continue_text(&mut buffers, &mut cache, prefix).unwrap();
    assert_eq!(cache.used_slots(), 0);
    continuation
}

fn continue_noise(prefix: &Prefix) -> Continuation {
    continue_with(options_without_thresholds(), prefix)
}

/// A prefix without text. With little silence after the noise, the model's tokens are words.
fn empty_prefix() -> Prefix {
    Prefix { padding: Some(1.0), ..Prefix::default() }
}

fn tokens(continuation: &Continuation) -> Vec<u32> {
    continuation.words.iter().flat_map(|word| word.tokens.clone()).collect()
}

/// Decoded tokens, each of which attends to the position given with it; the last one is not
/// accepted.
fn decoded(prefix: &Prefix, attended: &[(u32, usize)]) -> DecodedPass {
    let mut attention = Attention::new(1, LENGTH);
    let forced = (1..=prefix.tokens.len()).map(|number| 5 * number);
    // Two tokens of the prompt precede the row that predicts the first token of the text.
    let rows =
        [0, 2].into_iter().chain(forced).chain(attended.iter().map(|&(_, position)| position));
    for at in rows {
        let score = |position: usize| {
            if position.abs_diff(at) <= 3 { 6.0 } else { (position % 7) as f32 * 0.01 }
        };
        attention.append(vec![(0..LENGTH).map(score).collect()], LENGTH);
    }
    let (&(next, _), accepted) = attended.split_last().unwrap();
    DecodedPass {
        tokens: accepted.iter().map(|&(token, _)| token).collect(),
        next,
        last_position: accepted.last().map_or(0, |&(_, position)| position),
        forced_past_end: false,
        attention,
    }
}

fn texts(words: &[TimedWord]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

/// Columns: tokens · index at which the repetition begins
#[test]
fn four_repeats_of_tokens_are_a_repetition() {
    for (text, expected) in [
        (&[][..], None),
        (&[7, 7, 7, 7], None),
        (&[7, 7, 7, 7, 7], Some(0)),
        (&[1, 7, 7, 7, 7, 7], Some(1)),
        (&[1, 7, 7, 7, 7, 7, 2], None),
        (&[1, 2, 3, 2, 3, 2, 3], None),
        (&[1, 2, 3, 2, 3, 2, 3, 2, 3], Some(1)),
        // The end of the repeated tokens can be missing.
        (&[1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2], Some(1)),
    ] {
        assert_eq!(find_repetition(text), expected, "{text:?}");
    }
}

/// A repetition that began in the prefix would otherwise be repeated endlessly.
#[test]
fn repetition_in_the_prefix_is_not_forced_again() {
    let prefix = Prefix { tokens: vec![WORD, WORD + 1, WORD + 1, WORD + 1], ..empty_prefix() };
    let decoded = decoded(&prefix, &[(WORD + 1, 30), (WORD + 1, 35)]);
    let options =
        Options { compression_ratio_threshold: Some(2.4), ..options_without_thresholds() };
    let recording = recording(options, &noise(64_000));
    let (words, _, kept) = recording.complete_words(decoded, &prefix);
    assert!(words.is_empty(), "{words:?}");
    assert_eq!(kept, 1);
}

/// Columns: final tokens · tokens of the last pass after them · whether the speech has ended · text
/// of this pass · whether it ends too early
#[test]
fn pass_without_words_beyond_the_previous_pass_ends_too_early() {
    for (tokens, tentative, is_end, text, expected) in [
        (&[][..], &[][..], false, &[][..], false),
        (&[], &[], false, &[1], false),
        (&[1], &[], false, &[1], true),
        (&[1], &[], true, &[1], false),
        (&[1], &[2, 3], false, &[1], true),
        (&[1], &[2, 3], false, &[1, 2], true),
        (&[1], &[2, 3], false, &[1, 2, 3], true),
        (&[1], &[2, 3], true, &[1, 2, 3], false),
        (&[1], &[2, 3], true, &[1, 2], true),
        (&[1], &[2, 3], false, &[1, 2, 3, 4], false),
        (&[1], &[2, 3], false, &[1, 4], false),
        (&[1], &[2, 3], true, &[1, 4], false),
        (&[], &[2, 3], false, &[2, 3], true),
    ] {
        let (tokens, tentative) = (tokens.to_vec(), tentative.to_vec());
        let prefix = Prefix { tokens, tentative, is_end, ..Prefix::default() };
        assert_eq!(prefix.ends_too_early(text), expected, "{prefix:?} {text:?}");
    }
}

/// Columns: whether the token is the end of text · its position · position of the token before it ·
/// threshold · decision
#[test]
fn token_decision_depends_on_positions_and_threshold() {
    for (is_end_of_text, position, latest, threshold, expected) in [
        (false, 100, 90, Some(25), Decision::Accept),
        (false, 974, 900, Some(25), Decision::Accept),
        (false, 975, 900, Some(25), Decision::Stop),
        (false, 999, 900, Some(25), Decision::Stop),
        (false, 999, 900, Some(0), Decision::Accept),
        (false, 999, 900, None, Decision::Accept),
        (false, 100, 300, Some(25), Decision::Accept),
        (false, 100, 301, Some(25), Decision::Rewind),
        (false, 100, 301, None, Decision::Rewind),
        (true, 100, 301, Some(25), Decision::Stop),
        (true, 100, 90, None, Decision::Stop),
    ] {
        let decision = decide(is_end_of_text, position, latest, 1_000, threshold);
        assert_eq!(decision, expected, "{is_end_of_text} {position} {latest} {threshold:?}");
    }
}

#[test]
fn number_of_tokens_is_limited_by_the_audio() {
    for (positions, expected) in [(0, 16), (1, 16), (50, 16), (51, 32), (1_500, 480)] {
        assert_eq!(max_tokens(positions), expected, "{positions}");
    }
    // The model decodes without end if nothing stops it.
    let prefix = Prefix { is_end: true, ..empty_prefix() };
    let tokens = tokens(&continue_noise(&prefix));
    assert!(!tokens.is_empty() && tokens.len() <= max_tokens(LENGTH), "{} tokens", tokens.len());
}

#[test]
fn full_context_keeps_the_accepted_words() {
    let forced = |count| {
        let text = (0..count).map(|n| WORD + n % 40).collect();
        tokens(&continue_noise(&Prefix { tokens: text, is_end: true, ..empty_prefix() }))
    };
    // Prompt of three tokens, and the mark for text without timestamps.
    let room = |count: usize| CONTEXT_TOKENS - 4 - count;
    for count in [430, 440] {
        let added = forced(count as u32);
        assert!(added.len() <= room(count), "{} tokens after {count}", added.len());
    }
    assert!([400, 410, 420, 430, 440].into_iter().any(|count| !forced(count).is_empty()));
    assert!(forced(444).is_empty());
    assert!(forced(445).is_empty());
}

#[test]
fn words_before_an_attention_rewind_are_kept() {
    let recording = recording(options_without_thresholds(), &[]);
    let prefix = Prefix { tokens: vec![WORD + 20], ..Prefix::default() };
    for is_end in [false, true] {
        let prefix = Prefix { is_end, ..prefix.clone() };
        let attended = [(WORD, 60), (WORD + 1, 110), (WORD + 2, 0)];
        let (words, earliest_next_word, _) =
            recording.complete_words(decoded(&prefix, &attended), &prefix);
        assert_eq!(texts(&words), [" aa", " ba"]);
        assert!(earliest_next_word < 4.0, "{earliest_next_word}");
        // A token that continues a word drops it.
        let (words, ..) = recording
            .complete_words(decoded(&prefix, &[(WORD, 60), (WORD + 1, 110), (LETTER, 0)]), &prefix);
        assert_eq!(texts(&words), [" aa"]);
    }
}

#[test]
fn word_forced_past_the_end_of_text_is_final_only_if_text_follows() {
    let recording = recording(options_without_thresholds(), &[]);
    let prefix = Prefix { tokens: vec![WORD + 20], frame_threshold: 25, ..Prefix::default() };
    for (is_past_end, next, expected) in [
        (false, END_OF_TEXT, &[" aa", " ba"][..]),
        (true, END_OF_TEXT, &[" aa"]),
        (true, WORD + 2, &[" aa", " ba"]),
    ] {
        let decoded = decoded(&prefix, &[(WORD, 100), (WORD + 1, 150), (next, 165)]);
        let (words, earliest_next_word, _) = recording
            .complete_words(DecodedPass { forced_past_end: is_past_end, ..decoded }, &prefix);
        assert_eq!(texts(&words), expected, "{is_past_end} {next}");
        // After a forced word, an end of text does not mean that later audio has no words.
        let is_covered = earliest_next_word >= 3.5 - 1e-9;
        assert_eq!(is_covered, !is_past_end, "{earliest_next_word}");
    }
}

#[test]
fn early_end_of_text_leaves_the_remaining_audio_undecoded() {
    let recording = recording(options_without_thresholds(), &[]);
    let prefix = Prefix { frame_threshold: 25, ..Prefix::default() };
    for (latest, is_covered) in
        [(LENGTH - MAX_UNATTENDED, true), (LENGTH - MAX_UNATTENDED - 1, false), (20, false)]
    {
        let decoded = decoded(&prefix, &[(WORD, latest), (END_OF_TEXT, latest)]);
        let (words, earliest_next_word, _) = recording.complete_words(decoded, &prefix);
        assert_eq!(texts(&words), [" aa"]);
        assert_eq!(earliest_next_word >= 3.5 - 1e-9, is_covered, "{latest}: {earliest_next_word}");
    }
}

#[test]
fn translation_is_split_into_english_words() {
    let attended = [(WORD, 50), (LETTER, 60), (WORD + 1, 110), (END_OF_TEXT, 150)];
    let prefix = Prefix::default();
    for (task, expected) in [
        (SpeechTask::Transcribe, &[" aa", "A", " ba"][..]),
        (SpeechTask::Translate, &[" aaA", " ba"]),
    ] {
        let mut recording = recording(Options { task, ..options_without_thresholds() }, &[]);
        "zh".clone_into(&mut recording.language);
        let (words, ..) = recording.complete_words(decoded(&prefix, &attended), &prefix);
        assert_eq!(texts(&words), expected, "{task:?}");
    }
}

#[test]
fn repetitions_are_dropped() {
    let attended: Vec<_> = (0..60).map(|n| (WORD, 3 * n)).chain([(END_OF_TEXT, 190)]).collect();
    let prefix = Prefix::default();
    let complete = |threshold| {
        let options =
            Options { compression_ratio_threshold: threshold, ..options_without_thresholds() };
        recording(options, &[]).complete_words(decoded(&prefix, &attended), &prefix).0.len()
    };
    assert_eq!(complete(None), 60);
    let kept = complete(Some(2.4));
    assert!((1..20).contains(&kept), "{kept}");
}

/// Columns: number of different words in 4 s · language · whether there is a threshold for
/// repetitions · number of words kept
#[test]
fn text_with_too_many_words_per_second_is_dropped() {
    let prefix = Prefix::default();
    for (count, language, has_threshold, expected) in
        [(24, "en", true, 24), (40, "en", true, 0), (40, "en", false, 40), (40, "ja", true, 40)]
    {
        let words = (0..count).map(|n| (WORD + n, 4 * n as usize));
        let attended: Vec<_> = words.chain([(END_OF_TEXT, 190)]).collect();
        let options = Options {
            compression_ratio_threshold: has_threshold.then_some(100.0),
            ..options_without_thresholds()
        };
        let mut recording = recording(options, &[]);
        language.clone_into(&mut recording.language);
        let (words, ..) = recording.complete_words(decoded(&prefix, &attended), &prefix);
        assert_eq!(words.len(), expected, "{count} {language} {has_threshold}");
    }
}

#[test]
fn probable_silence_keeps_text_of_high_log_probability_only() {
    let prefix = Prefix { is_end: true, ..empty_prefix() };
    let words = |no_speech, log_prob| {
        let options = Options {
            no_speech_threshold: Some(no_speech),
            log_prob_threshold: log_prob,
            ..options_without_thresholds()
        };
        !continue_with(options, &prefix).words.is_empty()
    };
    // Every window is probably silent; the text is certain, uncertain, or not judged.
    assert!(words(-1.0, Some(-100.0)));
    assert!(!words(-1.0, Some(100.0)));
    assert!(!words(-1.0, None));
    // No window is.
    assert!(words(2.0, Some(100.0)));
}

#[test]
fn language_is_detected_as_in_a_transcription() {
    let options = Options {
        language: None,
        temperatures: vec![0.0],
        max_new_tokens: Some(8),
        ..options_without_thresholds()
    };
    let prefix = Prefix { padding: Some(0.5), is_end: true, ..Prefix::default() };
    let model = model();
    for count in [32_000, 64_000, 100_000] {
        let samples = noise(count);
        let mut recording = Recording::new(model.clone(), Arc::new(options.clone()), &samples);
        let (mut buffers, mut cache) = (model.buffers(), model.decoder.cache());
        recording.next_window(&mut buffers, &mut cache).unwrap();
        let transcription = recording.into_transcription();
        let mut recording = Recording::new(model.clone(), Arc::new(options.clone()), &samples);
        let continuation = recording.continue_text(&mut buffers, &mut cache, &prefix).unwrap();
        assert_eq!(continuation.language, transcription.language);
        assert_eq!(
            recording.language_probability.to_bits(),
            transcription.language_probability.to_bits()
        );
        assert!(
            (0.0..1.0).contains(&continuation.language_margin),
            "{}",
            continuation.language_margin
        );
    }
    assert!((continue_noise(&prefix).language_margin - 1.0).abs() < 1e-9);
}

#[test]
fn token_near_the_end_of_the_audio_is_not_decoded() {
    let prefix = |frame_threshold| Prefix { frame_threshold, ..empty_prefix() };
    assert!(tokens(&continue_noise(&prefix(LENGTH))).is_empty());
    let texts: Vec<_> = (1..LENGTH)
        .step_by(20)
        .map(|threshold| tokens(&continue_noise(&prefix(threshold))))
        .collect();
    assert!(texts.iter().any(|text| !text.is_empty()));
    // A higher threshold stops earlier in the same text.
    for pair in texts.windows(2) {
        let [longer, shorter] = pair else { unreachable!() };
        assert!(longer.starts_with(shorter), "{longer:?} and {shorter:?}");
    }
}

#[test]
fn final_words_are_not_decoded_again() {
    let mut count = 0;
    for frame_threshold in (1..LENGTH).step_by(20) {
        let prefix = Prefix { frame_threshold, ..empty_prefix() };
        let first = continue_noise(&prefix);
        if first.words.is_empty() {
            continue;
        }
        count += 1;
        let again = continue_noise(&Prefix { tokens: tokens(&first), ..prefix });
        assert!(again.words.is_empty(), "{first:?}, then {again:?}");
    }
    assert!(count > 0);
}

#[test]
fn times_ascend_within_the_audio() {
    let mut count = 0;
    for frame_threshold in (1..LENGTH).step_by(20) {
        let continuation = continue_noise(&Prefix { frame_threshold, ..empty_prefix() });
        count += continuation.words.len();
        let times: Vec<f64> = continuation
            .words
            .iter()
            .flat_map(|word| [word.start, word.end])
            .chain([continuation.earliest_next_word])
            .collect();
        assert!(times.is_sorted(), "{times:?}");
        assert!(times.iter().all(|time| (0.0..=4.0).contains(time)), "{times:?}");
    }
    assert!(count > 0);
}
