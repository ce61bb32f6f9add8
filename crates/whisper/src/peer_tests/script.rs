//! Comparison of faster-whisper's rules around decoding: fallback, silence, prompts, segments,
//! seeking and word times. Both implementations get the same synthetic decoding results, so only
//! the rules can differ.

use super::*;
use crate::align::Alignment;
use crate::options::Options;
use crate::search::{Hypothesis, Search, Strategy};
use crate::transcribe::{Recording, Transcription};

/// Reproducible random choices for test scripts.
struct ScriptRandom(u64);

impl ScriptRandom {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }
}

/// Draws text tokens of the random model: words, punctuation (`! " ( ) , - . ? '`), spaces, and the
/// two bytes of é or only the first.
fn text(random: &mut ScriptRandom) -> Vec<u32> {
    if random.below(8) == 0 {
        // A repetitive text that fails the compression ratio.
        return vec![300 + random.below(50); 40];
    }
    (0..random.below(12))
        .flat_map(|_| match random.below(10) {
            0 | 1 => vec![random.one_of(&[0, 1, 7, 8, 11, 12, 13, 30, 6])],
            2 => vec![220, random.one_of(&[0, 1, 7, 11, 13])],
            3 => vec![127, 102],
            4 => vec![127],
            _ => vec![256 + random.below(50_000)],
        })
        .collect()
}

/// Generates plausible decoder output: text between timestamps, with one of five endings.
fn tokens(random: &mut ScriptRandom, begin: u32) -> Vec<u32> {
    let mut at = random.below(50);
    let mut tokens = vec![begin + at];
    for _ in 0..random.below(5) {
        tokens.extend(text(random));
        at = (at + 1 + random.below(400)).min(1500);
        tokens.push(begin + at);
        if random.below(3) == 0 {
            at = (at + random.below(100)).min(1500);
        }
        tokens.push(begin + at);
    }
    match random.below(5) {
        0 => tokens.truncate(tokens.len() - 1),
        1 => tokens.extend(text(random)),
        2 => {
            tokens.extend(text(random));
            tokens.push(begin + (at + 1 + random.below(300)).min(1500));
        }
        3 => {
            tokens.extend([700, 13]);
            tokens.extend([begin + (at + 1).min(1500); 2]);
        }
        _ => {}
    }
    tokens
}

/// Creates a synthetic alignment, identical to that of reference.py.
fn synthetic_alignment(tokens: &[u32], frames: usize) -> Alignment {
    let mut state = tokens.iter().sum::<u32>() + frames as u32;
    let positions = frames / 2;
    let mut starts: Vec<usize> = (0..=tokens.len())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % positions.max(1)
        })
        .collect();
    starts.sort_unstable();
    let pairs = starts
        .iter()
        .enumerate()
        .flat_map(|(i, &start)| [(i, start), (i, (start + 1).min(positions.max(1) - 1))]);
    Alignment {
        path: pairs.collect(),
        probabilities: tokens.iter().map(|token| (token % 97 + 1) as f32 / 128.0).collect(),
    }
}

/// Describes a search in the reference's terms.
fn describe_search(search: &Search, begin: u32) -> Value {
    let task = search.task();
    let (beams, patience, best_of, temperature) = match task.strategy {
        Strategy::Beam { beams, patience } => (beams, Some(patience), None, None),
        Strategy::Sample { count, temperature, .. } => (1, None, Some(count), Some(temperature)),
    };
    json!({
        "prompt": task.prompt, "beams": beams, "patience": patience, "best_of": best_of, "temperature": temperature,
        "longest": task.max_tokens, "latest": task.rules.latest_first_timestamp - begin,
        "suppressed": task.rules.suppressed, "suppressed_at_begin": task.rules.suppressed_at_begin
    })
}

/// Runs a script with our rules until the recording ends or the results run out.
fn play(
    model: &Arc<Model>,
    options: &Options,
    samples: usize,
    results: &[Value],
) -> (Vec<Value>, Transcription) {
    let mut recording =
        Recording::new(model.clone(), Arc::new(options.clone()), &vec![0.0; samples]);
    recording.alignment = Some(synthetic_alignment);
    let (mut buffers, mut cache) = (Buffers::default(), model.decoder.cache());
    let mut search = recording.next_window(&mut buffers, &mut cache).unwrap();
    let mut calls = Vec::new();
    let mut results = results.iter();
    while let Some(next_search) = search {
        calls.push(describe_search(&next_search, model.vocabulary.special().timestamp_begin()));
        let Some(result) = results.next() else { break };
        let tokens = serde_json::from_value(result["tokens"].clone()).unwrap();
        let score = result["score"].as_f64().unwrap() as f32;
        let no_speech = result["no_speech"].as_f64().unwrap() as f32;
        search = recording
            .accept(&mut buffers, &mut cache, Hypothesis { tokens, score }, no_speech)
            .unwrap();
    }
    (calls, recording.into_transcription())
}

fn check_segments(case: &str, ours: &Transcription, theirs: &Value) {
    let theirs = theirs.as_array().unwrap();
    let close = |a: f64, b: &Value, tolerance: f64| {
        let b = b.as_f64().unwrap_or(f64::NAN);
        (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan())
    };
    for (index, (ours, theirs)) in ours.segments.iter().zip(theirs).enumerate() {
        let case = format!("{case}, segment {index}\n{ours:?}\n{theirs}");
        assert_eq!(
            json!([ours.seek, ours.text, ours.tokens]),
            json!([theirs["seek"], theirs["text"], theirs["tokens"]]),
            "{case}"
        );
        for (ours, name) in
            [(ours.start, "start"), (ours.end, "end"), (ours.temperature, "temperature")]
        {
            assert!(close(ours, &theirs[name], 1e-9), "{case}: {name}");
        }
        assert!(
            close(ours.average_log_probability, &theirs["average_log_probability"], 1e-6),
            "{case}"
        );
        assert!(close(f64::from(ours.no_speech_probability), &theirs["no_speech"], 1e-6), "{case}");
        assert!(close(ours.compression_ratio, &theirs["compression_ratio"], 1e-9), "{case}");
        let words = theirs["words"].as_array().unwrap();
        assert_eq!(ours.words.len(), words.len(), "{case}");
        for (ours, theirs) in ours.words.iter().zip(words) {
            assert_eq!(theirs[0], ours.text, "{case}");
            assert!(
                close(ours.start, &theirs[1], 1e-9) && close(ours.end, &theirs[2], 1e-9),
                "{case}: {}",
                ours.text
            );
            assert!(close(ours.probability, &theirs[3], 1e-6), "{case}: {}", ours.text);
        }
    }
    assert_eq!(ours.segments.len(), theirs.len(), "{case}: number of segments");
}

#[test]
fn decoding_rules_equal_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let folder = peer.model("micro", &[]);
    let model = Arc::new(Model::open(&folder).unwrap());
    let begin = model.vocabulary.special().timestamp_begin();
    let mut random = ScriptRandom(12);
    let mut cases = Vec::new();
    for index in 0..120 {
        let mut options = Options { language: Some("en".to_owned()), ..Options::default() };
        options.word_timestamps = random.below(3) > 0;
        options.condition_on_previous_text = random.below(4) > 0;
        if random.below(4) == 0 {
            options.beam_size = 1 + random.below(4) as usize;
            options.log_prob_threshold = random.one_of(&[None, Some(-0.7)]);
            options.compression_ratio_threshold = random.one_of(&[None, Some(1.2)]);
            options.no_speech_threshold = random.one_of(&[None, Some(0.3)]);
            options.temperatures = random.one_of(&[[0.0, 0.6], [0.4, 0.8]]).to_vec();
            options.length_penalty = random.one_of(&[0.0, 1.0, 1.5]);
            options.max_initial_timestamp = random.one_of(&[0.5, 1.0, 3.0]);
        }
        let samples =
            16 * (400 + 100 * random.below(900)) as usize + random.one_of(&[0, 0, 159, 77]);
        let results: Vec<Value> = (0..30)
            .map(|_| {
                // Multiples of 1/64, which 32-bit floats represent exactly.
                let score = f64::from(-8 - i32::try_from(random.below(60)).unwrap()) / 64.0;
                json!({
                    "tokens": tokens(&mut random, begin), "score": score,
                    "no_speech": random.one_of(&[0.125, 0.5, 0.75])
                })
            })
            .collect();
        cases.push((index, options, samples, results));
    }
    let described: Vec<Value> = cases
        .iter()
        .map(|(_, options, samples, results)| {
            json!({"samples": samples, "results": results, "options": {
                "word_timestamps": options.word_timestamps, "beam_size": options.beam_size,
                "condition_on_previous_text": options.condition_on_previous_text,
                "log_prob_threshold": options.log_prob_threshold, "temperature": options.temperatures,
                "compression_ratio_threshold": options.compression_ratio_threshold,
                "no_speech_threshold": options.no_speech_threshold, "length_penalty": options.length_penalty,
                "max_initial_timestamp": options.max_initial_timestamp,
            }})
        })
        .collect();
    let answers = peer.run_reference(json!({"do": "script", "model": folder, "cases": described}));
    let (mut windows, mut segments, mut words) = (0, 0, 0);
    for ((index, options, samples, results), answer) in
        cases.iter().zip(answers.as_array().unwrap())
    {
        let (calls, transcription) = play(&model, options, *samples, results);
        let case = format!("case {index} of {samples} samples with {options:?}");
        for (number, (ours, theirs)) in
            calls.iter().zip(answer["calls"].as_array().unwrap()).enumerate()
        {
            for name in [
                "prompt",
                "beams",
                "best_of",
                "longest",
                "latest",
                "suppressed",
                "suppressed_at_begin",
            ] {
                assert_eq!(ours[name], theirs[name], "{case}, call {number}: {name}");
            }
            let (ours, theirs) = (ours["temperature"].as_f64(), theirs["temperature"].as_f64());
            assert!(
                (ours.unwrap_or(0.0) - theirs.unwrap_or(0.0)).abs() < 1e-6,
                "{case}, call {number}"
            );
        }
        check_segments(&case, &transcription, &answer["segments"]);
        assert_eq!(
            calls.len(),
            answer["calls"].as_array().unwrap().len(),
            "{case}: number of calls"
        );
        windows += calls.len();
        segments += transcription.segments.len();
        words += transcription.segments.iter().map(|segment| segment.words.len()).sum::<usize>();
    }
    let _ = writeln!(
        std::io::stderr(),
        "{} recordings: {windows} decodings, {segments} segments and {words} words equal",
        cases.len()
    );
    assert!(windows > 400 && segments > 600 && words > 1200, "the script covers too little");
}
