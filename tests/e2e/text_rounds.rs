//! The text contest's runner in a loop: rounds by block number, results that survive a kill, miners
//! from the chain.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use taonet_babelbit_miner::testing::InferenceServer;
use taonet_wallet::{Keypair, verify};
use taonet_wire::sorted_json;

use crate::chain::{BABELBIT, BOB, Chain};
use crate::rounds::{ANNOUNCED, RoundLoop};
use crate::support::{Daemon, document, local_bb, require_sentence_model};
use crate::text_contest::{small_talk, text_miner};

/// A scoring API that refuses everything with a status until the test changes it, and stores the
/// accepted submissions.
#[derive(Clone)]
struct ScoringApi {
    status: Arc<AtomicU16>,
    accepted: Arc<Mutex<Vec<Value>>>,
    request_count: Arc<AtomicU16>,
}

impl ScoringApi {
    fn serve() -> (Self, InferenceServer) {
        let api = Self {
            status: Arc::new(AtomicU16::new(503)),
            accepted: Arc::default(),
            request_count: Arc::default(),
        };
        let server = InferenceServer::serve(
            Router::new().route("/v1/submit", post(submit)).with_state(api.clone()),
        );
        (api, server)
    }

    /// Waits until this many different files are accepted.
    fn wait_for(&self, files: usize) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let accepted = self.accepted.lock().unwrap().clone();
            if accepted.len() >= files {
                return accepted;
            }
            assert!(
                start.elapsed() < Duration::from_mins(2),
                "only {} of {files} files",
                accepted.len()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Verifies the signature of every submission.
async fn submit(State(api): State<ScoringApi>, Json(body): Json<Value>) -> StatusCode {
    api.request_count.fetch_add(1, Ordering::Relaxed);
    let status = StatusCode::from_u16(api.status.load(Ordering::Relaxed)).unwrap();
    if status.is_success() {
        let mut signed = body.clone();
        let fields = signed.as_object_mut().unwrap();
        fields.remove("kind").unwrap();
        let signature = fields.remove("signature").unwrap().as_str().unwrap().parse().unwrap();
        let alice = Keypair::from_uri("//Alice").unwrap().hotkey();
        assert!(verify(&alice, sorted_json(&signed).as_bytes(), &signature), "{body}");
        api.accepted.lock().unwrap().push(body);
    }
    status
}

/// A chain on which the hotkey of `//Bob` is registered, and its gateway.
pub(crate) struct Network {
    pub(crate) chain: Chain,
    gateway: Daemon,
}

impl Network {
    pub(crate) fn start() -> Self {
        let chain = Chain::start();
        chain.alice(&["register", "--netuid", BABELBIT, "--yes", "--hotkey-ss58", BOB]);
        let mut gateway = local_bb();
        gateway.args([
            "subtensor-gateway",
            "--key-uri",
            "//Alice",
            "--network",
            chain.url(),
            "--state",
        ]);
        let gateway = Daemon::start(gateway.arg(chain.path("gateway")));
        gateway.wait_until_ready();
        Self { chain, gateway }
    }

    /// Publishes the address of a miner of `//Bob`.
    fn announce(&self, miner: &Daemon) {
        let port = miner.url().rsplit(':').next().unwrap();
        let serve =
            ["serve-axon", "--netuid", BABELBIT, "--external-ip", ANNOUNCED, "--port", port];
        let serve_result =
            document(&self.chain.tao(&serve, &["--key-uri", "//Bob", "--yes", "--json"]));
        assert_eq!(serve_result["success"], true, "{serve_result}");
    }

    /// `bb runner --contest text` with a directory for files.
    pub(crate) fn runner(&self, engine: &Daemon, directory: &Path) -> Command {
        let mut runner = local_bb();
        runner.args([
            "runner",
            "--contest",
            "text",
            "--json",
            "--key-uri",
            "//Alice",
            "--engine",
            engine.url(),
        ]);
        runner.arg("--keep").arg(directory).env("BB_LOCAL_MINER_IP", ANNOUNCED);
        runner
            .env("SUBTENSOR_GATEWAY_URL", self.gateway.url())
            .env("BT_CHAIN_ENDPOINT", self.chain.url());
        runner
    }
}

/// Starts an engine with a main and a solo challenge.
pub(crate) fn engine(folder: &Path) -> Daemon {
    let main = small_talk(folder);
    let solo = folder.join("solo.json");
    let text = std::fs::read_to_string(&main).unwrap();
    std::fs::write(&solo, text.replace("\"small-talk\"", "\"alone\"")).unwrap();
    Daemon::start(local_bb().arg("engine").args([main, solo]))
}

#[test]
fn round_results_are_submitted_once_despite_kill() {
    require_sentence_model();
    let network = Network::start();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let miner = text_miner(folder.path());
    network.announce(&miner);
    let (api, server) = ScoringApi::serve();
    let command = || {
        let mut runner = network.runner(&engine, &folder.path().join("kept"));
        runner.args(["--metrics", "127.0.0.1:0"]).env("BABELBIT_RUNNER_TEMPO", "40");
        runner
            .env("BB_RUNNER_ON_STARTUP", "1")
            .env("BB_SUBMIT_API_URL", server.url().trim_end_matches("/v1"));
        runner
    };
    let mut runner = RoundLoop::start(command());
    let report = runner.next_report_of("main");
    assert_eq!(
        (&report["outcome"], &report["challenge_uid"]),
        (&"played".into(), &"small-talk".into()),
        "{report}"
    );
    assert_eq!(report["miners"], 1);
    let report = runner.next_report_of("solo");
    assert_eq!(
        (&report["outcome"], &report["challenge_uid"]),
        (&"played".into(), &"alone".into()),
        "{report}"
    );
    assert_eq!(report["main_challenge_uid"], "small-talk");
    // Killed with SIGKILL before the scoring API accepts anything.
    drop(runner);
    assert!(api.accepted.lock().unwrap().is_empty());

    api.status.store(200, Ordering::Relaxed);
    let mut runner = RoundLoop::start(command());
    let again = runner.next_report_of("main");
    assert_eq!(again["outcome"], "already_done", "{again}");
    // Two dialogues with a log and scores each, and the mean, in two challenges.
    let accepted = api.wait_for(10);
    let next = runner.next_report_of("main");
    assert!(next["epoch"].as_u64() > again["epoch"].as_u64(), "{next}");
    let (status, elapsed) = runner.terminate();
    assert!(status.success() && elapsed < Duration::from_secs(10), "{status} after {elapsed:?}");

    assert_eq!(api.accepted.lock().unwrap().len(), 10, "each file is submitted once");
    let mut files: Vec<_> =
        accepted.iter().map(|body| body["data"]["file_name"].as_str().unwrap()).collect();
    files.sort_unstable();
    files.dedup();
    assert_eq!(files.len(), 10, "{files:?}");
    let means: Vec<_> = accepted.iter().filter(|body| body["kind"] == "challenge_scores").collect();
    assert_eq!(means.len(), 2);
    for mean in means {
        let content: Value =
            serde_json::from_str(mean["data"]["content"].as_str().unwrap()).unwrap();
        assert!(
            content["challenge_mean_U"].as_f64().unwrap() > 0.9,
            "the miner has learned every utterance: {content}"
        );
    }
}

/// The contests have different ledgers, so runners of both can share their directories.
#[test]
fn second_runner_of_same_contest_is_refused() {
    require_sentence_model();
    let network = Network::start();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let state_directory = folder.path().join("kept");
    let mut first = network.runner(&engine, &state_directory);
    first.args(["--metrics", "127.0.0.1:0"]).env("BB_RUNNER_ON_STARTUP", "1");
    let mut first = RoundLoop::start(first);
    assert_eq!(first.next_report_of("main")["outcome"], "no_miners");
    let second_output = network.runner(&engine, &state_directory).arg("--once").output().unwrap();
    let error = crate::support::refusal(&second_output, 1);
    assert!(error.contains("another runner is using") && error.contains("text"), "{error}");
    assert!(first.terminate().0.success());
}

#[test]
fn arena_rounds_are_played_through_the_gateway_and_directly() {
    require_sentence_model();
    let network = Network::start();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let miner = text_miner(folder.path());
    network.announce(&miner);
    for (name, options) in [("forwarded", &[][..]), ("direct", &["--direct"])] {
        let mut arena = local_bb();
        arena
            .args(["arena-gateway", "--key-uri", "//gateway", "--state"])
            .arg(folder.path().join(name));
        let arena = Daemon::start(arena.args(options).env("BB_MINER_PREDICT_ENDPOINT", "predict"));
        let mut submit = local_bb();
        submit.args(["arena-submit", miner.url(), "--uid", "1", "--key-uri", "//Bob", "--json"]);
        let submitted =
            document(&submit.env("BB_ARENA_GATEWAY_URL", arena.url()).output().unwrap());
        assert_eq!(submitted["listed"], true, "{submitted}");

        let kept_directory = folder.path().join(format!("kept-{name}"));
        let mut runner = network.runner(&engine, &kept_directory);
        runner.args(["--metrics", "127.0.0.1:0"]).env("BB_ARENA_GATEWAY_URL", arena.url());
        runner.env("BB_ENABLE_ARENA_CHALLENGE", "1").env("BB_ARENA_RUN_ON_STARTUP", "1");
        let mut runner = RoundLoop::start(runner);
        let report = runner.next_report_of("arena");
        assert_eq!(
            (&report["outcome"], &report["challenge_uid"]),
            (&"played".into(), &"small-talk".into()),
            "{report}"
        );
        assert_eq!(report["miners"], 1, "{report}");
        assert!(runner.terminate().0.success());
        let scores = std::fs::read_dir(kept_directory.join("scores"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_mean = |path: &std::path::PathBuf| {
            path.to_string_lossy().contains("challenge_run_small-talk_type_arena_miner_")
        };
        let means: Vec<_> = scores.filter(is_mean).collect();
        let mean: Value = serde_json::from_slice(&std::fs::read(&means[0]).unwrap()).unwrap();
        assert_eq!(
            (means.len(), &mean["challenge_type"], &mean["miner_hotkey"]),
            (1, &"arena".into(), &BOB.into())
        );
        assert!(mean["challenge_mean_U"].as_f64().unwrap() > 0.9, "{mean}");
    }
}
