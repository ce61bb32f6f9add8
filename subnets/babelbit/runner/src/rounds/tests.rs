use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Json};
use axum::routing::post;
use futures::FutureExt as _;
use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SynthesisError, Synthesizer, Voice};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use url::Url;

use super::*;
use crate::testing::{RecordedRequest, ScriptedMiner, Step, TextScorer};
use crate::{ChallengeState, PlaySettings, RunPaths, Runner, RunnerSettings};
use taonet_babelbit_challenges::Challenge;
use taonet_babelbit_engine::client::EngineOptions;
use taonet_babelbit_engine::server::{Engine, EngineConfig};
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_validator::testing::{NETUID, key, listen};

mod arena;
mod chain_faults;
mod engine_faults;
mod miners;
mod resumed;
mod script;

use script::{Fault, ServiceScript};

const SAMPLE: &str = include_str!("../../../challenges/tests/data/00-sample.json");
const LONG_TIMEOUT: Duration = Duration::from_mins(1);

/// A synthesiser of 10 samples per character.
struct FakeSynthesizer;

impl Synthesizer for FakeSynthesizer {
    fn speak(&self, text: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Ok(Pcm::mono(vec![0.25; text.len() * 10], SampleRate::HZ_22K))
    }
}

/// Counts requests waiting for a block.
struct BlockWaiters(watch::Sender<usize>);

impl BlockWaiters {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for BlockWaiters {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Returns a gateway whose blocks the test produces.
fn gateway(
    blocks: &watch::Sender<u32>,
    count: &watch::Sender<usize>,
    snapshot: &Arc<Mutex<Value>>,
) -> Router {
    let (current, waiting, snapshot) =
        (blocks.subscribe(), blocks.subscribe(), Arc::clone(snapshot));
    let count = count.clone();
    Router::new()
        .route(
            "/v1/block/current",
            post(move || async move { Json(json!({ "block": *current.borrow() })) }),
        )
        .route(
            "/v1/block/wait",
            post(move |Json(body): Json<Value>| {
                let mut waiting = waiting.clone();
                waiting.mark_unchanged();
                let waiter = BlockWaiters::new(&count);
                async move {
                    let _waiter = waiter;
                    let wait_limit = Duration::from_secs_f64(body["timeout_s"].as_f64().unwrap());
                    match tokio::time::timeout(wait_limit, waiting.changed()).await {
                        Ok(_) => Json(json!({ "block": *waiting.borrow() })).into_response(),
                        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
                    }
                }
            }),
        )
        .route(
            "/v1/metagraph/snapshot",
            post(move || async move { Json(snapshot.lock().unwrap().clone()) }),
        )
}

/// A real engine and a scripted gateway, both with injected faults. Pauses advance the clock
/// without waiting.
struct Fixture {
    directory: TempDir,
    engine: ServiceScript,
    gateway: ServiceScript,
    urls: [Url; 2],
    blocks: watch::Sender<u32>,
    /// Number of requests waiting for a block.
    waiting: watch::Sender<usize>,
    snapshot: Arc<Mutex<Value>>,
    miner: Arc<ScriptedMiner>,
    /// Seconds since the Unix epoch.
    time: watch::Sender<u64>,
    waits: Arc<Mutex<Vec<u64>>>,
    settings: Settings,
    max_miners: usize,
    shuffle: Shuffle,
    listed: Option<Vec<MinerEntry>>,
    arena: Option<ListArenaMiners>,
    connect_chain: Option<ConnectChain>,
}

/// Settings of the loop, and of its player.
struct Settings {
    schedule: ScheduleSettings,
    arena_play: PlaySettings,
}

/// A running round loop, and the channel on which it reports its rounds.
struct RunningRounds {
    shutdown: Shutdown,
    reports: mpsc::UnboundedReceiver<RoundReport>,
    waiting: watch::Receiver<usize>,
}

impl RunningRounds {
    async fn next_report(&mut self) -> RoundReport {
        tokio::time::timeout(LONG_TIMEOUT, self.reports.recv())
            .await
            .expect("a round ends in time")
            .unwrap()
    }

    async fn stop(mut self) {
        self.shutdown.request();
        self.shutdown.finished().await.unwrap();
        // The end of the task releases the ledger's lock.
        while self.reports.recv().await.is_some() {}
        self.waiting.wait_for(|count| *count == 0).await.unwrap();
    }
}

fn parrot() -> Arc<ScriptedMiner> {
    Arc::new(ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos)))
}

fn delayed_parrot(delay: Duration) -> Arc<ScriptedMiner> {
    let parrot = ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos));
    Arc::new(parrot.with_init(move |_, _| Ok(delay)))
}

fn challenges() -> Vec<Challenge> {
    let number = |n| {
        Challenge::parse("c.json", &SAMPLE.replace("challenge-sample", &format!("challenge-{n}")))
    };
    (0..2).map(|n| number(n).unwrap()).collect()
}

/// Creates a metagraph with this many neurons at public addresses.
fn neurons(count: u16) -> Value {
    let hotkeys: Vec<_> = (0..count).map(|uid| key(&format!("//neuron//{uid}")).hotkey()).collect();
    let axons: Vec<_> =
        (0..count).map(|uid| json!({ "ip": format!("8.8.8.{uid}"), "port": 8092 })).collect();
    json!({ "block": 7, "hotkeys": hotkeys, "last_update": vec![0; count.into()], "axons": axons })
}

impl Fixture {
    /// Creates a fixture with main and solo rounds every 100 blocks and no arena, at block 99.
    async fn new() -> Self {
        let (engine, gateway_script) = (ServiceScript::default(), ServiceScript::default());
        let (blocks, waiting) = (watch::channel(99).0, watch::channel(0).0);
        let snapshot = Arc::new(Mutex::new(neurons(3)));
        let config = EngineConfig::new(challenges(), Arc::new(FakeSynthesizer));
        let urls = [
            listen(engine.with_faults(Engine::new(config).unwrap().router())).await,
            listen(gateway_script.with_faults(gateway(&blocks, &waiting, &snapshot))).await,
        ];
        let schedule = ScheduleSettings {
            tempo: 100,
            on_startup: false,
            solo: true,
            arena: None,
            attempts: 3,
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            engine,
            gateway: gateway_script,
            urls,
            blocks,
            waiting,
            snapshot,
            miner: parrot(),
            time: watch::channel(1_000_000).0,
            waits: Arc::default(),
            settings: Settings { schedule, arena_play: PlaySettings::default() },
            max_miners: 256,
            shuffle: Arc::new(<[MinerEntry]>::reverse),
            listed: None,
            arena: None,
            connect_chain: None,
        }
    }

    fn sleeper(&self) -> Sleeper {
        let (recorded, time) = (Arc::clone(&self.waits), self.time.clone());
        Arc::new(move |wait| {
            recorded.lock().unwrap().push(wait.as_secs());
            time.send_modify(|time| *time += wait.as_secs());
            tokio::time::sleep(Duration::from_millis(2)).boxed()
        })
    }

    async fn dependencies(&self) -> (RoundDependencies, mpsc::UnboundedReceiver<RoundReport>) {
        let (sender, reports) = mpsc::unbounded_channel();
        let options = EngineOptions {
            sleeper: self.sleeper(),
            timeout: Duration::from_secs(2),
            ..EngineOptions::default()
        };
        let settings = RunnerSettings {
            max_miners: self.max_miners,
            ..RunnerSettings::new(RunPaths::in_directory(self.directory.path()))
        };
        let [engine, gateway] = &self.urls;
        let gateway = GatewayClient::new(gateway, None, Duration::from_secs(2)).unwrap();
        let (miner, time) = (Arc::clone(&self.miner), self.time.subscribe());
        let runner = Runner::open(settings, "en", Arc::new(TextScorer)).await.unwrap();
        let engine =
            EngineClient::new(engine.as_str(), Arc::new(key("//validator")), options).unwrap();
        let chain = Arc::new(ChainView::new(gateway, NETUID, self.connect_chain.clone()));
        let ledger = Arc::clone(runner.ledger());
        let player = SpeechRounds {
            runner,
            engine: engine.clone(),
            chain: Arc::clone(&chain),
            miners: match &self.listed {
                Some(listed) => MinerSource::Listed(listed.clone()),
                None => MinerSource::Metagraph(AddressPolicy::default()),
            },
            connect: Arc::new(move |_| Ok(Arc::clone(&miner) as Arc<dyn MinerConnection>)),
            arena: self.arena.clone(),
            shuffle: Arc::clone(&self.shuffle),
            observer: Arc::new(()),
            arena_play: self.settings.arena_play.clone(),
        };
        let dependencies = RoundDependencies {
            player: Arc::new(player),
            ledger,
            engine,
            chain,
            on_round: Arc::new(move |report| drop(sender.send(report.clone()))),
            clock: Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(*time.borrow())),
            sleeper: self.sleeper(),
        };
        (dependencies, reports)
    }

    async fn start(&self) -> RunningRounds {
        let (dependencies, reports) = self.dependencies().await;
        let mut rounds = Rounds::new(dependencies, self.settings.schedule.clone()).await.unwrap();
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        shutdown.spawn("rounds", async move { rounds.run(&stop).await });
        RunningRounds { shutdown, reports, waiting: self.waiting.subscribe() }
    }

    /// Produces blocks up to `height` after the loop has observed the newest one.
    async fn mine_to(&self, height: u32) {
        self.wait_until_idle().await;
        self.blocks.send_replace(height);
    }

    /// Waits until the loop waits for a block.
    async fn wait_until_idle(&self) {
        let mut waiting = self.waiting.subscribe();
        let is_idle = waiting.wait_for(|count| *count > 0);
        drop(
            tokio::time::timeout(LONG_TIMEOUT, is_idle)
                .await
                .expect("the loop waits for a block in time"),
        );
    }

    /// Advances time, so that failed rounds are retried; a block wakes the loop.
    async fn advance_time(&self, seconds: u64) {
        self.wait_until_idle().await;
        self.time.send_modify(|time| *time += seconds);
        self.blocks.send_modify(|block| *block += 1);
    }

    fn take_waits(&self) -> Vec<u64> {
        std::mem::take(&mut self.waits.lock().unwrap())
    }

    fn status(&self, name: &str) -> Option<Value> {
        read(&self.directory.path().join(format!("challenge_status/{name}.json")))
    }

    fn score_files(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("scores")).map_or(0, Iterator::count)
    }
}

fn read(path: &Path) -> Option<Value> {
    std::fs::read(path).ok().map(|text| serde_json::from_slice(&text).unwrap())
}

/// Returns the contest, epoch and outcome of a round.
fn summary_of(report: &RoundReport) -> (ChallengeType, Option<u32>, &str) {
    (report.contest, report.epoch, report.outcome)
}

#[tokio::test]
async fn main_round_is_followed_by_its_solo_round() {
    let fixture = Fixture::new().await;
    let mut running = fixture.start().await;
    fixture.mine_to(104).await;
    let main = running.next_report().await;
    assert_eq!(summary_of(&main), (ChallengeType::Main, Some(1), "played"));
    assert_eq!((main.challenge_uid.as_deref(), main.miners), (Some("challenge-0"), 3));
    let solo = running.next_report().await;
    assert_eq!(summary_of(&solo), (ChallengeType::Solo, Some(1), "played"));
    assert_eq!(solo.challenge_uid.as_deref(), Some("challenge-1"));
    assert_eq!(solo.main_challenge_uid.as_deref(), Some("challenge-0"));
    let status = fixture.status("challenge-0__main").unwrap();
    assert_eq!(
        (&status["miner_count"], &status["metadata"]["paired_challenge_uid"]),
        (&json!(3), &Value::Null)
    );
    let status = fixture.status("challenge-1__solo").unwrap();
    assert_eq!(status["metadata"]["paired_challenge_uid"], "challenge-0");
    // One run file and one score file per miner and contest.
    assert_eq!(fixture.score_files(), 12);
    // The next epoch's challenge is the same: no miner is played again.
    let played = fixture.miner.init_count();
    fixture.mine_to(200).await;
    assert_eq!(
        summary_of(&running.next_report().await),
        (ChallengeType::Main, Some(2), "already_done")
    );
    assert_eq!(
        summary_of(&running.next_report().await),
        (ChallengeType::Solo, Some(2), "already_done")
    );
    assert_eq!(fixture.miner.init_count(), played);
    running.stop().await;

    let (dependencies, _) = fixture.dependencies().await;
    let ledger = dependencies.ledger;
    let solo = ledger.find("challenge-1", ChallengeType::Solo).await.unwrap().unwrap();
    assert_eq!(
        (solo.main_challenge_uid.as_deref(), solo.state),
        (Some("challenge-0"), ChallengeState::Finished)
    );
    let main = ledger.find("challenge-0", ChallengeType::Main).await.unwrap().unwrap();
    assert_eq!(main.main_challenge_uid, None);
}

#[tokio::test]
async fn restarted_runner_waits_for_next_epoch() {
    let fixture = Fixture::new().await;
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    for _ in 0..2 {
        running.next_report().await;
    }
    running.stop().await;
    let mut running = fixture.start().await;
    fixture.mine_to(199).await;
    fixture.wait_until_idle().await;
    assert!(running.reports.try_recv().is_err());
    running.stop().await;
    fixture.blocks.send_replace(777);
    let mut running = fixture.start().await;
    assert_eq!(
        summary_of(&running.next_report().await),
        (ChallengeType::Main, Some(7), "already_done")
    );
    running.stop().await;
}

#[tokio::test]
async fn start_plays_immediately_with_on_startup() {
    let mut fixture = Fixture::new().await;
    fixture.settings.schedule.on_startup = true;
    let mut running = fixture.start().await;
    assert_eq!(summary_of(&running.next_report().await), (ChallengeType::Main, Some(0), "played"));
    assert_eq!(summary_of(&running.next_report().await), (ChallengeType::Solo, Some(0), "played"));
    running.stop().await;
}

/// Stops a runner during its main or solo round, and restarts it.
#[tokio::test]
async fn interrupted_round_is_resumed_at_the_next_start() {
    for stuck_at in ["challenge-0:1", "challenge-1:1"] {
        let mut fixture = Fixture::new().await;
        let stuck_miner = ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos)).with_init(
            move |request, _| {
                Ok(if request.utterance_id == stuck_at { Duration::MAX } else { Duration::ZERO })
            },
        );
        fixture.miner = Arc::new(stuck_miner);
        let running = fixture.start().await;
        fixture.mine_to(100).await;
        let init_count = |id: &str| {
            let is_init = |call: &RecordedRequest| match call {
                RecordedRequest::Init { request, .. } => request.utterance_id == id,
                RecordedRequest::Predict { .. } => false,
            };
            fixture.miner.requests().iter().filter(|call| is_init(call)).count()
        };
        let start = std::time::Instant::now();
        while init_count(stuck_at) < 3 {
            assert!(start.elapsed() < LONG_TIMEOUT);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let stopping = std::time::Instant::now();
        running.stop().await;
        assert!(stopping.elapsed() < Duration::from_secs(5));
        fixture.miner = parrot();
        let mut running = fixture.start().await;
        let (mut contests, mut uids) = (Vec::new(), Vec::new());
        loop {
            let report = running.next_report().await;
            contests.push(report.contest);
            uids.push(report.main_challenge_uid);
            if report.contest == ChallengeType::Solo {
                break;
            }
        }
        running.stop().await;
        // Each of the three miners lacked one of two utterances; after an interrupted main round,
        // the solo round was missing, too.
        let (rounds, inits) = if stuck_at == "challenge-0:1" { (2, 3 + 6) } else { (1, 3) };
        assert_eq!(contests.len(), rounds, "{stuck_at}");
        assert_eq!(fixture.miner.init_count(), inits, "{stuck_at}");
        assert_eq!(uids.pop().unwrap().as_deref(), Some("challenge-0"));
        let status = fixture.status("challenge-1__solo").unwrap();
        assert_eq!(
            (&status["miner_count"], &status["metadata"]["paired_challenge_uid"]),
            (&json!(3), &json!("challenge-0"))
        );
        assert_eq!(fixture.score_files(), 12, "{stuck_at}");
    }
}
