//! What the runner itself costs: 256 miners in this process that echo every frame at once, one utterance of 14.25 s
//! (179 frames), replies of the same length, scoring left out: `taskset -c 0,1 cargo bench --bench runner`.
//!
//! Everything else is real: framing, base64 both ways, checks, audio files, ledger, result files. A second round has
//! one miner that takes 2 s for every frame, and measures when the other 255 are done.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{
    BatchFailure, Evidence, Reply, ScoreError, ScoreOptions, ScoreResult, Timing, score_batch,
};
use taonet_babelbit_node::engine_client::PrefetchedChallenge;
use taonet_babelbit_node::runner::{
    CallError, Miner, MinerConnection, MinerKey, PredictCall, ReplyScorer, RunEvent, RunPaths, Runner, RunnerSettings,
};
use taonet_babelbit_node::scorer::Candidate;
use taonet_primitives::{Hotkey, SampleRate, Seconds, Uid};
use taonet_speech::{SampleFormat, Wav};
use tokio::sync::Semaphore;

const MINERS: u16 = 256;
const FRAMES: u32 = 179;
const SOURCE_SAMPLES: usize = 342_000;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let time = runtime.block_on(play())?;
    println!("{MINERS} miners x {FRAMES} frames   {:6.2} s (at most 12 s)", time.as_secs_f64());
    println!("frames                  {:6.0} per second", f64::from(u32::from(MINERS) * FRAMES) / time.as_secs_f64());
    let time = runtime.block_on(play_beside_a_slow_miner())?;
    println!("beside one at 2 s/frame {:6.2} s until the other {} are done", time.as_secs_f64(), MINERS - 1);
    if let Some(peak) = peak_memory() {
        println!("peak memory             {peak:6} MB (less than 600 MB)");
    }
    Ok(())
}

/// How long a challenge takes with miners that all answer at once.
async fn play() -> Result<Duration> {
    let directory = tempfile::tempdir()?;
    let runner = runner(directory.path()).await?;
    let (challenge, miners) = (challenge()?, miners(Duration::ZERO));
    let started = Instant::now();
    let report = runner.play(challenge, &miners, Arc::new(())).await?;
    let time = started.elapsed();
    ensure!(report.miners.len() == usize::from(MINERS), "{} miners have a result", report.miners.len());
    ensure!(report.miners.iter().all(|miner| miner.completed), "a reply failed");
    Ok(time)
}

/// How long it takes until all miners but one are done, where that one needs 2 s for each frame.
async fn play_beside_a_slow_miner() -> Result<Duration> {
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
        report = runner.play(challenge, &miners, Arc::new(observer)) => bail!("the slow miner was not waited for: {report:?}"),
        done = others.acquire_many(u32::from(MINERS) - 1) => drop(done?),
    }
    Ok(started.elapsed())
}

async fn runner(directory: &Path) -> Result<Runner> {
    Ok(Runner::open(RunnerSettings::new(RunPaths::below(directory)), "en", Arc::new(NoScorer)).await?)
}

/// Miners that answer at once, but for the first one.
fn miners(pace_of_the_first: Duration) -> Vec<Miner> {
    (0..MINERS)
        .map(|uid| {
            let mut key = [0; 32];
            key[..2].copy_from_slice(&uid.to_le_bytes());
            let key = MinerKey { uid: Uid(uid), hotkey: Hotkey::from_bytes(key) };
            let pace = if uid == 0 { pace_of_the_first } else { Duration::ZERO };
            Miner { key, name: None, connection: Arc::new(Echo { pace }) }
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
    Ok(PrefetchedChallenge { challenge_uid: "bench".into(), utterances, error: None, reference: None })
}

/// Returns every frame as it comes, after this long.
struct Echo {
    pace: Duration,
}

impl MinerConnection for Echo {
    fn init(&self, request: InitRequest, _: Duration) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        let InitRequest { challenge_uid, utterance_id, language, dtype, channels, .. } = request;
        let response = InitResponse {
            ready: true,
            miner_id: None,
            session_id: utterance_id.clone(),
            challenge_uid,
            utterance_id,
            language,
            sample_rate_hz: request.sample_rate_hz,
            frame_rate_hz: request.frame_rate_hz,
            frame_samples: request.frame_samples,
            dtype,
            channels,
        };
        async move { Ok(response) }.boxed()
    }

    fn predict(&self, call: PredictCall, _: Duration) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        let pace = self.pace;
        async move {
            if !pace.is_zero() {
                tokio::time::sleep(pace).await;
            }
            Ok(PredictResponse {
                session_id: call.session_id.to_string(),
                audio_b64: call.audio_b64.to_string(),
                out_eos: call.in_eos,
                n_bytes: 0,
            })
        }
        .boxed()
    }
}

/// Gives every reply the same error: recognition is measured elsewhere.
struct NoScorer;

impl ReplyScorer for NoScorer {
    fn prepare(&self, _: &Candidate) {}

    fn score(&self, _: Result<&Reference, &BatchFailure>, candidates: &[Candidate]) -> Vec<ScoreResult> {
        let failure = BatchFailure { error: ScoreError::NoAudio, source: None };
        let timing = |candidate: &Candidate| {
            let reply = Seconds::new(candidate.timeline.total_bytes() as f64 / 96_000.0).unwrap_or_default();
            candidate.timeline.timing(candidate.channels, reply, candidate.source_duration)
        };
        let timings: Vec<Timing> = candidates.iter().map(timing).collect();
        let replies: Vec<_> =
            timings.into_iter().map(|timing| Reply { timing, evidence: Evidence::NoAudio, vector: &[] }).collect();
        score_batch(Err(&failure), &[], &replies, &ScoreOptions::default())
    }
}

/// The most memory that this process has had, in MB; only Linux tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes / 1_000)
}
