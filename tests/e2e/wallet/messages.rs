//! `sign`, `verify` and `ss58 convert`.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taonet_wallet::{Keypair, verify};

use super::{ADDRESS, PASSWORD, Wallets};
use crate::support::{document, refusal, repository, stderr, tao};

/// Alice's public key in several forms.
const ALICE: [&str; 4] = [
    "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
    "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5",
    "HNZata7iMYWmk5RvZRTiAsSDhV8366zq2YGb3tLH5Upf74F",
    "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
];

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[test]
fn signed_messages_verify() {
    let wallets = Wallets::new();
    wallets.create_plain_coldkey();
    wallets.create_hotkey();
    let file = wallets.file("message", b"\x00bytes\xff\n");
    let path = file.to_str().unwrap();
    for message in [
        ["--message", "hällo"],
        ["--message", ""],
        ["--message", "0x00ff"],
        ["--message-file", path],
    ] {
        for key in [&[][..], &["--use-hotkey"]] {
            let result = wallets.run_json(&[&["sign", "--yes"], &message[..], key].concat(), &[]);
            assert_eq!(text(&result, "signer_address"), ADDRESS);
            let signature = text(&result, "signed_message");
            assert_eq!(signature.len(), 128, "no 0x");
            // The exact bytes are signed, without wrapping or hex decoding.
            let bytes = if message[0] == "--message" {
                message[1].as_bytes().to_vec()
            } else {
                fs::read(&file).unwrap()
            };
            assert!(verify(&ADDRESS.parse().unwrap(), &bytes, &signature.parse().unwrap()));
            for (signer, prefixed) in [(Some(ADDRESS), ""), (None, "0x")] {
                let signature = format!("{prefixed}{signature}");
                let mut arguments =
                    [&["verify", "--signature", &signature], &message[..], key].concat();
                arguments.extend(signer.iter().flat_map(|signer| ["--ss58", signer]));
                let result = wallets.run_json(&arguments, &[]);
                assert_eq!(result, json!({ "verified": true, "signer_address": ADDRESS }));
            }
        }
    }
}

/// A transaction presented as a message could move the key's funds.
#[test]
fn binary_message_is_signed_only_with_confirmation() {
    let wallets = Wallets::new();
    wallets.create_plain_coldkey();
    wallets.create_hotkey();
    let file = wallets.file("message", b"\x00bytes\xff\n");
    for key in [&[][..], &["--use-hotkey"]] {
        let error =
            refusal(&wallets.run(&[&["sign"], key].concat(), &[("--message-file", &file)]), 2);
        let hash = hex::encode(Sha256::digest(fs::read(&file).unwrap()));
        for part in ["8 bytes", &hash, "--yes"] {
            assert!(error.contains(part), "{error}");
        }
    }
    let text = wallets.file("text", "hällo\n");
    wallets.run_json(&["sign"], &[("--message-file", &text)]);
}

#[test]
fn message_is_read_from_standard_input() {
    let wallets = Wallets::new();
    wallets.create_plain_coldkey();
    let mut command = wallets.command(&["sign", "--message-file", "-", "--json"], &[]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"piped").unwrap();
    let result = document(&child.wait_with_output().unwrap());
    let signature = text(&result, "signed_message").parse().unwrap();
    assert!(verify(&ADDRESS.parse().unwrap(), b"piped", &signature));
}

#[test]
fn invalid_signature_is_refused() {
    let wallets = Wallets::new();
    let signature = Keypair::from_uri("//Alice").unwrap().sign(b"hello").to_bare_hex();
    let check =
        |arguments: &[&str]| wallets.run(&[&["verify", "--message"], arguments].concat(), &[]);
    let flipped =
        signature.replacen(&signature[..1], if signature.starts_with('0') { "1" } else { "0" }, 1);
    for arguments in [
        ["hullo", "--signature", &signature, "--ss58", ALICE[0]],
        ["hello", "--signature", &signature, "--ss58", ADDRESS],
        ["hello", "--signature", &flipped, "--ss58", ALICE[0]],
    ] {
        let output = check(&arguments);
        assert_eq!(output.status.code(), Some(1));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["verified"], false);
        assert!(stderr(&output).contains("invalid signature"), "{}", stderr(&output));
    }
    // Wrapped as by browser wallets.
    let wrapped_hex =
        Keypair::from_uri("//Alice").unwrap().sign(b"<Bytes>hello</Bytes>").to_bare_hex();
    assert_eq!(
        document(&check(&["hello", "--signature", &wrapped_hex, "--ss58", ALICE[3]]))["verified"],
        true
    );
    for (arguments, code, expected_text) in [
        (&["hello", "--signature", "12", "--ss58", ALICE[0]][..], 2, "2 hex digits, expected 128"),
        (&["hello", "--signature", &signature, "--ss58", ALICE[1]], 1, "prefix is 0, expected 42"),
        (&["hello", "--signature", &signature, "--ss58", "0x12"], 1, "--ss58"),
        (&["hello", "--ss58", ALICE[0]], 2, "--signature"),
        (&["hello", "--signature", &signature], 4, "coldkeypub.txt"),
        (&["hello", "--signature", &signature, "--message-file", "x"], 2, "cannot be used with"),
    ] {
        let error = refusal(&check(arguments), code);
        assert!(error.contains(expected_text), "{arguments:?}: {error}");
    }
    let error = refusal(&wallets.run(&["verify", "--signature", &signature], &[]), 2);
    assert!(error.contains("--message"), "{error}");
}

#[test]
fn ed25519_keys_sign_and_verify() {
    let wallets = Wallets::new();
    let phrase = wallets.file("phrase", super::PHRASE);
    let arguments = ["regen-coldkey", "--no-use-password", "--crypto-type", "ed25519"];
    let created = wallets.run_json(&arguments, &[("--mnemonic-file", &phrase)]);
    let result = wallets.run_json(&["sign", "--message", "hello"], &[]);
    assert_eq!(result["signer_address"], created["coldkey"]["address"]);
    let (signature, signer) = (text(&result, "signed_message"), text(&result, "signer_address"));
    let check = |more: &[&str]| {
        wallets
            .run(&[&["verify", "--message", "hello", "--signature", signature], more].concat(), &[])
    };
    assert!(check(&[]).status.success());
    assert!(check(&["--ss58", signer, "--crypto-type", "ed25519"]).status.success());
    assert_eq!(check(&["--ss58", signer]).status.code(), Some(1), "the scheme is not guessed");
    // Lists of validators contain addresses without a scheme, which means sr25519.
    wallets
        .run_json(&["regen-hotkey", "--crypto-type", "ed25519"], &[("--mnemonic-file", &phrase)]);
    let error = refusal(&wallets.run(&["sign", "--validator-name", "x"], &[]), 1);
    assert!(error.contains("is an ed25519 key"), "{error}");
}

#[test]
fn encrypted_key_signs_with_its_password() {
    let wallets = Wallets::new();
    let (phrase, password) =
        (wallets.file("phrase", super::PHRASE), wallets.file("password", format!("{PASSWORD}\n")));
    wallets.run_json(
        &["regen-coldkey"],
        &[("--mnemonic-file", &phrase), ("--password-file", &password)],
    );
    let sign = ["sign", "--message", "hello"];
    assert_eq!(
        wallets.run_json(&sign, &[("--password-file", &password)])["signer_address"],
        ADDRESS
    );
    let error = refusal(&wallets.run(&sign, &[]), 2);
    assert!(error.contains("no terminal") && error.contains("--password-file"), "{error}");
    let wrong_password = wallets.file("wrong", "not-this-Passw0rd");
    let error = refusal(&wallets.run(&sign, &[("--password-file", &wrong_password)]), 4);
    assert!(error.contains("wrong password, or the keyfile is damaged"), "{error}");
    assert!(!error.contains("not-this"), "{error}");
}

/// The list contains published entries of real validators.
#[test]
fn validator_info_is_verified() {
    let wallets = Wallets::new();
    let file = repository("tests/e2e/data/validators.json");
    let result = wallets.run_json(&["verify"], &[("--validator-info", &file)]);
    let checked = result["validators"].as_array().unwrap();
    assert_eq!(checked.len(), 5);
    assert!(checked.iter().all(|entry| entry["verified"] == true), "{result}");

    // Each field is signed.
    let published: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    for field in ["name", "url", "description"] {
        let mut list = published.clone();
        let (address, entry) = list.as_object_mut().unwrap().iter_mut().nth(1).unwrap();
        entry[field] = json!(format!("{} ", text(entry, field)));
        let address = address.clone();
        let output = wallets.run(
            &["verify"],
            &[("--validator-info", &wallets.file("list.json", list.to_string()))],
        );
        assert_eq!(output.status.code(), Some(1));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        for entry in result["validators"].as_array().unwrap() {
            assert_eq!(
                entry["verified"],
                json!(entry["signer_address"] != address.as_str()),
                "{field}"
            );
        }
        assert!(stderr(&output).contains("1 of 5 signatures"), "{}", stderr(&output));
    }

    // An entry created by `tao wallet sign`.
    wallets.create_hotkey();
    let texts = ["--validator-name", "τ \"example\"", "--validator-url", "https://example.com"];
    let entry = wallets.run_json(&[&["sign"], &texts[..]].concat(), &[]);
    assert_eq!(entry[ADDRESS]["description"], "");
    let list = wallets.file("list.json", entry.to_string());
    assert_eq!(
        wallets.run_json(&["verify"], &[("--validator-info", &list)])["validators"][0]["verified"],
        true
    );
    // Information and signature separately, as early scripts printed them.
    let (mut unsigned, signature) = (entry.clone(), text(&entry[ADDRESS], "signature"));
    unsigned[ADDRESS].as_object_mut().unwrap().remove("signature");
    let list = wallets.file("list.json", unsigned.to_string());
    let result =
        wallets.run_json(&["verify", "--signature", signature], &[("--validator-info", &list)]);
    assert_eq!(result["validators"][0]["verified"], true);
    let error = refusal(&wallets.run(&["verify"], &[("--validator-info", &list)]), 1);
    assert!(error.contains("has no signature"), "{error}");
    // Control characters in a name are escaped.
    let texts = ["--validator-name", "\u{1b}[2Jevil\u{7}\nsecond line"];
    let entry = wallets.run_json(&[&["sign"], &texts[..]].concat(), &[]);
    let list = wallets.file("list.json", entry.to_string());
    let output = wallets.command(&["verify"], &[("--validator-info", &list)]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let last = printed.trim_end();
    assert!(
        last.ends_with("\\u{1b}[2Jevil\\u{7}\\nsecond line") && !printed.contains('\u{1b}'),
        "{printed:?}"
    );
    let list = wallets.file("list.json", json!({ ADDRESS: { "\u{1b}[2J": 1 } }).to_string());
    let output = wallets.run(&["verify"], &[("--validator-info", &list)]);
    assert!(!stderr(&output).contains('\u{1b}'), "{}", stderr(&output));
    let error = refusal(&output, 1);
    assert!(error.contains("\u{1b}[2J: expected a string"), "{error:?}");
    let error = refusal(&wallets.run(&["sign", "--validator-url", "x", "--message", "x"], &[]), 2);
    assert!(error.contains("cannot be used with"), "{error}");
    let error = refusal(&wallets.run(&["sign", "--validator-url", "x"], &[]), 2);
    assert!(error.contains("--validator-name"), "{error}");
}

fn convert(arguments: &[&str]) -> std::process::Output {
    tao().args(["wallet", "ss58", "convert", "--json"]).args(arguments).output().unwrap()
}

#[test]
fn addresses_are_converted() {
    for (prefix, expected) in [("42", ALICE[0]), ("0", ALICE[1]), ("2", ALICE[2])] {
        let result = document(&convert(&[&["--prefix", prefix], &ALICE[..]].concat()));
        let keys = result["keys"].as_array().unwrap();
        assert_eq!(keys.len(), ALICE.len());
        for (key, from) in keys.iter().zip(ALICE) {
            assert_eq!(
                (text(key, "from"), text(key, "address"), text(key, "public_key")),
                (from, expected, ALICE[3])
            );
        }
    }
    for (arguments, code, expected_text) in [
        (&["--prefix", "46", ALICE[0]][..], 2, "46"),
        (&[&ALICE[0][1..]], 1, "argument 1"),
        (&[ALICE[0], "0x12"], 1, "argument 2"),
        (&[], 2, "ADDRESS|KEY"),
    ] {
        let error = refusal(&convert(arguments), code);
        assert!(error.contains(expected_text), "{arguments:?}: {error}");
    }
}
