//! Benchmark of simultaneous recognition and translation: `cargo bench -p taonet-whisper --bench
//! simultaneous`, with a request as JSON on standard input.
//!
//! Plays recordings in frames of 80 ms, without waiting, and prints one JSON document: for each
//! recording its words, each final as soon as it is ready, with the duration of the speech that had
//! been played by then. `benches/interpret/compare` runs it beside SimulStreaming.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

#[path = "support/measure.rs"]
mod measure;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use measure::{cpu_seconds, peak_megabytes, read_wav};
use serde::{Deserialize, Serialize};
use taonet_speech::{LocalAgreement, SimultaneousRecognizer};
use taonet_whisper::{
    AlignAtt, AlignAttOptions, EngineSize, Model, Options, SpeechTask, Transcriber,
};

/// The allocator of the released programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Samples per second.
const RATE: usize = 16_000;
/// Samples per frame of a source: 80 ms.
const FRAME: usize = 1_280;

/// Parameters of the benchmark.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: PathBuf,
    policy: Policy,
    threads: NonZeroUsize,
    recordings: Vec<Recording>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    Alignatt,
    LocalAgreement,
}

/// A recording to interpret.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    audio: PathBuf,
    language: String,
    task: Task,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Task {
    Transcribe,
    Translate,
}

/// Results of the benchmark.
#[derive(Debug, Default, Serialize)]
struct Report {
    kernels: String,
    /// For each recording, its words after a space, and the seconds of speech played by then.
    recordings: Vec<Vec<(String, f64)>>,
    wall_seconds: f64,
    cpu_seconds: f64,
    peak_megabytes: u64,
}

fn main() -> Result<()> {
    let request: Request = serde_json::from_reader(std::io::stdin().lock())?;
    println!("{}", serde_json::to_string(&run(&request)?)?);
    Ok(())
}

fn run(request: &Request) -> Result<Report> {
    let model = Arc::new(Model::open(&request.model)?);
    let mut report = Report { kernels: model.kernels().to_owned(), ..Report::default() };
    let mut recognizers: HashMap<_, Arc<dyn SimultaneousRecognizer>> = HashMap::new();
    for recording in &request.recordings {
        let key = (recording.language.as_str(), recording.task);
        let samples = read_wav(&recording.audio)?;
        let recognizer = if let Some(recognizer) = recognizers.get(&key) {
            Arc::clone(recognizer)
        } else {
            let recognizer = start(&model, request, recording)?;
            // The first call of an engine takes longer than all others.
            let beginning = samples.get(..2 * RATE).unwrap_or(&samples);
            play(&*recognizer, &recording.language, beginning)?;
            recognizers.insert(key, Arc::clone(&recognizer));
            recognizer
        };
        let (started, cpu) = (Instant::now(), cpu_seconds());
        report.recordings.push(play(&*recognizer, &recording.language, &samples)?);
        report.wall_seconds += started.elapsed().as_secs_f64();
        report.cpu_seconds += cpu_seconds() - cpu;
    }
    report.peak_megabytes = peak_megabytes();
    Ok(report)
}

/// Starts a recogniser with the options of a miner for a recording's language.
fn start(
    model: &Arc<Model>,
    request: &Request,
    recording: &Recording,
) -> Result<Arc<dyn SimultaneousRecognizer>> {
    let options = Options {
        language: Some(recording.language.clone()),
        task: match recording.task {
            Task::Transcribe => SpeechTask::Transcribe,
            Task::Translate => SpeechTask::Translate,
        },
        beam_size: 1,
        temperatures: vec![0.0],
        condition_on_previous_text: false,
        word_timestamps: true,
        ..Options::default()
    };
    let size = EngineSize::with_threads(model, request.threads);
    let transcriber = Arc::new(Transcriber::start("bench", model, options, size)?);
    Ok(match request.policy {
        Policy::Alignatt => Arc::new(AlignAtt::new(transcriber, AlignAttOptions::default())?),
        Policy::LocalAgreement => Arc::new(LocalAgreement::new(transcriber)),
    })
}

/// Plays a recording; returns its words after a space, and the seconds of speech played by then.
fn play(
    recognizer: &dyn SimultaneousRecognizer,
    language: &str,
    samples: &[f32],
) -> Result<Vec<(String, f64)>> {
    let mut recognition = recognizer.open(Some(language));
    let frames = samples.chunks(FRAME);
    let (count, mut words) = (frames.len(), Vec::new());
    for (number, frame) in (1..).zip(frames) {
        let played_s = (number * FRAME).min(samples.len()) as f64 / RATE as f64;
        let new = recognition.push(frame, number == count)?;
        // As SimulStreaming, which does not revise words either.
        recognition.commit(new.len());
        words.extend(new.into_iter().map(|word| (format!(" {}", word.text), played_s)));
    }
    Ok(words)
}
