//! `list`, `inspect`, `encrypt`, `decrypt`, `change-password`, `export`, and invalid key files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::{Value, json};

use super::{ADDRESS, PASSWORD, PHRASE, Wallets, keyfile_vector, mode};
use crate::support::{local_bb, refusal, stderr};

const OTHER_PASSWORD: &str = "another-Passw0rd?";
/// Address of the keys in the vectors.
const VECTOR_ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

#[test]
fn wallets_are_listed_as_a_tree() {
    let wallets = Wallets::new();
    assert_eq!(wallets.run_json(&["list"], &[])["wallets"], json!([]));
    wallets.create_plain_coldkey();
    wallets.create_hotkey();
    let phrase = wallets.file("phrase", PHRASE);
    wallets.run_json(&["regen-hotkey", "--hotkey", "second"], &[("--mnemonic-file", &phrase)]);
    wallets.run_json(&["regen-coldkeypub", "--wallet-name", "watched", "--ss58", ADDRESS], &[]);
    // Unrelated files.
    fs::write(wallets.root().join("notes.txt"), "").unwrap();
    fs::create_dir(wallets.root().join("empty")).unwrap();
    fs::create_dir(wallets.key("hotkeys/folder")).unwrap();

    let key = |name: &str, secret: &str| json!({ "name": name, "address": ADDRESS, "keyfile_address": null, "crypto_type": "sr25519", "secret": secret });
    let with_hotkeys = |mut wallet: Value, hotkeys: Value| {
        wallet["hotkeys"] = hotkeys;
        wallet
    };
    assert_eq!(
        wallets.run_json(&["list"], &[])["wallets"],
        json!([
            with_hotkeys(
                key("w", "plain"),
                json!([key("default", "plain"), key("second", "plain")])
            ),
            with_hotkeys(key("watched", "absent"), json!([])),
        ])
    );
    let output = wallets.command(&["list"], &[]).output().unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let (root, tree) = tree.split_once('\n').unwrap();
    assert_eq!(root, wallets.root().to_str().unwrap());
    let lines: Vec<Vec<_>> = tree
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let expected: [&[&str]; 4] = [
        &["├── w", ADDRESS, "not encrypted"],
        &["│", "├── default", ADDRESS],
        &["│", "└── second", ADDRESS],
        &["└── watched", ADDRESS, "public file only"],
    ];
    assert_eq!(lines, expected);
}

#[test]
fn missing_key_error_suggests_wallet_creation() {
    let wallets = Wallets::new();
    let error = refusal(&wallets.command(&["sign", "--message", "x"], &[]).output().unwrap(), 4);
    assert!(
        error.contains("w/coldkey\n") && error.contains("`tao wallet create` makes a wallet"),
        "{error}"
    );
}

/// An unreadable key is distinguished from an absent one.
#[test]
fn unreadable_keys_are_listed_as_unreadable() {
    let wallets = Wallets::new();
    wallets.run_json(&["regen-coldkeypub", "--ss58", ADDRESS], &[]);
    wallets.run_json(&["regen-hotkeypub", "--ss58", ADDRESS, "--hotkey", "h"], &[]);
    // Circular links, since root can read every file.
    for path in ["coldkey", "hotkeys/h"].map(|name| wallets.key(name)) {
        symlink(&path, &path).unwrap();
    }
    let list = wallets.run_json(&["list"], &[]);
    let wallet = &list["wallets"][0];
    for key in [wallet, &wallet["hotkeys"][0]] {
        assert_eq!(
            (&key["secret"], &key["address"]),
            (&json!("unreadable"), &json!(ADDRESS)),
            "{list}"
        );
    }
    let output = wallets.command(&["list"], &[]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("keyfile unreadable").count(), 2);
    let inspected = wallets.run_json(&["inspect"], &[]);
    assert!(
        inspected["keys"].as_array().unwrap().iter().all(|key| key["secret"] == "unreadable"),
        "{inspected}"
    );
}

#[test]
fn wallet_is_inspected_without_its_password() {
    let wallets = Wallets::new();
    let error = refusal(&wallets.run(&["inspect"], &[]), 1);
    assert!(error.contains("tao wallet list"), "{error}");
    wallets.create_hotkey();
    fs::write(wallets.key("coldkey"), keyfile_vector("nacl_7")).unwrap();
    fs::set_permissions(wallets.key("coldkey"), fs::Permissions::from_mode(0o644)).unwrap();
    let inspected = wallets.run_json(&["inspect"], &[]);
    let [coldkey, hotkey] = &inspected["keys"].as_array().unwrap()[..] else {
        panic!("{inspected}")
    };
    assert_eq!((&coldkey["address"], &coldkey["encryption"]), (&Value::Null, &json!("NaCl")));
    assert_eq!(coldkey["open_to_others"], "644");
    assert_eq!((&hotkey["name"], &hotkey["address"]), (&json!("default"), &json!(ADDRESS)));
    assert_eq!((&hotkey["secret"], &hotkey["open_to_others"]), (&json!("plain"), &Value::Null));
    let output = wallets.command(&["inspect"], &[]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("encrypted (NaCl), readable by others (mode 644)") && text.contains(ADDRESS),
        "{text}"
    );
}

/// Plain, encrypted, under another password, plain again: always the same key.
#[test]
fn password_is_set_changed_and_removed() {
    let wallets = Wallets::new();
    wallets.create_plain_coldkey();
    let plain = fs::read(wallets.key("coldkey")).unwrap();
    let (first, second) = (wallets.file("first", PASSWORD), wallets.file("second", OTHER_PASSWORD));
    let signer = |password: &Path| {
        let files = [("--password-file", password)];
        wallets.run_json(&["sign", "--message", "x"], &files)["signer_address"].clone()
    };

    let error = refusal(&wallets.run(&["decrypt", "--yes"], &[]), 1);
    assert!(error.contains("is not encrypted"), "{error}");
    assert_eq!(wallets.run_json(&["encrypt"], &[("--password-file", &first)])["encrypted"], true);
    assert!(fs::read(wallets.key("coldkey")).unwrap().starts_with(b"$NACL"));
    let error = refusal(&wallets.run(&["encrypt"], &[("--password-file", &first)]), 1);
    assert!(
        error.contains("is already encrypted (NaCl)") && error.contains("change-password"),
        "{error}"
    );

    let files: [(&str, &Path); 2] =
        [("--password-file", &second), ("--new-password-file", &second)];
    let before = fs::read(wallets.key("coldkey")).unwrap();
    refusal(&wallets.run(&["change-password"], &files), 4);
    assert_eq!(fs::read(wallets.key("coldkey")).unwrap(), before);
    wallets.run_json(
        &["change-password"],
        &[("--password-file", &first), ("--new-password-file", &second)],
    );
    assert_eq!(signer(&second), ADDRESS);
    refusal(&wallets.run(&["sign", "--message", "x"], &[("--password-file", &first)]), 4);

    let error = refusal(&wallets.run(&["decrypt"], &[("--password-file", &second)]), 2);
    assert!(error.contains("--yes"), "{error}");
    assert_eq!(
        wallets.run_json(&["decrypt", "--yes"], &[("--password-file", &second)])["encrypted"],
        false
    );
    assert_eq!(fs::read(wallets.key("coldkey")).unwrap(), plain);
    assert_eq!(mode(&wallets.key("coldkey")), 0o600);
}

#[test]
fn passwords_come_from_descriptors_and_the_environment() {
    let wallets = Wallets::new();
    let coldkey = wallets.key("coldkey");
    fs::create_dir_all(wallets.key("hotkeys")).unwrap();
    fs::write(&coldkey, keyfile_vector("ansible_vault")).unwrap();
    fs::set_permissions(&coldkey, fs::Permissions::from_mode(0o600)).unwrap();
    let file = wallets.file("password", PASSWORD);
    let sign = || wallets.command(&["sign", "--message", "x", "--json"], &[]);

    let stored = taonet_wallet::stored_password_name(&coldkey);
    let value = taonet_wallet::Password::new(PASSWORD.to_owned()).to_stored(&stored);
    for (name, value) in [
        (stored.as_str(), value.as_str()),
        ("BT_WALLET_PASSWORD", PASSWORD),
        ("BT_WALLET_PASSWORD_FILE", file.to_str().unwrap()),
    ] {
        let output = sign().env(name, value).output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
    let output =
        sign().args(["--password-fd", "0"]).stdin(fs::File::open(&file).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    refusal(&sign().env("BT_WALLET_PASSWORD", "not-this-Passw0rd").output().unwrap(), 4);
    // Options take precedence over the environment.
    let wrong_password = wallets.file("wrong", "not-this-Passw0rd");
    refusal(
        &sign()
            .env("BT_WALLET_PASSWORD", PASSWORD)
            .arg("--password-file")
            .arg(wrong_password)
            .output()
            .unwrap(),
        4,
    );
    let error = refusal(&sign().args(["--password-fd", "999999"]).output().unwrap(), 1);
    assert!(error.contains("/dev/fd/999999"), "{error}");
}

#[test]
fn exports_are_encrypted_and_read_back() {
    let wallets = Wallets::new();
    wallets.create_plain_coldkey();
    let (out, password) = (wallets.unused_path("export.json"), wallets.file("password", PASSWORD));
    let export = |out: &Path| {
        wallets.run(&["export"], &[("--out", out), ("--json-password-file", &password)])
    };
    let error = refusal(&wallets.run(&["export"], &[("--out", &out)]), 2);
    assert!(error.contains("--json-password-file"), "{error}");
    assert!(!out.exists());
    assert!(export(&out).status.success());
    assert_eq!(mode(&out), 0o600);
    let document: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!((&document["address"], &document["meta"]["name"]), (&json!(ADDRESS), &json!("w")));
    let error = refusal(&export(&out), 1);
    assert!(error.contains("already exists"), "{error}");
    let files: [(&str, &Path); 2] = [("--json-file", &out), ("--json-password-file", &password)];
    assert_eq!(wallets.run_json(&["regen-hotkey"], &files)["hotkey"]["address"], ADDRESS);
}

/// Damaged files of each format.
#[test]
fn damaged_keyfiles_are_refused_without_showing_them() {
    let wallets = Wallets::new();
    wallets.create_hotkey();
    let password = wallets.file("password", PASSWORD);
    let plain = String::from_utf8(keyfile_vector("plain_mnemonic")).unwrap();
    let cut = |id: &str| {
        let bytes = keyfile_vector(id);
        bytes[..bytes.len() - 7].to_vec()
    };
    let flipped = |id: &str| {
        let mut bytes = keyfile_vector(id);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let damaged = "wrong password, or the keyfile is damaged";
    for (case, content, code, expected_text) in [
        ("empty", Vec::new(), 1, "keyfile is not JSON"),
        ("plain, cut", cut("plain_mnemonic"), 1, "keyfile is not JSON"),
        (
            "plain, other address",
            plain.replace(VECTOR_ADDRESS, ADDRESS).into_bytes(),
            1,
            "its key belongs to",
        ),
        (
            "plain, other word",
            plain.replace("bottom", "legal").into_bytes(),
            1,
            "contains no usable key",
        ),
        (
            "plain, other scheme",
            plain.replace("\"cryptoType\":1", "\"cryptoType\":7").into_bytes(),
            1,
            "contains no usable key",
        ),
        ("public", keyfile_vector("plain_ss58_only"), 1, "public keyfile"),
        ("NaCl, nothing in it", b"$NACL".to_vec(), 4, damaged),
        ("NaCl, cut", cut("nacl_7"), 4, damaged),
        ("NaCl, flipped", flipped("nacl_7"), 4, damaged),
        ("Ansible, cut", cut("ansible_vault"), 4, damaged),
        ("Ansible, flipped", flipped("ansible_vault"), 4, damaged),
        ("Fernet, cut", cut("legacy_fernet"), 4, damaged),
        ("large", vec![b' '; 70_000], 1, "70000 bytes"),
    ] {
        fs::write(wallets.key("hotkeys/default"), &content).unwrap();
        let output = wallets
            .run(&["sign", "--use-hotkey", "--message", "x"], &[("--password-file", &password)]);
        let error = refusal(&output, code);
        assert!(
            error.contains(expected_text) && error.contains("hotkeys/default"),
            "{case}: {error}"
        );
        assert!(!error.contains("smoke") && !error.contains("fac795"), "{case}: {error}");
        // They do not affect the listing of others.
        assert_eq!(
            wallets.run_json(&["list"], &[])["wallets"][0]["hotkeys"][0]["name"],
            "default",
            "{case}"
        );
    }
}

#[test]
fn key_file_permissions_and_symlinks_are_checked() {
    let wallets = Wallets::new();
    wallets.create_hotkey();
    let key = wallets.key("hotkeys/default");
    let sign = || wallets.run(&["sign", "--use-hotkey", "--message", "x"], &[]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = sign();
    assert!(output.status.success());
    assert!(stderr(&output).contains("accessible to other users"), "{}", stderr(&output));
    // Keys are read through symbolic links, but never written through them.
    let real = wallets.unused_path("real");
    fs::rename(&key, &real).unwrap();
    symlink(&real, &key).unwrap();
    assert!(sign().status.success());
    let (phrase, before) = (wallets.file("phrase", PHRASE), fs::read(&real).unwrap());
    let error =
        refusal(&wallets.run(&["regen-hotkey", "--overwrite"], &[("--mnemonic-file", &phrase)]), 1);
    assert!(error.contains("symbolic link"), "{error}");
    let password = wallets.file("password", PASSWORD);
    let error =
        refusal(&wallets.run(&["encrypt", "--use-hotkey"], &[("--password-file", &password)]), 1);
    assert!(error.contains("symbolic link"), "{error}");
    assert_eq!(fs::read(&real).unwrap(), before);
    // A dangling link, a folder, and no file at all.
    fs::remove_file(&real).unwrap();
    refusal(&sign(), 4);
    fs::remove_file(&key).unwrap();
    let error = refusal(&sign(), 4);
    assert!(error.contains("cannot read"), "{error}");
    fs::create_dir(&key).unwrap();
    let error = refusal(&sign(), 1);
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn daemon_opens_hotkey_with_password_variable() {
    let wallets = Wallets::new();
    let keyfile = wallets.file("hotkey", keyfile_vector("ansible_vault"));
    // The runner fails later, at its empty list of miners.
    let miners = wallets.file("miners.json", "[]");
    let run = |password: &str| {
        let mut runner = local_bb();
        runner.args(["runner", "--once", "--miners"]).arg(&miners).arg("--keyfile").arg(&keyfile);
        stderr(&runner.env("BT_WALLET_PASSWORD", password).output().unwrap())
    };
    assert!(run(PASSWORD).contains("contains no miner"), "{}", run(PASSWORD));
    assert!(run("not-this-Passw0rd").contains("wrong password"), "{}", run("not-this-Passw0rd"));
}
