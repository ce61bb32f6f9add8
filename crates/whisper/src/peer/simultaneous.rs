//! Simultaneous policies on real weights, `base`, and real voices: words, lag and processor time.

use std::time::Instant;

use taonet_primitives::Word;
use taonet_speech::{LocalAgreement, Recognizer as _, SimultaneousRecognizer};

use super::voices::{MODEL, Voice, model, voices};
use super::*;
use crate::options::Options;
use crate::{AlignAtt, AlignAttOptions, EngineSize, Transcriber};

/// Samples per frame of a source: 80 ms.
const FRAME: usize = 1_280;
/// Silence between two recordings of a speech, in samples: 0.3 s.
const PAUSE: usize = 4_800;

/// Results of a policy on all speeches.
#[derive(Debug, Default, Clone, Copy)]
struct Measured {
    /// Words that differ from the speakers' texts.
    errors: usize,
    /// Words that differ from the transcription of the complete recording.
    changes: usize,
    /// Sum of the lags of all matched words, in seconds: from the end of the word to its finality.
    lag: f64,
    matched: usize,
    /// Processor time and duration of the speeches, in seconds.
    processor: f64,
    audio: f64,
}

/// Returns the processor time of this process so far, in seconds.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the program's name: user and system time are the 12th and 13th field, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<f64>().unwrap() / 100.0).sum()
}

/// Splits a text into words, in lower case and without punctuation.
fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns pairs of indices of equal words in two texts: a longest common subsequence.
fn matches(one: &[String], other: &[String]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            let skipped = lengths[i + 1][j].max(lengths[i][j + 1]);
            lengths[i][j] = if one[i] == other[j] { lengths[i + 1][j + 1] + 1 } else { skipped };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < one.len() && j < other.len() {
        if one[i] == other[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Returns each single word of timed words, with a time of each.
fn flatten<'a>(timed: impl Iterator<Item = (&'a Word, f64)>) -> (Vec<String>, Vec<f64>) {
    timed.flat_map(|(word, time)| words(&word.text).into_iter().map(move |text| (text, time))).unzip()
}

fn measure(policy: &dyn SimultaneousRecognizer, speeches: &[(Voice, Vec<Word>)], show: bool) -> Measured {
    let mut measured = Measured::default();
    for (speech, whole) in speeches {
        let started = (processor_time(), Instant::now());
        let mut recognition = policy.open();
        let mut emitted = Vec::new();
        let frames = speech.samples.chunks(FRAME);
        let count = frames.len();
        for (number, frame) in (1..).zip(frames) {
            let heard = (number * FRAME).min(speech.samples.len()) as f64 / 16_000.0;
            let new = recognition.push(frame, number == count).unwrap();
            emitted.extend(new.into_iter().map(|word| (word, heard)));
        }
        measured.processor += processor_time() - started.0;
        measured.audio += speech.samples.len() as f64 / 16_000.0;
        let (texts, times) = flatten(emitted.iter().map(|(word, heard)| (word, *heard)));
        let (whole_texts, ends) = flatten(whole.iter().map(|word| (word, word.end)));
        let spoken = words(&speech.text);
        measured.errors += strsim::generic_levenshtein(&texts, &spoken);
        measured.changes += strsim::generic_levenshtein(&texts, &whole_texts);
        for (i, j) in matches(&texts, &whole_texts) {
            measured.lag += times[i] - ends[j];
            measured.matched += 1;
        }
        if show {
            let _ = writeln!(std::io::stderr(), "  {} {:.1?}: {}", speech.name, started.1.elapsed(), texts.join(" "));
        }
    }
    measured
}

#[test]
fn experiment() {
    let Some(folder) = model() else { return };
    let model = Arc::new(Model::open(&folder).unwrap());
    let hearing = || Options {
        beam_size: 1,
        temperatures: vec![0.0],
        condition_on_previous_text: false,
        word_timestamps: true,
        ..Options::default()
    };
    let one = std::num::NonZeroUsize::MIN;
    let size = EngineSize { threads: one, windows: one };
    let transcriber = Arc::new(Transcriber::start(MODEL, &model, hearing(), size).unwrap());
    let wanted = std::env::var("AA_SET").unwrap_or_else(|_| "voices".to_owned());
    let mut speeches = Vec::new();
    if wanted.contains("voices") {
        for voice in voices(true).unwrap() {
            if !["en", "es", "fr", "it", "pl", "pt"].contains(&&*voice.language) {
                continue;
            }
            match speeches.last_mut() {
                Some(Voice { language, text, samples, .. }) if *language == voice.language => {
                    *text = format!("{text} {}", voice.text);
                    samples.extend(vec![0.0; PAUSE]);
                    samples.extend(&voice.samples);
                }
                _ => speeches.push(voice),
            }
        }
    }
    if let Ok(files) = std::env::var("AA_FILES") {
        for file in files.split(',') {
            let bytes = std::fs::read(file).unwrap();
            let samples = taonet_speech::resample_for_recognition(&taonet_speech::Wav::decode(&bytes).unwrap().pcm);
            let text = std::fs::read_to_string(file.replace(".wav", ".txt")).unwrap_or_default();
            speeches.push(Voice { name: file.to_owned(), language: "xx".into(), text, samples });
        }
    }
    let speeches: Vec<_> = speeches
        .into_iter()
        .map(|mut speech| {
            let whole = transcriber.recognize(&speech.samples).unwrap().transcript;
            let _ = writeln!(std::io::stderr(), "  {} whole: {}", speech.name, whole.text);
            if speech.text.is_empty() {
                speech.text = whole.text.clone();
            }
            (speech, whole.words)
        })
        .collect();
    let spoken: usize = speeches.iter().map(|(speech, _)| words(&speech.text).len()).sum();
    let _ = writeln!(std::io::stderr(), "{spoken} words, {}", model.kernels());
    let report = |name: &str, policy: &dyn SimultaneousRecognizer| {
        let m = measure(policy, &speeches, std::env::var_os("AA_SHOW").is_some());
        let _ = writeln!(
            std::io::stderr(),
            "{name}: errors {} changes {} lag {:.2} s of {} words, {:.3} s of CPU time per s of {:.1} s",
            m.errors, m.changes, m.lag / m.matched as f64, m.matched, m.processor / m.audio, m.audio
        );
    };
    let set = std::env::var("AA_POLICIES").unwrap_or_else(|_| "la;aa 25 -1;aa 25 4".to_owned());
    for policy in set.split(';') {
        let parts: Vec<&str> = policy.split(' ').collect();
        if parts[0] == "la" {
            report(policy, &LocalAgreement::new(transcriber.clone()));
        } else {
            let padding: f64 = parts[2].parse().unwrap();
            let options = AlignAttOptions {
                frame_threshold: parts[1].parse().unwrap(),
                padding: (padding >= 0.0).then_some(padding),
            };
            report(policy, &AlignAtt::new(transcriber.clone(), options).unwrap());
        }
    }
}
