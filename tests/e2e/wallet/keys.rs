//! `create`, `new-coldkey`, `new-hotkey`, `regen-coldkey`, `regen-coldkeypub`, `regen-hotkey`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{ADDRESS, PASSWORD, PHRASE, Wallets, mode, vector_secrets, vectors};
use crate::support::{document, refusal, stderr, tao};

fn words(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().split_whitespace().count()
}

#[test]
fn wallet_is_created_with_mnemonics_in_files() {
    let wallets = Wallets::new();
    let (coldkey_file, hotkey_file) =
        (wallets.unused_path("cold.txt"), wallets.unused_path("hot.txt"));
    let password = wallets.file("password", PASSWORD);
    let files: [(&str, &Path); 3] = [
        ("--coldkey-mnemonic-file", &coldkey_file),
        ("--hotkey-mnemonic-file", &hotkey_file),
        ("--password-file", &password),
    ];
    let output = wallets.run(&["create", "--hotkey", "h", "--n-words", "24"], &files);
    let created = document(&output);
    assert_eq!(
        (created["wallet"].as_str(), created["hotkey"]["name"].as_str()),
        (Some("w"), Some("h"))
    );
    assert_eq!(
        (&created["coldkey"]["encrypted"], &created["hotkey"]["encrypted"]),
        (&true.into(), &false.into())
    );
    for file in ["coldkey", "coldkeypub.txt", "hotkeys/h", "hotkeys/hpub.txt"] {
        assert_eq!(mode(&wallets.key(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&wallets.key("")), 0o700);
    assert!(fs::read(wallets.key("coldkey")).unwrap().starts_with(b"$NACL"));

    // The mnemonic files recover the keys and were not printed.
    for (file, key) in [(&coldkey_file, "coldkey"), (&hotkey_file, "hotkey")] {
        assert_eq!((words(file), mode(file)), (24, 0o600));
        let phrase = fs::read_to_string(file).unwrap();
        let output_text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        assert!(!output_text.contains(phrase.trim()));
        let other = Wallets::new();
        let regenerated = other.run_json(&["regen-hotkey"], &[("--mnemonic-file", file)]);
        assert_eq!(regenerated["hotkey"]["address"], created[key]["address"]);
    }
}

#[test]
fn single_keys_are_created() {
    let wallets = Wallets::new();
    for (number, (verb, count)) in [("new-coldkey", 12), ("new-hotkey", 15)].into_iter().enumerate()
    {
        let file = wallets.unused_path(&format!("phrase{number}"));
        let encryption_options = if verb == "new-coldkey" { "--no-use-password" } else { "--json" };
        let mut command = wallets.command(
            &[verb, "--n-words", &count.to_string(), encryption_options],
            &[("--mnemonic-file", &file)],
        );
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(words(&file), count);
        assert!(
            fs::read(wallets.key(["coldkey", "hotkeys/default"][number]))
                .unwrap()
                .starts_with(b"{")
        );
    }
    for count in ["0", "13", "16", "twelve"] {
        let error =
            refusal(&wallets.run(&["new-hotkey", "--hotkey", "x", "--n-words", count], &[]), 2);
        assert!(error.contains("12, 15, 18, 21 or 24"), "{error}");
    }
}

#[test]
fn mnemonic_without_terminal_or_new_file_is_refused() {
    let wallets = Wallets::new();
    let hotkey = wallets.key("hotkeys/default");
    let error = refusal(&wallets.run(&["new-hotkey"], &[]), 2);
    assert!(error.contains("--mnemonic-file") && error.contains("JSON"), "{error}");
    let error = refusal(&wallets.command(&["new-hotkey"], &[]).output().unwrap(), 2);
    assert!(error.contains("--mnemonic-file") && error.contains("terminal"), "{error}");
    let existing_file = wallets.file("taken", "precious");
    let error = refusal(&wallets.run(&["new-hotkey"], &[("--mnemonic-file", &existing_file)]), 1);
    assert!(error.contains("already exists"), "{error}");
    let link = wallets.unused_path("link");
    symlink(wallets.unused_path("elsewhere"), &link).unwrap();
    let error = refusal(&wallets.run(&["new-hotkey"], &[("--mnemonic-file", &link)]), 1);
    assert!(error.contains("already exists"), "{error}");
    let error = refusal(
        &wallets
            .run(&["new-hotkey"], &[("--mnemonic-file", &wallets.unused_path("no/such/folder"))]),
        1,
    );
    assert!(error.contains("cannot write"), "{error}");
    assert_eq!(fs::read_to_string(&existing_file).unwrap(), "precious");
    assert!(!hotkey.exists());
}

#[test]
fn overwritten_keys_are_backed_up() {
    let wallets = Wallets::new();
    wallets.create_plain_coldkey();
    wallets.create_hotkey();
    for (verb, file) in [("new-coldkey", "coldkey"), ("new-hotkey", "hotkeys/default")] {
        let phrase = wallets.unused_path(&format!("phrase of {verb}"));
        let encryption_options: &[&str] =
            if verb == "new-coldkey" { &["--no-use-password"] } else { &[] };
        let before = fs::read(wallets.key(file)).unwrap();
        let error = refusal(
            &wallets.run(&[&[verb], encryption_options].concat(), &[("--mnemonic-file", &phrase)]),
            1,
        );
        assert!(error.contains("--overwrite"), "{error}");
        assert!(!phrase.exists(), "the mnemonic of no key");
        assert_eq!(fs::read(wallets.key(file)).unwrap(), before);

        let created = wallets.run_json(
            &[&[verb, "--overwrite"], encryption_options].concat(),
            &[("--mnemonic-file", &phrase)],
        );
        let key = &created[if verb == "new-coldkey" { "coldkey" } else { "hotkey" }];
        assert_ne!(key["address"], ADDRESS);
        let backups: Vec<_> =
            key["backups"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
        assert_eq!(backups.len(), 2, "the key and its public file");
        assert_eq!(fs::read(backups[0]).unwrap(), before);
        assert_eq!(mode(Path::new(backups[0])), 0o600);
    }
    // Backups are not listed as keys.
    assert_eq!(
        wallets.run_json(&["list"], &[])["wallets"][0]["hotkeys"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn existing_public_file_is_refused_before_any_key_is_written() {
    let wallets = Wallets::new();
    wallets.create_hotkey();
    fs::remove_file(wallets.key("hotkeys/default")).unwrap();
    let [coldkey_file, hotkey_file] =
        ["cold phrase", "hot phrase"].map(|name| wallets.unused_path(name));
    let files = [
        ("--coldkey-mnemonic-file", coldkey_file.as_path()),
        ("--hotkey-mnemonic-file", hotkey_file.as_path()),
    ];
    let error = refusal(&wallets.run(&["create", "--no-use-password"], &files), 1);
    assert!(error.contains("defaultpub.txt") && error.contains("--overwrite"), "{error}");
    assert!(!wallets.key("coldkey").exists() && !coldkey_file.exists());
}

/// Each secret of the vectors, through each input option.
#[test]
fn keys_are_recovered_from_every_kind_of_secret() {
    let keys = vectors("keys.json");
    let wallets = Wallets::new();
    let recover = |option: &str, secret: &str, scheme: &str| {
        let file = wallets.file("secret", secret);
        let arguments = ["regen-hotkey", "--overwrite", "--crypto-type", scheme];
        wallets.run_json(&arguments, &[(option, &file)])["hotkey"]["address"].clone()
    };
    for scheme in ["sr25519", "ed25519"] {
        for (option, secret, address) in vector_secrets(scheme) {
            assert_eq!(recover(option, &secret, scheme), address.as_str(), "{option}");
        }
        let private = &keys["mnemonics"][0][scheme];
        let digits = private["private_key"].as_str().unwrap();
        for digits in [digits, digits.trim_start_matches("0x")] {
            assert_eq!(recover("--private-key-file", digits, scheme), private["ss58"]);
        }
    }
}

#[test]
fn keys_are_recovered_from_browser_wallets() {
    let vectors = vectors("polkadotjs.json");
    let wallets = Wallets::new();
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let export = wallets.file("export.json", case["json"].to_string());
        let password = wallets.file("password", case["password"].as_str().unwrap());
        let files: [(&str, &Path); 2] =
            [("--json-file", &export), ("--json-password-file", &password)];
        let created = wallets.run_json(&["regen-hotkey", "--overwrite"], &files);
        assert_eq!(created["hotkey"]["address"], case["ss58"], "{}", case["type"]);
    }
    assert_eq!(cases.len(), 4);

    let export = wallets.file("export.json", cases[0]["json"].to_string());
    let wrong_password = wallets.file("password", "not-this-Passw0rd");
    let run = |files: &[(&str, &Path)]| wallets.run(&["regen-hotkey", "--overwrite"], files);
    let error =
        refusal(&run(&[("--json-file", &export), ("--json-password-file", &wrong_password)]), 4);
    assert!(error.contains("wrong password, or the export is damaged"), "{error}");
    let error = refusal(&run(&[("--json-file", &export)]), 2);
    assert!(error.contains("--json-password-file"), "{error}");
    let error = refusal(
        &run(&[
            ("--json-file", &wallets.file("other.json", "{}")),
            ("--json-password-file", &wrong_password),
        ]),
        1,
    );
    assert!(error.contains("is not a Polkadot-JS account export"), "{error}");
}

#[test]
fn secret_is_read_from_standard_input() {
    let wallets = Wallets::new();
    let mut command = wallets.command(&["regen-hotkey", "--mnemonic-file", "-", "--json"], &[]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{PHRASE}\n").as_bytes()).unwrap();
    assert_eq!(document(&child.wait_with_output().unwrap())["hotkey"]["address"], ADDRESS);
}

#[test]
fn group_or_world_readable_secret_file_gives_a_warning() {
    let wallets = Wallets::new();
    let phrase = wallets.file("phrase", PHRASE);
    for (mode, warns) in [(0o600, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&phrase, fs::Permissions::from_mode(mode)).unwrap();
        let output = wallets.run(&["regen-hotkey", "--overwrite"], &[("--mnemonic-file", &phrase)]);
        assert_eq!(document(&output)["hotkey"]["address"], ADDRESS);
        assert_eq!(stderr(&output).contains("chmod 600"), warns, "{mode:o}: {}", stderr(&output));
    }
}

#[test]
fn invalid_secrets_are_refused_without_repeating_them() {
    let wallets = Wallets::new();
    let seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
    for (option, secret, expected_text) in [
        ("--mnemonic-file", PHRASE.replace("winner", "winter"), "checksum"),
        ("--mnemonic-file", PHRASE.replace("winner", "zzzzzz"), "word 2"),
        ("--mnemonic-file", PHRASE.replace(" yellow", ""), "11 words"),
        ("--mnemonic-file", PHRASE.replace("yellow", "thank thank thank thank thank"), "16 words"),
        ("--mnemonic-file", String::new(), "0 words"),
        ("--seed-file", format!("{seed}00"), "64 hex digits"),
        ("--seed-file", seed.replace('f', "g"), "hex digits"),
        ("--private-key-file", seed.to_owned(), "private key"),
        ("--mnemonic-file", "x".repeat(20_000), "larger than 16384 bytes"),
    ] {
        let file = wallets.file("secret", &secret);
        let error = refusal(&wallets.run(&["regen-hotkey"], &[(option, &file)]), 1);
        assert!(error.contains(expected_text), "{option}: {error}");
        for part in ["winner", "winter", "zzzzzz", "795", "xxxx"] {
            assert!(!error.contains(part), "{error}");
        }
    }
    let error = refusal(&wallets.run(&["regen-hotkey"], &[]), 2);
    assert!(error.contains("no terminal") && error.contains("--mnemonic-file"), "{error}");
    // Secrets are not accepted as arguments, which other users of the machine can read.
    for option in ["--mnemonic", "--seed", "--private-key", "--password"] {
        let error = refusal(&wallets.run(&["regen-hotkey", option, "secret-text"], &[]), 2);
        assert!(!error.contains("secret-text"), "{error}");
    }
    assert!(!wallets.root().exists());
}

#[test]
fn daemons_take_no_secret_as_an_argument() {
    let seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
    let wrong_path = "//secret-name//";
    let call = ["axon", "call", "127.0.0.1:9", "--hotkey", ADDRESS];
    for arguments in
        [&["babelbit", "miner"][..], &["babelbit", "runner", "--once", "--miners", "none"], &call]
    {
        for (uri, code) in
            [(PHRASE, 2), (seed, 2), (&format!("{PHRASE}//hot"), 2), ("", 2), (wrong_path, 1)]
        {
            let mut command = tao();
            command
                .args(arguments)
                .args(["--key-uri", uri])
                .env("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
            let error = refusal(&command.output().unwrap(), code);
            for part in ["legal", "winner", "795", "secret-name"] {
                assert!(!error.contains(part), "{arguments:?}: {error}");
            }
            assert!(code != 2 || error.contains("--key-uri"), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn coldkeypub_is_restored_from_address_or_public_key() {
    let wallets = Wallets::new();
    let created = wallets.run_json(&["regen-coldkeypub", "--ss58", ADDRESS], &[]);
    assert_eq!(created["coldkeypub"]["address"], ADDRESS);
    let list = wallets.run_json(&["list"], &[]);
    assert_eq!(
        (&list["wallets"][0]["address"], &list["wallets"][0]["secret"]),
        (&ADDRESS.into(), &"absent".into())
    );
    let key = "0x46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a";
    let error = refusal(&wallets.run(&["regen-coldkeypub", "--public-key", key], &[]), 1);
    assert!(error.contains("--overwrite"), "{error}");
    wallets.run_json(&["regen-coldkeypub", "--public-key", key, "--overwrite"], &[]);
    // The secret belongs to another key than the public file.
    let phrase = wallets.file("phrase", PHRASE);
    let error = refusal(
        &wallets.run(&["regen-coldkey", "--no-use-password"], &[("--mnemonic-file", &phrase)]),
        1,
    );
    assert!(error.contains("coldkeypub.txt") && error.contains("--overwrite"), "{error}");
    let error = refusal(&wallets.run(&["regen-coldkeypub", "--ss58", "5Grw"], &[]), 1);
    assert!(error.contains("--ss58"), "{error}");
}

#[test]
fn hotkeypub_is_restored_from_address() {
    let wallets = Wallets::new();
    let created = wallets.run_json(&["regen-hotkeypub", "--ss58", ADDRESS, "--hotkey", "h"], &[]);
    assert_eq!(
        (&created["hotkeypub"]["name"], &created["hotkeypub"]["address"]),
        (&"h".into(), &ADDRESS.into())
    );
    assert!(wallets.key("hotkeys/hpub.txt").is_file());
    let signed = "00".repeat(64);
    let output = wallets.run(
        &["verify", "--message", "x", "--signature", &signed, "--use-hotkey", "--hotkey", "h"],
        &[],
    );
    assert!(stderr(&output).contains(ADDRESS), "{}", stderr(&output));
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let error =
        refusal(&wallets.run(&["regen-hotkeypub", "--ss58", alice, "--hotkey", "h"], &[]), 1);
    assert!(error.contains("--overwrite"), "{error}");
}

#[test]
fn keys_are_recovered_along_a_derivation_path() {
    let wallets = Wallets::new();
    let dev = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    for (text, expected) in [
        (format!("{dev}//Alice"), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        (format!("{dev} //Bob\n"), "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"),
    ] {
        let file = wallets.file("phrase", text);
        let created =
            wallets.run_json(&["regen-hotkey", "--overwrite"], &[("--mnemonic-file", &file)]);
        assert_eq!(created["hotkey"]["address"], expected);
    }
    for (text, expected_text) in [
        ("//Alice", "missing mnemonic before the derivation path"),
        (&format!("{dev}//"), "empty junction"),
    ] {
        let error = refusal(
            &wallets.run(&["regen-coldkey"], &[("--mnemonic-file", &wallets.file("phrase", text))]),
            1,
        );
        assert!(error.contains(expected_text) && !error.contains("bottom"), "{error}");
    }
}

/// btcli options that are accepted without effect, or as aliases.
#[test]
fn btcli_options_are_accepted() {
    let wallets = Wallets::new();
    let (hotkey_file, coldkey_file) = (wallets.unused_path("hot"), wallets.unused_path("cold"));
    let password = wallets.file("password", PASSWORD);
    let arguments =
        ["new-hotkey", "--no-use-password", "--n_words", "12", "--json-output", "--quiet"];
    let output =
        wallets.command(&arguments, &[("--mnemonic-file", &hotkey_file)]).output().unwrap();
    assert_eq!(document(&output)["hotkey"]["encrypted"], false);
    let arguments = ["new-coldkey", "--use-password", "--n-words", "12", "--json-output", "-q"];
    let files: [(&str, &Path); 2] =
        [("--mnemonic-file", &coldkey_file), ("--password-file", &password)];
    let output = wallets.command(&arguments, &files).output().unwrap();
    assert_eq!(document(&output)["coldkey"]["encrypted"], true);
    // --quiet prints nothing.
    fs::set_permissions(wallets.key("hotkeys/default"), fs::Permissions::from_mode(0o644)).unwrap();
    for (quiet, silent) in [(&[][..], false), (&["--quiet"], true)] {
        let output =
            wallets.run(&[&["sign", "--use-hotkey", "--message", "x"], quiet].concat(), &[]);
        assert_eq!(stderr(&output).is_empty(), silent, "{}", stderr(&output));
    }
}

#[test]
fn weak_new_passwords_are_refused() {
    let wallets = Wallets::new();
    let phrase = wallets.file("phrase", PHRASE);
    for (password, expected_text) in
        [("abc", "fewer than 6"), ("aaaaaaaaaaaa", "too weak"), ("", "no password")]
    {
        let password = wallets.file("password", password);
        let files: [(&str, &Path); 2] =
            [("--mnemonic-file", &phrase), ("--password-file", &password)];
        let error = refusal(&wallets.run(&["regen-coldkey"], &files), 1);
        assert!(error.contains(expected_text), "{error}");
    }
    let error = refusal(&wallets.run(&["regen-coldkey"], &[("--mnemonic-file", &phrase)]), 2);
    assert!(error.contains("--password-file"), "{error}");
    let error = refusal(
        &wallets.run(&["regen-coldkey", "--no-use-password", "--password-fd", "3"], &[]),
        2,
    );
    assert!(error.contains("cannot be used with"), "{error}");
    assert!(!wallets.root().exists());
}

#[test]
fn wallet_and_hotkey_names_are_validated() {
    let wallets = Wallets::new();
    let phrase = wallets.file("phrase", PHRASE);
    for name in ["../x", "a/b", ".hidden", "", "xpub.txt"] {
        for option in ["--wallet-name", "--hotkey"] {
            let output =
                wallets.run(&["regen-hotkey", option, name], &[("--mnemonic-file", &phrase)]);
            let error = refusal(&output, 2);
            assert!(error.contains(option), "{name}: {error}");
        }
    }
    // Option and variable names of the Python tools.
    let created = wallets.run_json(
        &["regen-hotkey", "--wallet.name", "other", "--wallet.hotkey", "h"],
        &[("--mnemonic-file", &phrase), ("--wallet.path", &wallets.unused_path("elsewhere"))],
    );
    assert_eq!((&created["wallet"], &created["hotkey"]["name"]), (&"other".into(), &"h".into()));
    assert!(wallets.unused_path("elsewhere/other/hotkeys/h").is_file());
    for (variables, expected) in [
        (&[("BT_WALLET_NAME", "a"), ("BT_WALLET", "b")][..], "a"),
        (&[("BT_WALLET_NAME", ""), ("BT_WALLET", "b")], "b"),
        (&[("BT_WALLET_NAME", "")], "default"),
    ] {
        let mut command =
            wallets.command(&["regen-hotkey", "--json"], &[("--mnemonic-file", &phrase)]);
        let created = document(
            &command
                .env("BT_WALLET_HOTKEY", "mine")
                .envs(variables.iter().copied())
                .output()
                .unwrap(),
        );
        assert_eq!(
            (&created["wallet"], &created["hotkey"]["name"]),
            (&Value::from(expected), &"mine".into())
        );
    }
}
