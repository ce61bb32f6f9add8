//! Comparison of complete transcriptions by the trained model in tests/model.
//!
//! # Random numbers
//!
//! Both engines accept the result at temperature 0, or decode the window again and sample at higher
//! temperatures, each with random numbers of its own. Results at temperature 0 must be equal. A
//! recording with a window that either engine samples counts as different: both engines must have
//! rejected equal results, or results close to a threshold.
#![allow(clippy::float_cmp, reason = "temperatures and equal sums are exact")]

use std::num::NonZeroUsize;

use serde::Deserialize;
use taonet_speech::Recognizer as _;

use super::decoding::decode;
use super::margin::{Margin, margin};
use super::recordings::{Case, all_cases};
use super::*;
use crate::options::Options;
use crate::search::{Hypothesis, Search, SearchTask, Strategy};
use crate::transcribe::{Recording, Segment, Transcription};
use crate::{EngineSize, Transcriber};

/// Maximum change of a candidate's log probability in one step that rounding explains, about twice
/// the observed maximum.
const ROUNDING: f32 = 0.09;
/// Maximum change of a hypothesis' score that rounding explains at any step: above the largest
/// recorded margin of rounding, 0.309 at step 73, and below the margins of wrong tokens.
const MAX_ROUNDING: f32 = 0.4;
/// Maximum difference of an average log probability that rounding explains, about twice the
/// observed maximum.
const AVERAGE_ROUNDING: f64 = 0.02;
/// Maximum difference of word times in seconds: one position of the encoder.
const ONE_POSITION: f64 = 0.021;
/// Maximum difference of the start of a window, in frames: word times decide where some windows
/// end.
const ONE_POSITION_IN_FRAMES: usize = 2;

/// Result of decoding a window at one temperature.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Decoding {
    prompt: Vec<u32>,
    temperature: f64,
    tokens: Vec<u32>,
    score: f64,
    no_speech: f64,
}

impl Decoding {
    /// Returns the average log probability, which includes the end of text in the length.
    fn average(&self) -> f64 {
        self.score * self.tokens.len() as f64 / (self.tokens.len() + 1) as f64
    }
}

/// A segment of the reference.
#[derive(Debug, Deserialize)]
struct ReferenceSegment {
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
struct ReferenceTranscription {
    language: String,
    segments: Vec<ReferenceSegment>,
    decodings: Vec<Decoding>,
}

/// The first difference of a transcription from the reference's.
#[derive(Debug)]
struct Difference {
    description: String,
    is_rounding: bool,
}

/// Transcribes all recordings with the reference.
fn transcribe_by_reference(
    peer: &Peer,
    all: &[Case],
    word_timestamps: bool,
) -> Vec<ReferenceTranscription> {
    let paths: Vec<PathBuf> = all
        .iter()
        .enumerate()
        .map(|(i, case)| peer.write_values(&format!("audio{i}"), &case.samples))
        .collect();
    let answers = peer.run_reference(json!({
        "do": "transcribe", "model": trained_model(), "audio": paths,
        "options": {"word_timestamps": word_timestamps}
    }));
    serde_json::from_value(answers).unwrap()
}

/// A model and its options.
struct Comparison {
    model: Arc<Model>,
    options: Options,
}

impl Comparison {
    /// Transcribes all recordings, and compares with the reference's `answers`. Prints the
    /// differences, and fails if more than one of ten recordings differs, or if rounding does not
    /// explain a difference.
    fn run(&self, all: &[Case], answers: &[ReferenceTranscription]) {
        let words = self.options.word_timestamps;
        let size = EngineSize::for_model(&self.model);
        let transcriber =
            Transcriber::start("whisper-synthetic", &self.model, self.options.clone(), size)
                .unwrap();
        let (mut equal, mut segments, mut faults, mut certain) = (0, 0, 0, 0);
        let (mut apart, mut shift) = (0.0_f64, 0.0_f64);
        for (case, theirs) in all.iter().zip(answers) {
            let ours = transcriber.transcribe(&case.samples).unwrap();
            // Two empty results would be equal.
            assert_eq!(ours.segments.is_empty(), !case.has_speech, "{}: {ours:?}", case.name);
            let at_zero = theirs.decodings.iter().all(|decoding| decoding.temperature == 0.0);
            certain += usize::from(at_zero && case.name.starts_with("utt"));
            if !case.has_speech {
                self.compare_silence(case, theirs);
            }
            if let Some(Difference { description, is_rounding }) =
                self.difference(&case.samples, &ours, theirs)
            {
                let kind = if is_rounding { "rounding" } else { "FAULT" };
                let _ = writeln!(std::io::stderr(), "{}: {kind}: {description}", case.name);
                faults += usize::from(!is_rounding);
                continue;
            }
            equal += 1;
            segments += ours.segments.len();
            for (ours, theirs) in ours.segments.iter().zip(&theirs.segments) {
                apart = apart
                    .max((ours.average_log_probability - theirs.average_log_probability).abs());
                shift = shift.max(time_difference(ours, theirs));
            }
        }
        let _ = writeln!(
            std::io::stderr(),
            "{}, word times {words}: {equal} of {} transcriptions with {segments} segments are equal, times at most \
             {shift:.2} s and average log probabilities {apart:.4} apart, {certain} recordings of vectors/speech at \
             temperature 0",
            self.model.kernels(),
            all.len()
        );
        assert_eq!(faults, 0, "rounding does not explain the differences");
        assert!(equal * 10 >= all.len() * 9, "{equal} of {} transcriptions are equal", all.len());
        assert!(apart <= AVERAGE_ROUNDING, "average log probabilities are {apart} apart");
        // At other temperatures, random numbers decide.
        assert!(
            certain >= 15,
            "the reference accepts {certain} recordings of vectors/speech at temperature 0"
        );
    }

    /// Compares the no-speech probability of the first window.
    fn compare_silence(&self, case: &Case, theirs: &ReferenceTranscription) {
        let (mut buffers, mut cache) = (self.model.buffers(), self.model.decoder.cache());
        let mut recording =
            Recording::new(self.model.clone(), Arc::new(self.options.clone()), &case.samples);
        let search = recording.next_window(&mut buffers, &mut cache).unwrap().unwrap();
        let ours = f64::from(decode(&self.model, copy(search.task())).1);
        let theirs = theirs.decodings[0].no_speech;
        assert!(
            ours > 0.6 && (ours - theirs).abs() < 1e-3,
            "{}: no speech {ours} and {theirs}",
            case.name
        );
    }

    /// Compares windows, texts, tokens, temperatures and times. Without words, times are multiples
    /// of 20 ms and must be equal.
    fn difference(
        &self,
        samples: &[f32],
        ours: &Transcription,
        theirs: &ReferenceTranscription,
    ) -> Option<Difference> {
        assert_eq!(ours.language, theirs.language, "language");
        let words = self.options.word_timestamps;
        let mut pairs = ours.segments.iter().zip(&theirs.segments);
        let different = pairs.clone().position(|(ours, theirs)| {
            let at_zero = ours.temperature == 0.0 && theirs.temperature == 0.0;
            !at_zero
                || ours.seek != theirs.seek
                || ours.tokens != theirs.tokens
                || ours.text != theirs.text
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
        let greatest =
            pairs.map(|(ours, theirs)| time_difference(ours, theirs)).fold(0.0, f64::max);
        (greatest > tolerance).then(|| Difference {
            description: format!("equal texts, but times {greatest:.2} s apart"),
            is_rounding: false,
        })
    }

    /// Transcribes a recording again, up to the first decoding that differs from the reference's.
    fn first_decoding(&self, samples: &[f32], theirs: &[Decoding]) -> Difference {
        let (mut buffers, mut cache) = (self.model.buffers(), self.model.decoder.cache());
        let mut recording =
            Recording::new(self.model.clone(), Arc::new(self.options.clone()), samples);
        let mut search = recording.next_window(&mut buffers, &mut cache).unwrap();
        let mut previous: Option<(Decoding, &Decoding)> = None;
        for theirs in theirs {
            let Some(next_search) = search else { return self.acceptance_difference(previous) };
            let (prompt, temperature) =
                (next_search.task().prompt.clone(), temperature(&next_search));
            if prompt != theirs.prompt || temperature != theirs.temperature {
                return self.acceptance_difference(previous);
            }
            if temperature > 0.0 {
                let description = format!("both engines sample at temperature {temperature}");
                return Difference { description, is_rounding: true };
            }
            let (Hypothesis { tokens, score }, no_speech) =
                decode(&self.model, copy(next_search.task()));
            if tokens != theirs.tokens {
                let margin = margin(&self.model, copy(next_search.task()), &tokens, &theirs.tokens);
                return Difference {
                    description: format!(
                        "step {} after a prompt of {} tokens, margin {:.3}\n  ours       {}\n  reference  {}",
                        margin.step,
                        prompt.len(),
                        margin.score,
                        self.text(&tokens),
                        self.text(&theirs.tokens)
                    ),
                    is_rounding: is_rounding(margin),
                };
            }
            let (rounded, score) = (score, f64::from(score));
            let ours = Decoding {
                prompt,
                temperature,
                tokens: tokens.clone(),
                score,
                no_speech: f64::from(no_speech),
            };
            previous = Some((ours, theirs));
            search = recording
                .accept(&mut buffers, &mut cache, Hypothesis { tokens, score: rounded }, no_speech)
                .unwrap();
        }
        if search.is_some() {
            return self.acceptance_difference(previous);
        }
        Difference {
            description: "equal decodings, but different segments".to_owned(),
            is_rounding: false,
        }
    }

    /// Explains why the engines continue differently after a decoding with equal tokens: one of
    /// them accepts the result, the other one decodes the window again.
    fn acceptance_difference(&self, last: Option<(Decoding, &Decoding)>) -> Difference {
        let Some((ours, theirs)) = last else {
            return Difference {
                description: "different first prompts".to_owned(),
                is_rounding: false,
            };
        };
        let averages = [ours.average(), theirs.average()];
        let threshold = self.options.log_prob_threshold.unwrap();
        let distance =
            averages.map(|average| (average - threshold).abs()).into_iter().fold(0.0, f64::max);
        Difference {
            description: format!(
                "average log probabilities {averages:.3?} at the threshold {threshold}"
            ),
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
fn time_difference(ours: &Segment, theirs: &ReferenceSegment) -> f64 {
    let texts: Vec<&str> = ours.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(texts, theirs.words.iter().map(|word| word.0.as_str()).collect::<Vec<_>>(), "words");
    let words = ours.words.iter().zip(&theirs.words);
    let times = words.flat_map(|(ours, theirs)| [(ours.start, theirs.1), (ours.end, theirs.2)]);
    let times = times.chain([(ours.start, theirs.start), (ours.end, theirs.end)]);
    times.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max)
}

/// Returns the maximum change of a hypothesis' score up to a step that rounding explains: the
/// changes of the steps are independent.
fn rounding(step: usize) -> f32 {
    (ROUNDING * ((step + 1) as f32).sqrt()).min(MAX_ROUNDING)
}

/// Returns whether rounding explains a different decision of the search.
fn is_rounding(margin: Margin) -> bool {
    margin.score <= rounding(margin.step)
}

fn copy(task: &SearchTask) -> SearchTask {
    SearchTask {
        memory: task.memory.clone(),
        prompt: task.prompt.clone(),
        transcript_start: task.transcript_start,
        rules: task.rules.clone(),
        strategy: task.strategy.clone(),
        length_penalty: task.length_penalty,
        max_tokens: task.max_tokens,
        no_speech_token: task.no_speech_token,
    }
}

fn temperature(search: &Search) -> f64 {
    match search.task().strategy {
        Strategy::Beam { .. } => 0.0,
        // The shortest decimal is that of the options.
        Strategy::Sample { temperature, .. } => temperature.to_string().parse().unwrap(),
    }
}

/// Compares texts and segments with default options, and with the options of Babelbit's validators:
/// the defaults with word times. On a CPU with AMX, also compares with the kernels of other CPUs.
/// Without word times, only the recordings of vectors/speech, unless `TAONET_TEST_ALL` is set.
#[test]
fn transcriptions_equal_the_reference() {
    let Some(peer) = Peer::with_exact_products() else { return };
    let models: Vec<_> = models(&trained_model()).into_iter().map(Arc::new).collect();
    let all = all_cases();
    assert_eq!(all.len(), 44);
    let plain = if is_exhaustive() { &all[..] } else { &all[..recordings().len()] };
    for (word_timestamps, models, cases) in [(false, &models[..1], plain), (true, &models, &all)] {
        let answers = transcribe_by_reference(&peer, cases, word_timestamps);
        for model in models {
            let options = Options { word_timestamps, ..Options::default() };
            Comparison { model: model.clone(), options }.run(cases, &answers);
        }
    }
}

/// Not all times are equal: a transcription's corrections move some words next to pauses.
#[test]
fn given_words_have_the_times_of_the_transcription() {
    let model = Arc::new(Model::open(&trained_model()).unwrap());
    let options = Options { word_timestamps: true, ..Options::default() };
    let size = EngineSize { threads: NonZeroUsize::MIN, windows: NonZeroUsize::MIN };
    let transcriber = Transcriber::start("trained", &model, options, size).unwrap();
    let (mut close, mut count) = (0, 0);
    for samples in recordings() {
        let transcript = transcriber.recognize(&samples).unwrap().transcript;
        let words: Vec<&str> = transcript.words.iter().map(|word| &*word.text).collect();
        let timed = model.time_words(&samples, &transcript.detected_language, &words).unwrap();
        assert_eq!(timed.len(), words.len(), "{words:?}");
        close += timed
            .iter()
            .zip(&transcript.words)
            .filter(|(timed, word)| (timed.start - word.start).abs() <= 0.1)
            .count();
        count += words.len();
    }
    assert!(count > 100 && close * 10 >= count * 9, "{close} of {count} words");
}

#[test]
fn margins_separate_wrong_results_from_rounding() {
    let model = Arc::new(Model::open(&trained_model()).unwrap());
    let (mut buffers, mut cache) = (Buffers::default(), model.decoder.cache());
    let windows = recordings().into_iter().take(4).map(|samples| {
        let mut recording = Recording::new(model.clone(), Arc::default(), &samples);
        let search = recording.next_window(&mut buffers, &mut cache).unwrap().unwrap();
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
            let actual = margin(&model, task(), tokens, wrong);
            assert!(
                actual.score > 2.0 * rounding(actual.step) && actual.step <= 4,
                "{index}: {actual:?}"
            );
        }
        // A wrong word late in the text.
        let (late, other) = (tokens.len() - 3, &windows[(index + 1) % windows.len()].1);
        let mut changed = tokens.clone();
        changed[late] = other[2];
        let actual = margin(&model, task(), tokens, &changed);
        assert!(
            actual.step >= 10 && actual.score > MAX_ROUNDING && !is_rounding(actual),
            "{index}: {actual:?}"
        );
    }
}

/// Columns: step · margin · whether rounding explains it. The first rows are the recorded
/// differences in docs/benchmarks.md.
#[test]
fn margins_above_the_limit_of_their_step_are_not_rounding() {
    for (step, score, expected) in [
        (7, 0.157, true),
        (73, 0.309, true),
        (89, 0.089, true),
        (97, 0.038, true),
        (115, 0.016, true),
        (4, 0.21, false),
        (10, 0.41, false),
        (24, 0.41, false),
        (73, 0.41, false),
        (223, 0.41, false),
    ] {
        assert_eq!(is_rounding(Margin { step, score }), expected, "{score} at step {step}");
    }
}
