//! The text contest's n-gram model: training on a million generated utterances, and predictions for
//! half-revealed utterances.
//!
//! Fails if a goal is missed: `cargo bench -p taonet-benches --bench ngram`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use taonet_babelbit_text_miner::ngram::Trainer;
use taonet_benches::peak_memory;

const UTTERANCES: usize = 1_000_000;
const CONTEXT_WORDS: usize = 4;
/// Number of utterances that are generated, then added to the trainer, so that only training is
/// timed.
const UTTERANCES_PER_BATCH: usize = 10_000;
/// Required training rate, in words per second.
const MIN_WORDS_PER_SECOND: f64 = 1e6;
/// Maximum of the 99th percentile of a prediction's time.
const MAX_PREDICTION_TIME: Duration = Duration::from_millis(1);
/// Maximum peak memory, in MB.
const MAX_MEMORY_MB: u64 = 2_000;

/// Generates utterances whose word frequencies resemble those of a language: few words are
/// frequent.
struct Utterances(u64);

impl Utterances {
    fn log_uniform(&mut self, bound: f64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        (bound.powf(uniform) - 1.0) as u64
    }

    fn utterance(&mut self) -> String {
        let words = 5 + self.log_uniform(16.0);
        (0..words)
            .map(|_| format!("w{}", self.log_uniform(100_000.0)))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn main() -> anyhow::Result<()> {
    let mut generator = Utterances(1);
    let mut trainer = Trainer::new(CONTEXT_WORDS)?;
    let mut prefixes = Vec::new();
    let mut training = Duration::ZERO;
    for _ in 0..UTTERANCES / UTTERANCES_PER_BATCH {
        let utterances: Vec<String> =
            (0..UTTERANCES_PER_BATCH).map(|_| generator.utterance()).collect();
        let start = Instant::now();
        for utterance in &utterances {
            trainer.add(utterance)?;
        }
        training += start.elapsed();
        prefixes.extend(
            utterances
                .iter()
                .step_by(100)
                .filter_map(|text| text.get(..text.len() / 2))
                .map(str::to_owned),
        );
    }
    let words = trainer.words() as f64;
    let start = Instant::now();
    let model = trainer.finish(|_| ())?;
    training += start.elapsed();
    let rate = words / training.as_secs_f64();
    let memory = peak_memory().unwrap_or_default();

    let predict = |prefix: &String| {
        let start = Instant::now();
        black_box(model.complete(prefix));
        start.elapsed()
    };
    let mut times: Vec<Duration> = prefixes.iter().map(predict).collect();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    println!(
        "training: {words:.0} words, {:.2} million words/s (at least {:.0})",
        rate / 1e6,
        MIN_WORDS_PER_SECOND / 1e6
    );
    println!(
        "peak memory: {memory} MB (at most {MAX_MEMORY_MB} MB); {} contexts",
        model.contexts()
    );
    println!("prediction: p99 {p99:?} (at most {MAX_PREDICTION_TIME:?})");
    ensure!(
        rate >= MIN_WORDS_PER_SECOND,
        "training: {rate:.0} words/s, fewer than {MIN_WORDS_PER_SECOND}"
    );
    ensure!(memory <= MAX_MEMORY_MB, "peak memory: {memory} MB, more than {MAX_MEMORY_MB} MB");
    ensure!(
        p99 <= MAX_PREDICTION_TIME,
        "prediction: p99 {p99:?}, more than {MAX_PREDICTION_TIME:?}"
    );
    Ok(())
}
