//! Benchmark of the engine's speed: `cargo bench -p taonet-whisper --bench stt -- MODEL_DIR [REQUEST_JSON]`.
//!
//! The workload is the reference's: mono recordings of a chirp in noise. Prints one JSON document;
//! `benches/stt/compare` runs it beside faster-whisper. Reports wall-clock time, and processor time summed over all
//! threads.
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::indexing_slicing, reason = "slices of matrices whose sizes are set here")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, QuantParams};
use rten_tensor::NdTensorView;
use serde::{Deserialize, Serialize};
use taonet_amx::{Amx, FloatMatrix, FloatRows, Int8Matrix, Int8Rows};
use taonet_whisper::{EngineSize, Model, Options, Transcriber, Transcription};

/// The allocator of the released programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Parameters of the benchmark.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    recordings: usize,
    seconds: usize,
    threads: usize,
    /// Number of windows per worker; 0 for the engine's default.
    windows: usize,
    tokens: usize,
    words: bool,
    /// Number of rounds of encoding one window alone, on one thread.
    encodings: usize,
}

impl Default for Request {
    fn default() -> Self {
        Self { recordings: 16, seconds: 60, threads: 2, windows: 0, tokens: 100, words: true, encodings: 3 }
    }
}

/// Results of the benchmark.
#[derive(Debug, Default, Serialize)]
struct Report {
    kernels: String,
    load_seconds: f64,
    encode_seconds: f64,
    encode_cpu_seconds: f64,
    /// Billions of additions and multiplications per second on one thread: int8 products of a feed-forward layer, and
    /// f32 products of attention (`float_rate`). Measured only if `encodings` is above 0.
    int8_rate: f64,
    float_rate: f64,
    wall_seconds: f64,
    cpu_seconds: f64,
    audio_seconds: f64,
    windows: usize,
    tokens: usize,
    peak_megabytes: u64,
    texts: Vec<String>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(folder) = arguments.first() else {
        println!("usage: cargo bench -p taonet-whisper --bench stt -- MODEL_DIR [REQUEST_JSON]");
        return Ok(());
    };
    let request: Request = arguments.get(1).map(|text| serde_json::from_str(text)).transpose()?.unwrap_or_default();
    println!("{}", serde_json::to_string(&run(Path::new(folder), &request)?)?);
    Ok(())
}

fn run(folder: &Path, request: &Request) -> Result<Report> {
    let started = Instant::now();
    let model = Arc::new(Model::open(folder)?);
    let mut report = Report {
        kernels: model.kernels().to_owned(),
        load_seconds: started.elapsed().as_secs_f64(),
        ..Report::default()
    };
    let audio: Vec<Vec<f32>> = (0..request.recordings).map(|seed| mixed(seed, request.seconds)).collect();
    (report.encode_seconds, report.encode_cpu_seconds) = encode(&model, &audio, request.encodings)?;
    if request.encodings > 0 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        (report.int8_rate, report.float_rate) = pool.install(product_rates)?;
    }
    let options = Options {
        language: Some("en".to_owned()),
        temperatures: vec![0.0],
        max_new_tokens: Some(request.tokens),
        word_timestamps: request.words,
        no_speech_threshold: None,
        ..Options::default()
    };
    let threads = NonZeroUsize::new(request.threads).unwrap_or(NonZeroUsize::MIN);
    let mut size = EngineSize::with_threads(&model, threads);
    size.windows = NonZeroUsize::new(request.windows).unwrap_or(size.windows);
    let transcriber = Transcriber::start("bench", &model, options, size)?;
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = audio.iter().map(|samples| scope.spawn(|| transcriber.transcribe(samples))).collect();
        handles.into_iter().map(|handle| handle.join().map_err(|_| "a caller panicked".to_owned())).collect()
    });
    report.wall_seconds = started.elapsed().as_secs_f64();
    report.cpu_seconds = cpu_seconds() - cpu;
    report.audio_seconds = (request.recordings * request.seconds) as f64;
    for result in results {
        let Transcription { segments, windows, .. } = result??;
        report.windows += windows;
        report.tokens += segments.iter().map(|segment| segment.tokens.len()).sum::<usize>();
        report.texts.push(segments.iter().map(|segment| segment.text.as_str()).collect());
    }
    report.peak_megabytes = peak_megabytes();
    Ok(report)
}

/// Returns the shortest wall-clock and processor times for encoding one window on one thread; 0 without rounds.
fn encode(model: &Model, audio: &[Vec<f32>], rounds: usize) -> Result<(f64, f64)> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let samples = audio.first().ok_or("no recordings")?;
    let mut shortest: Option<(f64, f64)> = None;
    for _ in 0..rounds {
        let (started, cpu) = (Instant::now(), cpu_seconds());
        pool.install(|| model.encode(samples))?;
        let times = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        shortest = Some(shortest.map_or(times, |(wall, cpu)| (times.0.min(wall), times.1.min(cpu))));
    }
    Ok(shortest.unwrap_or_default())
}

/// Measures the rates of matrix multiplication on this machine, int8 and f32, at the sizes of the encoder of Whisper
/// small.
fn product_rates() -> Result<(f64, f64)> {
    let rate = |operations: usize, work: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        const ROUNDS: usize = 100;
        work()?;
        let before = cpu_seconds();
        for _ in 0..ROUNDS {
            work()?;
        }
        Ok((ROUNDS * operations) as f64 / 1e9 / (cpu_seconds() - before).max(1e-9))
    };
    let (rows, width, hidden, head) = (1_500, 768, 3_072, 64);
    let (left, right, zeros) = (vec![130_u8; rows * width], vec![3_i8; width * hidden], vec![128_u8; rows]);
    let (queries, keys) = (vec![0.5_f32; rows * head], vec![0.25_f32; head * rows]);
    if let Some(amx) = Amx::detect() {
        let (right, mut packed) = (Int8Matrix::pack(amx, &right, width, 128), Int8Rows::default());
        let mut out = vec![0_i32; rows * hidden];
        let int8_rate = rate(2 * rows * width * hidden, &mut || {
            packed.pack(&left, width);
            right.multiply(&packed, 0..hidden, &mut out);
            Ok(())
        })?;
        let (mut matrix, mut packed) = (FloatMatrix::new(amx), FloatRows::new(amx));
        matrix.pack_columns(head, rows, |row| &keys[row * head..][..head]);
        let mut scores = vec![0.0_f32; rows * rows];
        let float_rate = rate(2 * rows * head * rows, &mut || {
            packed.pack(rows, head, 1.0, |row| &queries[row * head..][..head]);
            matrix.multiply(&packed, &mut scores, rows);
            Ok(())
        })?;
        return Ok((int8_rate, float_rate));
    }
    let int8 = GemmExecutor::<u8, i8, i32>::new();
    let right = int8.prepack_b(NdTensorView::from_data([width, hidden], right.as_slice()));
    let mut out = vec![0_i32; rows * hidden];
    let int8_rate = rate(2 * rows * width * hidden, &mut || {
        let left = NdTensorView::from_data([rows, width], left.as_slice());
        let options =
            GemmOptions { a_quant: Some(QuantParams { zero_point: zeros.as_slice() }), ..GemmOptions::default() };
        int8.gemm(&mut out, GemmInputA::Unpacked(left), GemmInputB::Packed(&right), options)
            .map_err(|error| error.to_string().into())
    })?;
    let float = GemmExecutor::<f32>::new();
    let keys = float.prepack_b(NdTensorView::from_data([head, rows], keys.as_slice()));
    let mut scores = vec![0.0_f32; rows * rows];
    let float_rate = rate(2 * rows * head * rows, &mut || {
        let queries = NdTensorView::from_data([rows, head], queries.as_slice());
        float
            .gemm(&mut scores, GemmInputA::Unpacked(queries), GemmInputB::Packed(&keys), GemmOptions::default())
            .map_err(|error| error.to_string().into())
    })?;
    Ok((int8_rate, float_rate))
}

/// Generates the reference's recording `mixed`: a chirp in noise.
fn mixed(seed: usize, seconds: usize) -> Vec<f32> {
    let (from, to) = (180.0 + (seed % 100) as f64, 900.0 + (seed % 300) as f64);
    let count = seconds * 16_000;
    let mut state = seed as u64 + 100_000;
    let mut phase = 0.0f64;
    (0..count)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = ((state >> 40) as f64 / f64::from(1 << 24) * 2.0 - 1.0) * 0.18;
            phase += (from + (to - from) * i as f64 / count as f64) / 16_000.0;
            (0.18 * (std::f64::consts::TAU * phase).sin() + 0.35 * noise) as f32
        })
        .collect()
}

/// Returns the processor time of all threads in seconds; 0 if the system does not report it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Returns the peak resident memory of the process in megabytes; 0 if the system does not report it.
fn peak_megabytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) >> 10
}
