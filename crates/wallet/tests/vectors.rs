//! Tests with the keys, keyfiles and signatures of Bittensor's own wallet in `vectors/wallet`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use taonet_wallet::{
    CryptoType, Encryption, KeyError, Keyfile, KeyfileError, Keypair, Mnemonic, Name, Password,
    PolkadotJs, PolkadotJsError, PublicKey, SecretState, Signature, Wallets, message_bytes,
    stored_password_name, verify, verify_wrapped,
};

const SCHEMES: [CryptoType; 2] = [CryptoType::Sr25519, CryptoType::Ed25519];

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../vectors/wallet/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn bytes(value: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(value, key).trim_start_matches("0x")).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn password(case: &Value) -> Password {
    Password::new(text(case, "password").to_owned())
}

#[track_caller]
fn assert_key(pair: &Keypair, expected: &Value) {
    assert_eq!(pair.public().to_string(), text(expected, "ss58"));
    assert_eq!(pair.public().as_bytes().as_slice(), bytes(expected, "public_key"));
    // The second half of an sr25519 key, the nonce, is random for each soft derivation.
    assert_eq!(pair.to_private_key()[..32], bytes(expected, "private_key")[..32]);
}

/// Asserts that our keyfile has the fields and values of Bittensor's keyfile, in any order.
#[track_caller]
fn assert_written(keyfile: &Keyfile, expected: &Value) {
    let json: Value = serde_json::from_slice(&keyfile.to_json()).unwrap();
    assert_eq!(&json, expected);
}

#[test]
fn every_vector_file_has_a_test() {
    let directory = format!("{}/../../vectors/wallet", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "README.md",
            "keyfiles.json",
            "keys.json",
            "layout.json",
            "polkadotjs.json",
            "signatures.json"
        ]
    );
}

#[test]
fn keys_match_vectors() {
    let file = vectors("keys");
    let (mut keys, mut refusals) = (0, 0);
    for scheme in SCHEMES {
        for case in list(&file, "mnemonics") {
            let expected = &case[scheme.name()];
            match Mnemonic::parse(text(case, "mnemonic")) {
                Ok(mnemonic) => {
                    assert_eq!(mnemonic.word_count(), case["words"]);
                    let keyfile = Keyfile::from_mnemonic(&mnemonic, scheme);
                    assert_key(keyfile.keypair().unwrap(), expected);
                    assert_written(&keyfile, &expected["keyfile_json"]);
                    assert_key(
                        &Keypair::from_uri_with(text(case, "mnemonic"), scheme).unwrap(),
                        expected,
                    );
                    keys += 1;
                }
                Err(error) => {
                    assert_eq!(error, KeyError::WordCount(16));
                    assert!(expected["error"].is_string(), "{case}");
                    refusals += 1;
                }
            }
        }
        for case in list(&file, "seeds") {
            let expected = &case[scheme.name()];
            let keyfile = Keyfile::from_seed(&bytes(case, "seed_hex").try_into().unwrap(), scheme);
            assert_key(keyfile.keypair().unwrap(), expected);
            assert_key(&Keypair::from_uri_with(text(case, "seed_hex"), scheme).unwrap(), expected);
            // Bittensor's wallet writes a seed as text if its bytes are valid text; we always write
            // hex.
            let mut json = expected["keyfile_json"].clone();
            if scheme == CryptoType::Sr25519 {
                json["secretSeed"] = case["seed_hex"].clone();
                assert_written(&keyfile, &json);
            }
            keys += 1;
        }
        for case in list(&file, "uris") {
            let expected = &case[scheme.name()];
            match Keypair::from_uri_with(text(case, "uri"), scheme) {
                Ok(pair) => {
                    assert_key(&pair, expected);
                    keys += 1;
                }
                Err(error) => {
                    assert_eq!(
                        (error, text(expected, "error")),
                        (KeyError::SoftJunction, "Invalid path")
                    );
                    refusals += 1;
                }
            }
        }
    }
    for case in list(&file, "private_keys") {
        let pair =
            Keypair::from_private_key(&bytes(case, "private_key").try_into().unwrap()).unwrap();
        assert_key(&pair, case);
        assert_written(&Keyfile::from_keypair(pair), &case["keyfile_json"]);
        keys += 1;
    }
    assert_eq!((keys, refusals), (62, 7));
}

#[test]
fn signatures_match_vectors() {
    let file = vectors("signatures");
    let mut counts = [0, 0];
    for case in list(&file, "cases") {
        let scheme: CryptoType = text(case, "scheme").parse().unwrap();
        assert_eq!(CryptoType::try_from(case["crypto_type"].as_u64().unwrap() as u8), Ok(scheme));
        let signer = PublicKey::parse(text(case, "ss58"), scheme).unwrap();
        assert_eq!(PublicKey::parse(text(case, "public_key"), scheme), Ok(signer));
        let signature: Signature = text(case, "signature").parse().unwrap();
        let (message, valid) = (bytes(case, "message_hex"), case["valid"] == true);
        let wrapped = case["note"].as_str().is_some_and(|note| note.contains("<Bytes>"));
        assert_eq!(signer.verify_wrapped(&message, &signature), valid, "{case}");
        assert_eq!(signer.verify(&message, &signature), valid && !wrapped, "{case}");

        let own_signature =
            Keypair::from_uri_with(text(case, "uri"), scheme).unwrap().sign(&message);
        assert!(signer.verify(&message, &own_signature), "{case}");
        match scheme {
            CryptoType::Sr25519 => {
                assert_eq!(verify_wrapped(&signer.hotkey(), &message, &signature), valid, "{case}");
                assert_eq!(
                    verify(&signer.hotkey(), &message, &signature),
                    valid && !wrapped,
                    "{case}"
                );
            }
            // Deterministic signatures: ours equals the real wallet's.
            CryptoType::Ed25519 => {
                assert_eq!(own_signature == signature, valid && !wrapped, "{case}");
            }
        }
        counts[usize::from(scheme == CryptoType::Ed25519)] += 1;
    }
    assert_eq!(counts, [22, 22]);

    let mut inputs = 0;
    for case in list(&file, "string_input_behaviour") {
        let input = text(case, "input");
        match message_bytes(input) {
            Ok(message) => {
                assert_eq!(message == input.as_bytes(), case["verifies_as"]["utf8_bytes"] == true);
                assert_eq!(message != input.as_bytes(), case["verifies_as"]["hexdecoded"] == true);
            }
            Err(_) => assert!(case["error"].is_string()),
        }
        inputs += 1;
    }
    assert_eq!(inputs, 3);
}

/// Every file opens to its recorded content. Of the NaCl files only one is opened, since each takes
/// seconds; a unit test decrypts the others with the recorded keys.
#[test]
fn keyfiles_match_vectors() {
    let (mut plain_count, mut public_count, mut decrypted_count, mut refused_count) = (0, 0, 0, 0);
    for case in list(&vectors("keyfiles"), "cases") {
        let id = text(case, "id");
        let content =
            case["file_text"].as_str().map_or_else(|| bytes(case, "file_hex"), Into::into);
        let keyfile = match text(case, "encryption") {
            "none" => {
                let keyfile = Keyfile::from_bytes(&content, None).unwrap();
                match keyfile.keypair() {
                    Some(_) => plain_count += 1,
                    None => public_count += 1,
                }
                keyfile
            }
            "NaCl" if id != "nacl_8" => {
                let refusal = Keyfile::from_bytes(&content, None).unwrap_err();
                assert_eq!(refusal, KeyfileError::Encrypted(Encryption::Nacl));
                refused_count += 1;
                continue;
            }
            _ => {
                let keyfile = Keyfile::from_bytes(&content, Some(&password(case))).unwrap();
                let expected = Keyfile::from_json(&bytes(case, "plaintext_hex")).unwrap();
                assert_eq!(keyfile.to_json(), expected.to_json());
                decrypted_count += 1;
                keyfile
            }
        };
        assert_eq!(keyfile.public().to_string(), text(case, "ss58"), "{id}");
        assert_eq!(keyfile.keypair().is_none(), id == "plain_ss58_only", "{id}");
    }
    assert_eq!((plain_count, public_count, decrypted_count, refused_count), (7, 1, 3, 2));
}

/// An altered character, anywhere in the text formats, and a wrong password give the same error.
#[test]
fn altered_vaults_do_not_open() {
    let file = vectors("keyfiles");
    let case = list(&file, "cases").iter().find(|case| case["id"] == "ansible_vault").unwrap();
    let content = text(case, "file_text");
    let wrong_password = Password::new("another".to_owned());
    assert_eq!(
        Keyfile::from_bytes(content.as_bytes(), Some(&wrong_password)).unwrap_err(),
        KeyfileError::WrongPassword
    );
    let mut altered = 0;
    for at in (0..content.len()).step_by(7).filter(|at| *at >= "$ANSIBLE_VAULT".len()) {
        let mut bytes = content.as_bytes().to_vec();
        // Replaces a digit with a different one, but keeps line breaks, which have no meaning.
        bytes[at] = match bytes[at] {
            b'\n' => continue,
            b'3' => b'6',
            _ => b'3',
        };
        let error = Keyfile::from_bytes(&bytes, Some(&password(case))).unwrap_err();
        assert_eq!(error, KeyfileError::WrongPassword, "character {at}");
        altered += 1;
    }
    assert!(altered > 350, "{altered}");
}

#[test]
fn polkadot_js_exports_match_vectors() {
    let file = vectors("polkadotjs");
    let mut cases = 0;
    for case in list(&file, "cases") {
        let account = PolkadotJs::parse(case["json"].to_string().as_bytes()).unwrap();
        assert_eq!(account.address().to_string(), text(case, "reference_import_ss58"));
        let pair = account.open(&password(case)).unwrap();
        assert_key(&pair, case);
        let result = account.open(&Password::new("pjs-passw0rd".to_owned()));
        assert_eq!(result.unwrap_err(), PolkadotJsError::WrongPassword);

        let export = PolkadotJs::export(&pair, &password(case), "test", 1_700_000_000_000).unwrap();
        let export: Value = serde_json::from_str(&export).unwrap();
        assert_eq!(export["meta"], case["json"]["meta"]);
        assert_eq!(export["address"], case["json"]["address"]);
        if case["type"] == "scrypt" {
            assert_eq!(export["encoding"], case["json"]["encoding"]);
        }
        cases += 1;
    }
    assert_eq!(cases, 4);
}

/// Lists and reads the directory tree of Bittensor's wallet. Ours has the same files, with stricter
/// directory modes.
#[test]
fn wallet_directory_layout_matches_vectors() {
    let file = vectors("layout");
    let entries = file["layout"].as_object().unwrap();
    assert_eq!(entries.len(), 6);
    let dir = tempfile::tempdir().unwrap();
    for (path, entry) in entries {
        let full_path = dir.path().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(&full_path).unwrap();
        } else {
            fs::write(&full_path, content_of(path, entry)).unwrap();
        }
        set_mode(&full_path, text(entry, "mode"));
    }
    let wallets = Wallets::new(dir.path());
    let listed = wallets.list().unwrap();
    assert_eq!(listed.len(), 1);
    let alice = &listed[0];
    assert_eq!(alice.name.as_str(), "alice");
    assert_eq!(alice.secret, SecretState::Encrypted(Encryption::Nacl));
    assert_eq!(
        alice.coldkey.unwrap().to_string(),
        "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
    );
    assert_eq!(alice.hotkeys.len(), 1);
    let default: Name = "default".parse().unwrap();
    assert_eq!((&alice.hotkeys[0].name, alice.hotkeys[0].secret), (&default, SecretState::Plain));
    let wallet = wallets.wallet("alice".parse().unwrap());
    assert_eq!(wallet.coldkeypub().unwrap(), alice.coldkey.unwrap());
    assert_eq!(wallet.hotkeypub(&default).unwrap(), alice.hotkeys[0].hotkey.unwrap());
    let public = fs::read(wallet.coldkeypub_path()).unwrap();
    assert_eq!(
        Keyfile::from_public(wallet.coldkeypub().unwrap()).to_public_json().len(),
        public.len()
    );
}

/// Returns a file's recorded content. Only the start of a longer file is recorded; listings do not
/// read the rest.
fn content_of(path: &str, entry: &Value) -> Vec<u8> {
    let mut content = text(entry, "head").as_bytes().to_vec();
    let size = entry["size"].as_u64().unwrap() as usize;
    if path.ends_with("coldkey") {
        content.resize(size, 0);
    }
    assert!(content.len() <= size, "{path}");
    content
}

#[cfg(unix)]
fn set_mode(path: &Path, octal: &str) {
    use std::os::unix::fs::PermissionsExt;

    let mode = u32::from_str_radix(octal.trim_start_matches("0o"), 8).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: &str) {}

#[test]
fn stored_password_matches_vectors() {
    let file = vectors("layout");
    let (case, keyfile) = (&file["env"], Path::new(text(&file["env"], "path")));
    let (name, value) = (text(case, "env_var"), text(case, "value_base64"));
    assert_eq!(stored_password_name(keyfile), name);
    assert_eq!(*password(case).to_stored(name), value);
    let lookup = |variable: &str| (variable == name).then(|| value.into());
    assert!(Password::from_lookup(keyfile, lookup).unwrap().unwrap().matches(&password(case)));
}
