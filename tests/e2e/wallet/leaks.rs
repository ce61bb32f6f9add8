//! No command leaks a secret, even with maximum logging.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::{PASSWORD, PHRASE, Wallets};
use crate::support::{Daemon, local_bb, stderr};

const NEW_PASSWORD: &str = "another-Passw0rd?";
const EXPORT_PASSWORD: &str = "exported-Passw0rd%";
const SEED: &str = "6fa2796b0071cac425d8a7851038318c2c37dcebfe4bae73197ce93e75909bd2";

/// Files readable by others, which cause log messages.
fn open_to_others(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// All secrets that must not appear: the fixed ones, and those in key and mnemonic files.
struct Secrets(Vec<String>);

impl Secrets {
    fn with_test_secrets() -> Self {
        // Three consecutive words of a mnemonic do not occur in messages.
        Self(
            ["legal winner thank", SEED, PASSWORD, NEW_PASSWORD, EXPORT_PASSWORD]
                .map(str::to_owned)
                .into(),
        )
    }

    fn add_keyfile(&mut self, path: &Path) {
        let key: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let secrets = ["secretPhrase", "secretSeed", "privateKey"]
            .into_iter()
            .filter_map(|field| key[field].as_str());
        let secrets: Vec<_> =
            secrets.map(|secret| secret.trim_start_matches("0x").to_owned()).collect();
        assert!(!secrets.is_empty(), "{}", path.display());
        self.0.extend(secrets);
    }

    fn check(&self, program: &str, output: &str) {
        let output = output.to_lowercase();
        for secret in &self.0 {
            assert!(
                !output.contains(&secret.to_lowercase()),
                "{program} prints {secret}: {output}"
            );
        }
    }

    /// Runs a command, which must have logged something.
    #[track_caller]
    fn run(&self, command: &mut Command) -> Output {
        let output = command.arg("-vvv").output().unwrap();
        let (program, log) = (format!("{command:?}"), stderr(&output));
        assert!(!log.is_empty(), "{program} logs nothing");
        self.check(&program, &(String::from_utf8_lossy(&output.stdout).into_owned() + &log));
        output
    }
}

#[test]
fn commands_print_no_secrets() {
    let wallets = Wallets::new();
    let mut secrets = Secrets::with_test_secrets();
    let (phrase, seed) = (wallets.file("phrase", PHRASE), wallets.file("seed", SEED));
    let (password, new) = (wallets.file("password", PASSWORD), wallets.file("new", NEW_PASSWORD));
    let (export, export_password) =
        (wallets.unused_path("export.json"), wallets.file("export password", EXPORT_PASSWORD));
    let coldkey = wallets.key("coldkey");
    for path in [&phrase, &seed] {
        open_to_others(path);
    }
    let run_command = |arguments: &[&str], files: &[(&str, &Path)], secrets: &Secrets| {
        let output = secrets.run(&mut wallets.command(arguments, files));
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    };
    run_command(&["regen-hotkey"], &[("--mnemonic-file", &phrase)], &secrets);
    secrets.add_keyfile(&wallets.key("hotkeys/default"));
    run_command(&["regen-hotkey", "--hotkey", "seed"], &[("--seed-file", &seed)], &secrets);
    let key: Value =
        serde_json::from_slice(&fs::read(wallets.key("hotkeys/default")).unwrap()).unwrap();
    let private = wallets.file("private", key["privateKey"].as_str().unwrap());
    open_to_others(&private);
    run_command(
        &["regen-hotkey", "--hotkey", "private"],
        &[("--private-key-file", &private)],
        &secrets,
    );
    let files: [(&str, &Path); 2] = [("--mnemonic-file", &phrase), ("--password-file", &password)];
    run_command(&["regen-coldkey"], &files, &secrets);
    open_to_others(&coldkey);
    run_command(&["sign", "--message", "x"], &[("--password-file", &password)], &secrets);
    run_command(&["inspect"], &[], &secrets);
    let files: [(&str, &Path); 3] = [
        ("--password-file", &password),
        ("--json-password-file", &export_password),
        ("--out", &export),
    ];
    run_command(&["export"], &files, &secrets);
    open_to_others(&export);
    let files: [(&str, &Path); 2] =
        [("--json-file", &export), ("--json-password-file", &export_password)];
    run_command(&["regen-hotkey", "--hotkey", "json"], &files, &secrets);
    let files: [(&str, &Path); 2] = [("--password-file", &password), ("--new-password-file", &new)];
    run_command(&["change-password"], &files, &secrets);
    open_to_others(&coldkey);
    run_command(&["decrypt", "--yes"], &[("--password-file", &new)], &secrets);
    open_to_others(&coldkey);
    run_command(&["encrypt"], &[("--password-file", &password)], &secrets);
    // Rejected input.
    open_to_others(&coldkey);
    let output = secrets
        .run(&mut wallets.command(&["sign", "--message", "x"], &[("--password-file", &new)]));
    assert_eq!(output.status.code(), Some(4));
    let wrong_phrase = wallets.file("wrong", format!("{PHRASE} thank"));
    let output = secrets.run(
        &mut wallets
            .command(&["regen-hotkey", "--overwrite"], &[("--mnemonic-file", &wrong_phrase)]),
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn new_keys_are_not_printed() {
    let wallets = Wallets::new();
    let (coldkey_file, hotkey_file) = (wallets.unused_path("cold"), wallets.unused_path("hot"));
    let files: [(&str, &Path); 2] =
        [("--coldkey-mnemonic-file", &coldkey_file), ("--hotkey-mnemonic-file", &hotkey_file)];
    let create = ["create", "--no-use-password", "-vvv"];
    let output = wallets.command(&create, &files).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut secrets = Secrets::with_test_secrets();
    secrets.0.extend(
        [&coldkey_file, &hotkey_file]
            .map(|file| fs::read_to_string(file).unwrap().trim().to_owned()),
    );
    secrets.add_keyfile(&wallets.key("coldkey"));
    secrets.add_keyfile(&wallets.key("hotkeys/default"));
    assert_eq!(secrets.0.len(), 5 + 2 + 2 * 3);
    secrets.check(
        "create",
        &(String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output)),
    );
}

#[test]
fn daemons_print_no_secrets() {
    let wallets = Wallets::new();
    wallets.create_hotkey();
    let mut secrets = Secrets::with_test_secrets();
    let hotkey = wallets.key("hotkeys/default");
    secrets.add_keyfile(&hotkey);
    let password = wallets.file("password", PASSWORD);
    wallets.run_json(&["encrypt", "--use-hotkey"], &[("--password-file", &password)]);
    let miner = |option: &str, value: &str| {
        let mut miner = local_bb();
        miner
            .args(["miner", "--profile", "parrot", "--keyfile"])
            .arg(&hotkey)
            .args([option, value, "-vvv"]);
        miner
    };
    open_to_others(&hotkey);
    let mut miner_with_file = miner("--password-file", password.to_str().unwrap());
    let mut miner_with_variable = miner("--log-format", "json");
    miner_with_variable.env("BT_WALLET_PASSWORD", PASSWORD);
    for command in [&mut miner_with_file, &mut miner_with_variable] {
        let log = Daemon::start(command).log();
        assert!(log.contains("accessible to other users"), "the log is empty: {log}");
        secrets.check("miner", &log);
    }
    // Rejected.
    let mut runner = local_bb();
    runner.args(["runner", "--once", "--miners", "none", "--key-uri", PHRASE]);
    assert_eq!(secrets.run(&mut runner).status.code(), Some(2));
}
