//! Engine, miners and runner as separate processes, killed at random times: the runner's final
//! files must equal those of an undisturbed run. Servers shut down on SIGTERM.

mod engine;
mod miner;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taonet_wallet::Keypair;
use tempfile::TempDir;

use crate::support::{
    Daemon, RunFiles, document, free_address, kill_count, local_bb, repository,
    require_sentence_model, stderr, terminate,
};

const SIGKILL: i32 = 9;
const PROFILES: [&str; 3] = ["interpreter", "parrot", "silent"];

/// One miner per profile, and a directory for files.
struct Network {
    folder: TempDir,
    miners: Vec<Daemon>,
}

impl Network {
    fn start() -> Self {
        Self::of(&PROFILES, false)
    }

    /// Starts miners with these profiles, optionally with a replay log.
    fn of(profiles: &[&str], has_replay_log: bool) -> Self {
        require_sentence_model();
        let folder = tempfile::tempdir().unwrap();
        let mut miners = Vec::new();
        let mut entries = Vec::new();
        for (uid, profile) in (1..).zip(profiles) {
            // A miner with a replay log is restarted at its address, which nobody else may get
            // meanwhile.
            let listen = if has_replay_log { free_address() } else { "127.0.0.1:0".to_owned() };
            let miner = miner_at(has_replay_log.then_some(folder.path()), profile, &listen);
            let hotkey = Keypair::from_uri(&format!("//miner//{profile}")).unwrap().hotkey();
            entries.push(json!({ "uid": uid, "hotkey": hotkey, "name": profile, "address": address(miner.url()) }));
            miners.push(miner);
        }
        fs::write(folder.path().join("miners.json"), Value::from(entries).to_string()).unwrap();
        Self { folder, miners }
    }

    /// Kills a miner with a replay log and restarts it at its address; returns its standard error.
    fn restart(&mut self, index: usize) -> String {
        let killed = self.miners.remove(index);
        let (log, listen) = (killed.log(), killed.url().trim_start_matches("http://").to_owned());
        drop(killed);
        self.miners.insert(index, miner_at(Some(self.folder.path()), PROFILES[index], &listen));
        log
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the command of a runner with a directory for files and transcripts.
    fn runner(&self, engine: &Daemon, directory: &Path) -> Command {
        self.runner_of("//Alice", engine, directory)
    }

    fn runner_of(&self, key: &str, engine: &Daemon, directory: &Path) -> Command {
        let mut runner = local_bb();
        runner.args([
            "runner",
            "--once",
            "--json",
            "--key-uri",
            key,
            "--engine",
            engine.url(),
            "--miners",
        ]);
        runner.arg(self.directory("miners.json")).arg("--keep").arg(directory);
        // On a busy machine, no reply may time out: results are compared.
        runner
            .env("BABELBIT_CACHE_DIR", directory.join("cache"))
            .env("BB_S2S_CHUNK_TIMEOUT_SEC", "30");
        runner
    }
}

/// Starts a miner with a replay log in a directory.
fn miner_at(folder: Option<&Path>, profile: &str, listen: &str) -> Daemon {
    let mut miner = local_bb();
    miner.args(["miner", "--profile", profile, "--key-uri", &format!("//miner//{profile}")]);
    if let Some(folder) = folder {
        miner.arg("--replay-log").arg(folder.join(format!("{profile}.replay")));
    }
    Daemon::start_at(&mut miner, listen)
}

/// Returns the random seed, from the environment or random; printed to reproduce failures.
pub(crate) fn random_seed() -> u64 {
    let seed = std::env::var("TAONET_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("TAONET_TEST_SEED={seed} repeats these kill times");
    seed
}

/// Starts an engine with one short challenge.
fn engine() -> Daemon {
    Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")))
}

/// In a container, loopback addresses are rewritten to the container's host. Miners and runner
/// share a container here, so this form of the address is not rewritten.
pub(crate) fn address(url: &str) -> String {
    let is_container = Path::new("/.dockerenv").exists();
    if is_container { url.replace("127.0.0.1", "[::ffff:127.0.0.1]") } else { url.to_owned() }
}

/// Score, uid and transcripts of each miner.
fn results(report: &Value) -> Value {
    let miners = report["miners"].as_array().unwrap().iter().map(|miner| {
        let utterances = miner["utterances"].as_array().unwrap().iter();
        let texts: Vec<_> = utterances.map(|utterance| (&utterance["index"], &utterance["transcript"])).collect();
        json!({ "uid": miner["uid"], "score": miner["score"], "completed": miner["completed"], "texts": texts })
    });
    miners.collect()
}

#[test]
fn killed_runners_produce_same_files_as_uninterrupted_run() {
    let mut random = StdRng::seed_from_u64(random_seed());
    let network = Network::start();

    let reference = network.directory("reference");
    let start = Instant::now();
    let undisturbed = document(&network.runner(&engine(), &reference).output().unwrap());
    let mut duration = start.elapsed();
    assert_eq!(undisturbed["outcome"], "finished");
    let reference = RunFiles::read(&reference);
    check_reference(&reference, &undisturbed);

    // Each directory goes through kills until a runner completes; all results are equal.
    let mut kills = 0;
    let mut directories = 0;
    while kills < kill_count() {
        let directory = network.directory(&format!("killed-{directories}"));
        directories += 1;
        // An engine allows 30 authentications per minute, fewer than the restarts in this test.
        let engine = engine();
        let mut kill_times = Vec::new();
        let report = loop {
            // Includes times after the usual end, since a run writes its files last.
            let kill_time =
                (kills < kill_count()).then(|| duration.mul_f64(random.random_range(0.0..1.1)));
            let start = Instant::now();
            match run_until(network.runner(&engine, &directory), kill_time) {
                Some(output) => {
                    if kill_times.is_empty() {
                        // The first run can have shared the machine with other tests.
                        duration = duration.min(start.elapsed());
                    }
                    break document(&output);
                }
                None => kill_times.extend(kill_time),
            }
            kills += 1;
        };
        assert_eq!(results(&report), results(&undisturbed), "{kill_times:?}");
        RunFiles::read(&directory).assert_equal(&reference, &kill_times);
    }
    println!("{kills} kills in {directories} directories; an undisturbed run takes {duration:?}");
}

/// Runs a command and kills it after a delay; `None` if it was still running.
fn run_until(mut command: Command, kill_after: Option<Duration>) -> Option<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while let Some(kill_time) = kill_after
        && child.try_wait().unwrap().is_none()
    {
        if start.elapsed() >= kill_time {
            child.kill().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.signal() != Some(SIGKILL)).then_some(output)
}

/// Checks the undisturbed run: every utterance of every miner, once.
fn check_reference(files: &RunFiles, report: &Value) {
    let utterances = usize::try_from(report["utterances"].as_u64().unwrap()).unwrap();
    assert!(utterances >= 2, "{utterances}");
    let logs: Vec<_> =
        files.names().into_iter().filter(|name| name.ends_with("run.json")).collect();
    assert_eq!(logs.len(), PROFILES.len());
    for name in logs {
        let log = files.json(name);
        let indices: Vec<_> = log["utterances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["utterance_index"])
            .collect();
        assert_eq!(indices, (0..utterances).collect::<Vec<_>>(), "{name}");
        assert_eq!(log["completed"], true, "{name}");
        assert_eq!(
            files.members(&name.replace("run.json", "audio.tar")).len(),
            2 * utterances,
            "{name}"
        );
    }
    let scores: Vec<_> =
        report["miners"].as_array().unwrap().iter().map(|miner| miner["score"].as_f64()).collect();
    assert!(scores[0] > Some(0.0) && scores[1] > Some(0.0) && scores[2] == Some(0.0), "{scores:?}");
}

#[test]
fn servers_exit_on_sigterm() {
    let miner =
        Daemon::start(local_bb().args(["miner", "--profile", "parrot", "--key-uri", "//Bob"]));
    assert_eq!(engine().terminate().code(), Some(0));
    assert_eq!(miner.terminate().code(), Some(0));
}

/// A runner stops on SIGTERM with success, and the next run resumes.
#[test]
fn terminated_runner_resumes_later() {
    let network = Network::start();
    let engine = engine();
    let directory = network.directory("terminated");
    let mut runner = network.runner(&engine, &directory);
    let mut child = runner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A miner's directory appears with its first reply, long before the end of the run.
    let has_reply = || {
        let entries = fs::read_dir(directory.join("logs/s2s/ferry/main")).into_iter().flatten();
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("miner_"))
    };
    while !has_reply() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    assert!(stderr(&output).contains("the next run resumes from here"), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let report = document(&network.runner(&engine, &directory).output().unwrap());
    assert_eq!(report["outcome"], "finished");
    assert_eq!(report["resumed"], true);
    assert_eq!(
        RunFiles::read(&directory).json("challenge_status/ferry__main.json")["miner_count"],
        PROFILES.len()
    );
}
