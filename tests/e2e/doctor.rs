//! `tao doctor`, `bb config check` and the pre-flight checks of daemons, with broken set-ups.

mod preflight;

use std::fs::{Permissions, set_permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::chain::{BABELBIT, Chain};
use crate::support::{bb, free_address, refusal, stderr, tao};

/// All checks, in the order of a report.
const CHECKS: [&str; 14] = [
    "settings",
    "version",
    "host",
    "disk",
    "ports",
    "clock",
    "keys",
    "models",
    "services",
    "network",
    "subnet",
    "registration",
    "ledger",
    "reachability",
];

/// Returns `tao doctor --json` for all daemons of Babelbit, with its home and its state in a
/// folder, on a network.
fn doctor(folder: &Path, network: &str) -> Command {
    doctor_of(&["gateway", "signer", "validator", "runner", "miner"], folder, network)
}

/// Returns `tao doctor --json` for some daemons, with its home and its state in a folder, on a
/// network.
fn doctor_of(roles: &[&str], folder: &Path, network: &str) -> Command {
    let mut command = tao();
    command.args(["doctor", "--json", "--ntp-server", "127.0.0.1:9"]).current_dir(folder);
    // In a container, no daemon is selected by default.
    for role in roles {
        command.args(["--role", role]);
    }
    command
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", folder.join("cache"));
    command.env_remove("BB_MODELS_DIR").env("BT_CHAIN_ENDPOINT", network);
    for name in ["SIGNER_PORT", "SUBTENSOR_GATEWAY_PORT", "BABELBIT_METRICS_PORT"] {
        command.env(name, free_address().rsplit_once(':').unwrap().1);
    }
    for name in ["SIGNER_URL", "SUBTENSOR_GATEWAY_URL"] {
        command.env(name, format!("http://{}", free_address()));
    }
    command
}

/// Returns the document of a report. Its exit code must be that of its first fault: which fault is
/// the first depends on the machine, such as its disks. Every check must have a finding.
#[track_caller]
fn report(output: &Output) -> Value {
    let document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)));
    let findings = document["findings"].as_array().unwrap();
    let first_fault = findings.iter().find(|finding| finding["status"] == "fault");
    let code = first_fault.map_or(json!(0), |fault| fault["exit_code"].clone());
    assert_eq!(document["exit_code"], code, "{document}");
    assert_eq!(
        output.status.code().map(|code| json!(code)),
        Some(code),
        "{} {document}",
        stderr(output)
    );
    let mut checks: Vec<_> =
        findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    checks.dedup();
    assert_eq!(checks, CHECKS);
    document
}

/// Returns the findings of a check.
fn findings<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["check"] == check)
        .collect()
}

/// Asserts that a check has a finding with this status and text, and returns it.
#[track_caller]
fn assert_finding<'a>(report: &'a Value, check: &str, status: &str, seen: &str) -> &'a Value {
    let findings = findings(report, check);
    let expected = |finding: &&&Value| {
        finding["status"] == status && finding["seen"].as_str().unwrap().contains(seen)
    };
    findings
        .iter()
        .find(expected)
        .unwrap_or_else(|| panic!("{check} {status} {seen}: {findings:?}"))
}

#[test]
fn doctor_reports_all_faults_of_a_broken_setup() {
    let chain = Chain::start();
    chain.wallet();
    let hotkey = chain.path("wallets/default/hotkeys/default");
    set_permissions(&hotkey, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(chain.path("file"), "").unwrap();
    std::fs::create_dir_all(chain.path("models/all-MiniLM-L6-v2")).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::write(chain.path("models/all-MiniLM-L6-v2").join(name), "not the model").unwrap();
    }
    let occupying_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = doctor(&chain.path(""), chain.url());
    command
        .env("BITTENSOR_WALLET_PATH", chain.path("wallets"))
        .env("BB_MODELS_DIR", chain.path("models"));
    command.env("SIGNER_PORT", occupying_listener.local_addr().unwrap().port().to_string());
    command
        .env("BB_OUTPUT_LOGS_DIR", chain.path("file/logs"))
        .env("BABELBIT_TEMPO", "99")
        .env("BB_RULE", "strict");
    command.env("PG_HOST", "db").env("BB_API_TOKEN_FILE", chain.path("none"));
    let broken = report(&command.output().unwrap());
    for (check, status, seen) in [
        ("settings", "warning", "no effect"),
        ("settings", "warning", "unknown setting"),
        ("settings", "warning", "no effect (in the reference: db, unused)"),
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
        ("services", "skipped", "the token is unknown"),
        ("registration", "fault", "not registered on subnet 59"),
    ] {
        assert_finding(&broken, check, status, seen);
    }
    // Every fault and every warning has a remedy, and every fault an exit code.
    for finding in broken["findings"].as_array().unwrap() {
        let is_wrong = ["fault", "warning"].contains(&finding["status"].as_str().unwrap());
        assert_eq!(finding["remedy"].is_string(), is_wrong, "{finding}");
        assert_eq!(finding["exit_code"].is_u64(), finding["status"] == "fault", "{finding}");
    }
    let output = command.args(["--wide"]).output().unwrap();
    assert!(stderr(&output).contains("\"hint\":\""), "{}", stderr(&output));

    // Repaired faults are no longer reported.
    set_permissions(&hotkey, Permissions::from_mode(0o600)).unwrap();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    drop(occupying_listener);
    std::fs::write(chain.path("none"), "0123456789abcdef0123456789abcdef\n").unwrap();
    set_permissions(chain.path("none"), Permissions::from_mode(0o600)).unwrap();
    let repaired = report(&command.env_remove("BB_OUTPUT_LOGS_DIR").output().unwrap());
    for check in ["keys", "registration", "network", "subnet", "ledger"] {
        let findings = findings(&repaired, check);
        assert!(
            findings.iter().all(|finding| finding["status"] != "fault"),
            "{check}: {findings:?}"
        );
    }
    assert!(
        !findings(&repaired, "disk")
            .iter()
            .any(|finding| finding["seen"].as_str().unwrap().contains("directory"))
    );
    assert_finding(&repaired, "ports", "ok", "free");
    assert_finding(&repaired, "services", "warning", "not running");
    let unwritten = findings(&repaired, "ledger");
    assert!(unwritten.len() == 2, "those of gateway and runner: {unwritten:?}");
    for finding in unwritten {
        assert_eq!(finding["status"], "skipped", "{finding}");
        assert!(finding["seen"].as_str().unwrap().contains("no ledger yet"), "{finding}");
    }
    assert_finding(&repaired, "reachability", "skipped", "a validator needs none");

    let ledger = chain.path("state/taonet/subtensor-gateway");
    std::fs::create_dir_all(&ledger).unwrap();
    std::fs::write(ledger.join("weights.sqlite"), "not a database, ".repeat(4_096)).unwrap();
    let damaged = report(&command.output().unwrap());
    assert_finding(&damaged, "ledger", "fault", "is damaged");
    let missing = report(&command.args(["--ledger", "absent"]).output().unwrap());
    assert_finding(&missing, "ledger", "fault", "cannot read the directory");
}

#[test]
fn token_options_of_daemons_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let unreachable = format!("ws://{}", free_address());
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let no_options: &[&str] = &[];
    for (options, status, seen) in [
        (no_options, "fault", "a token is required"),
        (&["--insecure"], "warning", "requires no token"),
        (&["--token-file", token.to_str().unwrap()], "ok", "mode 0600"),
    ] {
        let mut command = doctor_of(&["signer"], folder.path(), &unreachable);
        let report = report(&command.args(options).env("SIGNER_HOST", "0.0.0.0").output().unwrap());
        let finding = assert_finding(&report, "keys", status, seen);
        assert!(finding["subject"].as_str().unwrap().starts_with("token"), "{finding}");
        let is_missing = findings(&report, "keys")
            .iter()
            .any(|finding| finding["seen"].as_str().unwrap().contains("a token is required"));
        assert_eq!(is_missing, status == "fault", "{report:#}");
    }
}

#[test]
fn each_kind_of_fault_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let unreachable = format!("ws://{}", free_address());
    // An invalid setting: the checks that depend on settings are skipped.
    let mut command = doctor(folder.path(), &unreachable);
    let invalid = report(&command.env("SIGNER_PORT", "x").output().unwrap());
    assert_eq!(assert_finding(&invalid, "settings", "fault", "invalid value x")["exit_code"], 2);
    assert_finding(&invalid, "keys", "skipped", "the settings are invalid");
    assert_eq!(invalid["exit_code"], 2, "settings come first");
    // Neither wallet nor chain.
    let missing = report(&doctor(folder.path(), &unreachable).output().unwrap());
    assert_eq!(assert_finding(&missing, "network", "fault", "no node responded")["exit_code"], 3);
    assert_finding(&missing, "registration", "skipped", "the chain is unreachable");
    // The wrong chain: it does not have the subnet.
    let chain = Chain::start();
    let mut command = doctor(&chain.path(""), chain.url());
    let wrong = report(&command.args(["--netuid", "60000"]).output().unwrap());
    assert_eq!(
        assert_finding(&wrong, "subnet", "fault", "subnet 60000 does not exist")["exit_code"],
        1
    );
    // A malformed .env, and a missing file of settings.
    std::fs::write(folder.path().join(".env"), "SIGNER_PORT\n").unwrap();
    let malformed = report(&doctor(folder.path(), &unreachable).output().unwrap());
    assert_finding(&malformed, "settings", "fault", "line 1: expected NAME=VALUE");
    let mut command = doctor(folder.path(), &unreachable);
    let missing = report(&command.args(["--env-file", "missing.env"]).output().unwrap());
    assert_finding(&missing, "settings", "fault", "cannot read missing.env");
}

#[test]
fn babelbit_checks_are_skipped_for_other_subnets() {
    let chain = Chain::start();
    chain.wallet();
    let keyfile = chain.path("wallets/default/hotkeys/default");
    let mut command = doctor(&chain.path(""), chain.url());
    // Invalid for Babelbit's daemons, which the other subnet does not have.
    command.env("SIGNER_PORT", "x").env("BITTENSOR_WALLET_PATH", chain.path("none"));
    command.args(["--netuid", "1", "--keyfile"]).arg(keyfile);
    let other = report(&command.output().unwrap());
    for check in ["settings", "ports", "models", "services", "ledger"] {
        assert_finding(&other, check, "skipped", "");
    }
    assert_finding(&other, "keys", "ok", "mode 0600");
    // The chain's name of a subnet without one is `unknown`.
    assert_finding(&other, "subnet", "ok", "exists, unnamed, at block ");
    // --netuid takes precedence over the variable, also over an invalid one.
    let other = report(&command.env("BABELBIT_NETUID", "x").output().unwrap());
    assert_finding(&other, "settings", "skipped", "are not used by other subnets");
    assert_finding(&other, "subnet", "ok", "exists, unnamed, at block ");
}

#[test]
fn ports_and_models_of_other_subnets_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let unreachable = format!("ws://{}", free_address());
    let occupying_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let used = occupying_listener.local_addr().unwrap().to_string();
    // Its netuid is that of the main network.
    let mut command = doctor_of(&["nineteen-miner"], folder.path(), &unreachable);
    let broken =
        report(&command.args(["--listen", &used, "--model", "no/such/model"]).output().unwrap());
    assert_finding(&broken, "ports", "fault", "in use by another program");
    assert_finding(&broken, "models", "fault", "does not exist");
    let mut command = doctor_of(&["nineteen-miner"], folder.path(), &unreachable);
    let painter = report(&command.args(["--model", "painter"]).output().unwrap());
    assert_finding(&painter, "models", "skipped", "draws images without a model");
    let free = free_address();
    let mut command = doctor_of(&["proof-validator"], folder.path(), &unreachable);
    let empty = report(&command.args(["--listen", &free, "--circuits", "."]).output().unwrap());
    assert_finding(&empty, "ports", "ok", "free");
    assert_eq!(findings(&empty, "models")[0]["status"], "fault", "{empty}");
    let mut command = doctor_of(&["prompting-validator"], folder.path(), &unreachable);
    let prompting = report(&command.args(["--netuid", "1"]).output().unwrap());
    assert_finding(&prompting, "ports", "skipped", "pass --listen");
    assert_finding(&prompting, "models", "warning", "not installed: downloaded at the first start");
    let no_arguments: &[&str] = &[];
    for (roles, options, expected) in [
        (
            &["miner", "proof-miner"][..],
            no_arguments,
            "of Babelbit and of proofs cannot be checked",
        ),
        (
            &["nineteen-entry", "nineteen-miner", "proof-miner"],
            no_arguments,
            "of Nineteen and of proofs cannot be checked together",
        ),
        (
            &["prompting-miner", "nineteen-miner"],
            &["--netuid", "1"],
            "of text prompting and of Nineteen cannot be checked together",
        ),
        (&["miner"], &["--listen", free.as_str()], "addresses of Babelbit's daemons are settings"),
        (&["miner"], &["--model", "x"], "are options of daemons of other subnets"),
        (&["prompting-miner"], no_arguments, "pass --netuid"),
        (&["miner"], &["--token-file", "x"], "an option of Babelbit's gateway, signer, validator"),
        (&["validator", "runner"], &["--insecure"], "an option of Babelbit's gateway and signer"),
        (&["proof-miner"], &["--insecure"], "an option of Babelbit's gateway and signer"),
    ] {
        let output = doctor_of(roles, folder.path(), &unreachable).args(options).output().unwrap();
        assert!(refusal(&output, 2).contains(expected), "{roles:?}: {}", stderr(&output));
    }
}

#[test]
fn config_check_reports_differences_from_reference() {
    let folder = tempfile::tempdir().unwrap();
    let check = |json: &[&str], set: &[(&str, &str)]| {
        let mut command = bb();
        command
            .args(["config", "check"])
            .args(json)
            .current_dir(folder.path())
            .envs(set.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(check(&[], &[]), "all settings are valid\n");
    // A set value means the same here as in the reference: only the default differs.
    let same = [
        ("SUBTENSOR_GATEWAY_HOST", "127.0.0.1"),
        ("BABELBIT_METRICS_ADDR", "0.0.0.0"),
        ("BB_DEV_MODE", "0"),
    ];
    assert_eq!(check(&[], &same), "all settings are valid\n");
    let text = check(&[], &[("BB_SUBMIT_TIMEOUT_S", "60")]);
    assert!(text.starts_with("BB_SUBMIT_TIMEOUT_S: 30, and "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");

    let set =
        [("PG_HOST", "db"), ("BB_SUBMIT_TIMEOUT_S", "60"), ("SUBTENSOR_GATEWAY_HOST", "127.0.0.1")];
    let document: Value = serde_json::from_str(&check(&["--json"], &set)).unwrap();
    assert_eq!(document["warnings"], json!([]));
    let differences = document["differences"].as_array().unwrap();
    let set: Vec<_> =
        differences.iter().filter(|row| row["set"] == true).map(|row| &row["name"]).collect();
    assert_eq!(set, ["BB_SUBMIT_TIMEOUT_S", "SUBTENSOR_GATEWAY_HOST", "PG_HOST"]);
    let findings = document["findings"].as_array().unwrap();
    let subjects: Vec<_> = findings.iter().map(|finding| &finding["subject"]).collect();
    assert_eq!(subjects, ["BB_SUBMIT_TIMEOUT_S", "PG_HOST"]);
    assert!(findings.iter().all(|finding| finding["status"] == "warning"), "{findings:?}");
}
