//! What the runner itself costs: 256 miners in this process that echo every frame at once, one utterance of 14.25 s
//! (179 frames), replies of the same length, scoring left out: `taskset -c 0,1 cargo bench --bench runner`.
//!
//! Everything else is real: framing, base64 both ways, checks, audio files, ledger, result files.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
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
    CallError, Miner, MinerConnection, MinerKey, PredictCall, ReplyScorer, RunPaths, Runner, RunnerSettings,
};
use taonet_babelbit_node::scorer::Candidate;
use taonet_primitives::{Hotkey, SampleRate, Seconds, Uid};
use taonet_speech::{SampleFormat, Wav};

const MINERS: u16 = 256;
const FRAMES: u32 = 179;
const SOURCE_SAMPLES: usize = 342_000;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let directory = tempfile::tempdir()?;
    let (time, predicts) = runtime.block_on(play(directory.path()))?;
    println!("{MINERS} miners x {FRAMES} frames   {:6.2} s (at most 12 s)", time.as_secs_f64());
    println!("frames                  {:6.0} per second", f64::from(predicts) / time.as_secs_f64());
    if let Some(peak) = peak_memory() {
        println!("peak memory             {peak:6} MB (less than 600 MB)");
    }
    Ok(())
}

async fn play(directory: &Path) -> Result<(Duration, u32)> {
    let runner = Runner::open(RunnerSettings::new(RunPaths::below(directory)), "en", Arc::new(NoScorer)).await?;
    let miners: Vec<_> = (0..MINERS)
        .map(|uid| {
            let mut key = [0; 32];
            key[..2].copy_from_slice(&uid.to_le_bytes());
            let key = MinerKey { uid: Uid(uid), hotkey: Hotkey::from_bytes(key) };
            Miner { key, name: None, connection: Arc::new(Echo) }
        })
        .collect();
    let challenge = challenge()?;
    let started = Instant::now();
    let report = runner.play(challenge, &miners, Arc::new(())).await?;
    let time = started.elapsed();
    ensure!(report.miners.len() == usize::from(MINERS), "{} miners have a result", report.miners.len());
    ensure!(report.miners.iter().all(|miner| miner.completed), "a reply failed");
    Ok((time, u32::from(MINERS) * FRAMES))
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

/// Returns every frame as it comes.
struct Echo;

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
        async move {
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
