//! The `bb bench stt` command.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::STT_BENCHMARK;
use taonet_cli_models::engines;
use taonet_cli_models::language::SpokenLanguage;
use taonet_primitives::SampleRate;
use taonet_speech::models::describe_recognizer;
use taonet_speech::{Recognizer, Wav, WavHeader, check_recording, resample_for_recognition};

use super::measure::{Spread, Stopwatch, peak_memory, ratio};
use super::sounds::{AudioKind, encode_wav, wav_paths};
use crate::settings;

/// Measure speech recognition on this machine
#[derive(Debug, Args)]
pub struct SttArgs {
    /// Numbers of replies, one run each
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [10, 25, 50],
        value_parser = clap::value_parser!(u16).range(1..=4_096))]
    miners: Vec<u16>,
    /// Durations of the replies in seconds, 1 to 600, one run each
    #[arg(long, value_name = "SECONDS", num_args = 1.., default_values_t = [2],
        value_parser = clap::value_parser!(u16).range(1..=600))]
    durations_sec: Vec<u16>,
    /// Sound of the replies
    #[arg(long, value_enum, default_value_t = AudioKind::Mixed)]
    audio_kind: AudioKind,
    /// Directory of WAV files to transcribe in turn, instead of synthetic replies
    #[arg(long, value_name = "DIR", conflicts_with_all = ["audio_kind", "durations_sec"])]
    wav_dir: Option<PathBuf>,
    /// Sample rate of the replies, in Hz
    #[arg(long, value_name = "HZ", default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(8_000..=48_000))]
    sample_rate_hz: u32,
    /// Number of measurements of each run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    repeat: u16,
    /// Number of runs before the first measurement
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    warmup: u16,
    /// Model name, or a model directory [env: BB_AUDIO_SCORING_STT_MODEL] [default: tiny-ctc (a
    /// test double) on local networks, otherwise faster-whisper-small]
    #[arg(long, value_name = "MODEL")]
    stt_model: Option<String>,
    /// Number of recognition threads; 0 stands for one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1_024))]
    cpu_threads: u16,
    /// Language of the replies: a code such as en, or auto (detected, as in scoring) [default:
    /// auto]
    #[arg(long, value_name = "CODE")]
    language: Option<SpokenLanguage>,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// Figures of one measurement. Times are in seconds.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    total_audio_sec: f64,
    wall_sec: f64,
    /// Processor time of all threads.
    cpu_sec: f64,
    /// Time for decoding and resampling, summed over threads.
    decode_sec: f64,
    /// Wall-clock time with at least one recognition in progress.
    stt_sec: f64,
    cpu_per_wall: f64,
    stt_realtime_factor: f64,
    audio_sec_per_wall_sec: f64,
    miners_per_wall_sec: f64,
    word_count: usize,
    text_chars: usize,
    /// Peak memory of this process since its start.
    max_rss_mb: Option<f64>,
}

pub(crate) fn run(args: &SttArgs, context: &Context) -> anyhow::Result<()> {
    let mut config = settings::load()?;
    config.recognizer = args.stt_model.clone().or(config.recognizer);
    config.models_dir = args.models.clone().or(config.models_dir);
    let cpu_threads = NonZeroUsize::new(args.cpu_threads.into());
    let language = args.language.and_then(SpokenLanguage::code);
    let recognizer = engines::benchmark_recognizer(&config, language, cpu_threads)?;
    let concurrency = recognizer.concurrency().or(cpu_threads).unwrap_or_else(cores);
    let rate = SampleRate::new(args.sample_rate_hz).context("--sample-rate-hz")?;
    let files = args.wav_dir.as_deref().map(wav_files).transpose()?;
    let durations = if files.is_some() { &[0][..] } else { args.durations_sec.as_slice() };
    let mut runs = Vec::new();
    for &duration in durations {
        for &count in &args.miners {
            let replies: Vec<Vec<u8>> = match &files {
                Some(files) => files.iter().cycle().take(usize::from(count)).cloned().collect(),
                None => (0..u64::from(count))
                    .map(|index| {
                        let seed = 10_000 * u64::from(count) + index;
                        encode_wav(args.audio_kind.samples(seed, f64::from(duration), rate), rate)
                    })
                    .collect::<anyhow::Result<_>>()?,
            };
            for _ in 0..args.warmup {
                measure(&*recognizer, concurrency, &replies)?;
            }
            let repeats = (0..args.repeat).map(|_| measure(&*recognizer, concurrency, &replies));
            runs.push((duration, count, repeats.collect::<anyhow::Result<Vec<_>>>()?));
        }
    }
    if context.json {
        let runs = runs.iter().map(|(duration, count, repeats)| {
            let mut run = spreads(repeats)?;
            run.insert("miners".to_owned(), json!(count));
            run.insert("duration_sec".to_owned(), json!(files.is_none().then_some(duration)));
            run.insert("repeats".to_owned(), json!(repeats));
            Ok(run)
        });
        let runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
        return context.print_json(&json!({
            "schema": 1,
            "benchmark": "stt",
            "recognizer": { "name": recognizer.name(), "fingerprint": recognizer.fingerprint() },
            "audio_kind": files.is_none().then(|| args.audio_kind.name()),
            "sample_rate_hz": files.is_none().then_some(args.sample_rate_hz),
            "concurrency": concurrency,
            "language": language,
            "cores": cores(),
            "warmup": args.warmup,
            "runs": runs,
        }));
    }
    context.print(&format!(
        "{} on {} cores, medians of {}",
        describe_recognizer(recognizer.name()),
        cores(),
        args.repeat
    ))?;
    context.print(&format_report(&runs))
}

fn format_report(runs: &[(u16, u16, Vec<Figures>)]) -> String {
    let mut rows = table(&STT_BENCHMARK);
    for (_, count, repeats) in runs {
        let last = repeats.last();
        rows.add_row([
            count.to_string(),
            format!("{:.1}", median(repeats, |figures| figures.total_audio_sec)),
            format!("{:.3}", median(repeats, |figures| figures.wall_sec)),
            format!("{:.3}", median(repeats, |figures| figures.cpu_sec)),
            format!("{:.3}", median(repeats, |figures| figures.decode_sec)),
            format!("{:.4}", median(repeats, |figures| figures.stt_realtime_factor)),
            format!("{:.1}", median(repeats, |figures| figures.audio_sec_per_wall_sec)),
            format!("{:.2}", median(repeats, |figures| figures.miners_per_wall_sec)),
            last.map(|figures| figures.word_count.to_string()).unwrap_or_default(),
            last.and_then(|figures| figures.max_rss_mb)
                .map(|mb| format!("{mb:.0}"))
                .unwrap_or_default(),
        ]);
    }
    rows.to_string()
}

fn median(repeats: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    spread(repeats, figure).median
}

fn spread(repeats: &[Figures], figure: impl Fn(&Figures) -> f64) -> Spread {
    Spread::of(repeats.iter().map(figure))
}

/// Returns the spread of each figure over repeats, by name; null for figures that this system does
/// not report.
fn spreads(repeats: &[Figures]) -> anyhow::Result<Map<String, Value>> {
    let repeats = repeats.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    let names = repeats.first().and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let spreads = names.map(|name| {
        let values: Vec<f64> =
            repeats.iter().filter_map(|figures| figures.get(name)?.as_f64()).collect();
        (name.clone(), json!((!values.is_empty()).then(|| Spread::of(values))))
    });
    Ok(spreads.collect())
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Reads the WAV files in a directory, sorted by name.
fn wav_files(directory: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    wav_paths(directory)?.iter().map(|path| wav_file(path)).collect()
}

fn wav_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let header = WavHeader::read(&file)
        .with_context(|| format!("{} is not a readable WAV file", path.display()))?;
    check_recording(&header).with_context(|| path.display().to_string())?;
    Ok(file)
}

/// Progress of a measurement, shared by its threads.
#[derive(Default)]
struct Progress {
    decode: Duration,
    words: usize,
    chars: usize,
    /// Number of recognitions in progress, and the time at which that number last rose above 0.
    active: usize,
    busy_since: Option<Instant>,
    busy: Duration,
}

/// Transcribes all replies, `concurrency` at a time.
fn measure(
    recognizer: &dyn Recognizer,
    concurrency: NonZeroUsize,
    replies: &[Vec<u8>],
) -> anyhow::Result<Figures> {
    let headers =
        replies.iter().map(|file| WavHeader::read(file)).collect::<Result<Vec<_>, _>>()?;
    let total_audio_sec: f64 = headers.iter().map(|header| header.duration().get()).sum();
    let (next, progress) = (AtomicUsize::new(0), Mutex::new(Progress::default()));
    let stopwatch = Stopwatch::start();
    let threads = concurrency.get().min(replies.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| transcribe(recognizer, replies, &next, &progress)))
            .collect();
        let results = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| bail!("a transcription thread panicked"))
        });
        results.collect::<anyhow::Result<()>>()
    })?;
    let (wall_sec, cpu_sec) = stopwatch.elapsed();
    let progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    let stt_sec = progress.busy.as_secs_f64();
    Ok(Figures {
        total_audio_sec,
        wall_sec,
        cpu_sec,
        decode_sec: progress.decode.as_secs_f64(),
        stt_sec,
        cpu_per_wall: ratio(cpu_sec, wall_sec),
        stt_realtime_factor: ratio(stt_sec, total_audio_sec),
        audio_sec_per_wall_sec: ratio(total_audio_sec, wall_sec),
        miners_per_wall_sec: ratio(replies.len() as f64, wall_sec),
        word_count: progress.words,
        text_chars: progress.chars,
        max_rss_mb: peak_memory(),
    })
}

/// Transcribes replies in one thread until none is left; `next` is the index of the next reply.
fn transcribe(
    recognizer: &dyn Recognizer,
    replies: &[Vec<u8>],
    next: &AtomicUsize,
    progress: &Mutex<Progress>,
) -> anyhow::Result<()> {
    while let Some(file) = replies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let start = Instant::now();
        let samples = resample_for_recognition(&Wav::decode(file)?.pcm);
        {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.decode += start.elapsed();
            progress.active += 1;
            progress.busy_since.get_or_insert_with(Instant::now);
        }
        let recognition = recognizer.recognize(&samples);
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.active -= 1;
        if progress.active == 0 {
            let busy_since = progress.busy_since.take();
            progress.busy += busy_since.map(|since| since.elapsed()).unwrap_or_default();
        }
        let transcript = recognition?.transcript;
        progress.words += transcript.words.len();
        progress.chars += transcript.text.chars().count();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use taonet_speech::CtcRecognizer;

    use super::*;

    #[test]
    fn stt_measurements_are_consistent() {
        let recognizer = CtcRecognizer::embedded().unwrap();
        let speech = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/speech");
        let files = wav_files(&speech).unwrap();
        assert_eq!(files.len(), 20);
        let figures = measure(&recognizer, cores(), &files[..4]).unwrap();
        assert!(
            figures.word_count > 10 && figures.text_chars > 4 * figures.word_count,
            "{figures:?}"
        );
        assert!(
            figures.total_audio_sec > 4.0 && figures.stt_sec <= figures.wall_sec,
            "{figures:?}"
        );
        assert!(
            (figures.stt_realtime_factor * figures.total_audio_sec - figures.stt_sec).abs() < 1e-9,
            "{figures:?}"
        );
        assert!((figures.miners_per_wall_sec * figures.wall_sec - 4.0).abs() < 1e-9, "{figures:?}");
        let slower =
            Figures { wall_sec: 2.0 * figures.wall_sec, max_rss_mb: None, ..figures.clone() };
        let spreads = spreads(&[figures.clone(), slower]).unwrap();
        let spread = Spread::of([figures.wall_sec, 2.0 * figures.wall_sec]);
        assert_eq!((spreads.len(), &spreads["wall_sec"]), (12, &json!(spread)));
        assert_eq!(spreads["word_count"]["max"], json!(figures.word_count as f64));
        let error = wav_files(&speech.join("..")).unwrap_err().to_string();
        assert!(error.ends_with("contains no WAV file"), "{error}");
    }
}
