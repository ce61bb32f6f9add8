use super::*;
use crate::EngineSize;
use crate::model::{Fault, Model};
use crate::testing::{model, noise, open, options_without_thresholds};

/// A word of one token, with its start and end in seconds from the start of the audio.
fn word(text: &str, token: u32, start: f64, end: f64) -> TimedWord {
    TimedWord { text: text.to_owned(), tokens: vec![token], start, end, probability: 0.0 }
}

/// A speech of this many seconds, of which the first `dropped` seconds are no longer buffered.
fn state(length: usize, dropped: usize) -> State {
    let mut state = State {
        samples: vec![0.3; length * SAMPLE_RATE],
        speech_samples: SAMPLE_RATE,
        ..State::default()
    };
    state.drop_first(dropped * SAMPLE_RATE);
    state
}

fn transcriber(model: &Arc<Model>, options: Options) -> Arc<Transcriber> {
    let one = std::num::NonZeroUsize::MIN;
    Arc::new(
        Transcriber::start("test", model, options, EngineSize { threads: one, windows: one })
            .unwrap(),
    )
}

/// Plays samples in frames of this length, commits no words, and returns all of them.
fn play(policy: &AlignAtt, samples: &[f32], length: usize) -> Vec<Word> {
    let mut recognition = policy.open(None);
    let frames = samples.chunks(length);
    let count = frames.len();
    let mut words = Vec::new();
    for (number, frame) in (1..).zip(frames) {
        words = recognition.push(frame, number == count).unwrap();
    }
    words
}

/// Words of one token, numbered from `first`, each 0.4 s long.
fn words(first: u32, text: &str) -> Vec<TimedWord> {
    let word = |(n, text)| {
        let start = f64::from(n) * 0.4;
        word(&format!(" {text}"), n, start, start + 0.4)
    };
    (first..).zip(text.split(' ')).map(word).collect()
}

/// Returns the words that are not committed.
fn text(state: &State) -> String {
    state.words().into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
}

#[test]
fn times_of_words_are_from_the_start_of_the_speech_and_ascend() {
    let mut state = state(20, 10);
    state.revise(vec![word(" ferry", 1, 0.5, 1.0), word(" leaves", 2, 1.0, 1.4)], 1.4);
    let expected = [("ferry", 10.5, 11.0), ("leaves", 11.0, 11.4)];
    let words = state.words();
    let actual: Vec<_> =
        words.iter().map(|word| (word.text.as_str(), word.start, word.end)).collect();
    assert_eq!(actual, expected);
    state.commit(2);
    // A later pass places the next word before the end of the last one; a punctuation mark is no
    // word.
    state.revise(vec![word(",", 3, 1.2, 1.3), word(" now", 4, 1.3, 1.8)], 1.5);
    assert_eq!(state.words(), [Word { text: "now".to_owned(), start: 11.4, end: 11.8 }]);
    state.commit(1);
    assert_eq!(tokens(&state.forced), [1, 2, 3, 4]);
    assert!((state.earliest_next_word - 11.8).abs() < 1e-9, "{}", state.earliest_next_word);
}

#[test]
fn words_are_revised_until_they_are_committed() {
    let mut state = state(4, 0);
    state.revise(words(0, "we mast"), 0.8);
    assert_eq!((text(&state), tokens(&state.forced)), ("we mast".to_owned(), Vec::new()));
    state.revise(words(0, "we must go"), 1.2);
    assert_eq!(text(&state), "we must go");
    state.commit(2);
    assert_eq!((text(&state), tokens(&state.forced)), ("go".to_owned(), vec![0, 1]));
    state.revise(words(2, "gather them"), 1.6);
    assert_eq!(text(&state), "gather them");
    // The last pass can withdraw words.
    state.revise(Vec::new(), 0.0);
    assert_eq!((text(&state), tokens(&state.forced)), (String::new(), vec![0, 1]));
    state.commit(5);
    assert_eq!(tokens(&state.forced), [0, 1]);
}

#[test]
fn punctuation_marks_are_committed_with_the_next_word() {
    let mut state = state(4, 0);
    state.revise(words(0, "so - well - yes"), 2.0);
    assert_eq!(text(&state), "so well yes");
    state.commit(0);
    assert!(state.forced.is_empty());
    state.commit(2);
    assert_eq!((text(&state), tokens(&state.forced)), ("yes".to_owned(), vec![0, 1, 2]));
    state.commit(1);
    assert_eq!(tokens(&state.forced), [0, 1, 2, 3, 4]);
}

#[test]
fn words_before_a_pause_are_returned_until_they_are_committed() {
    let mut state = state(6, 0);
    state.revise(words(0, "we must go"), 1.2);
    state.commit(1);
    state.reset();
    assert_eq!((text(&state), state.forced.len(), state.tentative.len()), ("must go".into(), 0, 0));
    // The times of a pass are from the start of the audio, 0.8 s before the end of the pause.
    state.revise(words(1, "now please"), 1.2);
    assert_eq!(text(&state), "must go now please");
    let starts: Vec<_> = state.words().iter().map(|word| word.start).collect();
    assert!(starts[2] >= 6.0 && starts.is_sorted(), "{starts:?}");
    state.commit(1);
    state.revise(words(1, "not please"), 1.2);
    assert_eq!(text(&state), "go not please");
    state.commit(2);
    assert_eq!((text(&state), tokens(&state.forced)), ("please".to_owned(), vec![1]));
}

#[test]
fn words_without_their_audio_are_no_longer_revised() {
    let mut state = state(16, 0);
    state.revise((0..15).map(|n| word(" a", n, f64::from(n), f64::from(n) + 0.9)).collect(), 15.0);
    state.samples.resize(MAX_BUFFERED_SAMPLES, 0.3);
    state.drop_old_audio();
    assert_eq!((state.dropped_samples, state.tentative.len()), (0, 15));
    state.samples.push(0.3);
    state.drop_old_audio();
    // The last word ends before the last 8 s.
    assert_eq!((state.dropped_samples, state.tentative.len()), (149 * SAMPLE_RATE / 10, 0));
    assert_eq!((state.words().len(), state.forced.len(), state.context.len()), (15, 0, 15));
    state.revise(words(20, "b"), 9.0);
    state.commit(16);
    assert_eq!((state.words().len(), tokens(&state.forced)), (0, vec![20]));
}

#[test]
fn old_audio_is_dropped_and_its_words_become_context() {
    let mut state = state(18, 0);
    state.forced = (0..17).map(|n| word(" word", n, f64::from(n), f64::from(n) + 0.9)).collect();
    state.drop_old_audio();
    // The cut is at the first word of the last 8 s.
    assert_eq!((state.dropped_samples, state.samples.len()), (10 * SAMPLE_RATE, 8 * SAMPLE_RATE));
    assert_eq!(state.context, (0..10).collect::<Vec<_>>());
    assert_eq!(state.forced.first().map(|word| word.tokens.clone()), Some(vec![10]));
    // No longer than it must be.
    state.drop_old_audio();
    assert_eq!(state.dropped_samples, 10 * SAMPLE_RATE);
}

/// Sets the final words: each second, one of one token; the last one ends at `end`.
fn set_words(state: &mut State, count: u32, end: f64) {
    state.forced = (0..count).map(|n| word(" word", n, f64::from(n), f64::from(n) + 0.9)).collect();
    if let Some(last) = state.forced.last_mut() {
        last.end = end;
    }
    state.last_end = end;
}

#[test]
fn audio_after_the_last_word_is_not_dropped() {
    // The last word ends before the last 8 s: what follows has not been decoded.
    let mut state = state(18, 0);
    set_words(&mut state, 4, 3.75);
    state.drop_old_audio();
    assert_eq!(
        (state.dropped_samples, state.forced.len(), state.context.len()),
        (15 * SAMPLE_RATE / 4, 0, 4)
    );
    state.drop_old_audio();
    assert_eq!(state.dropped_samples, 15 * SAMPLE_RATE / 4);
}

#[test]
fn audio_of_the_last_word_is_dropped() {
    // The last word begins before the last 8 s, and ends within.
    let mut state = state(18, 0);
    set_words(&mut state, 10, 11.5);
    state.drop_old_audio();
    assert_eq!((state.dropped_samples, state.forced.len()), (23 * SAMPLE_RATE / 2, 0));
}

#[test]
fn audio_without_words_is_limited_by_the_window() {
    let mut state = state(20, 0);
    state.drop_old_audio();
    assert_eq!(state.dropped_samples, 0);
    state.samples.resize(35 * SAMPLE_RATE, 0.3);
    state.drop_old_audio();
    assert_eq!(state.samples.len(), MAX_BUFFERED_SAMPLES);
    assert_eq!(MAX_BUFFERED_SAMPLES + STEP_SAMPLES + TRAILING_SILENCE_SAMPLES, 30 * SAMPLE_RATE);
}

#[test]
fn ten_minutes_without_a_pause_keep_a_short_buffer() {
    let mut state = State::default();
    let steps = 600 * SAMPLE_RATE / STEP_SAMPLES;
    for step in 0..steps {
        state.samples.extend(std::iter::repeat_n(0.3, STEP_SAMPLES));
        // A word of each step is ready and committed.
        let end = seconds(state.samples.len()) - 0.4;
        state.revise(vec![word(" word", step as u32, end - 0.4, end)], end);
        assert_eq!(text(&state), "word", "step {step}");
        state.commit(1);
        state.drop_old_audio();
        assert!(state.samples.len() <= MAX_PASS_SAMPLES, "{} samples", state.samples.len());
        assert!(
            tokens(&state.forced).len() <= MAX_FORCED_TOKENS
                && state.context.len() <= MAX_CONTEXT_TOKENS
        );
    }
    assert_eq!(state.dropped_samples + state.samples.len(), 600 * SAMPLE_RATE);
    assert!((state.last_end - 599.6).abs() < 1e-6, "{}", state.last_end);
}

#[test]
fn forced_text_and_prompt_leave_room_in_the_context() {
    let mut state = state(12, 0);
    state.forced =
        vec![TimedWord { tokens: vec![7; MAX_FORCED_TOKENS + 1], ..word(" word", 0, 1.0, 2.0) }];
    state.last_end = 2.0;
    state.drop_old_audio();
    assert_eq!(
        (state.dropped_samples, state.context.len(), state.forced.len()),
        (2 * SAMPLE_RATE, MAX_CONTEXT_TOKENS, 0)
    );
}

#[test]
fn forced_words_above_token_limit_are_halved_into_context() {
    let mut state = state(8, 0);
    set_words(&mut state, 8, 7.9);
    for word in &mut state.forced {
        word.tokens = vec![7; MAX_FORCED_TOKENS / 7];
    }
    state.drop_old_audio();
    assert_eq!(
        (state.dropped_samples, state.forced.len(), state.context.len()),
        (4 * SAMPLE_RATE, 4, 4 * (MAX_FORCED_TOKENS / 7))
    );
    // Half of the words can still be too many tokens.
    state.forced[2].tokens = vec![7; 2 * MAX_FORCED_TOKENS];
    state.drop_old_audio();
    assert_eq!((state.dropped_samples, state.forced.len()), (7 * SAMPLE_RATE, 1));
}

#[test]
fn ready_until_never_precedes_final_words_or_pauses() {
    let mut state = state(20, 10);
    let check = |state: &State, expected: f64| {
        assert!(
            (state.earliest_next_word - expected).abs() < 1e-9,
            "{} instead of {expected}",
            state.earliest_next_word
        );
    };
    state.revise(vec![word(" ferry", 1, 0.5, 1.0)], 6.0);
    check(&state, 16.0);
    // The next pass withdraws the word.
    state.revise(Vec::new(), 0.0);
    check(&state, 10.0);
    state.revise(vec![word(" leaves", 2, 6.5, 7.0)], 7.0);
    check(&state, 17.0);
    state.commit(1);
    state.revise(Vec::new(), 0.0);
    check(&state, 17.0);
    state.reset();
    check(&state, 20.0);
    state.revise(Vec::new(), 0.0);
    check(&state, 20.0);
}

#[test]
fn words_after_the_kept_tokens_are_dropped() {
    let mut state = state(6, 0);
    set_words(&mut state, 4, 3.9);
    state.retain_forced(4);
    assert_eq!(state.forced.len(), 4);
    state.retain_forced(1);
    assert_eq!(state.forced.iter().map(|word| word.tokens.clone()).collect::<Vec<_>>(), [[0]]);
    assert!((state.last_end - 3.9).abs() < 1e-9, "the times of further words ascend");
}

#[test]
fn reset_keeps_only_one_step_of_silence() {
    let mut state = state(6, 0);
    state.forced = vec![word(" word", 1, 1.0, 2.0)];
    state.context = vec![2];
    state.reset();
    assert_eq!(
        (state.samples.len(), state.forced.len(), state.context.len()),
        (STEP_SAMPLES, 0, 0)
    );
    assert_eq!((state.earliest_next_word, state.speech_samples), (6.0, 0));
}

#[test]
fn audio_in_frames_gives_the_same_words_as_in_one_piece() {
    let options = AlignAttOptions { padding: Some(1.0), ..AlignAttOptions::default() };
    let policy =
        AlignAtt::new(transcriber(&model(), options_without_thresholds()), options).unwrap();
    assert_eq!(policy.name(), "test");
    let samples = noise(40 * SAMPLE_RATE);
    let words = play(&policy, &samples, samples.len());
    assert!(!words.is_empty());
    for length in [STEP_SAMPLES, STEP_SAMPLES / 10, 1_001] {
        assert_eq!(play(&policy, &samples, length), words, "{length}");
    }
}

/// Returns a policy whose passes fail.
fn policy_with_fault(options: Options) -> AlignAtt {
    let mut model = open();
    let fault: Fault = Box::new(|_| Err(TranscribeError::Product("a pass".to_owned())));
    model.fault = Some(fault);
    AlignAtt::new(transcriber(&Arc::new(model), options), AlignAttOptions::default()).unwrap()
}

#[test]
fn first_pass_needs_enough_audio() {
    let speech = noise(10 * STEP_SAMPLES);
    // Steps of speech without a pass: the first pass is over 0.8 s in a known language, 2.4 s in an
    // unknown one, and 3.2 s for a translation.
    for (task, language, expected) in [
        (SpeechTask::Transcribe, Some("en"), 0),
        (SpeechTask::Transcribe, None, 2),
        (SpeechTask::Translate, Some("fr"), 3),
    ] {
        let language = language.map(str::to_owned);
        let policy = policy_with_fault(Options { language, task, ..options_without_thresholds() });
        let mut recognition = policy.open(None);
        let steps = speech.chunks(STEP_SAMPLES);
        let actual = steps.take_while(|step| recognition.push(step, false).is_ok()).count();
        assert_eq!(actual, expected, "{task:?}");
    }
}

#[test]
fn short_audio_is_decoded_at_a_pause_and_at_the_end() {
    let policy = policy_with_fault(Options { language: None, ..options_without_thresholds() });
    let mut recognition = policy.open(None);
    assert!(recognition.push(&noise(STEP_SAMPLES), false).is_ok());
    assert!(recognition.push(&vec![0.0; STEP_SAMPLES], false).is_err(), "a pause");
    let mut recognition = policy.open(None);
    assert!(recognition.push(&noise(STEP_SAMPLES), true).is_err(), "the end");
}

#[test]
fn silence_is_not_decoded() {
    let policy = policy_with_fault(options_without_thresholds());
    let mut recognition = policy.open(None);
    assert!(recognition.push(&noise(3 * STEP_SAMPLES), false).is_err(), "a pass has the fault");
    let mut recognition = policy.open(None);
    for step in 0..30 {
        assert!(recognition.push(&vec![0.0; STEP_SAMPLES], step == 29).unwrap().is_empty());
    }
    assert!((recognition.ready_until() - 24.0).abs() < 1e-9);
}

#[test]
fn detected_language_is_kept_if_clear_or_after_enough_speech() {
    let kept_code = |language: &DetectedLanguage| language.is_kept.then(|| language.code.clone());
    let update = |language: &mut DetectedLanguage, code: &str, margin, seconds: usize| {
        language.update(code.to_owned(), margin, seconds * SAMPLE_RATE);
        kept_code(language)
    };
    let mut language = DetectedLanguage::default();
    assert_eq!(update(&mut language, "pt", 0.1, 2), None);
    assert_eq!(update(&mut language, "es", 0.1, 4), None);
    assert_eq!(update(&mut language, "es", 0.1, 5).as_deref(), Some("es"));
    language.end_phrase(5 * SAMPLE_RATE);
    assert_eq!(kept_code(&language).as_deref(), Some("es"));

    let mut language = DetectedLanguage::default();
    assert_eq!(update(&mut language, "fr", 0.6, 2).as_deref(), Some("fr"));
    // The next phrase detects the language again; both phrases together are long enough.
    language.end_phrase(3 * SAMPLE_RATE);
    assert_eq!(kept_code(&language), None);
    assert_eq!(update(&mut language, "fr", 0.1, 2).as_deref(), Some("fr"));
    // Speech in another language counts from its beginning.
    assert_eq!(update(&mut language, "it", 0.1, 2), None);
}

#[test]
fn requested_language_replaces_detection_only_if_the_model_supports_it() {
    let language = |options: Options, requested| {
        transcriber(&model(), options).options_for(requested).language.clone()
    };
    let detecting = || Options { language: None, ..options_without_thresholds() };
    // The test model understands English, French and German. The token of the task has the form of
    // a language's.
    for (requested, expected) in [
        (Some("de"), Some("de")),
        (Some("de-AT"), Some("de")),
        (Some("es"), None),
        (Some("DE"), Some("de")),
        (Some("De-AT"), Some("de")),
        (Some("translate"), None),
        (Some(""), None),
        (None, None),
    ] {
        assert_eq!(language(detecting(), requested).as_deref(), expected, "{requested:?}");
    }
    assert_eq!(
        language(options_without_thresholds(), Some("de")).as_deref(),
        Some("en"),
        "the options set the language"
    );
}

#[test]
fn invalid_alignatt_options_are_refused() {
    let check = |options| {
        AlignAtt::new(transcriber(&model(), options_without_thresholds()), options)
            .err()
            .map(|error| error.to_string())
    };
    for padding in [-0.1, 30.5, f64::NAN] {
        let error = check(AlignAttOptions { padding: Some(padding), ..AlignAttOptions::default() });
        assert_eq!(error.as_deref(), Some("option `padding`: must be between 0 and 30 s"));
    }
    let threshold =
        |frame_threshold| check(AlignAttOptions { frame_threshold, ..AlignAttOptions::default() });
    assert_eq!((threshold(0), threshold(200)), (None, None));
    assert_eq!(threshold(201).as_deref(), Some("option `frame_threshold`: must be at most 200"));
}
