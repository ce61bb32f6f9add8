//! The JSON documents of the commands of `tao`, and the tables in docs that list their keys.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::axon;
use crate::support::{bb, document, repository, tao};
use crate::wallet::{ADDRESS, PASSWORD, Wallets};

type Keys = BTreeSet<String>;

/// Rows of the tables in docs whose header starts like this, of the commands of a program: the
/// command without the program, and the other cells.
fn rows(program: &str, header: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(repository("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut is_inside = false;
        for line in text.lines() {
            is_inside = line.starts_with(header) || (is_inside && line.starts_with('|'));
            let row = line
                .strip_prefix(&format!("| `{program} "))
                .and_then(|cells| cells.split_once('`'));
            if let (true, Some((command, cells))) = (is_inside, row) {
                rows.push((command.to_owned(), cells.to_owned()));
            }
        }
    }
    rows
}

/// Keys of a document, or of the first entry of a list.
fn keys(document: &Value) -> Keys {
    document.get(0).unwrap_or(document).as_object().unwrap().keys().cloned().collect()
}

/// Compares documents of a program's commands with the tables.
fn check_keys_of(program: &str, documents: &[(&str, Value)]) {
    let words = |cells: &str| -> Keys {
        let cell = cells.split('|').nth(1).unwrap();
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let rows = rows(program, "| Command | Keys |").into_iter();
    let table: BTreeMap<_, _> = rows.map(|(command, cells)| (command, words(&cells))).collect();
    for (command, document) in documents {
        assert_eq!(table.get(*command), Some(&keys(document)), "{program} {command}");
    }
}

/// Compares documents of the commands of `tao` with the tables.
pub(crate) fn check_keys(documents: &[(&str, Value)]) {
    check_keys_of("tao", documents);
}

#[test]
fn output_keys_of_config_check_are_documented() {
    let checked = document(&bb().args(["config", "check", "--json"]).output().unwrap());
    check_keys_of("bb", &[("config check", checked)]);
}

#[test]
fn output_keys_of_wallet_commands_are_documented() {
    let wallets = Wallets::new();
    let (coldkey_file, hotkey_file, out) =
        (wallets.unused_path("cold"), wallets.unused_path("hot"), wallets.unused_path("out.json"));
    let (other_cold, other_hot) =
        (wallets.unused_path("other-cold"), wallets.unused_path("other-hot"));
    let (first, second) =
        (wallets.file("first", PASSWORD), wallets.file("second", "another-Passw0rd!"));
    let created = wallets.run_json(
        &["create", "--no-use-password"],
        &[("--coldkey-mnemonic-file", &coldkey_file), ("--hotkey-mnemonic-file", &hotkey_file)],
    );
    let new_coldkey = ["new-coldkey", "--wallet-name", "other", "--no-use-password"];
    let regen_coldkey = ["regen-coldkey", "--wallet-name", "again", "--no-use-password"];
    let regen_hotkey = ["regen-hotkey", "--wallet-name", "again"];
    let regen_coldkeypub = ["regen-coldkeypub", "--wallet-name", "watched", "--ss58", ADDRESS];
    let regen_hotkeypub =
        ["regen-hotkeypub", "--wallet-name", "watched", "--ss58", ADDRESS, "--hotkey", "h"];
    let signed = wallets.run_json(&["sign", "--message", "x"], &[]);
    let signature = signed["signed_message"].as_str().unwrap();
    let verification =
        wallets.run_json(&["verify", "--message", "x", "--signature", signature], &[]);
    check_keys(&[
        ("wallet create", created),
        ("wallet new-coldkey", wallets.run_json(&new_coldkey, &[("--mnemonic-file", &other_cold)])),
        (
            "wallet new-hotkey",
            wallets.run_json(&["new-hotkey", "--hotkey", "h"], &[("--mnemonic-file", &other_hot)]),
        ),
        (
            "wallet regen-coldkey",
            wallets.run_json(&regen_coldkey, &[("--mnemonic-file", &coldkey_file)]),
        ),
        (
            "wallet regen-hotkey",
            wallets.run_json(&regen_hotkey, &[("--mnemonic-file", &hotkey_file)]),
        ),
        ("wallet regen-coldkeypub", wallets.run_json(&regen_coldkeypub, &[])),
        ("wallet regen-hotkeypub", wallets.run_json(&regen_hotkeypub, &[])),
        ("wallet sign", signed.clone()),
        ("wallet verify", verification),
        (
            "wallet export",
            wallets.run_json(&["export"], &[("--out", &out), ("--json-password-file", &first)]),
        ),
        ("wallet encrypt", wallets.run_json(&["encrypt"], &[("--password-file", &first)])),
        (
            "wallet change-password",
            wallets.run_json(
                &["change-password"],
                &[("--password-file", &first), ("--new-password-file", &second)],
            ),
        ),
        (
            "wallet decrypt",
            wallets.run_json(&["decrypt", "--yes"], &[("--password-file", &second)]),
        ),
        ("wallet ss58 convert", wallets.run_json(&["ss58", "convert", ADDRESS], &[])),
    ]);
}

#[test]
fn output_keys_of_offline_commands_are_documented() {
    let daemon = axon::neuron("btauth", &["--allow", axon::ALICE]);
    let address = axon::address(&daemon);
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("keys.json");
    let api_key = |arguments: &[&str]| {
        let mut command = tao();
        command.args(["proof", "api-key"]).args(arguments).arg("--api-keys").arg(&key_file);
        document(&command.arg("--json").output().unwrap())
    };
    let cases = std::fs::read(repository("vectors/yuma/cases.json")).unwrap();
    let cases: Value = serde_json::from_slice(&cases).unwrap();
    let mut cases = cases["cases"].as_array().unwrap().iter();
    let case = cases.find(|case| case["id"] == "bonds_1").unwrap();
    let case_file = folder.path().join("case.json");
    std::fs::write(&case_file, case.to_string()).unwrap();
    let yuma = |extra_args: &[&str]| {
        document(
            &tao().arg("yuma").arg(&case_file).args(extra_args).arg("--json").output().unwrap(),
        )
    };
    let run_json =
        |arguments: &[&str]| document(&tao().args(arguments).arg("--json").output().unwrap());
    // Without a node, a doctor's report has faults; its document is the same.
    let doctor = |folder: &std::path::Path| {
        let mut command = tao();
        command.args([
            "doctor",
            "--ntp-server",
            "127.0.0.1:9",
            "--network",
            "ws://127.0.0.1:9",
            "--json",
        ]);
        serde_json::from_slice(
            &command.current_dir(folder).env("HOME", folder).output().unwrap().stdout,
        )
        .unwrap()
    };
    let requests = folder.path().join("requests.json");
    std::fs::write(&requests, r#"{"class": "echo", "requests": [{"text": "x"}]}"#).unwrap();
    let bench = || {
        let mut command = tao();
        command.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args([
            "bench-miner",
            &address,
            "--hotkey",
            axon::BOB,
        ]);
        command.args([
            "--key-uri",
            "//Alice",
            "--scheme",
            "btauth",
            "--calls",
            "1",
            "--json",
            "--kind",
        ]);
        document(&command.arg(&requests).output().unwrap())
    };
    let mut subnet = tao();
    subnet
        .args(["subnets", "new", "demo", "--json", "--taonet"])
        .arg(repository(""))
        .current_dir(folder.path());
    let subnet = document(&subnet.output().unwrap());
    check_keys(&[
        ("bench-miner", bench()),
        ("axon call", document(&axon::run_client("call", &address, "btauth", &["--json"]))),
        (
            "axon ping",
            document(&axon::run_client("ping", &address, "btauth", &["-n", "1", "--json"])),
        ),
        ("proof api-key add", api_key(&["add", "ada"])),
        ("proof api-key list", api_key(&["list"])),
        ("proof api-key remove", api_key(&["remove", "ada"])),
        ("doctor", doctor(folder.path())),
        ("models list", run_json(&["models", "list"])),
        ("subnets new", subnet),
        ("nineteen tasks", run_json(&["nineteen", "tasks"])),
        ("yuma", yuma(&[])),
        ("yuma --classic", yuma(&["--classic"])),
    ]);
}
