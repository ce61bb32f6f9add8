//! Cost of the runner itself, without scoring: `taskset -c 0,1 cargo bench -p taonet-benches --bench
//! runner`.
//!
//! In the runner's process, 256 miners immediately return every frame of one utterance of 14.25 s
//! (179 frames). Everything else is as in a real round: framing, base64 in both directions, checks,
//! audio files, ledger, result files. In a second round, one miner takes 2 s for each frame, and
//! the benchmark measures the time until the other 255 miners are done.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{
    BatchFailure, Evidence, Reply, ScoreError, ScoreOptions, ScoreResult, Timing, score_batch,
};
use taonet_babelbit_engine::client::PrefetchedChallenge;
use taonet_babelbit_runner::{Miner, ReplyScorer, RunEvent, RunPaths, Runner, RunnerSettings};
use taonet_babelbit_scorer::Candidate;
use taonet_benches::{Echo, peak_memory};
use taonet_primitives::{SampleRate, Seconds};
use taonet_speech::{SampleFormat, Wav};
use tokio::sync::Semaphore;

const MINERS: u16 = 256;
const FRAMES: u32 = 179;
const SOURCE_SAMPLES: usize = 342_000;

fn main() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let time = runtime.block_on(play())?;
    println!("{MINERS} miners x {FRAMES} frames   {:6.2} s (at most 12 s)", time.as_secs_f64());
    println!(
        "frames                  {:6.0} per second",
        f64::from(u32::from(MINERS) * FRAMES) / time.as_secs_f64()
    );
    let time = runtime.block_on(play_with_one_slow_miner())?;
    println!(
        "beside one at 2 s/frame {:6.2} s until the other {} are done",
        time.as_secs_f64(),
        MINERS - 1
    );
    if let Some(peak) = peak_memory() {
        println!("peak memory             {peak:6} MB (less than 600 MB)");
    }
    Ok(())
}

/// Measures the duration of a challenge with miners that all respond immediately.
async fn play() -> Result<Duration> {
    let directory = tempfile::tempdir()?;
    let runner = runner(directory.path()).await?;
    let (challenge, miners) = (challenge()?, miners(Duration::ZERO));
    let started = Instant::now();
    let report = runner.play(challenge, &miners, Arc::new(())).await?;
    let time = started.elapsed();
    ensure!(
        report.miners.len() == usize::from(MINERS),
        "only {} miners have a result",
        report.miners.len()
    );
    ensure!(
        report.miners.iter().all(|miner| miner.completed),
        "a miner did not complete the challenge"
    );
    Ok(time)
}

/// Measures the time until all miners but one are done, where that one takes 2 s for each frame.
async fn play_with_one_slow_miner() -> Result<Duration> {
    let directory = tempfile::tempdir()?;
    let runner = runner(directory.path()).await?;
    let (challenge, miners) = (challenge()?, miners(Duration::from_secs(2)));
    let others = Arc::new(Semaphore::new(0));
    let counter = Arc::clone(&others);
    let observer = move |event| {
        if matches!(event, RunEvent::Played { .. }) {
            counter.add_permits(1);
        }
    };
    let started = Instant::now();
    tokio::select! {
        report = runner.play(challenge, &miners, Arc::new(observer)) => bail!("the run ended before the slow miner did: {report:?}"),
        done = others.acquire_many(u32::from(MINERS) - 1) => drop(done?),
    }
    Ok(started.elapsed())
}

async fn runner(directory: &Path) -> Result<Runner> {
    Ok(Runner::open(
        RunnerSettings::new(RunPaths::in_directory(directory)),
        "en",
        Arc::new(NoScorer),
    )
    .await?)
}

/// Creates miners that respond immediately, except the first.
fn miners(first_miner_delay: Duration) -> Vec<Miner> {
    (0..MINERS)
        .map(|uid| {
            let delay = if uid == 0 { first_miner_delay } else { Duration::ZERO };
            Echo { delay, signature: None }.with_uid(uid)
        })
        .collect()
}

fn challenge() -> Result<PrefetchedChallenge> {
    let wav = Wav::wrap(&vec![1; SOURCE_SAMPLES * 2], SampleFormat::S16, 1, SampleRate::HZ_24K)?;
    let utterance = json!({
        "challenge_uid": "bench", "session_id": "s", "utterance_id": "bench:0", "language": "fr",
        "utterance_index": 0, "sample_rate_hz": 24_000, "channels": 1, "sample_width_bytes": 2,
        "utterance_frames": SOURCE_SAMPLES, "audio_b64": STANDARD.encode(wav),
    });
    let utterances = vec![serde_json::from_value(utterance).context("utterance")?];
    Ok(PrefetchedChallenge {
        challenge_uid: "bench".into(),
        title: None,
        utterances,
        error: None,
        reference: None,
    })
}

/// A scorer that gives every reply the same error: recognition is measured elsewhere.
struct NoScorer;

impl ReplyScorer for NoScorer {
    fn prepare(&self, _: &Candidate) {}

    fn score(
        &self,
        _: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        let failure = BatchFailure { error: ScoreError::NoAudio, source: None };
        let timing = |candidate: &Candidate| {
            let reply = Seconds::new(candidate.timeline.total_bytes() as f64 / 96_000.0)
                .unwrap_or_default();
            candidate.timeline.timing(candidate.channels, reply, candidate.source_duration)
        };
        let timings: Vec<Timing> = candidates.iter().map(timing).collect();
        let replies: Vec<_> = timings
            .into_iter()
            .map(|timing| Reply { timing, evidence: Evidence::NoAudio, vector: &[] })
            .collect();
        score_batch(Err(&failure), &[], &replies, &ScoreOptions::default())
    }
}
