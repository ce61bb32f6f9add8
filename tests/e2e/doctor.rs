//! `tao doctor`, `bb config check` and the pre-flight checks of daemons, with broken set-ups.

use std::fs::{Permissions, set_permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::chain::{BABELBIT, Chain};
use crate::support::{Daemon, bb, free_address, local_bb, stderr, tao};

/// Returns `tao doctor --json` with its home and its state in a folder, on a network.
fn doctor(folder: &Path, network: &str) -> Command {
    let mut command = tao();
    command.args(["doctor", "--json", "--ntp-server", "127.0.0.1:9"]).current_dir(folder);
    command.env("HOME", folder).env("XDG_STATE_HOME", folder.join("state")).env("XDG_CACHE_HOME", folder.join("cache"));
    command.env_remove("BB_MODELS_DIR").env("BT_CHAIN_ENDPOINT", network);
    for name in ["SIGNER_PORT", "SUBTENSOR_GATEWAY_PORT", "BABELBIT_METRICS_PORT"] {
        command.env(name, free_address().rsplit_once(':').unwrap().1);
    }
    command
}

/// Returns the document of a report, whose exit code must be this one, in the document too.
#[track_caller]
fn report(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{} {}", stderr(output), String::from_utf8_lossy(&output.stdout));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["exit_code"], json!(code), "{document}");
    document
}

/// Returns the findings of a check, each as its status and what was seen.
fn of_check(report: &Value, check: &str) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings.map(|finding| (text(finding, "status"), text(finding, "seen"))).collect()
}

#[track_caller]
fn assert_found(report: &Value, check: &str, status: &str, seen: &str) {
    let found = of_check(report, check);
    assert!(found.iter().any(|(is, text)| is == status && text.contains(seen)), "{check} {status} {seen}: {found:?}");
}

#[test]
fn broken_set_up_has_all_faults_in_one_report() {
    let chain = Chain::start();
    chain.wallet();
    let hotkey = chain.path("wallets/default/hotkeys/default");
    set_permissions(&hotkey, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(chain.path("file"), "").unwrap();
    std::fs::create_dir_all(chain.path("models/all-MiniLM-L6-v2")).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::write(chain.path("models/all-MiniLM-L6-v2").join(name), "not the model").unwrap();
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = doctor(&chain.path(""), chain.url());
    command.env("BITTENSOR_WALLET_PATH", chain.path("wallets")).env("BB_MODELS_DIR", chain.path("models"));
    command.env("SIGNER_PORT", other.local_addr().unwrap().port().to_string());
    command.env("BB_OUTPUT_LOGS_DIR", chain.path("file/logs")).env("BABELBIT_TEMPO", "99").env("BB_RULE", "strict");
    command.env("PG_HOST", "db").env("BB_API_TOKEN_FILE", chain.path("none"));
    // Settings only have warnings; the first fault is that of the directory.
    let broken = report(&command.output().unwrap(), 1);
    for (check, status, seen) in [
        ("settings", "warning", "no effect"),
        ("settings", "warning", "unknown setting"),
        ("settings", "warning", "read differently from the reference: no effect, as in the reference"),
        ("version", "skipped", "no release server"),
        ("disk", "fault", "is not a directory"),
        ("ports", "fault", "in use by another program"),
        ("clock", "skipped", "no time from the server"),
        ("clock", "ok", "the newest block"),
        ("keys", "fault", "mode 0644: other users can read the secret"),
        ("keys", "warning", "the coldkey is not encrypted"),
        ("keys", "fault", "cannot read the file"),
        ("models", "fault", "is corrupt"),
        ("models", "fault", "not installed"),
        ("registration", "fault", "not registered on subnet 59"),
    ] {
        assert_found(&broken, check, status, seen);
    }
    // Every fault and every warning has a remedy, and every fault an exit code.
    for finding in broken["findings"].as_array().unwrap() {
        let is_wrong = ["fault", "warning"].contains(&finding["status"].as_str().unwrap());
        assert_eq!(finding["remedy"].is_string(), is_wrong, "{finding}");
        assert_eq!(finding["exit_code"].is_u64(), finding["status"] == "fault", "{finding}");
    }
    let shown = command.args(["--wide"]).output().unwrap();
    assert!(stderr(&shown).contains("hint: "), "{}", stderr(&shown));

    // What is mended is no longer reported.
    set_permissions(&hotkey, Permissions::from_mode(0o600)).unwrap();
    chain.ask(&["register", "--netuid", BABELBIT, "--yes"]);
    drop(other);
    std::fs::write(chain.path("none"), "0123456789abcdef0123456789abcdef\n").unwrap();
    set_permissions(chain.path("none"), Permissions::from_mode(0o600)).unwrap();
    let mended = report(&command.env_remove("BB_OUTPUT_LOGS_DIR").output().unwrap(), 1);
    for check in ["disk", "ports", "keys", "registration", "network", "ledger"] {
        let found = of_check(&mended, check);
        assert!(!found.is_empty() && found.iter().all(|(status, _)| status != "fault"), "{check}: {found:?}");
    }
    assert_found(&mended, "ledger", "skipped", "no ledger yet");
    assert_found(&mended, "reachability", "skipped", "a validator needs none");
}

#[test]
fn exit_code_names_the_kind_of_fault() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("ws://{}", free_address());
    // An invalid setting: the checks that depend on settings are skipped.
    let mut command = doctor(folder.path(), &nobody);
    let invalid = report(&command.env("SIGNER_PORT", "x").output().unwrap(), 2);
    assert_found(&invalid, "settings", "fault", "invalid value x");
    assert_found(&invalid, "keys", "skipped", "the settings are invalid");
    // Neither wallet nor chain: keys come first.
    let missing = report(&doctor(folder.path(), &nobody).output().unwrap(), 4);
    assert_found(&missing, "keys", "fault", "no signing key found");
    assert_found(&missing, "network", "fault", "no node responded");
    assert_found(&missing, "registration", "skipped", "the chain is unreachable");
    // A wrong network: the subnet is on another one.
    let chain = Chain::start();
    let mut command = doctor(&chain.path(""), chain.url());
    let wrong = report(&command.args(["--netuid", "60000"]).output().unwrap(), 4);
    assert_found(&wrong, "network", "fault", "subnet 60000 does not exist");
    // A malformed .env.
    std::fs::write(folder.path().join(".env"), "SIGNER_PORT\n").unwrap();
    let malformed = report(&doctor(folder.path(), &nobody).output().unwrap(), 2);
    assert_found(&malformed, "settings", "fault", "line 1: expected NAME=VALUE");
}

#[test]
fn gateway_logs_clock_that_is_off() {
    let chain = Chain::start();
    chain.wallet();
    chain.ask(&["localnet", "advance", "1d", "--network", chain.url()]);
    let mut gateway = local_bb();
    gateway.args(["subtensor-gateway", "--network", chain.url(), "--state"]).arg(chain.path("gateway"));
    gateway.env("BITTENSOR_WALLET_PATH", chain.path("wallets"));
    let gateway = Daemon::start(&mut gateway);
    gateway.becomes_ready();
    let log = gateway.log();
    assert!(log.contains("pre-flight: ") && log.contains(" behind the newest block"), "{log}");
}

#[test]
fn config_check_names_variables_that_are_read_differently() {
    let folder = tempfile::tempdir().unwrap();
    let check = |json: &[&str], set: &[(&str, &str)]| {
        let mut command = bb();
        command.args(["config", "check"]).args(json).current_dir(folder.path()).envs(set.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = check(&[], &[]);
    assert!(text.starts_with("all settings are valid\n"), "{text}");
    for name in ["SUBTENSOR_GATEWAY_HOST", "PG_PASSWORD", "CHUTE_MAX_NEW_TOKENS", "BABELBIT_METRICS_ADDR"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(name)), "{name}: {text}");
    }
    let set = [("PG_HOST", "db"), ("SIGNER_SEED", "s"), ("SUBTENSOR_GATEWAY_HOST", "127.0.0.1")];
    let document: Value = serde_json::from_str(&check(&["--json"], &set)).unwrap();
    let differences = document["differences"].as_array().unwrap();
    let set: Vec<_> = differences.iter().filter(|row| row["set"] == true).map(|row| row["name"].clone()).collect();
    assert_eq!(set, [json!("SIGNER_SEED"), json!("SUBTENSOR_GATEWAY_HOST"), json!("PG_HOST")]);
    let findings = document["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(findings.iter().all(|finding| finding["status"] == "warning"), "{findings:?}");
    assert_eq!(document["warnings"].as_array().unwrap().len(), 3);
}
