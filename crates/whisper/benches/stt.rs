//! Benchmark of the engine's speed: `cargo bench -p taonet-whisper --bench stt -- MODEL_DIR
//! [REQUEST_JSON]`.
//!
//! The workload is the reference's, mono recordings of a chirp in noise, or WAV files. Prints one
//! JSON document; `benches/stt/compare` runs it beside faster-whisper. Reports wall-clock time, and
//! processor time summed over all threads.
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::indexing_slicing, reason = "slices of matrices whose sizes are set here")]

#[path = "support/measure.rs"]
mod measure;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use measure::{cpu_seconds, peak_megabytes, read_wav};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, QuantParams};
use rten_tensor::NdTensorView;
use serde::{Deserialize, Serialize};
use taonet_amx::{Amx, FloatMatrix, FloatRows};
use taonet_avx512::{FixedMatrix, FixedRows, Vnni};
use taonet_whisper::{EngineSize, Model, Options, Transcriber, Transcription};

/// The allocator of the released programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Hidden states of an encoded window.
const POSITIONS: usize = 1_500;
/// Mel bands of the models up to `medium`.
const MELS: usize = 80;
/// Width of an attention head.
const HEAD: usize = 64;
/// Minimum duration of the measurement of a rate.
const MIN_DURATION: Duration = Duration::from_secs(2);

/// Parameters of the benchmark.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    recordings: usize,
    seconds: usize,
    /// WAV files to transcribe in place of synthetic recordings.
    audio: Vec<PathBuf>,
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
        Self {
            recordings: 16,
            seconds: 60,
            audio: Vec::new(),
            threads: 2,
            windows: 0,
            tokens: 100,
            words: true,
            encodings: 3,
        }
    }
}

/// Results of the benchmark.
#[derive(Debug, Default, Serialize)]
struct Report {
    kernels: String,
    load_seconds: f64,
    encode_seconds: f64,
    encode_cpu_seconds: f64,
    /// Measured only if `encodings` is above 0.
    rates: Option<Rates>,
    wall_seconds: f64,
    cpu_seconds: f64,
    audio_seconds: f64,
    windows: usize,
    tokens: usize,
    peak_megabytes: u64,
    texts: Vec<String>,
}

/// Speed of the encoder's matrix products alone, on one thread.
#[derive(Debug, Serialize)]
struct Rates {
    /// Products of the layers' weights.
    int8: Rate,
    /// Scores and weighted values of the self-attention.
    attention: Rate,
    convolutions: Rate,
}

#[derive(Debug, Serialize)]
struct Rate {
    kernel: String,
    /// Billions of additions and multiplications per second.
    rate: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(folder) = arguments.first() else {
        println!("usage: cargo bench -p taonet-whisper --bench stt -- MODEL_DIR [REQUEST_JSON]");
        return Ok(());
    };
    let request: Request =
        arguments.get(1).map(|text| serde_json::from_str(text)).transpose()?.unwrap_or_default();
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
    let audio: Vec<Vec<f32>> = if request.audio.is_empty() {
        (0..request.recordings).map(|seed| noisy_chirp(seed, request.seconds)).collect()
    } else {
        request.audio.iter().map(|path| read_wav(path)).collect::<Result<_>>()?
    };
    (report.encode_seconds, report.encode_cpu_seconds) = encode(&model, &audio, request.encodings)?;
    if request.encodings > 0 {
        let width = model.encode(audio.first().ok_or("no recordings")?)?.len() / POSITIONS;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        report.rates = Some(pool.install(|| product_rates(width))?);
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
        let handles: Vec<_> =
            audio.iter().map(|samples| scope.spawn(|| transcriber.transcribe(samples))).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().map_err(|_| "a caller panicked".to_owned()))
            .collect()
    });
    report.wall_seconds = started.elapsed().as_secs_f64();
    report.cpu_seconds = cpu_seconds() - cpu;
    report.audio_seconds = audio.iter().map(|samples| samples.len() as f64 / 16_000.0).sum();
    for result in results {
        let Transcription { segments, windows, .. } = result??;
        report.windows += windows;
        report.tokens += segments.iter().map(|segment| segment.tokens.len()).sum::<usize>();
        report.texts.push(segments.iter().map(|segment| segment.text.as_str()).collect());
    }
    report.peak_megabytes = peak_megabytes();
    Ok(report)
}

/// Returns the shortest wall-clock and processor times for encoding one window on one thread; 0
/// without rounds.
fn encode(model: &Model, audio: &[Vec<f32>], rounds: usize) -> Result<(f64, f64)> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let samples = audio.first().ok_or("no recordings")?;
    let mut shortest: Option<(f64, f64)> = None;
    for _ in 0..rounds {
        let (started, cpu) = (Instant::now(), cpu_seconds());
        pool.install(|| model.encode(samples))?;
        let times = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        shortest =
            Some(shortest.map_or(times, |(wall, cpu)| (times.0.min(wall), times.1.min(cpu))));
    }
    Ok(shortest.unwrap_or_default())
}

/// Measures the kernels that the encoder selects on this CPU, at the sizes of an encoder of this
/// width. Packing of the rows is included, packing of the matrices is not.
fn product_rates(width: usize) -> Result<Rates> {
    let layer = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)];
    // The scores of one head, and its weighted values.
    let attention = [(HEAD, POSITIONS), (POSITIONS, HEAD)];
    let convolutions = [(2 * POSITIONS, 3 * MELS), (POSITIONS, 3 * width)];
    Ok(Rates {
        int8: rate(&mut layer.map(|(inputs, outputs)| int8_product(inputs, outputs)))?,
        attention: rate(
            &mut attention.map(|(inputs, outputs)| attention_product(inputs, outputs)),
        )?,
        convolutions: rate(
            &mut convolutions.map(|(rows, inputs)| convolution_product(rows, inputs, width)),
        )?,
    })
}

/// Measures the rate of several products together.
fn rate<L, O>(products: &mut [Product<L, O>]) -> Result<Rate> {
    let mut pass = || -> Result<()> {
        for product in products.iter_mut() {
            for rows in product.rows.chunks(product.size.block * product.size.inputs) {
                (product.multiply)(rows, product.products.as_mut_slice())?;
            }
        }
        Ok(())
    };
    pass()?;
    let (started, before, mut passes) = (Instant::now(), cpu_seconds(), 0);
    while started.elapsed() < MIN_DURATION {
        pass()?;
        passes += 1;
    }
    let seconds = (cpu_seconds() - before).max(1e-9);
    let operations: usize = products.iter().map(|product| product.size.operations()).sum();
    let kernel = products.first().map(|product| product.kernel.clone()).unwrap_or_default();
    Ok(Rate { kernel, rate: (passes * operations) as f64 / 1e9 / seconds })
}

/// Dimensions of a product.
#[derive(Debug, Clone, Copy)]
struct Size {
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// Number of rows that the encoder multiplies at a time.
    block: usize,
}

impl Size {
    /// Returns the number of additions and multiplications.
    fn operations(self) -> usize {
        2 * self.rows * self.inputs * self.outputs
    }

    /// Returns the number of values from one row of f32 products to the next.
    fn stride(self) -> usize {
        self.outputs.next_multiple_of(32)
    }
}

/// Multiplies a block of rows, and writes the products.
type Multiply<L, O> = Box<dyn FnMut(&[L], &mut [O]) -> Result<()>>;

/// Rows, and a matrix that is packed for a kernel.
struct Product<L, O> {
    kernel: String,
    size: Size,
    rows: Vec<L>,
    products: Vec<O>,
    multiply: Multiply<L, O>,
}

impl<L, O: Clone + Default> Product<L, O> {
    fn new(
        kernel: &str,
        size: Size,
        rows: Vec<L>,
        multiply: impl FnMut(&[L], &mut [O]) -> Result<()> + 'static,
    ) -> Self {
        let products = vec![O::default(); size.block * size.stride()];
        Self { kernel: kernel.to_owned(), size, rows, products, multiply: Box::new(multiply) }
    }
}

fn int8_product(inputs: usize, outputs: usize) -> Product<u8, i32> {
    const ZERO: u8 = 128;
    const COLUMNS: usize = 256;
    let size = Size { rows: POSITIONS, inputs, outputs, block: 96 };
    let rows: Vec<u8> = (0..size.rows * inputs).map(|i| (i * 31 % 255) as u8).collect();
    let weights: Vec<i8> =
        (0..outputs * inputs).map(|i| ((i * 37 % 255) as u8).cast_signed()).collect();
    if let Some(amx) = Amx::detect() {
        let matrix = taonet_amx::Int8Matrix::pack(amx, &weights, inputs, ZERO);
        let mut packed = taonet_amx::Int8Rows::default();
        return Product::new("amx-int8", size, rows, move |rows, out| {
            packed.pack(rows, inputs);
            for start in (0..outputs).step_by(COLUMNS) {
                matrix.multiply(&packed, start..outputs.min(start + COLUMNS), out);
            }
            Ok(())
        });
    }
    if let Some(vnni) = Vnni::detect() {
        let matrix = taonet_avx512::Int8Matrix::pack(vnni, &weights, inputs, ZERO);
        let mut packed = taonet_avx512::Int8Rows::default();
        return Product::new("avx512-vnni-int8", size, rows, move |rows, out| {
            packed.pack(rows, inputs);
            for start in (0..outputs).step_by(COLUMNS) {
                matrix.multiply(&packed, start..outputs.min(start + COLUMNS), out);
            }
            Ok(())
        });
    }
    let gemm = GemmExecutor::<u8, i8, i32>::new();
    let matrix = gemm.prepack_b(NdTensorView::from_data([inputs, outputs], weights.as_slice()));
    let (kernel, zeros) = (gemm.kernel_name().to_owned(), vec![ZERO; size.block]);
    // Where sums of two products may overflow, the encoder multiplies two halves of each value.
    let passes = if gemm.may_saturate() { 2 } else { 1 };
    Product::new(&kernel, size, rows, move |rows, out| {
        let count = rows.len() / inputs;
        for _ in 0..passes {
            let left = NdTensorView::from_data([count, inputs], rows);
            let quant = Some(QuantParams { zero_point: &zeros[..count] });
            let options = GemmOptions { a_quant: quant, ..GemmOptions::default() };
            gemm.gemm(
                &mut out[..count * outputs],
                GemmInputA::Unpacked(left),
                GemmInputB::Packed(&matrix),
                options,
            )
            .map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

fn attention_product(inputs: usize, outputs: usize) -> Product<f32, f32> {
    let size = |block| Size { rows: POSITIONS, inputs, outputs, block };
    if let Some(amx) = Amx::detect() {
        return amx_product(amx, size(32));
    }
    let Some(vnni) = Vnni::detect() else { return float_product(size(128)) };
    let (size, right) = (size(48), floats(inputs * outputs));
    let (mut matrix, mut packed) = (FixedMatrix::new(vnni), FixedRows::new(vnni));
    matrix.pack_rows(inputs, outputs, |row| &right[row * outputs..][..outputs]);
    Product::new("avx512-vnni-int16", size, floats(size.rows * inputs), move |rows, out| {
        packed.pack(rows.len() / inputs, inputs, 1.0, |row| &rows[row * inputs..][..inputs]);
        matrix.multiply(&packed, out, size.stride());
        Ok(())
    })
}

fn convolution_product(rows: usize, inputs: usize, outputs: usize) -> Product<f32, f32> {
    let size = Size { rows, inputs, outputs, block: 250 };
    Amx::detect().map_or_else(|| float_product(size), |amx| amx_product(amx, size))
}

fn amx_product(amx: Amx, size: Size) -> Product<f32, f32> {
    let Size { rows, inputs, outputs, .. } = size;
    let right = floats(inputs * outputs);
    let (mut matrix, mut packed) = (FloatMatrix::new(amx), FloatRows::new(amx));
    matrix.pack_rows(inputs, outputs, |row| &right[row * outputs..][..outputs]);
    Product::new("amx-bf16 in three parts", size, floats(rows * inputs), move |rows, out| {
        packed.pack(rows.len() / inputs, inputs, 1.0, |row| &rows[row * inputs..][..inputs]);
        matrix.multiply(&packed, out, size.stride());
        Ok(())
    })
}

fn float_product(size: Size) -> Product<f32, f32> {
    let Size { rows, inputs, outputs, .. } = size;
    let (gemm, right) = (GemmExecutor::<f32>::new(), floats(inputs * outputs));
    let matrix = gemm.prepack_b(NdTensorView::from_data([inputs, outputs], right.as_slice()));
    let kernel = gemm.kernel_name().to_owned();
    Product::new(&kernel, size, floats(rows * inputs), move |rows, out| {
        let count = rows.len() / inputs;
        let left = NdTensorView::from_data([count, inputs], rows);
        let options = GemmOptions::default();
        gemm.gemm(
            &mut out[..count * outputs],
            GemmInputA::Unpacked(left),
            GemmInputB::Packed(&matrix),
            options,
        )
        .map_err(|error| error.to_string().into())
    })
}

/// Generates values between -0.5 and 0.5.
fn floats(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 255) as f32 / 255.0 - 0.5).collect()
}

/// Generates the reference's recording `mixed`: a chirp in noise.
fn noisy_chirp(seed: usize, seconds: usize) -> Vec<f32> {
    let (from, to) = (180.0 + (seed % 100) as f64, 900.0 + (seed % 300) as f64);
    let count = seconds * 16_000;
    let mut state = seed as u64 + 100_000;
    let mut phase = 0.0f64;
    (0..count)
        .map(|i| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let noise = ((state >> 40) as f64 / f64::from(1 << 24) * 2.0 - 1.0) * 0.18;
            phase += (from + (to - from) * i as f64 / count as f64) / 16_000.0;
            (0.18 * (std::f64::consts::TAU * phase).sin() + 0.35 * noise) as f32
        })
        .collect()
}
