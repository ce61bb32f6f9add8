//! Simultaneous policies on real weights, `base`, and real voices: words, lag and processor time.

use std::fmt;
use std::num::NonZeroUsize;

use taonet_primitives::Word;
use taonet_speech::{LocalAgreement, Recognizer as _, SimultaneousRecognizer};

use super::recordings::noise;
use super::voices::{MODEL, Voice, model, voices};
use super::*;
use crate::options::Options;
use crate::{AlignAtt, AlignAttOptions, EngineSize, SpeechTask, Transcriber};

/// Languages with spaces between words that the model understands; the first one, unless
/// `TAONET_TEST_ALL` is set.
const LANGUAGES: [&str; 5] = ["en", "es", "fr", "it", "pt"];
/// Samples per frame of a source: 80 ms.
const FRAME: usize = 1_280;
/// Silence between two recordings of a speech, in samples: 0.3 s.
const PAUSE: usize = 4_800;

/// Results of a policy on all speeches.
#[derive(Debug, Default, Clone, Copy)]
struct PolicyResults {
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

impl PolicyResults {
    /// Returns the mean lag of a word in seconds.
    fn mean_lag(&self) -> f64 {
        self.lag / self.matched.max(1) as f64
    }
}

impl fmt::Display for PolicyResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { errors, changes, matched, audio, processor, .. } = self;
        let (lag, processor) = (self.mean_lag(), processor / audio);
        write!(
            f,
            "{errors} errors, {changes} differences to the transcription as a whole, lag {lag:.2} s "
        )?;
        write!(f, "of {matched} words, {processor:.3} s of CPU time for each of {audio:.1} s")
    }
}

/// Returns the processor time of this process so far, in seconds. It includes that of tests that
/// run concurrently: the tests report it, and check it against no limit.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the program's name: user and system time are the 12th and 13th field, in hundredths of
    // a second.
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
fn common_words(one: &[String], other: &[String]) -> Vec<(usize, usize)> {
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
fn single_words<'a>(timed: impl Iterator<Item = (&'a Word, f64)>) -> (Vec<String>, Vec<f64>) {
    timed
        .flat_map(|(word, time)| words(&word.text).into_iter().map(move |text| (text, time)))
        .unzip()
}

/// Plays speeches in frames of 80 ms, and commits all words that are ready. Each speech comes with
/// the words of its transcription as a whole.
fn measure(policy: &dyn SimultaneousRecognizer, speeches: &[(Voice, Vec<Word>)]) -> PolicyResults {
    let mut measured = PolicyResults::default();
    for (speech, complete) in speeches {
        let before = processor_time();
        let mut recognition = policy.open(None);
        let mut emitted = Vec::new();
        let frames = speech.samples.chunks(FRAME);
        let count = frames.len();
        for (number, frame) in (1..).zip(frames) {
            let played_s = seconds((number * FRAME).min(speech.samples.len()));
            let new = recognition.push(frame, number == count).unwrap();
            recognition.commit(new.len());
            emitted.extend(new.into_iter().map(|word| (word, played_s)));
        }
        measured.processor += processor_time() - before;
        measured.audio += seconds(speech.samples.len());
        let (texts, times) = single_words(emitted.iter().map(|(word, played_s)| (word, *played_s)));
        let (whole_texts, ends) = single_words(complete.iter().map(|word| (word, word.end)));
        measured.errors += strsim::generic_levenshtein(&texts, &words(&speech.text));
        measured.changes += strsim::generic_levenshtein(&texts, &whole_texts);
        for (i, j) in common_words(&texts, &whole_texts) {
            measured.lag += times[i] - ends[j];
            measured.matched += 1;
        }
    }
    measured
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / 16_000.0
}

/// Joins the recordings of each language to one speech, with pauses between them.
fn speeches(languages: &[&str]) -> Option<Vec<Voice>> {
    let mut speeches: Vec<Voice> = Vec::new();
    for voice in voices(true)?.into_iter().filter(|voice| languages.contains(&&*voice.language)) {
        match speeches.last_mut() {
            Some(speech) if speech.language == voice.language => {
                speech.text = format!("{} {}", speech.text, voice.text);
                speech.samples.resize(speech.samples.len() + PAUSE, 0.0);
                speech.samples.extend(voice.samples);
            }
            _ => speeches.push(voice),
        }
    }
    Some(speeches)
}

#[test]
fn alignatt_is_earlier_than_local_agreement_with_as_few_errors() {
    let all = is_exhaustive();
    let languages = if all { &LANGUAGES } else { &LANGUAGES[..1] };
    let (Some(folder), Some(speeches)) = (model(), speeches(languages)) else { return };
    let model = Arc::new(Model::open(&folder).unwrap());
    // The options of a miner.
    let options = Options {
        beam_size: 1,
        temperatures: vec![0.0],
        condition_on_previous_text: false,
        word_timestamps: true,
        ..Options::default()
    };
    let size = EngineSize { threads: NonZeroUsize::MIN, windows: NonZeroUsize::MIN };
    let transcriber = Arc::new(Transcriber::start(MODEL, &model, options, size).unwrap());
    let complete = |speech: Voice| {
        let words = transcriber.recognize(&speech.samples).unwrap().transcript.words;
        (speech, words)
    };
    let speeches: Vec<_> = speeches.into_iter().map(complete).collect();
    let spoken: usize = speeches.iter().map(|(speech, _)| words(&speech.text).len()).sum();
    let _ = writeln!(
        std::io::stderr(),
        "{MODEL}, {}, {spoken} words in {languages:?}",
        model.kernels()
    );
    let report = |name: &str, policy: &dyn SimultaneousRecognizer| {
        let measured = measure(policy, &speeches);
        let _ = writeln!(std::io::stderr(), "{name}: {measured}");
        measured
    };
    let alignatt = |padding| {
        let options = AlignAttOptions { padding, ..AlignAttOptions::default() };
        AlignAtt::new(transcriber.clone(), options).unwrap()
    };
    let agreement = report("local agreement", &LocalAgreement::new(transcriber.clone()));
    let short = report("AlignAtt", &alignatt(AlignAttOptions::default().padding));
    if all {
        report("AlignAtt in windows of 30 s", &alignatt(None));
    }
    // One word in fifty: the policies cut the audio at different times.
    assert!(short.errors <= agreement.errors + spoken / 50, "{short}, local agreement {agreement}");
    assert!(short.mean_lag() < agreement.mean_lag(), "{short}, local agreement {agreement}");
}

/// The small model of the tests understands espeak-ng only; its alignment heads are learnt, too.
#[test]
fn alignatt_recognises_with_the_trained_model() {
    let model = Arc::new(Model::open(&trained_model()).unwrap());
    let options = Options {
        beam_size: 1,
        temperatures: vec![0.0],
        word_timestamps: true,
        ..Options::default()
    };
    let size = EngineSize { threads: NonZeroUsize::MIN, windows: NonZeroUsize::MIN };
    let transcriber = Arc::new(Transcriber::start("trained", &model, options, size).unwrap());
    let policy = AlignAtt::new(transcriber.clone(), AlignAttOptions::default()).unwrap();
    let speeches: Vec<_> = recordings()
        .into_iter()
        .take(6)
        .map(|samples| {
            let complete = transcriber.recognize(&samples).unwrap().transcript;
            (
                Voice {
                    name: String::new(),
                    language: "en".to_owned(),
                    text: complete.text,
                    samples,
                },
                complete.words,
            )
        })
        .collect();
    let spoken: usize = speeches.iter().map(|(speech, _)| words(&speech.text).len()).sum();
    let measured = measure(&policy, &speeches);
    let _ = writeln!(std::io::stderr(), "trained model, AlignAtt, {spoken} words: {measured}");
    assert!(measured.changes * 10 <= spoken, "{measured} of {spoken} words");
}

#[test]
fn last_word_is_kept_when_the_speech_ends_with_it() {
    let model = Arc::new(Model::open(&trained_model()).unwrap());
    let options = Options {
        beam_size: 1,
        temperatures: vec![0.0],
        word_timestamps: true,
        ..Options::default()
    };
    let size = EngineSize { threads: NonZeroUsize::MIN, windows: NonZeroUsize::MIN };
    let transcriber = Arc::new(Transcriber::start("trained", &model, options, size).unwrap());
    let policy = AlignAtt::new(transcriber.clone(), AlignAttOptions::default()).unwrap();
    let (mut kept, mut count) = (0, 0);
    for mut samples in recordings().into_iter().take(6) {
        let complete = transcriber.recognize(&samples).unwrap().transcript;
        let last = samples.iter().rposition(|sample| sample.abs() > 0.02).unwrap();
        samples.truncate(last + 1);
        let mut recognition = policy.open(None);
        let frames = samples.chunks(FRAME);
        let frame_count = frames.len();
        let mut actual = Vec::new();
        for (number, frame) in (1..).zip(frames) {
            actual = recognition.push(frame, number == frame_count).unwrap();
        }
        let last = |words_of: &[Word]| words_of.last().map(|word| words(&word.text));
        kept += usize::from(last(&actual) == last(&complete.words) && last(&actual).is_some());
        count += 1;
    }
    assert!(kept + 1 >= count, "{kept} last words of {count}");
}

/// Without speech, Whisper invents sentences, above all translations.
#[test]
fn white_noise_has_no_translation() {
    let Some(folder) = model() else { return };
    let model = Arc::new(Model::open(&folder).unwrap());
    let options = Options {
        language: Some("fr".to_owned()),
        task: SpeechTask::Translate,
        beam_size: 1,
        temperatures: vec![0.0],
        condition_on_previous_text: false,
        word_timestamps: true,
        ..Options::default()
    };
    let size = EngineSize { threads: NonZeroUsize::MIN, windows: NonZeroUsize::MIN };
    let transcriber = Arc::new(Transcriber::start(MODEL, &model, options, size).unwrap());
    let policy = AlignAtt::new(transcriber, AlignAttOptions::default()).unwrap();
    for seed in 1..=4 {
        let samples: Vec<f32> = noise(0.3, seed).take(5 * 16_000).collect();
        let mut recognition = policy.open(None);
        let frames = samples.chunks(FRAME);
        let count = frames.len();
        for (number, frame) in (1..).zip(frames) {
            let words = recognition.push(frame, number == count).unwrap();
            assert_eq!(words, [], "noise {seed}");
        }
    }
}
