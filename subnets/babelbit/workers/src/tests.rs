// Exact comparison of floats: scores must be identical.
#![allow(clippy::float_cmp)]

mod depth;
mod fallback;
mod kills;
mod outages;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{ScoreOptions, ScoreResult, Timeline};
use taonet_babelbit_scorer::{
    Audio, BatchScorer, Candidate, EngineIdentity, ScorerSettings, TranscriptCache,
};
use taonet_objects::testing::settings;
use taonet_objects::{ObjectStorage, S3Addressing};
use taonet_primitives::{SampleRate, Seconds};
use taonet_speech::{
    CtcRecognizer, EmbedError, Embedding, Pcm, Recognition, RecognizeError, Recognizer,
    SampleFormat, SentenceEmbedder, Wav,
};

use super::testing::Servers;
use super::*;

/// Intervals short enough for tests.
const TIMING: JobTiming = JobTiming {
    redeliver_after: Duration::from_secs(1),
    retry_after: Duration::from_millis(200),
    poll: Duration::from_millis(20),
    resubmit_after: Duration::from_secs(2),
    fallback_after: Duration::from_mins(10),
    shutdown_grace: Duration::from_secs(5),
    max_attempts: 3,
    transcription: Duration::from_mins(5),
    transcription_per_second: 1,
};

fn services(nats_url: &str, database_url: &str, bucket: &str) -> Services {
    Services {
        nats_url: nats_url.to_owned(),
        database_url: database_url.to_owned(),
        bucket: ObjectStorage::open(&settings(&bucket.parse().unwrap(), S3Addressing::Path))
            .unwrap(),
        timing: TIMING,
    }
}

impl Servers {
    fn services(&self) -> Services {
        services(&self.nats.url(), &self.postgres.url(), self.bucket.url.as_str())
    }
}

/// Amplitude of the recording that kills its worker.
const POISON_AMPLITUDE: f32 = 0.25;
/// Amplitude of the recording on which the recogniser hangs.
const HANG_AMPLITUDE: f32 = 0.5;
/// Amplitude of the recording at which the recogniser stops.
const STOP_AMPLITUDE: f32 = 0.75;

/// Concurrency of [`SlowRecognizer`]. On any machine, a worker has few jobs in progress, so that
/// the tests' faults meet jobs that have not started.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// The embedded recogniser, with a delay per recording; one recording kills its process, another
/// one hangs, and at a third one it stops.
struct SlowRecognizer {
    inner: CtcRecognizer,
    delay: Duration,
}

impl SlowRecognizer {
    fn new(delay: Duration) -> Arc<Self> {
        Arc::new(Self { inner: CtcRecognizer::embedded().unwrap(), delay })
    }
}

impl Recognizer for SlowRecognizer {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn fingerprint(&self) -> &str {
        self.inner.fingerprint()
    }

    fn concurrency(&self) -> Option<NonZeroUsize> {
        Some(CONCURRENCY)
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        std::thread::sleep(self.delay);
        let is_constant =
            |amplitude: f32| samples.iter().all(|sample| (sample - amplitude).abs() < 1e-3);
        if is_constant(POISON_AMPLITUDE) {
            std::process::abort();
        }
        if is_constant(HANG_AMPLITUDE) {
            std::thread::sleep(Duration::from_hours(1));
        }
        if is_constant(STOP_AMPLITUDE) {
            return Err(RecognizeError::Stopped);
        }
        self.inner.recognize(samples)
    }
}

/// An embedder that counts the letters of a text.
struct LetterEmbedder;

impl SentenceEmbedder for LetterEmbedder {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn fingerprint(&self) -> &'static str {
        "letters"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let vector = |text: &&str| {
            let mut vector = [0.0_f32; 26];
            for byte in text.bytes().filter(u8::is_ascii_alphabetic) {
                vector[usize::from(byte.to_ascii_lowercase() - b'a')] += 1.0;
            }
            let norm = vector.iter().map(|count| count * count).sum::<f32>().sqrt().max(1.0);
            Embedding(vector.map(|count| count / norm).into())
        };
        Ok(texts.iter().map(vector).collect())
    }
}

fn encoded(samples: Vec<f32>) -> Vec<u8> {
    Wav::encode(&Pcm::mono(samples, SampleRate::HZ_16K), SampleFormat::S16).unwrap()
}

/// Creates a recording of one of the twenty sentences, with a shortened silence before the
/// sentence.
fn recording(index: usize) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/speech");
    let file = std::fs::read(folder.join(format!("utt{:02}.wav", index % 20))).unwrap();
    let samples = Wav::decode(&file).unwrap().pcm.samples;
    encoded(samples[index / 20 * 40..].to_vec())
}

fn candidate(wav: Vec<u8>) -> Candidate {
    Candidate {
        wav: Some(Audio::from(wav)),
        duration: None,
        timeline: Timeline::new(vec![], 40),
        channels: 1,
        source_duration: Seconds::new(4.0).unwrap(),
        transcript: None,
    }
}

fn identity() -> EngineIdentity {
    EngineIdentity::for_recognizer(&*SlowRecognizer::new(Duration::ZERO))
}

fn cache() -> TranscriptCache {
    TranscriptCache::in_memory(
        &*SlowRecognizer::new(Duration::ZERO),
        NonZeroUsize::new(4096).unwrap(),
    )
}

/// Creates a scorer that transcribes in this process.
fn local_scorer() -> BatchScorer {
    let settings = ScorerSettings { gates: false, ..ScorerSettings::default() };
    BatchScorer::new(
        SlowRecognizer::new(Duration::ZERO),
        Arc::new(LetterEmbedder),
        cache(),
        ScoreOptions::default(),
        settings,
    )
    .unwrap()
}

/// Creates a scorer whose replies are transcribed by workers.
fn scorer_with_workers(services: Services) -> Arc<BatchScorer> {
    scorer_with_fallback(
        services,
        Arc::new(|| Err("the runner does not transcribe in this test".into())),
    )
}

/// Creates a scorer whose replies are transcribed by workers, or else in this process.
fn scorer_with_fallback(services: Services, load: LoadRecognizer) -> Arc<BatchScorer> {
    let workers = Arc::new(Workers::start(services, identity(), load).unwrap());
    Arc::new(BatchScorer::with_backend(
        identity(),
        workers,
        Arc::new(LetterEmbedder),
        cache(),
        ScoreOptions::default(),
        false,
    ))
}

/// Scores replies on a separate thread, which continues after a failed test.
async fn score(scorer: &Arc<BatchScorer>, candidates: &[Candidate]) -> Vec<ScoreResult> {
    let (scorer, candidates) = (Arc::clone(scorer), candidates.to_vec());
    let (sender, results) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let reference =
            Reference::new("the ferry leaves at nine in the morning", vec![], Some(2.0)).unwrap();
        sender.send(scorer.score(Ok(&reference), &candidates))
    });
    tokio::time::timeout(Duration::from_mins(3), results)
        .await
        .expect("workers do not finish")
        .unwrap()
}
