//! The `bb bench scoring` command.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{ScoreOptions, Timeline};
use taonet_babelbit_scorer::{BatchScorer, Candidate, ScorerSettings, TranscriptCache};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::SCORING_BENCHMARK;
use taonet_cli_models::engines;
use taonet_primitives::{SampleRate, Seconds, Transcript, Word};
use taonet_speech::{Recognizer, SentenceEmbedder};

use super::measure::{Spread, Stopwatch, peak_memory, ratio};
use super::sounds::{encode_wav, sine};
use crate::score::NoRecognizer;
use crate::settings;

/// The reference text, nine words.
const REFERENCE_WORDS: [&str; 9] =
    ["the", "morning", "train", "to", "the", "coast", "leaves", "at", "nine"];
/// Time between two words of the reference, in seconds.
const WORD_SPACING_S: f64 = 0.35;
/// Speaking rate of the reference, in words per second.
const WORDS_PER_SECOND: f64 = 2.8;

/// Computation that a run measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Embeddings and rules, with given transcripts
    Synthetic,
    /// Speech recognition, embeddings and rules
    Real,
}

/// Measure the scoring of all replies to an utterance on this machine
#[derive(Debug, Args)]
pub struct ScoringArgs {
    /// Numbers of replies, one run each
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [50, 100, 200],
        value_parser = clap::value_parser!(u16).range(1..=4_096))]
    miners: Vec<u16>,
    /// Number of measurements of each run
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    repeat: u16,
    /// Number of runs before the first measurement
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    warmup: u16,
    /// Duration of each reply, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=600))]
    duration_sec: u16,
    /// Computation to measure
    #[arg(long, value_enum, default_value_t = Mode::Synthetic)]
    mode: Mode,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// Figures of one run. Times are in seconds.
#[derive(Debug, Serialize)]
struct Run {
    miners: u16,
    wall_sec: Spread,
    cpu_sec: Spread,
    miners_per_wall_sec: Spread,
    /// Peak memory of this process since its start.
    max_rss_mb: Option<f64>,
}

pub(crate) fn run(args: &ScoringArgs, context: &Context) -> anyhow::Result<()> {
    let mut config = settings::load()?;
    config.models_dir = args.models.clone().or(config.models_dir);
    let recognizer: Arc<dyn Recognizer> = match args.mode {
        Mode::Real => engines::offline_scoring_recognizer(&config)?,
        Mode::Synthetic => Arc::new(NoRecognizer),
    };
    let embedder = engines::embedder(&config.embedder, config.models_dir.clone(), context)?;
    let mut runs = Vec::new();
    for &miners in &args.miners {
        let candidates = generate_candidates(miners, args.duration_sec, args.mode)?;
        let mut times = Vec::new();
        for round in 0..args.warmup + args.repeat {
            let (wall, cpu) = measure(&recognizer, &embedder, &config.scoring, &candidates)?;
            if round >= args.warmup {
                times.push((wall, cpu));
            }
        }
        runs.push(Run {
            miners,
            wall_sec: Spread::of(times.iter().map(|(wall, _)| *wall)),
            cpu_sec: Spread::of(times.iter().map(|(_, cpu)| *cpu)),
            miners_per_wall_sec: Spread::of(
                times.iter().map(|(wall, _)| ratio(f64::from(miners), *wall)),
            ),
            max_rss_mb: peak_memory(),
        });
    }
    if context.json {
        return context.print_json(&json!({
            "schema": 1,
            "benchmark": "scoring",
            "mode": match args.mode { Mode::Synthetic => "synthetic", Mode::Real => "real" },
            "recognizer": recognizer.name(),
            "embedder": embedder.name(),
            "duration_sec": args.duration_sec,
            "warmup": args.warmup,
            "repeat": args.repeat,
            "runs": runs,
        }));
    }
    let mut rows = table(&SCORING_BENCHMARK);
    for run in &runs {
        rows.add_row([
            run.miners.to_string(),
            format!("{:.3}", run.wall_sec.median),
            format!("{:.3}", run.cpu_sec.median),
            format!("{:.1}", run.miners_per_wall_sec.median),
            run.max_rss_mb.map(|mb| format!("{mb:.0}")).unwrap_or_default(),
        ]);
    }
    context.print(&rows.to_string())
}

/// Measures wall-clock and processor seconds of a batch, with an empty transcript cache.
fn measure(
    recognizer: &Arc<dyn Recognizer>,
    embedder: &Arc<dyn SentenceEmbedder>,
    options: &ScoreOptions,
    candidates: &[Candidate],
) -> anyhow::Result<(f64, f64)> {
    let cache = TranscriptCache::in_memory(&**recognizer, NonZeroUsize::MIN.saturating_add(4_095));
    let settings = ScorerSettings { gates: false, ..ScorerSettings::default() };
    let (recognizer, embedder) = (Arc::clone(recognizer), Arc::clone(embedder));
    let scorer = BatchScorer::new(recognizer, embedder, cache, options.clone(), settings)?;
    let reference = Reference::new(
        &REFERENCE_WORDS.join(" "),
        timed_reference_words(),
        Some(WORDS_PER_SECOND),
    )?;
    let stopwatch = Stopwatch::start();
    let results = scorer.score(Ok(&reference), candidates);
    let times = stopwatch.elapsed();
    anyhow::ensure!(
        results.len() == candidates.len(),
        "scored {} of {} candidates",
        results.len(),
        candidates.len()
    );
    Ok(times)
}

fn timed_reference_words() -> Vec<Word> {
    let words = REFERENCE_WORDS.iter().enumerate().map(|(index, text)| {
        let start = index as f64 * WORD_SPACING_S;
        Word { text: (*text).to_owned(), start, end: start + WORD_SPACING_S }
    });
    words.collect()
}

/// Generates replies like those of the reference's benchmark: sine tones that start in one of the
/// first three frames.
fn generate_candidates(miners: u16, seconds: u16, mode: Mode) -> anyhow::Result<Vec<Candidate>> {
    let rate = SampleRate::HZ_24K;
    let hertz = f64::from(rate.hz());
    let candidates = (0..miners).map(|index| {
        let frequency = 330.0 + 10.0 * f64::from(miners) + f64::from(index);
        let count = usize::from(seconds) * usize::try_from(rate.hz())?;
        let transcript = Transcript {
            // Distinct texts, so that no embedding is reused.
            text: format!("{} {index}", REFERENCE_WORDS.join(" ")),
            words: timed_reference_words(),
            detected_language: "en".to_owned(),
        };
        let frame = u64::from(index % 3);
        Ok(Candidate {
            wav: Some(encode_wav(sine(count, 0.2, |_| frequency / hertz), rate)?.into()),
            duration: None,
            timeline: Timeline::new(vec![(frame, 2 * count as u64)], frame),
            channels: 1,
            source_duration: Seconds::new(f64::from(seconds)).unwrap_or_default(),
            transcript: (mode == Mode::Synthetic).then_some(transcript),
        })
    });
    candidates.collect()
}
