use super::*;
use crate::EngineSize;
use crate::testing::{model, noise};

/// A word of one token, with its start and end in seconds from the start of the audio.
fn word(text: &str, token: u32, start: f64, end: f64) -> TimedWord {
    TimedWord { text: text.to_owned(), tokens: vec![token], start, end, probability: 0.0 }
}

/// A speech of this many seconds, of which the first `dropped` seconds are no longer buffered.
fn state(length: usize, dropped: usize) -> State {
    let mut state = State { samples: vec![0.3; length * SAMPLE_RATE], has_sound: true, ..State::default() };
    state.drop_first(dropped * SAMPLE_RATE);
    state
}

fn transcriber(options: Options) -> Arc<Transcriber> {
    let one = std::num::NonZeroUsize::MIN;
    Arc::new(Transcriber::start("test", &model(), options, EngineSize { threads: one, windows: one }).unwrap())
}

#[test]
fn times_of_final_words_are_from_the_start_of_the_speech_and_ascend() {
    let mut state = state(20, 10);
    let words = state.settle(vec![word(" ferry", 1, 0.5, 1.0), word(" leaves", 2, 1.0, 1.4)], 1.4);
    let expected = [("ferry", 10.5, 11.0), ("leaves", 11.0, 11.4)];
    let found: Vec<_> = words.iter().map(|word| (word.text.as_str(), word.start, word.end)).collect();
    assert_eq!(found, expected);
    // A later pass places the next word before the end of the last one; a punctuation mark is no word.
    let words = state.settle(vec![word(",", 3, 1.2, 1.3), word(" now", 4, 1.3, 1.8)], 1.5);
    assert_eq!(words, [Word { text: "now".to_owned(), start: 11.4, end: 11.8 }]);
    assert_eq!(state.words.iter().flat_map(|word| word.tokens.clone()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(state.until, 11.8);
}

#[test]
fn long_audio_loses_its_beginning_and_the_words_become_the_prompt() {
    let mut state = state(18, 0);
    state.words = (0..17).map(|n| word(" word", n, f64::from(n), f64::from(n) + 0.9)).collect();
    state.forget();
    // The cut is at the first word of the last 8 s.
    assert_eq!((state.dropped, state.samples.len()), (10 * SAMPLE_RATE, 8 * SAMPLE_RATE));
    assert_eq!(state.context, (0..10).collect::<Vec<_>>());
    assert_eq!(state.words.first().map(|word| word.tokens.clone()), Some(vec![10]));
    // No longer than it must be.
    state.forget();
    assert_eq!(state.dropped, 10 * SAMPLE_RATE);
}

#[test]
fn forced_text_and_prompt_leave_room_in_the_context() {
    let mut state = state(12, 0);
    state.words = vec![TimedWord { tokens: vec![7; MAX_FORCED + 1], ..word(" word", 0, 1.0, 2.0) }];
    state.forget();
    assert_eq!((state.dropped, state.context.len(), state.words.len()), (4 * SAMPLE_RATE, MAX_CONTEXT, 0));
}

#[test]
fn a_pause_leaves_a_short_silence() {
    let mut state = state(6, 0);
    state.words = vec![word(" word", 1, 1.0, 2.0)];
    state.context = vec![2];
    state.reset();
    assert_eq!((state.samples.len(), state.words.len(), state.context.len()), (STEP, 0, 0));
    assert_eq!((state.until, state.has_sound), (6.0, false));
}

#[test]
fn audio_in_frames_gives_the_same_words_as_in_steps() {
    let options = AlignAttOptions { padding: Some(1.0), ..AlignAttOptions::default() };
    let language = Some("en".to_owned());
    let policy = AlignAtt::new(transcriber(Options { language, ..Options::default() }), options).unwrap();
    assert_eq!(policy.name(), "test");
    let samples = noise(5 * STEP);
    let play = |length: usize| {
        let mut recognition = policy.open();
        let pieces = samples.chunks(length);
        let count = pieces.len();
        let words = (1..).zip(pieces).map(|(number, piece)| recognition.push(piece, number == count).unwrap());
        words.flatten().collect::<Vec<_>>()
    };
    assert_eq!(play(STEP), play(STEP / 10));
}

#[test]
fn silence_is_not_decoded() {
    let policy = AlignAtt::new(transcriber(Options::default()), AlignAttOptions::default()).unwrap();
    let mut recognition = policy.open();
    for step in 0..30 {
        assert!(recognition.push(&[0.0; STEP], step == 29).unwrap().is_empty());
    }
    assert!((recognition.final_until() - 24.0).abs() < 1e-9);
}

#[test]
fn padding_is_checked() {
    for padding in [-0.1, 30.5, f64::NAN] {
        let options = AlignAttOptions { padding: Some(padding), ..AlignAttOptions::default() };
        let error = AlignAtt::new(transcriber(Options::default()), options).err().unwrap();
        assert!(error.to_string().contains("option `padding`"), "{error}");
    }
}
