//! Keys, keyfiles and signatures made with Bittensor's own wallet (`vectors/wallet`), case by case.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test helper panics as a test does")]

use serde_json::Value;
use taonet_primitives::Hotkey;
use taonet_wallet::{KeyError, KeyfileError, Keypair, Signature, verify, verify_wrapped};

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../vectors/wallet/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
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

#[track_caller]
fn assert_is(pair: &Keypair, expected: &Value) {
    assert_eq!(pair.hotkey().to_string(), text(expected, "ss58"));
    assert_eq!(pair.hotkey().as_bytes().as_slice(), bytes(expected, "public_key"));
}

/// `keys.json`. Its ed25519 halves are read by nothing yet.
#[test]
fn keys() {
    let file = vectors("keys");
    let mut cases = 0;
    for case in list(&file, "mnemonics") {
        match Keypair::from_uri(text(case, "mnemonic")) {
            Ok(pair) => assert_is(&pair, &case["sr25519"]),
            Err(error) => {
                assert_eq!(error, KeyError::WordCount(16));
                assert!(case["sr25519"]["error"].is_string(), "{case}");
            }
        }
        cases += 1;
    }
    for case in list(&file, "seeds") {
        let seed = bytes(case, "seed_hex").try_into().unwrap();
        assert_is(&Keypair::from_seed(&seed), &case["sr25519"]);
        assert_is(&Keypair::from_uri(text(case, "seed_hex")).unwrap(), &case["sr25519"]);
        cases += 1;
    }
    for case in list(&file, "private_keys") {
        let key = bytes(case, "private_key").try_into().unwrap();
        assert_is(&Keypair::from_private_key(&key).unwrap(), case);
        cases += 1;
    }
    for case in list(&file, "uris") {
        assert_is(&Keypair::from_uri(text(case, "uri")).unwrap(), &case["sr25519"]);
        cases += 1;
    }
    assert_eq!(cases, 36);
}

/// `signatures.json`: half of the cases are ed25519, which is not supported yet.
#[test]
fn signatures() {
    let file = vectors("signatures");
    let (sr25519, ed25519): (Vec<&Value>, Vec<&Value>) =
        list(&file, "cases").iter().partition(|case| case["scheme"] == "sr25519");
    for case in &sr25519 {
        let signer: Hotkey = text(case, "ss58").parse().unwrap();
        let signature: Signature = text(case, "signature").parse().unwrap();
        let (message, valid) = (bytes(case, "message_hex"), case["valid"] == true);
        let wrapped = case["note"].as_str().is_some_and(|note| note.contains("<Bytes>"));
        assert_eq!(verify_wrapped(&signer, &message, &signature), valid, "{case}");
        assert_eq!(verify(&signer, &message, &signature), valid && !wrapped, "{case}");
        let ours = Keypair::from_uri(text(case, "uri")).unwrap().sign(&message);
        assert!(verify(&signer, &message, &ours), "{case}");
    }
    assert_eq!((sr25519.len(), ed25519.len()), (22, 22));
}

/// `keyfiles.json`: plain files load; encrypted, ed25519 and public files are refused by name.
#[test]
fn keyfiles() {
    let dir = tempfile::tempdir().unwrap();
    let (mut loaded, mut refused) = (0, 0);
    for case in list(&vectors("keyfiles"), "cases") {
        let id = text(case, "id");
        let path = dir.path().join(id);
        let content = case["file_text"].as_str().map_or_else(|| bytes(case, "file_hex"), Into::into);
        std::fs::write(&path, content).unwrap();
        match (id, Keypair::from_keyfile(&path)) {
            ("plain_ss58_only", Err(KeyfileError::PublicOnly(_)))
            | ("plain_ed25519_mnemonic", Err(KeyfileError::CryptoType { .. })) => refused += 1,
            (_, Err(KeyfileError::Encrypted { .. })) if case["encryption"] != "none" => refused += 1,
            (_, result) => {
                assert_eq!(result.unwrap().hotkey().to_string(), text(case, "ss58"), "{id}");
                loaded += 1;
            }
        }
    }
    assert_eq!((loaded, refused), (6, 7));
}
