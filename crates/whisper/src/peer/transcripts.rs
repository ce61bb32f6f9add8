//! Comparison of complete transcriptions by the trained model in tests/model.
//!
//! # Random numbers
//!
//! Both engines accept the result at temperature 0, or decode the window again and sample at higher temperatures, each
//! with random numbers of its own. Results at temperature 0 must be equal. A recording with a window that either engine
//! samples counts as different: both engines must have rejected equal results, or results close to a threshold.
#![allow(clippy::float_cmp, reason = "temperatures and equal sums are exact")]

use serde::Deserialize;

use super::decoding::decode;
use super::margin::margin;
use super::*;
use crate::options::Options;
use crate::search::{Hypothesis, Search, Strategy, Task};
use crate::transcribe::{Reply, Segment, Transcription};
use crate::{EngineSize, Transcriber};

/// Maximum change of a candidate's log probability that rounding explains.
const ROUNDING: f32 = 0.5;
/// Maximum difference of an average log probability that rounding explains.
const AVERAGE_ROUNDING: f64 = 0.05;
/// Maximum difference of word times in seconds: one position of the encoder.
const ONE_POSITION: f64 = 0.021;
/// Maximum difference of the start of a window, in frames: word times decide where some windows end.
const ONE_POSITION_IN_FRAMES: usize = 2;

/// A recording and its description.
struct Recording {
    name: String,
    samples: Vec<f32>,
}

/// Returns the recordings of vectors/speech, and 20 that are made of them: five with pauses, five with noise, eight of
/// two sentences, and two of 70 s.
fn all_recordings() -> Vec<Recording> {
    let speech = recordings();
    let silence = |seconds: f32| vec![0.0; (seconds * 16_000.0) as usize];
    let mut all = Vec::new();
    let mut add = |name: String, samples: Vec<f32>| all.push(Recording { name, samples });
    for (index, samples) in speech.iter().enumerate() {
        add(format!("utt{index:02}"), samples.clone());
    }
    for (index, samples) in speech.iter().enumerate().take(5) {
        let (first, second) = samples.split_at(quietest(samples));
        let before = 0.4 * (index + 1) as f32;
        let name = format!("utt{index:02} with pauses of {before:.1} s, 0.7 s and 2 s");
        add(name, [&*silence(before), first, &*silence(0.7), second, &*silence(2.0)].concat());
    }
    for (index, decibels) in (5..).zip([25.0, 20.0, 17.5, 15.0, 12.5]) {
        add(format!("utt{index:02} with noise at {decibels} dB"), noisy(&speech[index], decibels, index as u32));
    }
    for (index, pair) in speech.chunks_exact(2).enumerate().take(8) {
        let pause = 0.3 + 0.15 * index as f32;
        let name = format!("utt{:02}, {pause:.2} s, utt{:02}", 2 * index, 2 * index + 1);
        add(name, [&*pair[0], &*silence(pause), &*pair[1]].concat());
    }
    let backwards: Vec<_> = speech.iter().rev().cloned().collect();
    for (name, sentences, pause) in [("70 s", &speech, 0.2), ("70 s backwards", &backwards, 0.4)] {
        let mut samples = sentences.join(&*silence(pause));
        samples.resize(70 * 16_000, 0.0);
        add(name.to_owned(), samples);
    }
    all
}

/// Returns the middle of the quietest 50 ms in the second and third quarter of a recording.
fn quietest(samples: &[f32]) -> usize {
    const COUNT: usize = 800;
    let energy = |start: &usize| samples[*start..start + COUNT].iter().map(|sample| sample * sample).sum::<f32>();
    let starts = (samples.len() / 4..samples.len() * 3 / 4).step_by(COUNT / 2);
    starts.min_by(|a, b| energy(a).total_cmp(&energy(b))).unwrap() + COUNT / 2
}

/// Adds white noise at a signal-to-noise ratio.
fn noisy(samples: &[f32], decibels: f32, seed: u32) -> Vec<f32> {
    let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
    // The power of uniform noise is a third of its squared amplitude.
    let amplitude = (3.0 * power).sqrt() * 10_f32.powf(-decibels / 20.0);
    let mut state = seed;
    let noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        amplitude * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    samples.iter().zip(std::iter::repeat_with(noise)).map(|(sample, noise)| 0.5 * (sample + noise)).collect()
}

/// Result of decoding a window at one temperature.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Decoding {
    prompt: Vec<u32>,
    temperature: f64,
    tokens: Vec<u32>,
    score: f64,
}

impl Decoding {
    /// Returns the average log probability, which includes the end of text in the length.
    fn average(&self) -> f64 {
        self.score * self.tokens.len() as f64 / (self.tokens.len() + 1) as f64
    }
}

/// A segment of the reference.
#[derive(Debug, Deserialize)]
struct TheirSegment {
    seek: usize,
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<u32>,
    temperature: f64,
    average_log_probability: f64,
    words: Vec<(String, f64, f64, f64)>,
}

/// A transcription of the reference.
#[derive(Debug, Deserialize)]
struct Theirs {
    language: String,
    segments: Vec<TheirSegment>,
    decodings: Vec<Decoding>,
}

/// The first difference of a transcription from the reference's.
#[derive(Debug)]
struct Difference {
    description: String,
    is_rounding: bool,
}

/// A model and its options.
struct Comparison {
    model: Arc<Model>,
    options: Options,
}

impl Comparison {
    /// Transcribes all recordings with both engines. Prints the differences, and fails if more than one of ten
    /// recordings differs, or if rounding does not explain a difference.
    fn run(&self, peer: &Peer, all: &[Recording]) {
        let paths: Vec<PathBuf> =
            all.iter().enumerate().map(|(i, recording)| peer.put(&format!("audio{i}"), &recording.samples)).collect();
        let words = self.options.word_timestamps;
        let answers = peer.ask(json!({
            "do": "transcribe", "model": folder(), "audio": paths, "options": {"word_timestamps": words}
        }));
        let answers: Vec<Theirs> = serde_json::from_value(answers).unwrap();
        let size = EngineSize::for_model(&self.model);
        let transcriber = Transcriber::start("whisper-synthetic", &self.model, self.options.clone(), size).unwrap();
        let (mut equal, mut segments, mut faults, mut apart) = (0, 0, 0, 0.0_f64);
        for (recording, theirs) in all.iter().zip(&answers) {
            let ours = transcriber.transcribe(&recording.samples).unwrap();
            if let Some(Difference { description, is_rounding }) = self.difference(&recording.samples, &ours, theirs) {
                let kind = if is_rounding { "rounding" } else { "FAULT" };
                let _ = writeln!(std::io::stderr(), "{}: {kind}: {description}", recording.name);
                faults += usize::from(!is_rounding);
                continue;
            }
            equal += 1;
            segments += ours.segments.len();
            for (ours, theirs) in ours.segments.iter().zip(&theirs.segments) {
                apart = apart.max((ours.average_log_probability - theirs.average_log_probability).abs());
            }
        }
        let _ = writeln!(
            std::io::stderr(),
            "word times {words}: {equal} of {} transcriptions with {segments} segments are equal, average log \
             probabilities at most {apart:.4} apart",
            all.len()
        );
        assert_eq!(faults, 0, "rounding does not explain the differences");
        assert!(equal * 10 >= all.len() * 9, "{equal} of {} transcriptions are equal", all.len());
        assert!(apart <= AVERAGE_ROUNDING, "average log probabilities are {apart} apart");
    }

    /// Compares windows, texts, tokens, temperatures and times. Without words, times are multiples of 20 ms and must
    /// be equal.
    fn difference(&self, samples: &[f32], ours: &Transcription, theirs: &Theirs) -> Option<Difference> {
        assert_eq!(ours.language, theirs.language, "language");
        let words = self.options.word_timestamps;
        let mut pairs = ours.segments.iter().zip(&theirs.segments);
        let different = pairs.clone().position(|(ours, theirs)| {
            let at_zero = ours.temperature == 0.0 && theirs.temperature == 0.0;
            !at_zero || ours.seek != theirs.seek || ours.tokens != theirs.tokens || ours.text != theirs.text
        });
        if let Some(index) = different
            && let Some((ours, theirs)) = pairs.nth(index)
            && words
            && ours.seek != theirs.seek
        {
            return Some(Difference {
                description: format!(
                    "segment {index}: the window begins at frame {}, the reference's at {}",
                    ours.seek, theirs.seek
                ),
                is_rounding: ours.seek.abs_diff(theirs.seek) <= ONE_POSITION_IN_FRAMES,
            });
        }
        if different.is_some() || ours.segments.len() != theirs.segments.len() {
            return Some(self.first_decoding(samples, &theirs.decodings));
        }
        let tolerance = if words { ONE_POSITION } else { 1e-6 };
        let greatest = pairs.map(|(ours, theirs)| time_difference(ours, theirs)).fold(0.0, f64::max);
        (greatest > tolerance).then(|| Difference {
            description: format!("equal texts, but times {greatest:.2} s apart"),
            is_rounding: false,
        })
    }

    /// Transcribes a recording again, up to the first decoding that differs from the reference's.
    fn first_decoding(&self, samples: &[f32], theirs: &[Decoding]) -> Difference {
        let (mut buffers, mut cache) = (Buffers::default(), self.model.decoder.cache());
        let mut reply = Reply::new(self.model.clone(), Arc::new(self.options.clone()), samples);
        let mut search = reply.next_window(&mut buffers, &mut cache).unwrap();
        let mut previous: Option<(Decoding, &Decoding)> = None;
        for theirs in theirs {
            let Some(asked) = search else { return self.judged_differently(previous) };
            let (prompt, temperature) = (asked.task().prompt.clone(), temperature(&asked));
            if prompt != theirs.prompt || temperature != theirs.temperature {
                return self.judged_differently(previous);
            }
            if temperature > 0.0 {
                let description = format!("both engines sample at temperature {temperature}");
                return Difference { description, is_rounding: true };
            }
            let (Hypothesis { tokens, score }, no_speech) = decode(&self.model, copy(asked.task()));
            if tokens != theirs.tokens {
                let margin = margin(&self.model, copy(asked.task()), &tokens, &theirs.tokens);
                return Difference {
                    description: format!(
                        "step {} after a prompt of {} tokens, margin {:.3}\n  ours       {}\n  reference  {}",
                        margin.step,
                        prompt.len(),
                        margin.score,
                        self.text(&tokens),
                        self.text(&theirs.tokens)
                    ),
                    is_rounding: margin.score <= ROUNDING,
                };
            }
            let (rounded, score) = (score, f64::from(score));
            previous = Some((Decoding { prompt, temperature, tokens: tokens.clone(), score }, theirs));
            search = reply.take(&mut buffers, &mut cache, Hypothesis { tokens, score: rounded }, no_speech).unwrap();
        }
        if search.is_some() {
            return self.judged_differently(previous);
        }
        Difference { description: "equal decodings, but different segments".to_owned(), is_rounding: false }
    }

    /// Explains why the engines continue differently after a decoding with equal tokens: one of them accepts the
    /// result, the other one decodes the window again.
    fn judged_differently(&self, last: Option<(Decoding, &Decoding)>) -> Difference {
        let Some((ours, theirs)) = last else {
            return Difference { description: "different first prompts".to_owned(), is_rounding: false };
        };
        let averages = [ours.average(), theirs.average()];
        let threshold = self.options.log_prob_threshold.unwrap();
        let distance = averages.map(|average| (average - threshold).abs()).into_iter().fold(0.0, f64::max);
        Difference {
            description: format!("average log probabilities {averages:.3?} at the threshold {threshold}"),
            is_rounding: distance <= AVERAGE_ROUNDING,
        }
    }

    /// Returns the text of tokens, with timestamps.
    fn text(&self, tokens: &[u32]) -> String {
        let begin = self.model.vocabulary.special().timestamp_begin();
        let parts = tokens.chunk_by(|a, b| *a < begin && *b < begin).map(|part| match part {
            [time] if *time >= begin => format!("<{:.2}>", f64::from(time - begin) * 0.02),
            text => self.model.vocabulary.decode(text),
        });
        parts.collect()
    }
}

/// Returns the greatest difference of a time in two segments with equal tokens, in seconds.
fn time_difference(ours: &Segment, theirs: &TheirSegment) -> f64 {
    let texts: Vec<&str> = ours.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(texts, theirs.words.iter().map(|word| word.0.as_str()).collect::<Vec<_>>(), "words");
    let words = ours.words.iter().zip(&theirs.words);
    let times = words.flat_map(|(ours, theirs)| [(ours.start, theirs.1), (ours.end, theirs.2)]);
    let times = times.chain([(ours.start, theirs.start), (ours.end, theirs.end)]);
    times.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max)
}

fn copy(task: &Task) -> Task {
    Task {
        memory: task.memory.clone(),
        prompt: task.prompt.clone(),
        start: task.start,
        rules: task.rules.clone(),
        strategy: task.strategy.clone(),
        length_penalty: task.length_penalty,
        longest: task.longest,
        no_speech: task.no_speech,
    }
}

fn temperature(search: &Search) -> f64 {
    match search.task().strategy {
        Strategy::Beam { .. } => 0.0,
        // The shortest decimal is that of the options.
        Strategy::Sample { temperature, .. } => temperature.to_string().parse().unwrap(),
    }
}

fn folder() -> PathBuf {
    repository("crates/whisper/tests/model")
}

/// Compares texts and segments with default options, and with the options of Babelbit's validators: the defaults with
/// word times.
#[test]
fn transcriptions_equal_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let model = Arc::new(Model::open(&folder()).unwrap());
    let all = all_recordings();
    assert_eq!(all.len(), 40);
    for word_timestamps in [false, true] {
        let options = Options { word_timestamps, ..Options::default() };
        Comparison { model: model.clone(), options }.run(&peer, &all);
    }
}

#[test]
fn margins_tell_wrong_results_from_rounding() {
    let model = Arc::new(Model::open(&folder()).unwrap());
    let (mut buffers, mut cache) = (Buffers::default(), model.decoder.cache());
    let windows = recordings().into_iter().take(4).map(|samples| {
        let mut reply = Reply::new(model.clone(), Arc::default(), &samples);
        let search = reply.next_window(&mut buffers, &mut cache).unwrap().unwrap();
        let tokens = decode(&model, copy(search.task())).0.tokens;
        (search, tokens)
    });
    let windows: Vec<_> = windows.collect();
    for (index, (search, tokens)) in windows.iter().enumerate() {
        let task = || copy(search.task());
        assert_eq!(margin(&model, task(), tokens, tokens).score, 0.0);
        // Another recording's text, a text with a wrong word, and one that ends early.
        let other = &windows[(index + 1) % windows.len()].1;
        let mut changed = tokens.clone();
        changed[3] = other[2];
        for wrong in [other, &changed, &tokens[..4].to_vec()] {
            let found = margin(&model, task(), tokens, wrong);
            assert!(found.score > 2.0 * ROUNDING && found.step <= 4, "{index}: {found:?}");
        }
    }
}
