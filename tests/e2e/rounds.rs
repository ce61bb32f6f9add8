//! The runner's loop as a process, with a development chain, gateway, engine and miners.

mod kills;
mod python;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_wallet::Keypair;

use crate::chain::{BABELBIT, Chain};
use crate::support::{
    Daemon, RunFiles, assert_metrics_described, document, free_address, local_bb, refusal,
    repository, require_sentence_model, terminate,
};

const PROFILES: [&str; 3] = ["interpreter", "parrot", "silent"];
/// Placeholder for this machine: the chain rejects loopback addresses.
pub(crate) const ANNOUNCED: &str = "192.0.2.1";

/// A chain with miners of three profiles registered, and its gateway.
struct Network {
    chain: Chain,
    gateway: Daemon,
    _miners: Vec<Daemon>,
}

impl Network {
    fn start() -> Self {
        require_sentence_model();
        let chain = Chain::start();
        let miners = PROFILES.map(|profile| {
            let key = format!("//miner//{profile}");
            let miner =
                Daemon::start(local_bb().args(["miner", "--profile", profile, "--key-uri", &key]));
            let hotkey = Keypair::from_uri(&key).unwrap().hotkey().to_string();
            chain.alice(&["register", "--netuid", BABELBIT, "--yes", "--hotkey-ss58", &hotkey]);
            let port = miner.url().rsplit(':').next().unwrap();
            let serve =
                ["serve-axon", "--netuid", BABELBIT, "--external-ip", ANNOUNCED, "--port", port];
            let serve_result =
                document(&chain.tao(&serve, &["--key-uri", &key, "--yes", "--json"]));
            assert_eq!(serve_result["success"], true, "{serve_result}");
            miner
        });
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
        Self { chain, gateway, _miners: miners.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.chain.path(name)
    }

    /// Returns the command of a runner with a directory for files and transcripts.
    fn runner(&self, engine: &str, directory: &Path) -> Command {
        let mut runner = local_bb();
        runner
            .args(["runner", "--json", "--key-uri", "//Alice", "--engine", engine, "--keep"])
            .arg(directory);
        runner
            .env("BABELBIT_CACHE_DIR", directory.join("cache"))
            .env("BB_LOCAL_MINER_IP", ANNOUNCED);
        runner
            .env("SUBTENSOR_GATEWAY_URL", self.gateway.url())
            .env("BB_S2S_CHUNK_TIMEOUT_SEC", "30");
        runner
    }

    /// Returns the command of a runner that plays rounds until it is killed; its metrics are on a
    /// free port.
    fn loop_command(&self, engine: &str, directory: &Path) -> Command {
        let mut runner = self.runner(engine, directory);
        // The default port can be taken by other tests.
        runner.args(["--metrics", "127.0.0.1:0"]);
        runner
    }

    /// Starts an engine whose main challenge is `ferry`, and whose solo challenge is `pier`.
    fn engine(&self) -> Daemon {
        let ferry = repository("tests/e2e/data/ferry.json");
        let pier = self.path("pier.json");
        let text = fs::read_to_string(&ferry).unwrap();
        fs::write(&pier, text.replace(r#""challenge_uid": "ferry""#, r#""challenge_uid": "pier""#))
            .unwrap();
        Daemon::start(local_bb().arg("engine").args([ferry, pier]))
    }
}

/// A looping runner.
pub(crate) struct RoundLoop {
    child: Child,
    reports: BufReader<ChildStdout>,
}

impl RoundLoop {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let reports = BufReader::new(child.stdout.take().unwrap());
        Self { child, reports }
    }

    /// Waits for the report of the next round; `None` if the process has ended.
    fn next_report(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        (!line.is_empty())
            .then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Waits for the report of the next round of a contest.
    #[track_caller]
    pub(crate) fn next_report_of(&mut self, contest: &str) -> Value {
        loop {
            let report = self.next_report().expect("the runner has ended");
            if report["contest"] == contest {
                return report;
            }
        }
    }

    /// Terminates the runner and returns how long that took.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        terminate(&self.child);
        let start = Instant::now();
        // Drain its output, so that it does not block.
        while self.next_report().is_some() {}
        (self.child.wait().unwrap(), start.elapsed())
    }
}

impl Drop for RoundLoop {
    fn drop(&mut self) {
        // The process can already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Body of an HTTP page; `None` without a listener.
fn page(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn each_miner_is_played_once_by_the_round_loop() {
    let network = Network::start();
    let engine = network.engine();
    let directory = network.path("rounds");
    let metrics = free_address();
    let command = || {
        let mut runner = network.runner(engine.url(), &directory);
        runner.args(["--metrics", &metrics]).env("BABELBIT_RUNNER_TEMPO", "40");
        runner
    };
    let mut round_loop = RoundLoop::start(command());
    let main = round_loop.next_report().unwrap();
    assert_eq!((&main["contest"], &main["outcome"]), (&json!("main"), &json!("played")), "{main}");
    assert_eq!((&main["challenge_uid"], &main["miners"]), (&json!("ferry"), &json!(3)));
    let solo = round_loop.next_report().unwrap();
    assert_eq!((&solo["contest"], &solo["outcome"]), (&json!("solo"), &json!("played")), "{solo}");
    assert_eq!(
        (&solo["challenge_uid"], &solo["main_challenge_uid"]),
        (&json!("pier"), &json!("ferry"))
    );
    assert_eq!(main["epoch"], solo["epoch"]);
    // In the next epoch, no miner is played again.
    let next = round_loop.next_report_of("main");
    assert_eq!(next["outcome"], "already_done");
    assert!(next["epoch"].as_u64() > main["epoch"].as_u64());
    let page = |path: &str| page(&metrics, path).unwrap();
    assert!(page("/readyz").starts_with("HTTP/1.1 200"), "{}", page("/readyz"));
    let text = page("/metrics");
    assert_metrics_described(text.split_once("\r\n\r\n").unwrap().1, "runner");
    for line in [
        r#"taonet_runner_rounds_total{contest="main",outcome="played"} 1"#,
        r#"taonet_runner_rounds_total{contest="solo",outcome="played"} 1"#,
        r#"taonet_runner_utterances_total{contest="main",result="played"} 12"#,
        r#"taonet_runner_round_miners{contest="main"} 3"#,
        r#"taonet_runner_round_seconds_count{contest="main"}"#,
        "taonet_runner_block ",
    ] {
        assert!(
            text.lines().any(|candidate| candidate.starts_with(line)),
            "{line} is not in {text}"
        );
    }
    let (status, elapsed) = round_loop.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");

    let files = RunFiles::read(&directory);
    let status = files.json("challenge_status/pier__solo.json");
    assert_eq!(status["metadata"]["paired_challenge_uid"], "ferry");
    let logs: Vec<_> =
        files.names().into_iter().filter(|name| name.ends_with("run.json")).collect();
    assert_eq!(logs.len(), 2 * PROFILES.len(), "{logs:?}");
    // After the loop has ended, a single round finds the same miners and uses the same ledger.
    let single_round =
        document(&network.runner(engine.url(), &directory).arg("--once").output().unwrap());
    assert_eq!(
        (&single_round["outcome"], &single_round["miners"].as_array().unwrap().len()),
        (&json!("already_done"), &3)
    );
}

/// A runner stops on SIGTERM during a round, and the next one resumes.
#[test]
fn stopped_loop_resumes_later() {
    let network = Network::start();
    let engine = network.engine();
    let directory = network.path("terminated");
    let start = || {
        let mut runner = network.loop_command(engine.url(), &directory);
        RoundLoop::start({
            runner.env("BB_RUNNER_ON_STARTUP", "1");
            runner
        })
    };
    let round_loop = start();
    // A miner's directory appears with its first reply, long before the end of the round.
    let started = Instant::now();
    let has_reply = || {
        let entries = fs::read_dir(directory.join("logs/s2s/ferry/main")).into_iter().flatten();
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("miner_"))
    };
    while !has_reply() {
        assert!(started.elapsed() < Duration::from_mins(2), "no reply");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (status, elapsed) = round_loop.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
    assert!(
        !directory.join("challenge_status/ferry__main.json").exists(),
        "the round was over already"
    );
    let mut round_loop = start();
    assert_eq!(round_loop.next_report_of("main")["outcome"], "played");
    assert_eq!(round_loop.next_report_of("solo")["outcome"], "played");
    assert_eq!(round_loop.terminate().0.code(), Some(0));
    let files = RunFiles::read(&directory);
    assert_eq!(files.json("challenge_status/ferry__main.json")["miner_count"], PROFILES.len());
}

#[test]
fn contradictory_runner_options_are_usage_errors() {
    for arguments in [&["--solo"][..], &["--once", "--metrics", "127.0.0.1:0"]] {
        refusal(&local_bb().arg("runner").args(arguments).output().unwrap(), 2);
    }
}

/// Without gateway and node there is no round, and `--once` reports why.
#[test]
fn single_round_without_chain_is_refused() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    let unused_address = free_address();
    let mut runner = local_bb();
    runner
        .args(["runner", "--once", "--key-uri", "//Alice", "--keep"])
        .arg(folder.path().join("keep"));
    runner
        .env("SUBTENSOR_GATEWAY_URL", format!("http://{unused_address}"))
        .env("BT_CHAIN_ENDPOINT", format!("ws://{unused_address}"));
    runner.env("BABELBIT_CACHE_DIR", folder.path());
    let error = refusal(&runner.output().unwrap(), 3);
    assert!(error.contains("gateway /v1/metagraph/snapshot failed"), "{error}");
}
