//! Scoring of a challenge: gates, transcripts of identical replies, transcription during play, and
//! transcription workers.
//!
//! Usage: `cargo bench -p taonet-cli --bench challenge -- REQUEST_JSON`; `benches/stt/compare`
//! makes the replies and runs it beside faster-whisper. Prints one JSON document.
//!
//! The replies of an utterance are complete when it has been played. As in the runner, their
//! transcription begins then, and the scorer scores one utterance after another, while the next
//! ones are played. Workers are processes of this program that transcribe the replies on one thread
//! each, with NATS, PostgreSQL and a bucket on the same machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit
)]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{ScoreOptions, Timeline};
use taonet_babelbit_scorer::{
    Audio, BatchScorer, Candidate, EngineIdentity, ScorerSettings, TranscriptCache,
};
use taonet_babelbit_workers::testing::Servers;
use taonet_babelbit_workers::{JobTiming, Services, Worker, Workers};
use taonet_objects::testing::settings;
use taonet_objects::{ObjectStorage, S3Addressing};
use taonet_primitives::{SampleRate, Seconds, Transcript, Word};
use taonet_service::Shutdown;
use taonet_speech::models::{ALL_MINILM_L6_V2, ModelStore};
use taonet_speech::{
    MiniLm, Pcm, Recognition, RecognizeError, Recognizer, SampleFormat, SentenceEmbedder, Wav,
    WavHeader,
};
use taonet_whisper::{EngineSize, Model, Options, Transcriber};

/// The allocator of the released programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Audio of a frame in bytes: 80 ms of 32-bit samples at 24 kHz.
const FRAME_BYTES: u64 = 7_680;
/// Delay of a late reply in frames: more than any score allows.
const LATE_FRAMES: u64 = 150;
/// The reference text of every utterance.
const REFERENCE: &str = "the old ferry crossed the harbor twice before the fog came down";

/// Parameters of the benchmark.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: PathBuf,
    /// Threads of this process for transcription.
    threads: NonZeroUsize,
    /// Maximum number of tokens per window.
    tokens: usize,
    /// Number of worker processes with one thread each; 0 for transcription in this process.
    workers: usize,
    /// Time for playing an utterance, in seconds.
    play: f64,
    /// Replies by utterance.
    utterances: Vec<Vec<Reply>>,
}

/// A miner's reply.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    /// WAV file; `None` without audio.
    wav: Option<PathBuf>,
    is_late: bool,
}

/// Service URLs and parameters of a worker process.
#[derive(Debug, Serialize, Deserialize)]
struct WorkerRequest {
    model: PathBuf,
    tokens: usize,
    nats: String,
    postgres: String,
    bucket: String,
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--worker", request] => run_worker(&serde_json::from_str(request).unwrap()),
        [request] => challenge(&serde_json::from_str(request).unwrap()),
        _ => println!("usage: cargo bench -p taonet-cli --bench challenge -- REQUEST_JSON"),
    }
}

/// A recogniser that counts recordings and windows.
struct Counter {
    inner: Transcriber,
    recordings: AtomicUsize,
    windows: AtomicUsize,
}

impl Counter {
    /// Starts a recogniser with the options of `crates/whisper/benches/stt.rs`.
    fn start(model: &Path, tokens: usize, threads: NonZeroUsize) -> Arc<Self> {
        let model = Arc::new(Model::open(model).unwrap());
        let options = Options {
            language: Some("en".to_owned()),
            temperatures: vec![0.0],
            max_new_tokens: Some(tokens),
            word_timestamps: true,
            no_speech_threshold: None,
            ..Options::default()
        };
        let size = EngineSize::with_threads(&model, threads);
        let inner = Transcriber::start("bench", &model, options, size).unwrap();
        Arc::new(Self { inner, recordings: AtomicUsize::new(0), windows: AtomicUsize::new(0) })
    }
}

impl Recognizer for Counter {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn fingerprint(&self) -> &str {
        self.inner.fingerprint()
    }

    fn concurrency(&self) -> Option<NonZeroUsize> {
        self.inner.concurrency()
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        let transcription = self
            .inner
            .transcribe(samples)
            .map_err(|error| RecognizeError::Engine(Box::new(error)))?;
        self.recordings.fetch_add(1, Ordering::Relaxed);
        self.windows.fetch_add(transcription.windows, Ordering::Relaxed);
        let words = transcription.segments.iter().flat_map(|segment| &segment.words);
        let words =
            words.map(|word| Word { text: word.text.clone(), start: word.start, end: word.end });
        let transcript = Transcript {
            text: transcription.segments.iter().map(|segment| segment.text.as_str()).collect(),
            words: words.collect(),
            detected_language: transcription.language,
        };
        Ok(Recognition { transcript, confidence: 1.0 })
    }
}

fn services(nats: &str, postgres: &str, bucket: &str) -> Services {
    Services {
        nats_url: nats.to_owned(),
        database_url: postgres.to_owned(),
        bucket: ObjectStorage::open(&settings(&bucket.parse().unwrap(), S3Addressing::Path))
            .unwrap(),
        timing: JobTiming::default(),
    }
}

/// Runs a worker with one thread until its standard input is closed.
fn run_worker(request: &WorkerRequest) {
    let recognizer = Counter::start(&request.model, request.tokens, NonZeroUsize::MIN);
    let services = services(&request.nats, &request.postgres, &request.bucket);
    let worker = Worker::new(&format!("bench-{}", std::process::id()), recognizer, services);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(worker.run(&Shutdown::new(), || println!("ready")));
}

/// A worker process, which exits when its standard input is closed.
struct Process(Child);

impl Process {
    fn start(request: &WorkerRequest) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--worker", &serde_json::to_string(request).unwrap()]);
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn wait_until_ready(&mut self) {
        let mut line = String::new();
        // The pipe stays open, since the worker reports each connection to the services.
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the worker has ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn challenge(request: &Request) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let recognizer = Counter::start(&request.model, request.tokens, request.threads);
    let store = ModelStore::new(std::env::var_os("BB_MODELS_DIR").map(PathBuf::from));
    let embedder: Arc<dyn SentenceEmbedder> =
        Arc::new(MiniLm::load(&store.locate(&ALL_MINILM_L6_V2).unwrap()).unwrap());
    let cache = TranscriptCache::in_memory(&*recognizer, TranscriptCache::DEFAULT_CAPACITY);
    let options = ScoreOptions::default();
    // Fails if NATS or PostgreSQL is not installed.
    let servers = (request.workers > 0).then(|| runtime.block_on(Servers::start()).unwrap());
    let mut processes = Vec::new();
    let scorer = match &servers {
        None => {
            let settings = ScorerSettings { threads: request.threads, gates: true };
            BatchScorer::new(recognizer.clone(), embedder, cache, options, settings).unwrap()
        }
        Some(servers) => {
            let bucket = servers.bucket.url.to_string();
            let worker = WorkerRequest {
                model: request.model.clone(),
                tokens: request.tokens,
                nats: servers.nats.url(),
                postgres: servers.postgres.url(),
                bucket,
            };
            processes.extend((0..request.workers).map(|_| Process::start(&worker)));
            processes.iter_mut().for_each(Process::wait_until_ready);
            let identity = EngineIdentity::for_recognizer(&*recognizer);
            let services = services(&worker.nats, &worker.postgres, &worker.bucket);
            let backend =
                Arc::new(Workers::start(services, identity.clone(), Arc::new(fail)).unwrap());
            BatchScorer::with_backend(identity, backend, embedder, cache, options, true)
        }
    };
    let reference = Reference::new(REFERENCE, Vec::new(), Some(3.0)).unwrap();
    let utterances: Vec<Vec<Candidate>> =
        request.utterances.iter().map(|replies| replies.iter().map(candidate).collect()).collect();
    // Connections, the tables of the database and the threads' buffers are not part of the
    // measurement.
    let silence =
        Wav::encode(&Pcm::mono(vec![0.0; 24_000], SampleRate::HZ_24K), SampleFormat::S16).unwrap();
    scorer.score(Ok(&reference), &[candidate_of(silence, false)]);
    let [recordings, _] =
        [&recognizer.recordings, &recognizer.windows].map(|count| count.swap(0, Ordering::Relaxed));
    assert_eq!(
        recordings == 0,
        request.workers > 0,
        "the recordings are transcribed in the wrong process"
    );

    let (start, before) = (Instant::now(), processor_time());
    let transcribed = std::thread::scope(|scope| {
        let (sender, played) = channel::<&[Candidate]>();
        let (scorer, reference) = (&scorer, &reference);
        let scoring = scope.spawn(move || {
            let results =
                played.iter().flat_map(|candidates| scorer.score(Ok(reference), candidates));
            results.filter(|result| result.stt_text.is_some()).count()
        });
        let mut end = Duration::ZERO;
        for candidates in &utterances {
            end += Duration::from_secs_f64(request.play);
            std::thread::sleep(end.saturating_sub(start.elapsed()));
            for candidate in candidates {
                scorer.prepare(candidate);
            }
            sender.send(candidates).unwrap();
        }
        drop(sender);
        scoring.join().unwrap()
    });
    let (wall, cpu) = (start.elapsed(), processor_time().saturating_sub(before));
    let report = json!({
        "wall_seconds": wall.as_secs_f64(),
        // Without that of the workers and services.
        "cpu_seconds": cpu.as_secs_f64(),
        "replies": utterances.iter().map(Vec::len).sum::<usize>(),
        "heard": transcribed,
        "transcribed": recognizer.recordings.load(Ordering::Relaxed),
        "windows": recognizer.windows.load(Ordering::Relaxed),
    });
    println!("{report}");
}

/// Ends the benchmark: no worker has returned a result for [`JobTiming::fallback_after`], so it
/// would wait forever.
fn fail() -> Result<Arc<dyn Recognizer>, Box<dyn Error + Send + Sync>> {
    eprintln!("the workers return no results");
    std::process::exit(1)
}

fn candidate(reply: &Reply) -> Candidate {
    match &reply.wav {
        Some(path) => candidate_of(std::fs::read(path).unwrap(), reply.is_late),
        None => Candidate {
            wav: None,
            duration: Some(Seconds::ZERO),
            timeline: Timeline::new(Vec::new(), 1),
            channels: 1,
            source_duration: Seconds::ZERO,
            transcript: None,
        },
    }
}

/// Returns a reply that arrives in real time, or too late for a score. The source has the same
/// duration.
fn candidate_of(wav: Vec<u8>, is_late: bool) -> Candidate {
    let duration = WavHeader::read(&wav).unwrap().duration();
    let frames = (duration.get() * 12.5).ceil() as u64;
    let delay = if is_late { LATE_FRAMES } else { 0 };
    let arrivals = (1..=frames).map(|frame| (frame + delay, FRAME_BYTES)).collect();
    Candidate {
        wav: Some(Audio::from(wav)),
        duration: None,
        timeline: Timeline::new(arrivals, frames + delay),
        channels: 1,
        source_duration: duration,
        transcript: None,
    }
}

/// Returns the processor time of this process so far, all threads together.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}
