//! Interoperability of keyfiles, wallets and signatures with the Python tools, in both directions.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::wallet::{PASSWORD, PHRASE, Wallets, mode, vector_secrets};

/// The wallet of SDK 10 and before, and the one of SDK 11.
const PEERS: [&str; 2] = ["wallet", "sdk11"];
const SCHEMES: [(&str, u8); 2] = [("ed25519", 0), ("sr25519", 1)];

/// Results of a list of steps, each of which must succeed.
#[track_caller]
fn query_peer(peer: &Peer, steps: &Value) -> Vec<Value> {
    let results = peer.query(&mut peer.script("wallet.py"), steps);
    let results =
        results.as_array().unwrap().iter().zip(steps.as_array().unwrap()).map(|(result, step)| {
            assert!(result.get("error").is_none(), "{step}: {result}");
            result["answer"].clone()
        });
    results.collect()
}

/// Runs a test with each installed peer.
fn with_each(test: impl Fn(&Peer)) {
    PEERS.into_iter().filter_map(Peer::find).for_each(|peer| test(&peer));
}

#[test]
fn python_wallet_reads_wallets_of_tao() {
    with_each(|peer| {
        for (scheme, number) in SCHEMES {
            let wallets = Wallets::new();
            let (phrase, password) =
                (wallets.file("phrase", PHRASE), wallets.file("password", PASSWORD));
            let scheme = ["--crypto-type", scheme];
            let files: [(&str, &Path); 2] =
                [("--mnemonic-file", &phrase), ("--password-file", &password)];
            let coldkey = wallets.run_json(&[&["regen-coldkey"], &scheme[..]].concat(), &files);
            let hotkey = wallets.run_json(&[&["regen-hotkey"], &scheme[..]].concat(), &files[..1]);
            let opened = query_peer(
                peer,
                &json!([{ "do": "open_wallet", "path": wallets.root(), "name": "w", "hotkey": "default", "password": PASSWORD }]),
            );
            for key in ["coldkey", "coldkeypub", "hotkey", "hotkeypub"] {
                let created_key = if key.starts_with("coldkey") {
                    &coldkey["coldkey"]
                } else {
                    &hotkey["hotkey"]
                };
                assert_eq!(opened[0][key]["address"], created_key["address"], "{key}");
                assert_eq!(opened[0][key]["crypto_type"], number, "{key}");
            }
        }
    });
}

/// Keys from seeds and private keys have other fields than those from mnemonics.
#[test]
fn python_wallet_reads_keys_of_every_origin() {
    with_each(|peer| {
        let wallets = Wallets::new();
        let (mut steps, mut expected) = (Vec::new(), Vec::new());
        for (scheme, _) in SCHEMES {
            for (number, (option, secret, address)) in
                vector_secrets(scheme).into_iter().enumerate()
            {
                let (name, secret) = (format!("{scheme}-{number}"), wallets.file("secret", secret));
                wallets.run_json(
                    &["regen-hotkey", "--crypto-type", scheme, "--hotkey", &name],
                    &[(option, &secret)],
                );
                steps.push(json!({ "do": "read", "path": wallets.key("hotkeys").join(name) }));
                expected.push(address);
            }
        }
        let addresses: Vec<_> =
            query_peer(peer, &steps.into()).iter().map(|key| key["address"].clone()).collect();
        assert_eq!(addresses, expected);
    });
}

#[test]
fn tao_reads_wallets_of_python_wallet() {
    with_each(|peer| {
        let wallets = Wallets::new();
        let created = query_peer(
            peer,
            &json!([{ "do": "create_wallet", "path": wallets.root(), "name": "w", "hotkey": "default", "password": PASSWORD }]),
        );
        let list = wallets.run_json(&["list"], &[]);
        let wallet = &list["wallets"][0];
        assert_eq!(
            (&wallet["address"], &wallet["secret"]),
            (&created[0]["coldkey"]["address"], &json!("encrypted"))
        );
        assert_eq!(wallet["hotkeys"][0]["address"], created[0]["hotkey"]["address"]);
        let password = wallets.file("password", PASSWORD);
        let signed =
            wallets.run_json(&["sign", "--message", "hello"], &[("--password-file", &password)]);
        assert_eq!(signed["signer_address"], created[0]["coldkey"]["address"]);
        let signed = wallets.run_json(&["sign", "--message", "hello", "--use-hotkey"], &[]);
        assert_eq!(signed["signer_address"], created[0]["hotkey"]["address"]);
    });
}

#[test]
fn python_wallet_reads_reencrypted_keys() {
    with_each(|peer| {
        let wallets = Wallets::new();
        fs::create_dir_all(wallets.key("hotkeys")).unwrap();
        let coldkey = wallets.key("coldkey");
        let created = query_peer(
            peer,
            &json!([{ "do": "write", "path": coldkey, "uri": "//Alice", "password": PASSWORD }]),
        );
        let (first, second) =
            (wallets.file("first", PASSWORD), wallets.file("second", "another-Passw0rd?"));
        wallets.run_json(
            &["change-password"],
            &[("--password-file", &first), ("--new-password-file", &second)],
        );
        assert_eq!(mode(&coldkey), 0o600);
        let results = peer.query(
            &mut peer.script("wallet.py"),
            &json!([
                { "do": "read", "path": coldkey, "password": "another-Passw0rd?" },
                { "do": "read", "path": coldkey, "password": PASSWORD },
            ]),
        );
        assert_eq!(results[0]["answer"], created[0]);
        let error = results[1]["error"].as_str().unwrap_or_default();
        assert!(error.to_lowercase().contains("wrong password"), "{results}");
        wallets.run_json(&["decrypt", "--yes"], &[("--password-file", &second)]);
        assert_eq!(query_peer(peer, &json!([{ "do": "read", "path": coldkey }])), created);
    });
}

#[test]
fn signatures_verify_in_both_implementations() {
    with_each(|peer| {
        let messages =
            ["", "hello", "0x00ff", "<Bytes>hello</Bytes>", "héllo τ"].map(str::as_bytes);
        let long = "long ".repeat(1000);
        let messages: Vec<_> = messages.into_iter().chain([long.as_bytes()]).collect();
        for (scheme, number) in SCHEMES {
            let wallets = Wallets::new();
            let phrase = wallets.file("phrase", PHRASE);
            let created = wallets.run_json(
                &["regen-hotkey", "--crypto-type", scheme],
                &[("--mnemonic-file", &phrase)],
            );
            let address = created["hotkey"]["address"].as_str().unwrap();
            let hotkey = wallets.key("hotkeys/default");
            let peer_signatures = query_peer(
                peer,
                &messages
                    .iter()
                    .map(|message| json!({ "do": "sign", "path": hotkey, "message": hex::encode(message) }))
                    .collect(),
            );
            let mut steps = Vec::new();
            for (message, peer_signature) in messages.iter().zip(&peer_signatures) {
                let file = wallets.file("message", message);
                let signature = peer_signature.as_str().unwrap();
                let arguments = [
                    "verify",
                    "--ss58",
                    address,
                    "--crypto-type",
                    scheme,
                    "--signature",
                    signature,
                ];
                assert_eq!(
                    wallets.run_json(&arguments, &[("--message-file", &file)])["verified"],
                    true
                );
                let tao_signature = wallets
                    .run_json(&["sign", "--use-hotkey", "--yes"], &[("--message-file", &file)]);
                let verify = |message: &[u8]| {
                    json!({
                        "do": "verify", "address": address, "crypto_type": number,
                        "message": hex::encode(message),
                        "signature": tao_signature["signed_message"],
                    })
                };
                steps.extend([verify(message), verify(&[message, &b"!"[..]].concat())]);
            }
            let result = query_peer(peer, &steps.into());
            assert_eq!(result, [true, false].repeat(messages.len()), "{scheme}");
        }
    });
}

#[test]
fn password_variables_are_compatible() {
    with_each(|peer| {
        let wallets = Wallets::new();
        fs::create_dir_all(wallets.key("hotkeys")).unwrap();
        let coldkey = wallets.key("coldkey");
        let variable = &query_peer(
            peer,
            &json!([
                { "do": "write", "path": coldkey, "uri": "//Alice", "password": PASSWORD },
                { "do": "password_variable", "path": coldkey, "password": PASSWORD },
            ]),
        )[1];
        let (name, value) =
            (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
        // `tao` reads the keys of the Python wallet.
        let mut sign = wallets.command(&["sign", "--message", "x"], &[]);
        let output = sign.env(name, value).output().unwrap();
        assert!(output.status.success(), "{}", crate::support::stderr(&output));
        // The Python wallet reads the keys of `tao`. Without a password, it would prompt and fail.
        let variable_name = taonet_wallet::stored_password_name(&coldkey);
        let stored = taonet_wallet::Password::new(PASSWORD.to_owned()).to_stored(&variable_name);
        assert_eq!((variable_name.as_str(), stored.as_str()), (name, value));
        let mut script = peer.script("wallet.py");
        let results = peer.query(
            script.env(&variable_name, stored.as_str()),
            &json!([{ "do": "read", "path": coldkey }]),
        );
        assert!(results[0]["answer"]["address"].is_string(), "{results}");
    });
}

#[test]
fn python_wallet_imports_exported_keys() {
    with_each(|peer| {
        let wallets = Wallets::new();
        wallets.create_plain_coldkey();
        let (out, password) =
            (wallets.unused_path("export.json"), wallets.file("password", PASSWORD));
        let exported =
            wallets.run_json(&["export"], &[("--out", &out), ("--json-password-file", &password)]);
        let imported =
            query_peer(peer, &json!([{ "do": "import_json", "path": out, "password": PASSWORD }]));
        assert_eq!(imported[0]["address"], exported["address"]);
    });
}
