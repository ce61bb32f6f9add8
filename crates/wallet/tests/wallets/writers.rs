//! Tests with concurrent programs that write the same wallet.

use std::collections::BTreeSet;

use taonet_wallet::{Overwrite, StoredKey, WalletError, Wallets};

use crate::{key, name};

#[test]
fn password_change_of_replaced_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let (first, second) = (key(), key());
    wallet.write_coldkey(&first, None, Overwrite::Refuse).unwrap();
    let stored = wallet.coldkey().unwrap();
    let written = wallet.write_coldkey(&second, None, Overwrite::KeepBackup).unwrap();
    assert!(
        matches!(stored.change_password(None, None), Err(WalletError::Changed(path)) if path == wallet.coldkey_path())
    );
    assert_eq!(wallet.coldkey().unwrap().open(None).unwrap().public(), second.public());
    assert_eq!(
        StoredKey::read(&written.backups[0]).unwrap().open(None).unwrap().public(),
        first.public()
    );
}

#[test]
fn concurrent_writers_lose_no_key() {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 10;

    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let mut written = BTreeSet::new();
    for _ in 0..ROUNDS {
        std::thread::scope(|scope| {
            let writers = [(); WRITERS].map(|()| {
                scope.spawn(|| {
                    let key = key();
                    wallet.write_hotkey(&name("h"), &key, None, Overwrite::KeepBackup).unwrap();
                    key.public().to_string()
                })
            });
            written.extend(writers.map(|writer| writer.join().unwrap()));
        });
    }
    let backups = wallet.directory().join(".backups/hotkeys");
    let mut public_keys = BTreeSet::from([wallet
        .hotkey(&name("h"))
        .unwrap()
        .open(None)
        .unwrap()
        .public()
        .to_string()]);
    for number in 1..WRITERS * ROUNDS {
        let backup = StoredKey::read(backups.join(format!("h.{number}"))).unwrap();
        public_keys.insert(backup.open(None).unwrap().public().to_string());
    }
    assert_eq!((public_keys.len(), &public_keys), (WRITERS * ROUNDS, &written));
}
