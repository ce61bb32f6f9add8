#![allow(clippy::float_cmp)] // Times are computed in the reference's order.

use super::*;
use crate::options::SpeechTask;
use crate::testing::{
    BEGIN, END_OF_TEXT, ENGLISH, PREVIOUS, START, TRANSCRIBE, TRANSLATE, model, noise,
};

/// Returns the requested searches and the transcription for given decoding results: tokens, score,
/// no-speech probability.
fn transcribe_results(
    options: &Options,
    seconds: usize,
    results: &[(Vec<u32>, f32, f32)],
) -> (Vec<(Vec<u32>, Strategy)>, Transcription) {
    let model = model();
    let mut recording =
        Recording::new(model.clone(), Arc::new(options.clone()), &vec![0.0; seconds * 16_000]);
    recording.alignment = Some(even_alignment);
    let (mut buffers, mut cache) = (Buffers::default(), model.decoder.cache());
    let mut search = recording.next_window(&mut buffers, &mut cache).unwrap();
    let mut searches = Vec::new();
    let mut results = results.iter().cloned();
    while let Some(next) = search {
        searches.push((next.task().prompt.clone(), next.task().strategy.clone()));
        let (tokens, score, no_speech) = results.next().expect("more searches than given results");
        search = recording
            .accept(&mut buffers, &mut cache, Hypothesis { tokens, score }, no_speech)
            .unwrap();
    }
    assert!(results.next().is_none(), "fewer searches than given results");
    (searches, recording.into_transcription())
}

/// Spreads the tokens evenly over the window.
fn even_alignment(tokens: &[u32], frames: usize) -> Alignment {
    let position = |token| token * (frames / 2) / (tokens.len() + 1);
    Alignment {
        path: (0..=tokens.len()).map(|token| (token, position(token))).collect(),
        probabilities: vec![0.5; tokens.len()],
    }
}

fn english_options() -> Options {
    Options { language: Some("en".to_owned()), ..Options::default() }
}

/// Tokens of `<|from|> words <|to|>`, in hundredths of a second.
fn timestamped_text(from: u32, words: &[u32], to: u32) -> Vec<u32> {
    [&[BEGIN + from / 2], words, &[BEGIN + to / 2]].concat()
}

fn prompts(searches: &[(Vec<u32>, Strategy)]) -> Vec<&[u32]> {
    searches.iter().map(|(prompt, _)| prompt.as_slice()).collect()
}

const TASK: [u32; 3] = [START, ENGLISH, TRANSCRIBE];

#[test]
fn next_window_begins_after_the_last_pair_of_timestamps() {
    let first = [
        timestamped_text(0, &[256, 257], 400),
        timestamped_text(400, &[258], 1250),
        vec![BEGIN + 625],
    ]
    .concat();
    let results = [(first, -0.2, 0.0), (timestamped_text(0, &[259], 800), -0.2, 0.0)];
    let (searches, transcription) = transcribe_results(&english_options(), 40, &results);
    let actual: Vec<_> =
        transcription.segments.iter().map(|s| (s.seek, s.start, s.end, s.text.as_str())).collect();
    assert_eq!(actual, [(0, 0.0, 4.0, " aa ba"), (0, 4.0, 12.5, " ca"), (1250, 12.5, 20.5, " da")]);
    // The preceding text is the prompt.
    let text =
        [timestamped_text(0, &[256, 257], 400), timestamped_text(400, &[258], 1250)].concat();
    assert_eq!(prompts(&searches), [TASK.to_vec(), [&[PREVIOUS], text.as_slice(), &TASK].concat()]);
    assert_eq!((transcription.language.as_str(), transcription.language_probability), ("en", 1.0));
}

#[test]
fn translation_is_requested_by_the_last_token_of_the_prompt() {
    let options = Options {
        language: Some("fr".to_owned()),
        task: SpeechTask::Translate,
        ..Options::default()
    };
    let (searches, transcription) =
        transcribe_results(&options, 10, &[(timestamped_text(0, &[256], 900), -0.2, 0.0)]);
    assert_eq!(prompts(&searches), [[START, ENGLISH + 1, TRANSLATE]]);
    // The language is that of the speech.
    assert_eq!(transcription.language, "fr");
}

#[test]
fn long_prompts_keep_their_end() {
    let words = vec![260; 250];
    let results = [
        (timestamped_text(0, &words, 2990), -0.2, 0.0),
        (timestamped_text(0, &[256], 500), -0.2, 0.0),
    ];
    let (searches, _) = transcribe_results(
        &Options { compression_ratio_threshold: None, ..english_options() },
        35,
        &results,
    );
    // The prompt has the last 223 tokens of the text; the last of these is the timestamp.
    let expected = [&[PREVIOUS], [260; 222].as_slice(), &[BEGIN + 1495], &TASK].concat();
    assert_eq!(searches[1].0, expected);
    let (searches, _) = transcribe_results(
        &Options {
            compression_ratio_threshold: None,
            condition_on_previous_text: false,
            ..english_options()
        },
        35,
        &results,
    );
    assert_eq!(searches[1].0, TASK);
}

#[test]
fn temperatures_rise_until_the_text_passes_the_thresholds() {
    let words: Vec<u32> = (256..266).collect();
    let repetitive = vec![260; 60];
    let results = [
        (timestamped_text(0, &words, 800), -1.5, 0.0), // too uncertain
        (timestamped_text(0, &repetitive, 800), -0.1, 0.0), // too repetitive
        (timestamped_text(0, &words, 900), -0.9, 0.0),
        (timestamped_text(0, &[256], 200), -0.2, 0.0),
    ];
    let (searches, transcription) = transcribe_results(&english_options(), 32, &results);
    let strategies: Vec<_> = searches.iter().map(|(_, strategy)| strategy.clone()).collect();
    assert_eq!(strategies[0], Strategy::Beam { beams: 5, patience: 1.0 });
    for (index, temperature) in [(1, 0.2), (2, 0.4)] {
        let Strategy::Sample { count, temperature: actual, .. } = strategies[index] else {
            panic!("{strategies:?}")
        };
        assert_eq!((count, actual), (5, temperature));
    }
    assert_eq!(strategies[3], strategies[0]);
    assert_eq!(transcription.segments[0].temperature, 0.4);
    assert!((transcription.segments[0].average_log_probability - -0.9 * 12.0 / 13.0).abs() < 1e-6);
    // Temperature 0.4 is not above 0.5: the text becomes the next prompt.
    assert_eq!(
        searches[3].0,
        [&[PREVIOUS], timestamped_text(0, &words, 900).as_slice(), &TASK].concat()
    );
}

#[test]
fn text_decoded_at_high_temperature_does_not_prompt_next_window() {
    let accepted = (timestamped_text(0, &[256, 257], 2990), -0.2, 0.0);
    let retried = (timestamped_text(0, &[256, 257], 2990), -2.0, 0.0);
    let results = [
        accepted.clone(),
        retried.clone(),
        retried.clone(),
        retried.clone(),
        retried.clone(),
        retried.clone(),
        retried,
        accepted.clone(),
        accepted,
    ];
    let (searches, transcription) = transcribe_results(&english_options(), 100, &results);
    assert_eq!(transcription.segments[1].temperature, 1.0);
    let previous = [&[PREVIOUS], timestamped_text(0, &[256, 257], 2990).as_slice(), &TASK].concat();
    // The second window and its retries have the first window's text as prompt. The third window
    // has no prompt, because of the second window's temperature. The fourth window has the third
    // window's text as prompt.
    assert!(prompts(&searches)[1..7].iter().all(|prompt| *prompt == previous));
    assert_eq!(prompts(&searches)[7..], [TASK.as_slice(), &previous]);
}

#[test]
fn silent_windows_are_skipped() {
    let results = [
        (timestamped_text(0, &[256], 2990), -1.5, 0.7), // silent: no retry, no segment
        (timestamped_text(0, &[257], 2990), -0.5, 0.7), // not silent: the text is certain
        (timestamped_text(0, &[258], 900), -0.5, 0.7),
    ];
    let (searches, transcription) = transcribe_results(&english_options(), 70, &results);
    assert_eq!(searches.len(), 3);
    let actual: Vec<_> = transcription
        .segments
        .iter()
        .map(|segment| (segment.seek, segment.text.as_str()))
        .collect();
    assert_eq!(actual, [(3000, " ba"), (6000, " ca")]);
    // Only text in segments becomes the prompt.
    assert_eq!(searches[1].0, TASK);
}

#[test]
fn word_times_determine_the_next_window() {
    // An unfinished segment: without word times, the next window begins 30 s later.
    let unfinished = [&[BEGIN], [256, 257, 258].as_slice()].concat();
    let results = [(unfinished.clone(), -0.2, 0.0), (timestamped_text(0, &[259], 500), -0.2, 0.0)];
    let (_, transcription) = transcribe_results(&english_options(), 31, &results);
    assert_eq!(transcription.segments[1].seek, 3000);
    let (_, transcription) =
        transcribe_results(&Options { word_timestamps: true, ..english_options() }, 31, &results);
    let to_hundredths = |seconds: f64| (seconds * 100.0).round();
    let words = transcription.segments[0].words.iter();
    let words: Vec<_> = words
        .map(|word| (word.text.as_str(), to_hundredths(word.start), to_hundredths(word.end)))
        .collect();
    // Tokens at 0, 7.5, 15 and 22.5 s; the first two words after a pause last 1.4 s each at most.
    assert_eq!(words, [(" aa", 1220.0, 1360.0), (" ba", 1360.0, 1500.0), (" ca", 1500.0, 2250.0)]);
    assert_eq!(transcription.segments[1].seek, 2250);
}

#[test]
fn segments_without_text_or_duration_are_dropped() {
    let results = [(
        [
            timestamped_text(0, &[], 400),
            timestamped_text(400, &[220, 220], 600),
            timestamped_text(600, &[256], 600),
        ]
        .concat(),
        -0.2,
        0.0,
    )];
    let (_, transcription) = transcribe_results(&english_options(), 10, &results);
    assert!(transcription.segments.is_empty(), "{:?}", transcription.segments);
}

#[test]
fn window_without_progress_is_skipped() {
    // A pair of timestamps at the beginning of the window: the reference would decode the window
    // forever.
    let results = [
        (vec![BEGIN, 256, BEGIN, BEGIN], -0.2, 0.0),
        (timestamped_text(0, &[256], 500), -0.2, 0.0),
    ];
    let (_, transcription) = transcribe_results(&english_options(), 40, &results);
    assert_eq!(transcription.segments.last().unwrap().seek, 3000);
    // The decoder returns only the end of text.
    let (_, transcription) = transcribe_results(&english_options(), 10, &[(vec![], -0.2, 0.0)]);
    assert!(transcription.segments.is_empty());
}

#[test]
fn compressed_lengths_equal_those_of_zlib() {
    // Expected lengths from zlib 1.2.13: fixed, stored and dynamic blocks, near and far matches,
    // several blocks.
    let mut state = 1u32;
    let mut random = |bound: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % bound
    };
    let words: Vec<String> =
        (0..300).map(|i| format!(" {}{}", ["ta", "re", "mo", "lin"][i % 4], i * 7 % 89)).collect();
    let mut random_text =
        |count: usize| (0..count).map(|_| words[random(300) as usize].as_str()).collect::<String>();
    let cases = [
        (String::new(), 8),
        ("a".to_owned(), 9),
        (" the cat sat on the mat".to_owned(), 27),
        (" ha".repeat(100), 15),
        (" I think so.".repeat(20), 23),
        (" Schön ist die Übung, 你好 你好 你好.".to_owned(), 42),
        (random_text(50), 141),
        (random_text(1000), 1796),
        (random_text(30_000), 46_856),
    ];
    for (text, compressed) in cases {
        assert_eq!(
            compression_ratio(&text),
            text.len() as f64 / f64::from(compressed),
            "{} bytes",
            text.len()
        );
    }
}

/// Generates a melody of decaying triads, two a second.
fn music(seconds: usize) -> Vec<f32> {
    const ROOTS: [f32; 8] = [262.0, 294.0, 330.0, 349.0, 392.0, 440.0, 494.0, 523.0];
    let sample = |i: usize| {
        let (chord, time) = (i / 8_000, (i % 8_000) as f32 / 16_000.0);
        let tone = |ratio: f32| (std::f32::consts::TAU * ROOTS[chord * 5 % 8] * ratio * time).sin();
        0.1 * (-4.0 * time).exp() * (tone(1.0) + tone(1.25) + tone(1.5))
    };
    (0..seconds * 16_000).map(sample).collect()
}

#[test]
fn random_model_reaches_the_end_of_any_recording() {
    let model = model();
    let size = crate::EngineSize {
        threads: std::num::NonZeroUsize::MIN,
        windows: std::num::NonZeroUsize::new(3).unwrap(),
    };
    // The language is detected.
    let options =
        Options { word_timestamps: true, temperatures: vec![0.0, 1.0], ..Options::default() };
    let transcriber = crate::Transcriber::start("test", &model, options, size).unwrap();
    let recordings = [
        vec![],
        vec![0.5],
        vec![0.0; 48_000],
        vec![f32::NAN; 16_000],
        vec![f32::INFINITY; 16_000],
        vec![1.0; 32_000],
        music(10),
        // Clipped.
        music(10).iter().map(|sample| (20.0 * sample).clamp(-1.0, 1.0)).collect(),
        noise(70 * 16_000),
    ];
    for samples in &recordings {
        let seconds = samples.len() as f64 / 16_000.0;
        let transcription = transcriber.transcribe(samples).unwrap();
        let mut last = 0.0;
        for segment in &transcription.segments {
            assert!(
                segment.start >= last - 30.0 && segment.seek as f64 / 100.0 <= seconds,
                "{segment:?}"
            );
            assert!(segment.tokens.len() <= 224, "a decoder that does not stop is cut");
            last = segment.start;
        }
        if samples.len() >= 160 {
            assert!(
                ["en", "fr", "de"].contains(&transcription.language.as_str()),
                "{}",
                transcription.language
            );
            assert!((0.3..=1.0).contains(&transcription.language_probability));
        }
        assert_eq!(transcriber.transcribe(samples).unwrap(), transcription, "the same again");
    }
}

#[test]
fn unsupported_options_are_refused() {
    let refused = |options: Options| {
        let size = crate::EngineSize::for_model(&model());
        match crate::Transcriber::start("test", &model(), options, size) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        }
    };
    let cases = [
        (Options { language: Some("xx".to_owned()), ..Options::default() }, "option `language`"),
        (Options { beam_size: 0, ..Options::default() }, "option `beam_size`"),
        (Options { best_of: 17, ..Options::default() }, "option `best_of`"),
        (Options { patience: 0.05, ..Options::default() }, "option `patience`"),
        (Options { temperatures: Vec::new(), ..Options::default() }, "option `temperatures`"),
        (Options { max_new_tokens: Some(0), ..Options::default() }, "option `max_new_tokens`"),
    ];
    for (options, expected) in cases {
        let error = refused(options);
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(refused(english_options()), "");
    assert_eq!(END_OF_TEXT, model().vocabulary.special().end_of_text);
}
