//! The guide for migration: a rehearsal with files of the reference, which are read, continued and
//! left as they are; the chapters on Nineteen and on subnet 2.

mod docker;
mod nineteen;
mod proof;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{BOB, Walkthrough, first_block};
use crate::support::{bb, repository, search_path, stderr, tao};

const GUIDE: &str = "docs/migrate.md";
/// The challenge of the reference's files.
const REFERENCE_CHALLENGE: &str = "challenge-2026-10-30-a";

/// Returns the files below a directory by their relative paths.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut pending) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files
                .insert(path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    files
}

/// Returns the commands of the first block below a heading of a chapter, each with whether it is a
/// service.
fn commands(heading: &str) -> Vec<(String, bool)> {
    let guide = fs::read_to_string(repository(GUIDE)).unwrap();
    let part = guide.split(&format!("\n### {heading}\n")).nth(1);
    let part = part.unwrap_or_else(|| panic!("no heading {heading}")).split("\n##").next().unwrap();
    let block = part.split("```").nth(1).unwrap();
    let lines = block.lines().filter(|line| !line.is_empty());
    let command = |line: &str| {
        let (line, comment) = line.split_once(" #").unwrap_or((line, ""));
        (line.trim().to_owned(), comment.trim() == "a service")
    };
    lines.map(command).collect()
}

/// Programs that stand for those of the system: scripts that log their calls.
struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Writes scripts by their names to a new directory in a folder.
    fn create(folder: &Path, scripts: &[(&str, &str)]) -> Self {
        let directory = folder.join("programs");
        fs::create_dir(&directory).unwrap();
        let programs = Self { directory };
        let log = programs.directory.join("calls").display().to_string();
        for (name, script) in scripts {
            let path = programs.directory.join(name);
            let logged = format!("echo \"$(basename \"$PWD\"): {name} $*\" >> {log}");
            fs::write(&path, format!("#!/bin/sh\n{logged}\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        programs
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns a PATH with these programs before those of the system.
    fn path(&self) -> OsString {
        search_path([self.directory.clone()])
    }

    /// Returns the calls so far: working directory, program, arguments.
    fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.join("calls")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// Copies the reference's files to a directory.
fn copy_stack(target: &Path) {
    for (path, content) in files(&repository("tests/e2e/data/reference-stack")) {
        // Programs that run in the repository would read a file with this name.
        let path = target.join(if path == Path::new("env") { PathBuf::from(".env") } else { path });
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Runs a command in the directory of the rehearsal; its exit code can be any.
fn report(walkthrough: &Walkthrough, words: &[&str]) -> Value {
    let mut command = if words[0] == "tao" { tao() } else { bb() };
    let output = walkthrough.prepare(command.args(&words[1..]).arg("--json")).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", stderr(&output)))
}

/// Writes a score file as the reference does, of the miner that the rehearsal has played.
fn write_score(directory: &Path, challenge: &str) {
    let scores = directory.join("scores");
    fs::create_dir_all(&scores).unwrap();
    let score = json!({
        "challenge_uid": challenge, "challenge_type": "main", "miner_uid": 2, "miner_hotkey": BOB, "utterances": [],
        "challenge_mean_U": 0.5, "protocol": "s2s_audio_v1", "completed": true,
    });
    let name = format!("challenge_score_{challenge}_type_main_miner_2_score_20261030_141207.json");
    fs::write(scores.join(name), serde_json::to_string_pretty(&score).unwrap()).unwrap();
}

#[test]
fn migration_guide_continues_the_files_of_the_reference() {
    let walkthrough = Walkthrough::with_files(GUIDE, copy_stack);
    assert_eq!(walkthrough.services.len(), 6);
    let weights = walkthrough.run_json(&["weights", "show", "--netuid", "59", "--uid", "1"]);
    assert_eq!(weights["rows"][0]["weights"], json!([[2, 65_535]]), "{weights}");

    // The settings of the file, without what the rehearsal replaces.
    let checked = report(&walkthrough, &["bb", "config", "check"]);
    let problems = checked["findings"].to_string();
    assert!(
        problems.contains("PG_HOST") && problems.contains("BB_SCORE_PARALLELISM"),
        "{problems}"
    );
    let doctor =
        report(&walkthrough, &["tao", "doctor", "--role", "runner", "--ntp-server", "127.0.0.1:9"]);
    let findings = doctor["findings"].as_array().unwrap();
    let with_check = |check: &str| {
        findings.iter().filter(|finding| finding["check"] == check).collect::<Vec<_>>()
    };
    let is_checked =
        |finding: &&Value| finding["status"] != "fault" && finding["status"] != "skipped";
    assert!(
        with_check("registration").into_iter().all(|finding| is_checked(&finding)),
        "{doctor:#}"
    );
    assert!(
        with_check("settings").iter().any(|finding| finding["status"] == "warning"),
        "{doctor:#}"
    );

    let migrated = report(&walkthrough, &["bb", "migrate"]);
    assert_eq!(
        (&migrated["unreadable"], &migrated["cached_transcripts"]),
        (&json!([]), &json!(2)),
        "{migrated:#}"
    );
    let challenges = migrated["challenges"].as_array().unwrap();
    let earlier = json!({
        "challenge_uid": REFERENCE_CHALLENGE, "challenge_type": "main", "scored_miners": 2, "run_logs": 2,
        "processed_at": "2026-10-30T14:12:07.481516+00:00",
    });
    assert!(challenges.contains(&earlier), "{migrated:#}");
    let own_challenge = challenges
        .iter()
        .find(|challenge| challenge["challenge_uid"] != REFERENCE_CHALLENGE)
        .unwrap();
    assert_eq!(
        (&own_challenge["scored_miners"], &own_challenge["run_logs"]),
        (&json!(1), &json!(1)),
        "{own_challenge:#}"
    );

    // Everything of the reference is as it was.
    for (path, content) in files(&repository("tests/e2e/data/reference-stack")) {
        let is_same =
            || fs::read(walkthrough.folder.path().join(&path)).is_ok_and(|now| now == content);
        assert!(path == Path::new("env") || is_same(), "{} has changed", path.display());
    }

    // The reference finds the challenge and the miner in our files by these fields, and does not
    // play them again.
    let challenge = own_challenge["challenge_uid"].as_str().unwrap();
    let is_score = |path: &Path| {
        let name = path.to_string_lossy();
        name.starts_with("challenge_") && name.contains(challenge)
    };
    let now = files(&walkthrough.path("scores"));
    let scores = now.iter().filter(|(path, _)| is_score(path));
    let documents: Vec<Value> =
        scores.map(|(_, content)| serde_json::from_slice(content).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    for document in documents {
        let fields = ["challenge_uid", "challenge_type", "miner_uid", "miner_hotkey"]
            .map(|name| document[name].clone());
        assert_eq!(fields, [json!(challenge), json!("main"), json!(2), json!(BOB)]);
    }

    // A challenge that the reference has begun is continued: its miner is not called again.
    let continued = walkthrough.path("continued");
    write_score(&continued, challenge);
    let before = files(&continued);
    let once = ["bb", "runner", "--once", "--miners", "miners.json", "--keep", "continued"];
    let round = report(&walkthrough, &once);
    assert_eq!(
        (&round["scored_elsewhere"], &round["miners"]),
        (&json!([2]), &json!([])),
        "{round:#}"
    );
    let after = files(&continued.join("scores"));
    assert!(before.iter().all(|(path, content)| after.get(path.strip_prefix("scores").unwrap()) == Some(content)));
}

#[test]
fn malformed_file_of_the_reference_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    copy_stack(folder.path());
    let score = folder
        .path()
        .join("scores/challenge_score_torn_type_main_miner_1_score_20261030_141207.json");
    fs::write(&score, "{\"challenge_uid\": \"torn\"").unwrap();
    let output = bb().args(["migrate", "--json"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["unreadable"].as_array().unwrap().len(), 1, "{report:#}");
    assert!(report["unreadable"][0].as_str().unwrap().contains("torn"), "{report:#}");
    fs::remove_file(score).unwrap();
    let text = bb().arg("migrate").current_dir(folder.path()).output().unwrap();
    assert!(text.status.success(), "{}", stderr(&text));
    let text = String::from_utf8(text.stdout).unwrap();
    let listed = format!(
        "{REFERENCE_CHALLENGE} (main): 2 miners scored, 2 run logs, completed 2026-10-30T14:12:07.481516+00:00"
    );
    for line in [
        listed.as_str(),
        "1 challenge with result files; the runner calls none of 2 scored miners again in their challenges",
        "2 transcripts of faster-whisper models in the cache",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line}: {text}");
    }
}

/// Their paths are those of compose.yml. The module `docker` runs them.
#[test]
fn migration_takes_at_most_ten_commands() {
    let block = first_block(GUIDE, "Ten commands");
    let commands: Vec<&str> = block.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!((5..=10).contains(&commands.len()), "{commands:#?}");
    let compose = fs::read_to_string(repository("compose.yml")).unwrap();
    let (_, runner) = compose.split_once("\n  runner:\n").unwrap();
    let (runner, _) = runner.split_once("\n  # docker compose --profile scale").unwrap();
    for part in ["scores", "logs", "data"] {
        assert!(runner.contains(&format!(":/home/taonet/{part}\n")), "{part}");
        assert!(
            commands
                .iter()
                .any(|line| line.contains(part) && line.contains("runner:/home/taonet/")),
            "{part}"
        );
    }
    // Both stacks never run at the same time.
    let position = |text: &str| {
        commands.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}"))
    };
    assert!(
        position("docker compose stop") < position("docker compose up --detach --wait"),
        "{commands:#?}"
    );
}

#[test]
fn migration_preflight_commands_run() {
    let folder = tempfile::tempdir().unwrap();
    copy_stack(folder.path());
    let lines = first_block(GUIDE, "Preflight");
    let mut codes = Vec::new();
    for line in lines
        .lines()
        .filter_map(|line| line.split(" #").next())
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words = shlex::split(line).unwrap();
        let mut command = if words[0] == "tao" { tao() } else { bb() };
        command
            .args(&words[1..])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9");
        if words[0] == "tao" {
            command.args(["--ntp-server", "127.0.0.1:9"]);
        }
        let output = command.env("XDG_STATE_HOME", folder.path()).output().unwrap();
        codes.push((line.to_owned(), output.status.code().unwrap()));
        assert!(!output.stdout.is_empty(), "{line}: {}", stderr(&output));
    }
    // The doctor finds neither a wallet nor a chain here.
    let expected =
        [("bb config check", 0), ("bb migrate", 0)].map(|(line, code)| (line.to_owned(), code));
    assert_eq!(codes.get(..2), Some(&expected[..]));
    assert!(codes.len() == 3 && codes[2].0 == "tao doctor" && codes[2].1 != 0, "{codes:?}");
}
