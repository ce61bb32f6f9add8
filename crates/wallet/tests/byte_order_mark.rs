//! Files with a UTF-8 byte order mark, as Windows editors and PowerShell write them.

use std::fs;

use taonet_wallet::{DEV_PHRASE, Keyfile, Keypair, Mnemonic, Password, PolkadotJs, StoredKey};

fn with_byte_order_mark(text: &[u8]) -> Vec<u8> {
    [b"\xef\xbb\xbf", text].concat()
}

#[test]
fn mnemonic_with_byte_order_mark_is_accepted() {
    let phrase = format!("\u{feff}{DEV_PHRASE}");
    assert_eq!(*Mnemonic::parse(&phrase).unwrap().phrase(), DEV_PHRASE);
}

#[test]
fn keyfile_with_byte_order_mark_is_accepted() {
    let alice = Keypair::from_uri("//Alice").unwrap().hotkey();
    let json =
        r#"{"secretSeed":"0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a"}"#;
    let keyfile = Keyfile::from_json(&with_byte_order_mark(json.as_bytes())).unwrap();
    assert_eq!(keyfile.into_keypair().unwrap().hotkey(), alice);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hotkey");
    fs::write(&path, with_byte_order_mark(json.as_bytes())).unwrap();
    let stored = StoredKey::read(&path).unwrap();
    assert_eq!(stored.encryption(), None);
    assert_eq!(stored.open(None).unwrap().into_keypair().unwrap().hotkey(), alice);
}

#[test]
fn password_file_with_byte_order_mark_has_the_same_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let pair = Keypair::from_uri("//Alice").unwrap();
    let export =
        PolkadotJs::export(&pair, &Password::new("secret".to_owned()), "alice", 0).unwrap();
    fs::write(&path, with_byte_order_mark(b"secret\r\n")).unwrap();
    let password = Password::from_file(&path).unwrap();
    let opened = PolkadotJs::parse(&with_byte_order_mark(export.as_bytes()))
        .unwrap()
        .open(&password)
        .unwrap();
    assert_eq!(opened.hotkey(), pair.hotkey());
}
