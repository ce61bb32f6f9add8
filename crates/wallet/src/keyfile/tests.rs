use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::DEV_PHRASE;

const SEED: &str = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

fn load(text: &str) -> Result<Keyfile, KeyfileError> {
    Keyfile::from_json(text.as_bytes())
}

#[test]
fn seed_alone_is_a_valid_keyfile() {
    assert_eq!(
        load(&format!(r#"{{"secretSeed":"{SEED}"}}"#)).unwrap().public().to_string(),
        ADDRESS
    );
}

/// Moves must copy only public keys and pointers, never secrets.
#[test]
fn secrets_are_stored_behind_pointers() {
    let pointer = size_of::<usize>();
    assert_eq!(size_of::<Mnemonic>(), pointer);
    assert_eq!(size_of::<Keypair>(), 2 * pointer);
    let public = size_of::<PublicKey>().next_multiple_of(pointer);
    assert_eq!(size_of::<Keyfile>(), public + size_of::<(Keypair, Mnemonic, Vec<u8>)>());
}

#[test]
fn hex_prefix_is_optional_and_scheme_may_be_text() {
    let digits = &SEED[2..];
    let public =
        hex::encode(load(&format!(r#"{{"secretSeed":"{SEED}"}}"#)).unwrap().public().as_bytes());
    let private = hex::encode(&*Keypair::from_uri(SEED).unwrap().to_private_key());
    for json in [
        format!(r#"{{"secretSeed":"{digits}","publicKey":"{public}","ss58Address":"{ADDRESS}"}}"#),
        format!(r#"{{"privateKey":"{private}"}}"#),
        format!(r#"{{"accountId":"{public}","cryptoType":null}}"#),
        format!(r#"{{"secretSeed":"{SEED}","cryptoType":"1"}}"#),
    ] {
        let keyfile = load(&json).unwrap();
        assert_eq!(
            (keyfile.public().to_string().as_str(), keyfile.public().crypto_type()),
            (ADDRESS, CryptoType::Sr25519)
        );
    }
}

/// Bittensor's wallet accepts these keyfiles silently, and reads the last one as an sr25519 key.
#[test]
fn inconsistent_keyfile_is_refused() {
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let polkadot = load(&format!(r#"{{"secretSeed":"{SEED}"}}"#)).unwrap().public();
    let polkadot = polkadot.address_on(taonet_primitives::Ss58Prefix::new(0).unwrap());
    for (fields, is_expected) in [
        (
            format!(r#""ss58Address":"{alice}""#),
            (|error| matches!(error, KeyfileError::Mismatch { .. })) as fn(_) -> bool,
        ),
        (format!(r#""ss58Address":"{polkadot}""#), |error| {
            matches!(error, KeyfileError::Address(_))
        }),
        (format!(r#""ss58Address":"{ADDRESS}","ss58Address":"{ADDRESS}""#), |error| {
            matches!(error, KeyfileError::Json { .. })
        }),
        (r#""cryptoType":"0""#.to_owned(), |error| matches!(error, KeyfileError::Json { .. })),
        (r#""cryptoType":"ed25519""#.to_owned(), |error| {
            matches!(error, KeyfileError::Json { .. })
        }),
    ] {
        let error = load(&format!(r#"{{"secretSeed":"{SEED}",{fields}}}"#)).unwrap_err();
        assert!(is_expected(error.clone()), "{fields}: {error:?}");
    }
}

/// Bittensor's wallet also ignores the private key if there is a seed.
#[test]
fn malformed_private_key_is_ignored_beside_a_seed() {
    let json = format!(r#"{{"secretSeed":"{SEED}","privateKey":"0x12"}}"#);
    assert_eq!(load(&json).unwrap().public().to_string(), ADDRESS);
}

#[test]
fn malformed_keyfiles_have_distinct_errors() {
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let other = hex::encode(&*Keypair::from_uri("//Alice").unwrap().to_private_key());
    for mismatch in [
        format!(r#"{{"secretSeed":"{SEED}","privateKey":"0x{other}"}}"#),
        format!(r#"{{"secretPhrase":"{DEV_PHRASE}","privateKey":"0x{other}"}}"#),
        format!(r#"{{"secretSeed":"{SEED}","ss58Address":"{alice}"}}"#),
        format!(r#"{{"secretSeed":"{SEED}","publicKey":"0x{}"}}"#, "00".repeat(32)),
        format!(r#"{{"ss58Address":"{ADDRESS}","accountId":"0x{}"}}"#, "00".repeat(32)),
    ] {
        assert!(matches!(load(&mismatch), Err(KeyfileError::Mismatch { .. })), "{mismatch}");
    }
    for text in ["", "[]", "{", r#"{"secretSeed":1}"#, "\u{1F511}"] {
        assert!(matches!(load(text), Err(KeyfileError::Json { .. })), "{text}");
    }
    for text in [
        r#"{"secretSeed":"0x12"}"#,
        r#"{"secretPhrase":"one two"}"#,
        r#"{"secretPhrase":""}"#,
        r#"{"secretPhrase":"//Alice"}"#,
        r#"{"privateKey":"0x12"}"#,
        r#"{"publicKey":"0x12"}"#,
        r#"{"cryptoType":2}"#,
    ] {
        assert!(matches!(load(text), Err(KeyfileError::Key(_))), "{text}");
    }
    assert!(matches!(load(r#"{"ss58Address":"5Grw"}"#), Err(KeyfileError::Address(_))));
    assert_eq!(load("{}").unwrap_err(), KeyfileError::Empty);
    assert_eq!(load(r#"{"cryptoType":0}"#).unwrap_err(), KeyfileError::Empty);
    assert_eq!(
        load(&format!(r#"{{"ss58Address":"{ADDRESS}"}}"#)).unwrap().into_keypair().unwrap_err(),
        KeyfileError::PublicOnly
    );
}

#[test]
fn written_keyfile_loads() {
    for crypto_type in [CryptoType::Sr25519, CryptoType::Ed25519] {
        let mnemonic = Mnemonic::parse(DEV_PHRASE).unwrap();
        let derived = Keypair::from_uri_with("//Alice//stash", crypto_type).unwrap();
        for keyfile in [
            Keyfile::from_mnemonic(&mnemonic, crypto_type),
            // Bytes that are also valid text: a seed is nevertheless written as hex.
            Keyfile::from_seed(b"abcdefghijklmnopqrstuvwxyz012345", crypto_type),
            Keyfile::from_public(derived.public()),
            Keyfile::from_keypair(derived),
        ] {
            let reloaded = Keyfile::from_json(&keyfile.to_json()).unwrap();
            assert_eq!(reloaded.to_json(), keyfile.to_json());
            assert_eq!(reloaded.public(), keyfile.public());
            assert!(!keyfile.to_json().ends_with(b"\n"));
            let public: Value = serde_json::from_slice(&keyfile.to_public_json()).unwrap();
            let fields: Vec<_> = public.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["accountId", "publicKey", "ss58Address", "cryptoType"]);
        }
    }
}

fn vectors(encryption: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/wallet/keyfiles.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["encryption"] == encryption)
        .cloned()
        .collect()
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    hex::decode(case[key].as_str().unwrap().trim_start_matches("0x")).unwrap()
}

/// Tests only the cipher, with keys derived by Bittensor's wallet, since deriving a key takes
/// seconds.
#[test]
fn only_unaltered_nacl_vectors_open() {
    let cases = vectors("NaCl");
    for case in &cases {
        let key: nacl::Key = Zeroizing::new(bytes(case, "derived_key_hex").try_into().unwrap());
        let (file, text) = (bytes(case, "file_hex"), bytes(case, "plaintext_hex"));
        assert_eq!(**nacl::Nacl::parse(&file).unwrap().open(&key).unwrap(), text);
        // With the same nonce we write the same bytes as the real wallet.
        let nonce = bytes(case, "nonce_hex").try_into().unwrap();
        assert_eq!(nacl::seal_with(&text, &key, nonce).unwrap().to_bytes(), file);

        for bit in nacl::PREFIX.len() * 8..file.len() * 8 {
            let mut altered = file.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(nacl::Nacl::parse(&altered).unwrap().open(&key).is_none(), "bit {bit}");
        }
        let mut wrong_key = key.clone();
        wrong_key[0] ^= 1;
        assert!(nacl::Nacl::parse(&file).unwrap().open(&wrong_key).is_none());
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn only_unaltered_fernet_vector_opens() {
    let cases = vectors("legacy");
    for case in &cases {
        let key = URL_SAFE.decode(case["fernet_key_b64url"].as_str().unwrap()).unwrap();
        let key = Zeroizing::new(key.try_into().unwrap());
        let token = URL_SAFE.decode(case["file_text"].as_str().unwrap()).unwrap();
        let open =
            |token: &[u8]| fernet::Fernet::parse(URL_SAFE.encode(token).as_bytes())?.open(&key);
        assert_eq!(**open(&token).unwrap(), bytes(case, "plaintext_hex"));
        for bit in 0..token.len() * 8 {
            let mut altered = token.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&altered).is_none(), "bit {bit}");
        }
        for length in 0..token.len() {
            assert!(open(&token[..length]).is_none(), "{length} bytes");
        }
    }
    assert_eq!(cases.len(), 1);
}

#[test]
fn truncated_keyfile_gives_wrong_password_error() {
    let password = Password::new("testing-Passw0rd!".to_owned());
    for case in [
        "$NACL",
        "$NACL-too-short",
        "$ANSIBLE_VAULT",
        "$ANSIBLE_VAULT;1.1;AES256\n",
        "gAAAAA",
        "gAAAAA=",
    ] {
        let result = Keyfile::from_bytes(case.as_bytes(), Some(&password));
        assert_eq!(result.unwrap_err(), KeyfileError::WrongPassword, "{case}");
    }
}

#[test]
fn errors_do_not_repeat_the_secret() {
    let error = load(&format!(r#"{{"secretSeed":"{SEED}00"}}"#)).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("fac7959d"));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(prefix in "(\\$NACL|\\$ANSIBLE_VAULT;1.1;AES256\n|gAAAAA|\\{|)", remaining: Vec<u8>) {
        let file = [prefix.as_bytes(), &remaining].concat();
        let _ = EncryptedKeyfile::parse(&file);
        let _ = Keyfile::from_json(&file);
    }
}
