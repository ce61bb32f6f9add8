//! Scoring throughput in replies per second on one core, with given transcripts and sentence
//! embeddings: gates, rate, latency and duplication penalty, in batches of 256 replies.
//!
//! `cargo bench -p taonet-benches --bench scoring`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{Evidence, Reply, ScoreOptions, Timeline, score_batch};
use taonet_primitives::{Seconds, Transcript, Word};

const MINERS: usize = 256;
/// The dimensions of all-MiniLM-L6-v2's embeddings.
const DIMENSIONS: usize = 384;
const WORDS: usize = 40;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// The required rate per core, in replies per second.
const MIN_REPLIES_PER_SECOND: f64 = 20_000.0;

fn unit(vector: &mut [f32]) {
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in vector {
        *value /= norm;
    }
}

/// Returns a vector near `centre`: half of the replies are close enough to each other to share
/// their scores.
fn vector_near(centre: &[f32], spread: f32, random: &mut StdRng) -> Vec<f32> {
    let step = spread / (DIMENSIONS as f32).sqrt();
    let mut vector: Vec<_> =
        centre.iter().map(|value| value + step * random.random_range(-1.0_f32..=1.0)).collect();
    unit(&mut vector);
    vector
}

fn transcript(miner: usize) -> Transcript {
    let words: Vec<_> = (0..WORDS)
        .map(|i| Word {
            text: format!("word{miner}x{i}"),
            start: i as f64 * 0.35,
            end: (i + 1) as f64 * 0.35,
        })
        .collect();
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    Transcript { text, words, detected_language: "en".to_owned() }
}

fn main() {
    let mut random = StdRng::seed_from_u64(7);
    let mut centre: Vec<_> = (0..DIMENSIONS).map(|_| random.random_range(-1.0_f32..=1.0)).collect();
    unit(&mut centre);
    let transcripts: Vec<_> = (0..MINERS).map(transcript).collect();
    let vectors: Vec<_> = (0..MINERS)
        .map(|i| vector_near(&centre, if i % 2 == 0 { 0.4 } else { 1.2 }, &mut random))
        .collect();
    let timelines: Vec<_> = (0..MINERS as u64)
        .map(|miner| {
            Timeline::new(
                (20..=179 + miner % 40).map(|frame| (frame, 7_680)).collect(),
                179 + miner % 40,
            )
        })
        .collect();
    let reference = transcripts
        .first()
        .map(|transcript| Reference::new(&transcript.text, transcript.words.clone(), None));
    let Some(Ok(reference)) = reference else { return };
    let (Ok(length), Ok(source)) = (Seconds::new(12.8), Seconds::new(14.25)) else { return };
    let options = ScoreOptions::default();

    let batch = || {
        let replies: Vec<_> = transcripts
            .iter()
            .zip(&vectors)
            .zip(&timelines)
            .map(|((transcript, vector), timeline)| Reply {
                timing: timeline.timing(1, length, source),
                evidence: Evidence::Transcribed { transcript, confidence: None },
                vector,
            })
            .collect();
        score_batch(Ok(&reference), &centre, &replies, &options)
    };

    let results = batch();
    let scored = results.iter().filter(|result| result.raw_score > Some(0.0)).count();
    let lowered = results.iter().filter(|result| Some(result.score) < result.raw_score).count();
    println!(
        "batch: {MINERS} replies, {scored} above 0, {lowered} lowered by the duplication step"
    );
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (start, mut batches) = (Instant::now(), 0);
        while start.elapsed() < ROUND {
            black_box(batch());
            batches += 1;
        }
        best = best.max((batches * MINERS) as f64 / start.elapsed().as_secs_f64());
    }
    println!(
        "scored replies a second on one core: {best:.0} (best of {ROUNDS} rounds), {:.1} x the floor of {MIN_REPLIES_PER_SECOND}",
        best / MIN_REPLIES_PER_SECOND
    );
}
