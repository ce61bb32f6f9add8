//! Throughput of all-MiniLM-L6-v2 in sentences per second, in batches of 32.
//!
//! `cargo bench -p taonet-benches --bench embedder` prints the median, the lowest and the highest
//! rate of 20 rounds. With `-- --json` it prints one document for `benches/embed/compare`: the
//! median rate, the load time, and the embedding of each sentence.
#![allow(clippy::print_stdout, reason = "printing the figures is what a benchmark is for")]

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use taonet_speech::models::{ALL_MINILM_L6_V2, ModelStore};
use taonet_speech::{MiniLm, SentenceEmbedder};

const SENTENCES: &str = include_str!("../embed/sentences.txt");
const BATCH: usize = 32;
const ROUNDS: usize = 20;

fn main() -> anyhow::Result<()> {
    let started = Instant::now();
    let store = ModelStore::new(std::env::var_os("BB_MODELS_DIR").map(PathBuf::from));
    let model = MiniLm::load(&store.locate(&ALL_MINILM_L6_V2)?)?;
    let load = started.elapsed().as_secs_f64();

    let sentences: Vec<&str> = SENTENCES.lines().collect();
    let vectors = model.embed(&sentences)?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for batch in sentences.chunks(BATCH) {
            model.embed(batch)?;
        }
        rates.push(sentences.len() as f64 / started.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    let median = rates.get(ROUNDS / 2).copied().unwrap_or_default();

    if std::env::args().any(|argument| argument == "--json") {
        let vectors: Vec<&[f32]> = vectors.iter().map(|vector| &*vector.0).collect();
        println!(
            "{}",
            json!({ "sentences_per_second": median, "load_seconds": load, "vectors": vectors })
        );
    } else {
        let (slowest, fastest) = (rates.first(), rates.last());
        println!("all-MiniLM-L6-v2: loaded in {:.0} ms", load * 1e3);
        println!(
            "{median:.0} sentences/s in batches of {BATCH} (slowest round {:.0}, fastest {:.0}; at least 180)",
            slowest.copied().unwrap_or_default(),
            fastest.copied().unwrap_or_default()
        );
    }
    Ok(())
}
