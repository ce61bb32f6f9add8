//! Kills a runner's process at 30 moments, runs it again and looks at what is there: no utterance may be lost or played
//! again once it is in the ledger, and every file must be whole.
//!
//! The process is this test itself, started again with a directory in its environment.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of a test")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{BatchFailure, Evidence, Reply, ScoreOptions, ScoreResult, score_batch};
use taonet_babelbit_node::engine_client::PrefetchedChallenge;
use taonet_babelbit_node::runner::{
    CallError, Ledger, Miner, MinerConnection, MinerKey, PredictCall, ReplyScorer, RunPaths, Runner, RunnerSettings,
};
use taonet_babelbit_node::scorer::Candidate;
use taonet_primitives::{Hotkey, SampleRate, Seconds, Uid};
use taonet_speech::{SampleFormat, Wav};

/// Names the directory to the process that is killed.
const DIRECTORY: &str = "TAONET_TEST_KILL_DIRECTORY";
const KILLS: u32 = 30;
const MINERS: u8 = 4;
const UTTERANCES: u32 = 5;

#[test]
fn no_kill_loses_or_repeats_an_utterance() {
    let whole = tempfile::tempdir().unwrap();
    let started = Instant::now();
    assert!(start(whole.path()).wait().unwrap().success());
    let duration = started.elapsed();
    check(whole.path());

    for kill in 0..KILLS {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        // Spread over the whole run; how far each process gets by then differs from run to run.
        let moment = duration * (kill + 1) / (KILLS + 2);
        let mut child = start(directory);
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();

        let kept = ledger_rows(directory);
        let before = opened(directory).len();
        assert!(start(directory).wait().unwrap().success(), "the run after the kill at {moment:?} failed");
        let again = opened(directory).split_off(before);
        let repeated: Vec<_> = again.iter().filter(|row| kept.contains(*row)).collect();
        assert!(repeated.is_empty(), "kill at {moment:?}: {repeated:?} were played again");
        let all = kept.len() + again.len();
        assert_eq!(all, usize::from(MINERS) * UTTERANCES as usize, "kill at {moment:?}");
        check(directory);
    }
}

/// What the killed process does. Run as a test of its own it does nothing.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = PathBuf::from(directory);
        let runner =
            Runner::open(RunnerSettings::new(RunPaths::below(&directory)), "en", Arc::new(NoScorer)).await.unwrap();
        let miners: Vec<_> = (0..MINERS)
            .map(|uid| {
                let log = OpenOptions::new().create(true).append(true).open(directory.join("opened")).unwrap();
                Miner { key: key(uid), name: None, connection: Arc::new(Echo { uid, log }) }
            })
            .collect();
        let report = runner.play(challenge(), &miners, Arc::new(())).await.unwrap();
        assert_eq!(report.miners.len(), usize::from(MINERS));
    });
}

fn start(directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn key(uid: u8) -> MinerKey {
    MinerKey { uid: Uid(uid.into()), hotkey: Hotkey::from_bytes([uid; 32]) }
}

fn wav() -> Vec<u8> {
    Wav::wrap(&vec![1; 19_200], SampleFormat::S16, 1, SampleRate::HZ_24K).unwrap()
}

fn challenge() -> PrefetchedChallenge {
    let utterance = |index: u32| {
        serde_json::from_value(json!({
            "challenge_uid": "kill", "session_id": "s", "utterance_id": format!("kill:{index}"), "language": "fr",
            "utterance_index": index, "sample_rate_hz": 24_000, "channels": 1, "sample_width_bytes": 2,
            "utterance_frames": 9_600, "audio_b64": STANDARD.encode(wav()),
        }))
        .unwrap()
    };
    let utterances = (0..UTTERANCES).map(utterance).collect();
    PrefetchedChallenge { challenge_uid: "kill".into(), utterances, error: None, reference: None }
}

/// Miner and utterance of every row that the killed process left.
fn ledger_rows(directory: &Path) -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(&directory.join("state")).await.unwrap();
        let Some(challenge) = ledger.find("kill", ChallengeType::Main).await.unwrap() else { return BTreeSet::new() };
        let rows = ledger.results(&challenge).await.unwrap();
        rows.iter().map(|row| format!("{} kill:{}", row.miner.uid, row.utterance_index)).collect()
    })
}

/// Miner and utterance of every session that was opened.
fn opened(directory: &Path) -> Vec<String> {
    let log = fs::read_to_string(directory.join("opened")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// Every file is whole, and none is there twice.
fn check(directory: &Path) {
    let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let scores: Vec<PathBuf> =
        fs::read_dir(directory.join("scores")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(scores.len(), 2 * usize::from(MINERS), "{scores:?}");
    for path in &scores {
        assert_eq!(json(path)["utterances"].as_array().unwrap().len(), UTTERANCES as usize);
    }
    assert_eq!(json(&directory.join("challenge_status/kill__main.json"))["miner_count"], MINERS);
    for uid in 0..MINERS {
        let home = directory.join(format!("logs/s2s/kill/main/miner_{uid}__hk_{}", key(uid).hotkey));
        let log = json(&home.join("run.json"));
        let indices: Vec<_> = log["utterances"].as_array().unwrap().iter().map(|row| &row["utterance_index"]).collect();
        assert_eq!(indices, (0..UTTERANCES).collect::<Vec<_>>());
        assert_eq!(log["completed"], true);
        let mut tar = tar::Archive::new(fs::File::open(home.join("audio.tar")).unwrap());
        assert_eq!(tar.entries().unwrap().map(Result::unwrap).count(), 2 * UTTERANCES as usize);
        for kind in ["predicted", "source"] {
            let files: Vec<_> = fs::read_dir(home.join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(files.len(), UTTERANCES as usize, "{files:?}");
            assert!(files.iter().all(|file| fs::read(file).unwrap() == wav()), "{files:?}");
        }
    }
}

/// Returns every frame after a moment, and notes each session that it opens.
struct Echo {
    uid: u8,
    log: fs::File,
}

impl MinerConnection for Echo {
    fn init(&self, request: InitRequest, _: Duration) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        // One write each: lines of several miners do not mix.
        (&self.log).write_all(format!("{} {}\n", self.uid, request.utterance_id).as_bytes()).unwrap();
        let response = InitResponse {
            ready: true,
            miner_id: None,
            session_id: request.utterance_id.clone(),
            challenge_uid: request.challenge_uid,
            utterance_id: request.utterance_id,
            language: request.language,
            sample_rate_hz: request.sample_rate_hz,
            frame_rate_hz: request.frame_rate_hz,
            frame_samples: request.frame_samples,
            dtype: request.dtype,
            channels: request.channels,
        };
        async move { Ok(response) }.boxed()
    }

    fn predict(&self, call: PredictCall, _: Duration) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        async move {
            tokio::time::sleep(Duration::from_millis(u64::from(self.uid))).await;
            Ok(PredictResponse {
                session_id: call.session_id.to_string(),
                // Samples survive the way to 16 bits and back: a reply is equal to its source.
                audio_b64: back(&call.audio_b64),
                out_eos: call.in_eos,
                n_bytes: 0,
            })
        }
        .boxed()
    }
}

/// The frame, loud enough not to lose its last bit to the conversion to 16 bits.
fn back(audio_b64: &str) -> String {
    let bytes = STANDARD.decode(audio_b64).unwrap();
    let samples = bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample) * (32_768.0 / 32_767.0) + 1e-9);
    STANDARD.encode(samples.flat_map(f32::to_le_bytes).collect::<Vec<_>>())
}

/// Says that nothing was heard: this test is not about scores.
struct NoScorer;

impl ReplyScorer for NoScorer {
    fn prepare(&self, _: &Candidate) {}

    fn score(&self, reference: Result<&Reference, &BatchFailure>, candidates: &[Candidate]) -> Vec<ScoreResult> {
        let reply = |candidate: &Candidate| Reply {
            timing: candidate.timeline.timing(candidate.channels, Seconds::ZERO, candidate.source_duration),
            evidence: Evidence::NoAudio,
            vector: &[],
        };
        let replies: Vec<_> = candidates.iter().map(reply).collect();
        score_batch(reference, &[], &replies, &ScoreOptions::default())
    }
}
