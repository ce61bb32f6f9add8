//! The child process, which the test kills: a runner's loop with its outbox.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{BatchFailure, ScoreResult};
use taonet_babelbit_engine::client::{EngineClient, EngineOptions};
use taonet_babelbit_runner::submission::{Outbox, OutboxSettings};
use taonet_babelbit_runner::{
    AddressPolicy, ArenaSchedule, CallError, ChainView, ListArenaMiners, Miner, MinerConnection,
    MinerEntry, MinerSource, PlaySettings, PredictCall, ReplyScorer, RoundDependencies,
    RoundReport, Rounds, RunPaths, Runner, RunnerSettings, ScheduleSettings, SpeechRounds,
    random_order,
};
use taonet_babelbit_scorer::Candidate;
use taonet_primitives::{NetUid, Uid};
use taonet_service::{Shutdown, sleeper, system_clock};
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_wallet::Keypair;
use tokio::sync::mpsc;
use url::Url;

use super::services::{ScoringServer, Services};
use super::{ARENA_DROPS_AFTER, MAX_STEP_DURATION, MINERS, key};

/// Environment variables with the directory, and the URLs of engine, gateway and scoring API, for
/// the child process.
const DIRECTORY: &str = "TAONET_TEST_KILL_DIRECTORY";
const SERVICES: &str = "TAONET_TEST_KILL_SERVICES";

/// Starts the child process and kills it after `kill_after`; returns true if the process exited
/// before.
pub(crate) fn run(
    directory: &Path,
    services: &Services,
    scoring: &ScoringServer,
    kill_after: Option<Duration>,
) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runner_process_entry"])
        .env(DIRECTORY, directory)
        .env(SERVICES, format!("{} {} {}", services.engine, services.gateway, scoring.url))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return true;
        }
        if kill_after.is_some_and(|kill_after| start.elapsed() >= kill_after) {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        if start.elapsed() >= MAX_STEP_DURATION {
            child.kill().unwrap();
            panic!("the runner does not exit");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Entry point of the child process, if its environment variables are set.
pub(crate) fn play() {
    let (Ok(directory), Ok(services)) = (std::env::var(DIRECTORY), std::env::var(SERVICES)) else {
        return;
    };
    let services: Vec<Url> = services.split(' ').map(|url| url.parse().unwrap()).collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(play_and_submit(PathBuf::from(directory), &services));
}

/// Plays a main and an arena round, and exits when all results are submitted.
async fn play_and_submit(directory: PathBuf, services: &[Url]) {
    let [engine, gateway, scoring] = services else { panic!("{services:?}") };
    let keypair = Arc::new(Keypair::from_uri("//validator").unwrap());
    let paths = RunPaths::in_directory(&directory);
    let settings = RunnerSettings { submit: true, ..RunnerSettings::new(paths.clone()) };
    let runner = Runner::open(settings, "en", Arc::new(TextScorer)).await.unwrap();
    let ledger = Arc::clone(runner.ledger());
    let outbox_settings = OutboxSettings::new(scoring.clone(), paths);
    let outbox =
        Outbox::new(Arc::clone(&ledger), Arc::clone(&keypair), None, outbox_settings).unwrap();
    let (sender, mut reports) = mpsc::unbounded_channel::<RoundReport>();
    let main = Contest { name: ChallengeType::Main, directory: directory.clone() };
    let engine = EngineClient::new(engine.as_str(), keypair, EngineOptions::default()).unwrap();
    let gateway = GatewayClient::new(gateway, None, MAX_STEP_DURATION).unwrap();
    let chain = Arc::new(ChainView::new(gateway, NetUid(59), None));
    let player = SpeechRounds {
        engine: engine.clone(),
        chain: Arc::clone(&chain),
        miners: MinerSource::Listed((0..MINERS).map(entry).collect()),
        connect: Arc::new(move |entry| Ok(main.connection(entry.uid))),
        arena: Some(list_all(Contest { name: ChallengeType::Arena, directory })),
        shuffle: random_order(),
        observer: Arc::new(()),
        arena_play: PlaySettings {
            drop_after_failures: ARENA_DROPS_AFTER,
            ..PlaySettings::default()
        },
        runner,
    };
    let parts = RoundDependencies {
        player: Arc::new(player),
        ledger: Arc::clone(&ledger),
        engine,
        chain,
        on_round: Arc::new(move |report| drop(sender.send(report.clone()))),
        clock: system_clock(),
        sleeper: sleeper(),
    };
    let arena = Some(ArenaSchedule { cadence: 100, on_startup: true });
    let schedule =
        ScheduleSettings { tempo: 100, on_startup: true, solo: false, arena, attempts: 1 };
    let mut rounds = Rounds::new(parts, schedule).await.unwrap();

    let shutdown = Shutdown::new();
    let (stop, stop_rounds) = (shutdown.clone(), shutdown.clone());
    shutdown.spawn("outbox", async move { outbox.run(&stop).await });
    shutdown.spawn("rounds", async move { rounds.run(&stop_rounds).await });
    loop {
        let report = reports.recv().await.unwrap();
        assert!(matches!(report.outcome, "played" | "already_done"), "{report:?}");
        if report.contest == ChallengeType::Arena {
            break;
        }
    }
    while ledger.outbox_counts().await.unwrap().waiting > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shutdown.request();
    shutdown.finished().await.unwrap();
}

fn entry(uid: u8) -> MinerEntry {
    let MinerKey { uid, hotkey } = key(uid);
    let policy = AddressPolicy::private();
    MinerEntry { uid, hotkey, address: policy.resolve("127.0.0.1:9").unwrap(), name: None }
}

/// Connections to the miners of a contest.
struct Contest {
    name: ChallengeType,
    /// Directory in which opened sessions are recorded.
    directory: PathBuf,
}

impl Contest {
    fn connection(&self, uid: Uid) -> Arc<dyn MinerConnection> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join("opened"))
            .unwrap();
        Arc::new(Echo { contest: self.name, uid, log })
    }
}

/// Lists all registered miners.
fn list_all(arena: Contest) -> ListArenaMiners {
    Arc::new(move |registered| {
        let miner = |entry: &MinerEntry| Miner {
            key: MinerKey { uid: entry.uid, hotkey: entry.hotkey },
            name: None,
            connection: arena.connection(entry.uid),
        };
        let miners: Vec<Miner> = registered.iter().map(miner).collect();
        async move { Ok(miners) }.boxed()
    })
}

/// A miner that returns every frame after a delay and records each session. The last miner refuses
/// every session.
struct Echo {
    contest: ChallengeType,
    uid: Uid,
    log: File,
}

impl MinerConnection for Echo {
    fn init(
        &self,
        request: InitRequest,
        _: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        // A single write per line, so that the lines of several miners do not mix.
        let line = format!("{} {} {}\n", self.contest, self.uid, request.utterance_id);
        (&self.log).write_all(line.as_bytes()).unwrap();
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
        let refuses = self.uid == Uid(u16::from(MINERS) - 1);
        async move { if refuses { Err(CallError::Refused("no".into())) } else { Ok(response) } }
            .boxed()
    }

    fn predict(
        &self,
        call: PredictCall,
        _: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        async move {
            tokio::time::sleep(Duration::from_millis(u64::from(self.uid.0))).await;
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

/// A scorer that gives each reply the number in its reference text as score.
struct TextScorer;

impl ReplyScorer for TextScorer {
    fn prepare(&self, _: &Candidate) {}

    fn score(
        &self,
        reference: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        let text = &reference.unwrap().text;
        let score: f64 = text.parse().unwrap();
        let result = |candidate: &Candidate| {
            let completion = candidate.timeline.completion(candidate.channels);
            let source = candidate.source_duration;
            let result = json!({
                "score": score, "raw_score": score, "accuracy": score, "accuracy_pass": true,
                "speech_rate": { "penalty": 1.0, "miner_wps": 2.0, "reference_wps": 2.0, "ratio": 1.0 },
                "latency": {
                    "score": 1.0, "completion_sec": completion, "source_duration_sec": source, "overshoot_sec": 0.0,
                    "allowed_overshoot_sec": 2.0,
                },
                "stt_text": text, "gt_text": text, "predicted_duration_sec": 0.4,
                "effective_completion_sec": completion, "source_duration_sec": source, "score_is_fallback": false,
                "score_method": "semantic_audio_v1", "scoring_metadata_source": null,
            });
            serde_json::from_value(result).unwrap()
        };
        candidates.iter().map(result).collect()
    }
}
