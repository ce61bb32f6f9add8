// Exact comparison of floats: rounded numbers must match exactly.
#![allow(clippy::float_cmp)]

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taonet_babelbit_core::reference::{Reference, ReferenceError};
use taonet_babelbit_core::scoring::{BatchFailure, Gate, ScoreOptions, ScoreResult, Timeline};
use taonet_primitives::{SampleRate, Seconds, Transcript, Word};
use taonet_speech::{
    EmbedError, Embedding, Pcm, Recognition, RecognizeError, Recognizer, SampleFormat,
    SentenceEmbedder, Wav,
};

use super::*;

/// A recogniser that identifies a recording by its loudness in percent.
pub(super) struct ScriptedRecognizer {
    name: &'static str,
    answers: HashMap<i32, &'static str>,
    pub(super) calls: AtomicUsize,
    /// Locked by a test that blocks recognition.
    gate: Mutex<()>,
}

impl ScriptedRecognizer {
    pub(super) fn new(name: &'static str, answers: &[(i32, &'static str)]) -> Arc<Self> {
        let answers = answers.iter().copied().collect();
        Arc::new(Self { name, answers, calls: AtomicUsize::new(0), gate: Mutex::new(()) })
    }
}

impl Recognizer for ScriptedRecognizer {
    fn name(&self) -> &str {
        self.name
    }

    fn fingerprint(&self) -> &str {
        self.name
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.lock());
        let loudness = (samples[0] * 100.0).round() as i32;
        match self.answers.get(&loudness).copied() {
            Some("panic") => panic!("out of memory"),
            Some("stop") => Err(RecognizeError::Stopped),
            Some(text) => Ok(Recognition {
                transcript: transcript_of(text, samples.len() as f64 / 16_000.0),
                confidence: 0.9,
            }),
            None => Err(RecognizeError::Engine("no such recording".into())),
        }
    }
}

/// An embedder for which texts with the same first word are equal; `bad` texts fail.
pub(super) struct FirstWordEmbedder;

impl SentenceEmbedder for FirstWordEmbedder {
    fn name(&self) -> &'static str {
        "first-word"
    }

    fn fingerprint(&self) -> &'static str {
        "first-word"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let vector = |text: &str| {
            assert!(!text.contains("bad"), "bad text");
            let mut vector = [0.0; 27];
            let first = text
                .bytes()
                .next()
                .map_or(26, |byte| usize::from(byte.to_ascii_lowercase() - b'a') % 26);
            vector[first] = 1.0;
            Embedding(vector.into())
        };
        Ok(texts.iter().map(|text| vector(text)).collect())
    }
}

fn transcript_of(text: &str, seconds: f64) -> Transcript {
    let words: Vec<_> = text.split_whitespace().collect();
    let step = seconds / words.len().max(1) as f64;
    let words = words.iter().enumerate().map(|(i, word)| Word {
        text: (*word).into(),
        start: i as f64 * step,
        end: (i + 1) as f64 * step,
    });
    Transcript { text: text.into(), words: words.collect(), detected_language: "en".into() }
}

pub(super) fn wav(loudness: i32, seconds: f64) -> Vec<u8> {
    let samples = vec![loudness as f32 / 100.0; (seconds * 16_000.0) as usize];
    Wav::encode(&Pcm::mono(samples, SampleRate::HZ_16K), SampleFormat::S16).unwrap()
}

fn candidate(wav: Option<Vec<u8>>, eos_frame: u64) -> Candidate {
    Candidate {
        wav: wav.map(Into::into),
        duration: None,
        timeline: Timeline::new(vec![], eos_frame),
        channels: 1,
        source_duration: Seconds::new(4.0).unwrap(),
        transcript: None,
    }
}

pub(super) fn scorer(recognizer: &Arc<ScriptedRecognizer>, gates: bool) -> BatchScorer {
    let cache = TranscriptCache::in_memory(&**recognizer, NonZeroUsize::new(64).unwrap());
    let settings = ScorerSettings { threads: NonZeroUsize::new(2).unwrap(), gates };
    BatchScorer::new(
        Arc::clone(recognizer) as _,
        Arc::new(FirstWordEmbedder),
        cache,
        ScoreOptions::default(),
        settings,
    )
    .unwrap()
}

fn reference() -> Reference {
    Reference::new("all is well now", vec![], Some(2.0)).unwrap()
}

fn score(scorer: &BatchScorer, candidates: &[Candidate]) -> Vec<ScoreResult> {
    scorer.score(Ok(&reference()), candidates)
}

const GOOD: (i32, &str) = (10, "all fine right here");

#[test]
fn mixed_batch_keeps_its_order_and_isolates_failures() {
    let recognizer = ScriptedRecognizer::new(
        "script",
        &[GOOD, (20, "something else was said"), (30, "panic"), (40, ""), (50, "a bad text here")],
    );
    let scorer = scorer(&recognizer, true);
    let results = score(
        &scorer,
        &[
            candidate(Some(wav(10, 2.0)), 50),
            candidate(Some(wav(20, 2.0)), 50),
            candidate(Some(wav(30, 2.0)), 50),
            candidate(Some(wav(40, 2.0)), 50),
            candidate(Some(wav(50, 2.0)), 50),
            candidate(Some(wav(60, 2.0)), 50),
            candidate(Some(wav(10, 0.0)), 50),
            candidate(None, 50),
            candidate(Some(b"garbage, not a sound".to_vec()), 50),
            candidate(Some(vec![]), 50),
            candidate(Some(wav(10, 2.0)), 100),
        ],
    );
    let errors: Vec<_> =
        results.iter().map(|result| result.score_error.as_deref().unwrap_or_default()).collect();
    assert_eq!(
        errors,
        [
            "",
            "",
            "RuntimeError:speech recognition panicked: out of memory",
            "RuntimeError:empty transcript from STT for non-trivial audio output",
            "RuntimeError:the embedder panicked: bad text",
            "RuntimeError:speech recognition failed: no such recording",
            "ValueError:WAV payload had no frames",
            "ValueError:WAV payload had no frames",
            "Error:file does not start with RIFF id",
            "EOFError:",
            "",
        ]
    );
    assert_eq!(results[0].score, 1.0);
    assert!(results[1..].iter().all(|result| result.score == 0.0));
    let failed_gates: Vec<_> =
        results.iter().map(|result| result.failed_gates().first().copied()).collect();
    let (scoring_error, no_audio) = (Some(Gate::ScoringError), Some(Gate::NoAudio));
    assert_eq!(
        failed_gates,
        [
            None,
            Some(Gate::Accuracy),
            scoring_error,
            Some(Gate::NoSpeech),
            scoring_error,
            scoring_error,
            no_audio,
            no_audio,
            scoring_error,
            scoring_error,
            Some(Gate::TooLate)
        ]
    );
    let gates: Vec<_> = results.iter().filter_map(|result| result.gate).collect();
    assert_eq!(gates, [Gate::NoAudio, Gate::NoAudio, Gate::TooLate]);
}

#[test]
fn equal_audio_is_recognised_once() {
    let recognizer = ScriptedRecognizer::new("script", &[GOOD]);
    let scorer = scorer(&recognizer, true);
    let candidates = vec![candidate(Some(wav(10, 2.0)), 50); 8];
    for candidate in &candidates {
        scorer.prepare(candidate);
    }
    let results = score(&scorer, &candidates);
    assert_eq!(recognizer.calls.load(Ordering::SeqCst), 1);
    // Eight equal replies share a score of 1.
    assert!(results.iter().all(|result| (result.score - 8.0_f64.powf(-0.5)).abs() < 1e-6));
    score(&scorer, &candidates);
    assert_eq!(recognizer.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn preparing_a_reply_does_not_block() {
    let recognizer = ScriptedRecognizer::new("script", &[GOOD]);
    let scorer = scorer(&recognizer, true);
    let reply = candidate(Some(wav(10, 2.0)), 50);
    let gate_guard = recognizer.gate.lock().unwrap();
    scorer.prepare(&reply);
    drop(gate_guard);
    assert_eq!(score(&scorer, &[reply])[0].score, 1.0);
    assert_eq!(recognizer.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn stopped_recogniser_gives_no_outcome() {
    let recognizer = ScriptedRecognizer::new("script", &[GOOD, (30, "stop")]);
    let transcribe_wav = |loudness| transcribe(&*recognizer, &Audio::from(wav(loudness, 1.0)));
    assert_eq!(transcribe_wav(30), Err(RecognizerStopped));
    assert!(matches!(transcribe_wav(GOOD.0), Ok(Ok(_))));
    assert!(matches!(transcribe_wav(99), Ok(Err(_))), "an error of the recording is its outcome");
}

/// A backend that abandons every transcription.
struct FailingBackend;

impl Backend for FailingBackend {
    fn start(&self, _: Audio, callback: TranscriptionCallback) {
        drop(callback);
    }
}

#[test]
fn abandoned_transcription_fails_its_reply() {
    let recognizer = ScriptedRecognizer::new("script", &[]);
    let identity = EngineIdentity::for_recognizer(&*recognizer);
    let cache = TranscriptCache::in_memory(&*recognizer, NonZeroUsize::MIN);
    let embedder = Arc::new(FirstWordEmbedder);
    let scorer = BatchScorer::with_backend(
        identity,
        Arc::new(FailingBackend),
        embedder,
        cache,
        ScoreOptions::default(),
        false,
    );
    let (sender, results) = std::sync::mpsc::channel();
    // On its own thread: without an outcome, scoring would wait forever.
    std::thread::spawn(move || sender.send(score(&scorer, &[candidate(Some(wav(10, 2.0)), 50)])));
    let results = results.recv_timeout(Duration::from_mins(1)).unwrap();
    assert_eq!(
        results[0].score_error.as_deref(),
        Some("RuntimeError:the transcription was abandoned")
    );
}

#[test]
fn failed_recognition_is_not_cached() {
    let recognizer = ScriptedRecognizer::new("script", &[]);
    let scorer = scorer(&recognizer, true);
    let reply = candidate(Some(wav(10, 2.0)), 50);
    for calls in 1..=2 {
        assert!(score(&scorer, std::slice::from_ref(&reply))[0].score_error.is_some());
        assert_eq!(recognizer.calls.load(Ordering::SeqCst), calls);
    }
}

/// Columns: gates · given transcript · number of recognitions · gate of the result
#[test]
fn late_and_silent_replies_are_not_recognised() {
    for (gates, transcript, calls, gate) in [
        (true, None, 0, Some(Gate::TooLate)),
        (false, None, 1, None),
        (true, Some(transcript_of("all fine right here", 2.0)), 0, None),
    ] {
        let recognizer = ScriptedRecognizer::new("script", &[GOOD]);
        let reply = Candidate { transcript, ..candidate(Some(wav(10, 2.0)), 100) };
        scorer(&recognizer, gates).prepare(&reply);
        let result = &score(&scorer(&recognizer, gates), &[reply])[0];
        assert_eq!((result.score, result.gate), (0.0, gate));
        assert_eq!(result.failed_gates(), [Gate::TooLate]);
        assert_eq!(result.accuracy, if gate.is_some() { None } else { Some(1.0) });
        assert!(recognizer.calls.load(Ordering::SeqCst) <= calls * 2);
        assert_eq!(recognizer.calls.load(Ordering::SeqCst) > 0, calls > 0);
    }
    let recognizer = ScriptedRecognizer::new("script", &[GOOD]);
    let result = &score(&scorer(&recognizer, false), &[candidate(None, 50)])[0];
    assert_eq!((result.gate, result.failed_gates()), (None, &[Gate::NoAudio][..]));
}

#[test]
fn nan_samples_count_as_silence() {
    let recognizer = ScriptedRecognizer::new("script", &[(0, "")]);
    let samples = vec![f32::NAN; 16_000];
    let mut file =
        Wav::encode(&Pcm::mono(vec![0.0; 16_000], SampleRate::HZ_16K), SampleFormat::F32).unwrap();
    let start = file.len() - samples.len() * 4;
    for (bytes, sample) in file[start..].chunks_exact_mut(4).zip(&samples) {
        bytes.copy_from_slice(&sample.to_le_bytes());
    }
    let result = &score(&scorer(&recognizer, true), &[candidate(Some(file), 50)])[0];
    assert_eq!(result.failed_gates(), [Gate::NoSpeech]);
    assert_eq!(result.predicted_duration_sec, 1.0);
}

#[test]
fn audio_file_is_read_only_for_recognition() {
    let folder = tempfile::tempdir().unwrap();
    let file = wav(10, 2.0);
    let path = folder.path().join("reply.wav");
    std::fs::write(&path, &file).unwrap();
    let on_disk = |path: &Path, eos_frame| Candidate {
        wav: Some(Audio::on_disk(path.to_owned(), AudioHash::of(&file))),
        duration: Some(Seconds::new(2.0).unwrap()),
        ..candidate(None, eos_frame)
    };
    let recognizer = ScriptedRecognizer::new("script", &[GOOD]);
    let scorer = scorer(&recognizer, true);
    // A gate decides first, then recognition, then the cache.
    let missing_file = folder.path().join("missing.wav");
    assert_eq!(score(&scorer, &[on_disk(&missing_file, 90)])[0].gate, Some(Gate::TooLate));
    let changed_file = folder.path().join("changed.wav");
    std::fs::write(&changed_file, wav(20, 2.0)).unwrap();
    for path in [&missing_file, &changed_file] {
        let result = &score(&scorer, &[on_disk(path, 50)])[0];
        assert!(
            result.score_error.as_deref().is_some_and(|error| error.starts_with("OSError:")),
            "{result:?}"
        );
    }
    let actual = score(&scorer, &[on_disk(&path, 50)]);
    assert_eq!(
        actual,
        score(&self::scorer(&recognizer, true), &[candidate(Some(file.clone()), 50)])
    );
    assert_eq!(actual, score(&scorer, &[on_disk(&missing_file, 50)]));
}

#[test]
fn batch_without_reference_is_not_recognised() {
    let recognizer = ScriptedRecognizer::new("script", &[GOOD]);
    let failure =
        BatchFailure { error: ReferenceError::MissingText.into(), source: Some("here".into()) };
    let results =
        scorer(&recognizer, true).score(Err(&failure), &[candidate(Some(wav(10, 2.0)), 50)]);
    assert_eq!(
        results[0].score_error.as_deref(),
        Some("ValueError:Missing reference text in scoring metadata")
    );
    assert_eq!(results[0].scoring_metadata_source.as_deref(), Some("here"));
    assert_eq!(results[0].predicted_duration_sec, 2.0);
    assert_eq!(recognizer.calls.load(Ordering::SeqCst), 0);
}

#[test]
fn embedder_failure_on_the_reference_fails_the_batch() {
    let recognizer = ScriptedRecognizer::new("script", &[GOOD]);
    let reference = Reference::new("bad", vec![], None).unwrap().with_source("here");
    let results =
        scorer(&recognizer, true).score(Ok(&reference), &[candidate(Some(wav(10, 2.0)), 50)]);
    assert_eq!(
        results[0].score_error.as_deref(),
        Some("RuntimeError:the embedder panicked: bad text")
    );
    assert_eq!(results[0].scoring_metadata_source.as_deref(), Some("here"));
}

#[test]
fn empty_batch_has_no_results() {
    assert!(score(&scorer(&ScriptedRecognizer::new("script", &[]), true), &[]).is_empty());
}

/// A small file with a low sample rate would exceed the available memory when resampled.
#[test]
fn overlong_recording_is_refused_before_resampling() {
    let recognizer = ScriptedRecognizer::new("script", &[]);
    let pcm = Pcm::mono(vec![0.1; 601_000], SampleRate::new(1000).unwrap());
    let hours = Wav::encode(&pcm, SampleFormat::U8).unwrap();
    let results = scorer(&recognizer, false).score(Ok(&reference()), &[candidate(Some(hours), 10)]);
    let error = "RuntimeError:the recording lasts 601.0 s, the limit is 600 s";
    assert_eq!(results[0].score_error.as_deref().unwrap(), error);
    assert_eq!(recognizer.calls.load(Ordering::SeqCst), 0);
}
