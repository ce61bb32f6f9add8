//! The ten commands and the way back, run as the guide has them, with files of the reference.
//! Docker is replaced by a script, which copies files and runs the commands of our containers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taonet_wallet::Keypair;
use tempfile::TempDir;

use super::super::first_block;
use super::{BOB, GUIDE, Programs, REFERENCE_CHALLENGE, copy_stack, files, write_score};
use crate::kill::address;
use crate::support::{
    Daemon, local_bb, program, program_directories, repository, require_sentence_model,
    search_path, stderr,
};

/// Challenge of the engine, which the reference has begun.
const CHALLENGE: &str = "ferry";
/// Directories of the reference with results.
const RESULT_DIRECTORIES: [&str; 3] = ["scores", "logs", "data"];

/// A machine with the reference's stack, which runs, and a clone of taonet beside it.
struct Machine {
    folder: TempDir,
    programs: Programs,
    _engine: Daemon,
    _miner: Daemon,
}

impl Machine {
    /// Starts an engine and the miner that the reference has not played yet.
    fn start() -> Self {
        require_sentence_model();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("containers");
        let challenge = repository("tests/e2e/data/ferry.json");
        let engine = Daemon::start(local_bb().arg("engine").arg(challenge));
        let uri = "//miner//parrot";
        let mut miner = local_bb();
        let miner = Daemon::start(miner.args(["miner", "--profile", "parrot", "--key-uri", uri]));
        let hotkey = Keypair::from_uri(uri).unwrap().hotkey();
        let miners = json!([
            { "uid": 2, "hotkey": BOB, "address": "127.0.0.1:9" },
            { "uid": 3, "hotkey": hotkey, "address": address(miner.url()) },
        ]);

        write_reference(folder.path(), &root.join("babelbit"));
        fs::create_dir_all(root.join("taonet")).unwrap();
        fs::create_dir(folder.path().join("taonet")).unwrap();
        write_services(&root);
        let list = root.join("miners.json");
        fs::write(&list, miners.to_string()).unwrap();
        fs::write(root.join("runner-command"), runner_command(engine.url(), &list)).unwrap();
        let script = format!(
            "root='{}'\n{}",
            root.display(),
            fs::read_to_string(repository("tests/e2e/guides/migration/docker.sh")).unwrap()
        );
        let programs = Programs::create(folder.path(), &[("docker", &script)]);
        Self { folder, programs, _engine: engine, _miner: miner }
    }

    /// Path of the reference's or our containers.
    fn containers(&self, project: &str) -> PathBuf {
        self.folder.path().join("containers").join(project)
    }

    /// Runs the block below a heading in the clone of taonet; returns the output of each line.
    fn run(&self, heading: &str) -> Vec<(String, String)> {
        let directories = [self.programs.directory().to_owned()];
        let path = search_path(directories.into_iter().chain(program_directories()));
        let run = |line: &str| {
            let mut shell = program("sh");
            // Each command of a loop must succeed.
            shell.args(["-e", "-c", line]).current_dir(self.folder.path().join("taonet"));
            let output = shell.env("PATH", &path).output().unwrap();
            let text = String::from_utf8(output.stdout.clone()).unwrap();
            assert!(output.status.success(), "{line}: {text}{}", stderr(&output));
            (line.to_owned(), text)
        };
        first_block(GUIDE, heading).lines().filter(|line| !line.is_empty()).map(run).collect()
    }

    /// Whether the containers of a project run.
    fn is_running(&self, project: &str) -> bool {
        self.containers(project).join("running").exists()
    }
}

/// The reference's results by their paths in its working directory.
fn reference_files() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files(&repository("tests/e2e/data/reference-stack"));
    all.retain(|path, _| RESULT_DIRECTORIES.iter().any(|part| path.starts_with(part)));
    all
}

/// Checks that the reference's results are below a directory, as they were.
fn assert_reference_files(directory: &Path) {
    let now = files(directory);
    for (path, content) in reference_files() {
        assert_eq!(now.get(&path), Some(&content), "{}", directory.join(path).display());
    }
}

/// Writes the reference's directory and its container, whose runner was stopped in the middle of a
/// challenge.
fn write_reference(folder: &Path, container: &Path) {
    let (directory, app) = (folder.join("babelbit"), container.join("runner/app"));
    copy_stack(&app);
    write_score(&app, CHALLENGE);
    fs::create_dir(&directory).unwrap();
    fs::rename(app.join(".env"), directory.join(".env")).unwrap();
    fs::write(container.join("running"), "").unwrap();
}

/// Writes what compose.yml says of the service `runner` for the script: volumes with their mount
/// points, and environment; also the command of the service `token`.
fn write_services(root: &Path) {
    let compose = fs::read_to_string(repository("compose.yml")).unwrap();
    let service = |name: &str| {
        let (_, service) = compose.split_once(&format!("\n  {name}:\n")).unwrap();
        let is_inside = |line: &&str| line.is_empty() || line.starts_with("    ");
        service.lines().take_while(is_inside).map(str::to_owned).collect::<Vec<_>>()
    };
    let runner = service("runner");
    let block = |key: &str| {
        let lines = runner.iter().skip_while(move |line| line.trim() != format!("{key}:")).skip(1);
        let entries = lines.take_while(|line| line.starts_with("      ")).map(|line| line.trim());
        entries.filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let mount = |line: &String| {
        let (volume, path) = line.trim_start_matches("- ").split_once(':')?;
        let is_named = !volume.starts_with(['$', '.', '/']);
        is_named.then(|| format!("{volume} {}\n", path.trim_end_matches(":ro")))
    };
    let mounts: String = block("volumes").iter().filter_map(mount).collect();
    assert!(mounts.lines().count() >= 5, "{mounts}");
    fs::write(root.join("taonet/mounts"), mounts).unwrap();
    let variable = |line: &String| {
        let (name, value) = line.split_once(": ").unwrap();
        format!("{name}={}\n", value.trim_matches('"'))
    };
    let environment: String = block("environment").iter().map(variable).collect();
    fs::write(root.join("taonet/environment"), environment).unwrap();

    let token = service("token");
    let command = token.iter().find_map(|line| line.trim().strip_prefix("command: ")).unwrap();
    let volume = root.join("taonet/volumes/token");
    fs::create_dir_all(&volume).unwrap();
    let command = command.replace("/run/taonet", &volume.display().to_string());
    fs::write(root.join("token-command"), command).unwrap();
}

/// Command of the service `runner`, for one round of listed miners on a local network.
fn runner_command(engine: &str, miners: &Path) -> String {
    // Not those of the volume, which is empty.
    let models = std::env::var("BB_MODELS_DIR")
        .map_or_else(|_| "-u BB_MODELS_DIR".to_owned(), |models| format!("BB_MODELS_DIR={models}"));
    let local = "BITTENSOR_SUBTENSOR_ENDPOINT=local BITTENSOR_SUBTENSOR_FALLBACK= BB_DEV_MODE=1";
    let limits = "BB_ENABLE_VALIDATION_SUBMISSIONS=0 BB_S2S_CHUNK_TIMEOUT_SEC=30";
    let options = "--once --json --key-uri //Alice";
    let miners = miners.display();
    format!("env {models} {local} {limits} bb runner {options} --engine {engine} --miners {miners}")
}

/// Output of the only command that contains these words.
fn output_of<'a>(outputs: &'a [(String, String)], words: &str) -> &'a str {
    let mut with_words = outputs.iter().filter(|(line, _)| line.contains(words));
    let (_, output) = with_words.next().unwrap_or_else(|| panic!("no command {words}"));
    assert!(with_words.next().is_none(), "{words}");
    output
}

#[test]
fn migration_and_rollback_keep_results() {
    let machine = Machine::start();
    assert!(machine.is_running("babelbit"));
    let outputs = machine.run("Ten commands");
    assert!(!machine.is_running("babelbit") && machine.is_running("taonet"));

    // The reference's settings and results are read in our containers.
    let checked = output_of(&outputs, "bb config check");
    assert!(checked.contains("PG_HOST") && checked.contains("BABELBIT_TAIL"), "{checked}");
    let migrated = output_of(&outputs, "bb migrate");
    let earlier = "(main): 2 miners scored, 2 run logs, completed 2026-10-30T14:12:07.481516+00:00";
    for line in [
        format!("{REFERENCE_CHALLENGE} {earlier}"),
        format!("{CHALLENGE} (main): 1 miner scored, 0 run logs, not completed"),
        "2 transcripts of faster-whisper models in the cache".to_owned(),
    ] {
        assert!(migrated.lines().any(|printed| printed == line), "{line}: {migrated}");
    }
    // The interrupted challenge continues with the miner that has no score.
    let report = fs::read(machine.folder.path().join("containers/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["challenge_uid"], CHALLENGE, "{report:#}");
    assert_eq!(report["scored_elsewhere"], json!([2]), "{report:#}");
    let played = report["miners"].as_array().unwrap();
    assert_eq!((played.len(), &played[0]["uid"]), (1, &json!(3)), "{report:#}");
    assert_reference_files(&machine.containers("taonet").join("runner/home/taonet"));

    machine.run("The way back");
    assert!(machine.is_running("babelbit") && !machine.is_running("taonet"));
    let app = machine.containers("babelbit").join("runner/app");
    assert_reference_files(&app);
    // The reference skips a challenge by the names of score files.
    let names = files(&app.join("scores"));
    let names: Vec<_> = names.keys().filter_map(|path| path.to_str()).collect();
    for uid in [2, 3] {
        let start = format!("challenge_score_{CHALLENGE}_type_main_miner_{uid}_score_");
        assert!(names.iter().any(|name| name.starts_with(&start)), "{start}: {names:?}");
    }
    assert!(app.join(format!("data/challenge_status/{CHALLENGE}__main.json")).is_file());
    assert!(app.join("logs/s2s").join(CHALLENGE).is_dir());
}
