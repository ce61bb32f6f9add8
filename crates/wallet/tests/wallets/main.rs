//! Tests of wallets on disk: writes, refusals, and failing disks.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use taonet_wallet::{
    CryptoType, Encryption, Keyfile, KeyfileError, Mnemonic, Name, Overwrite, Password,
    SecretState, StoredKey, WalletError, Wallets, WordCount, expand_home,
};

#[cfg(target_os = "linux")]
mod disks;
mod writers;

fn key() -> Keyfile {
    Keyfile::from_mnemonic(&Mnemonic::generate(WordCount::Twelve).unwrap(), CryptoType::Sr25519)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Returns all files below a directory except locks, by relative path.
fn files(root: &Path) -> BTreeSet<String> {
    let mut actual = BTreeSet::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let entry_name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            actual.extend(files(&entry.path()).iter().map(|file| format!("{entry_name}/{file}")));
        } else if entry_name != ".lock" {
            actual.insert(entry_name);
        }
    }
    actual
}

#[test]
fn written_keys_load_and_are_readable_by_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let wallets = Wallets::new(dir.path().join("deep/wallets"));
    assert_eq!(wallets.list().unwrap(), []);
    let wallet = wallets.wallet(name("alice"));
    let (coldkey, hotkey) = (key(), key());
    wallet.write_coldkey(&coldkey, None, Overwrite::Refuse).unwrap();
    wallet.write_hotkey(&name("default"), &hotkey, None, Overwrite::Refuse).unwrap();
    assert_eq!(
        files(wallets.root()).into_iter().collect::<Vec<_>>(),
        [
            "alice/coldkey",
            "alice/coldkeypub.txt",
            "alice/hotkeys/default",
            "alice/hotkeys/defaultpub.txt"
        ]
    );
    assert_eq!(wallet.coldkey().unwrap().open(None).unwrap().to_json(), coldkey.to_json());
    assert_eq!(wallet.coldkeypub().unwrap(), coldkey.public());
    assert_eq!(wallet.hotkeypub(&name("default")).unwrap(), hotkey.public());
    assert_eq!(
        wallet.hotkey(&name("default")).unwrap().open(None).unwrap().public(),
        hotkey.public()
    );
    #[cfg(unix)]
    for (path, mode) in [
        (wallets.root().to_owned(), 0o700),
        (wallet.directory(), 0o700),
        (wallet.hotkeys_directory(), 0o700),
        (wallet.coldkey_path(), 0o600),
        (wallet.coldkeypub_path(), 0o600),
        (wallet.hotkey_path(&name("default")), 0o600),
        (wallet.hotkeypub_path(&name("default")), 0o600),
    ] {
        use std::os::unix::fs::PermissionsExt;

        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            mode,
            "{}",
            path.display()
        );
    }
}

/// Derives keys at the real cost in time and memory, so all cases share one test.
#[test]
fn password_change_requires_current_password_and_keeps_content() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let (coldkey, password) = (key(), Password::new("testing-Passw0rd!".to_owned()));
    wallet.write_coldkey(&coldkey, None, Overwrite::Refuse).unwrap();
    // A field that another tool may have added.
    let mut content = coldkey.to_json().to_vec();
    content.pop();
    content.extend(b", \"label\": \"savings\"}\n");
    fs::write(wallet.coldkey_path(), &content).unwrap();
    wallet.coldkey().unwrap().change_password(None, Some(&password)).unwrap();
    let stored = wallet.coldkey().unwrap();
    assert_eq!(stored.encryption(), Some(Encryption::Nacl));
    let refusal = |result: Result<(), WalletError>| match result {
        Err(WalletError::Keyfile { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refusal(stored.change_password(None, None)),
        KeyfileError::Encrypted(Encryption::Nacl)
    );
    let wrong_password = Password::new("testing-Passw0rd".to_owned());
    assert_eq!(
        refusal(stored.change_password(Some(&wrong_password), None)),
        KeyfileError::WrongPassword
    );
    stored.change_password(Some(&password), None).unwrap();
    assert_eq!(fs::read(wallet.coldkey_path()).unwrap(), content);
    assert_eq!(wallet.coldkey().unwrap().open(None).unwrap().to_json(), coldkey.to_json());
    assert_eq!(files(dir.path()).len(), 2, "no trace of the old form");

    // Readable in plain form, but too large once encrypted.
    content.resize(64 * 1024 - 8, b' ');
    fs::write(wallet.coldkey_path(), &content).unwrap();
    let result = wallet.coldkey().unwrap().change_password(None, Some(&password));
    assert!(matches!(result, Err(WalletError::TooLarge { .. })));
    assert_eq!(fs::read(wallet.coldkey_path()).unwrap(), content);
}

#[test]
fn existing_keys_are_refused_or_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let keys = [key(), key(), key()];
    wallet.write_hotkey(&name("h"), &keys[0], None, Overwrite::Refuse).unwrap();
    let before = fs::read(wallet.hotkey_path(&name("h"))).unwrap();
    let result = wallet.write_hotkey(&name("h"), &keys[1], None, Overwrite::Refuse);
    assert!(matches!(result, Err(WalletError::Exists(path)) if path.ends_with("alice/hotkeys/h")));
    assert_eq!(fs::read(wallet.hotkey_path(&name("h"))).unwrap(), before);

    for (number, key) in [(1, &keys[1]), (2, &keys[2])] {
        let written = wallet.write_hotkey(&name("h"), key, None, Overwrite::KeepBackup).unwrap();
        let backup = wallet.directory().join(format!(".backups/hotkeys/h.{number}"));
        assert_eq!(written.backups[0], backup);
        assert_eq!(
            written.files,
            [wallet.hotkey_path(&name("h")), wallet.hotkeypub_path(&name("h"))]
        );
        let backed_up = StoredKey::read(backup).unwrap().open(None).unwrap();
        assert_eq!(backed_up.to_json(), keys[number - 1].to_json());
        assert_eq!(wallet.hotkeypub(&name("h")).unwrap(), key.public());
    }
    fs::write(wallet.directory().join(".backups/hotkeys/h.10"), "$NACL").unwrap();
    fs::write(wallet.directory().join(".backups/hotkeys/h.x"), "").unwrap();
    let backups = wallet.hotkey(&name("h")).unwrap().backups();
    let backups: Vec<_> =
        backups.iter().map(|backup| (backup.path.file_name().unwrap(), backup.secret)).collect();
    let (plain, sealed) = (SecretState::Plain, SecretState::Encrypted(Encryption::Nacl));
    assert_eq!(
        backups,
        [("h.1".as_ref(), plain), ("h.2".as_ref(), plain), ("h.10".as_ref(), sealed)]
    );
    // Every tool treats the files of this directory as hotkeys.
    let hotkeys: Vec<_> = fs::read_dir(wallet.hotkeys_directory()).unwrap().collect();
    assert_eq!((hotkeys.len(), wallet.list().unwrap().hotkeys.len()), (2, 1));
}

/// A backup of a file that others could read is private.
#[cfg(unix)]
#[test]
fn backups_are_readable_by_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    wallet.write_coldkey(&key(), None, Overwrite::Refuse).unwrap();
    fs::set_permissions(wallet.coldkey_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let written = wallet.write_coldkey(&key(), None, Overwrite::KeepBackup).unwrap();
    let backups = wallet.directory().join(".backups");
    assert_eq!(written.backups, [backups.join("coldkey.1"), backups.join("coldkeypub.txt.1")]);
    for (path, mode) in
        [(&backups, 0o700), (&written.backups[0], 0o600), (&written.backups[1], 0o600)]
    {
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            mode,
            "{}",
            path.display()
        );
    }
}

#[test]
fn existing_public_file_of_the_same_key_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let (coldkey, other) = (key(), key());
    wallet.write_coldkeypub(coldkey.public(), Overwrite::Refuse).unwrap();
    assert!(matches!(
        wallet.write_coldkeypub(other.public(), Overwrite::Refuse),
        Err(WalletError::Exists(_))
    ));
    assert!(matches!(
        wallet.write_coldkey(&other, None, Overwrite::Refuse),
        Err(WalletError::Exists(_))
    ));
    assert_eq!(files(dir.path()).len(), 1);
    let written = wallet.write_coldkey(&coldkey, None, Overwrite::Refuse).unwrap();
    assert_eq!((written.files.len(), written.backups.len()), (1, 0));
}

#[test]
fn invalid_wallet_names_are_rejected() {
    let long_name = "a".repeat(201);
    for text in [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "../a",
        "a\\b",
        "/",
        "a\0",
        "a\n",
        "keypub.txt",
        &long_name,
    ] {
        assert!(text.parse::<Name>().is_err(), "{text:?}");
    }
    for text in ["default", "My Wallet", "schlüssel", "a.b", "a.1.bak", "0"] {
        assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
    }
}

#[test]
fn tilde_is_expanded_at_path_start_only() {
    let home = Some(Path::new("/home/u"));
    for (path, expected) in [
        ("~", "/home/u"),
        ("~/.bittensor/wallets", "/home/u/.bittensor/wallets"),
        ("~other/x", "~other/x"),
        ("/a/~/b", "/a/~/b"),
    ] {
        assert_eq!(expand_home(path, home).unwrap(), Path::new(expected));
    }
    assert!(matches!(expand_home("~/x", None), Err(WalletError::NoHome(_))));
    assert_eq!(expand_home("/x", None).unwrap(), Path::new("/x"));
}

#[cfg(unix)]
#[test]
fn writes_through_links_are_refused() {
    use std::os::unix::fs::symlink;

    let dir = tempfile::tempdir().unwrap();
    let other_directory = tempfile::tempdir().unwrap();
    let target = other_directory.path().join("target");
    fs::write(&target, "untouched").unwrap();
    let wallets = Wallets::new(dir.path());
    let assert_link_error = |result: Result<_, WalletError>| {
        assert!(matches!(result, Err(WalletError::Link(_))), "{result:?}");
    };

    symlink(other_directory.path(), dir.path().join("linked")).unwrap();
    assert_link_error(wallets.wallet(name("linked")).write_coldkey(
        &key(),
        None,
        Overwrite::KeepBackup,
    ));

    let alice = wallets.wallet(name("alice"));
    fs::create_dir(alice.directory()).unwrap();
    symlink(other_directory.path(), alice.hotkeys_directory()).unwrap();
    assert_link_error(alice.write_hotkey(&name("h"), &key(), None, Overwrite::KeepBackup));

    let erin = wallets.wallet(name("erin"));
    erin.write_coldkey(&key(), None, Overwrite::Refuse).unwrap();
    for linked in [".backups", ".lock"] {
        symlink(other_directory.path(), erin.directory().join(linked))
            .or_else(|_| {
                fs::remove_file(erin.directory().join(linked))?;
                symlink(&target, erin.directory().join(linked))
            })
            .unwrap();
        assert_link_error(erin.write_coldkey(&key(), None, Overwrite::KeepBackup));
    }

    for file in [alice.coldkey_path(), alice.coldkeypub_path()] {
        for link_target in [&target, &other_directory.path().join("nowhere")] {
            symlink(link_target, &file).unwrap();
            assert_link_error(alice.write_coldkey(&key(), None, Overwrite::KeepBackup));
            fs::remove_file(&file).unwrap();
        }
    }
    fs::write(alice.coldkey_path(), &*key().to_json()).unwrap();
    symlink(alice.coldkey_path(), dir.path().join("link")).unwrap();
    let stored = StoredKey::read(dir.path().join("link")).unwrap();
    assert_link_error(stored.change_password(None, None).map(|()| panic!("written")));

    // A password change follows no links either, regardless of which directory is the link. Only
    // the root of all wallets may be a link.
    let bob = wallets.wallet(name("bob"));
    bob.write_hotkey(&name("h"), &key(), None, Overwrite::Refuse).unwrap();
    let carol = wallets.wallet(name("carol"));
    symlink(bob.directory(), carol.directory()).unwrap();
    assert_link_error(
        carol.hotkey(&name("h")).unwrap().change_password(None, None).map(|()| panic!("written")),
    );
    let dave = wallets.wallet(name("dave"));
    fs::create_dir(dave.directory()).unwrap();
    symlink(bob.hotkeys_directory(), dave.hotkeys_directory()).unwrap();
    for stored in [dave.hotkey(&name("h")), StoredKey::read(dave.hotkey_path(&name("h")))] {
        assert_link_error(stored.unwrap().change_password(None, None).map(|()| panic!("written")));
    }
    let root = other_directory.path().join("root");
    symlink(dir.path(), &root).unwrap();
    Wallets::new(&root)
        .wallet(name("bob"))
        .hotkey(&name("h"))
        .unwrap()
        .change_password(None, None)
        .unwrap();
    fs::remove_file(root).unwrap();

    assert_eq!(files(other_directory.path()).into_iter().collect::<Vec<_>>(), ["target"]);
    assert_eq!(fs::read_to_string(target).unwrap(), "untouched");
}

#[test]
fn encrypted_and_broken_keys_are_listed_without_public_key() {
    let dir = tempfile::tempdir().unwrap();
    let wallets = Wallets::new(dir.path());
    fs::create_dir(dir.path().join("empty")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let broken = wallets.wallet(name("broken"));
    fs::create_dir_all(broken.hotkeys_directory().join("directory")).unwrap();
    fs::write(broken.coldkey_path(), "$NACL…").unwrap();
    fs::write(broken.coldkeypub_path(), "{").unwrap();
    fs::write(broken.hotkeys_directory().join("sealed"), "$ANSIBLE_VAULT").unwrap();
    fs::write(broken.hotkeys_directory().join(".h.x.partial"), "{").unwrap();
    let plain = key();
    fs::write(broken.hotkeys_directory().join("plain"), &*plain.to_json()).unwrap();

    let listed = wallets.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].coldkey, listed[0].secret),
        (None, SecretState::Encrypted(Encryption::Nacl))
    );
    let hotkeys: Vec<_> =
        listed[0].hotkeys.iter().map(|hotkey| (hotkey.name.as_str(), hotkey.hotkey)).collect();
    assert_eq!(hotkeys, [("plain", Some(plain.public())), ("sealed", None)]);
}

#[test]
fn mismatched_address_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let (coldkey, hotkey, other) = (key(), key(), key());
    wallet.write_coldkey(&coldkey, None, Overwrite::Refuse).unwrap();
    wallet.write_hotkey(&name("h"), &hotkey, None, Overwrite::Refuse).unwrap();
    let listed = wallet.list().unwrap();
    assert_eq!((listed.mismatch, listed.hotkeys[0].mismatch), (None, None));
    for path in [wallet.coldkeypub_path(), wallet.hotkeypub_path(&name("h"))] {
        fs::write(path, other.to_public_json()).unwrap();
    }
    let listed = wallet.list().unwrap();
    assert_eq!((listed.coldkey, listed.mismatch), (Some(other.public()), Some(coldkey.public())));
    assert_eq!(
        (listed.hotkeys[0].hotkey, listed.hotkeys[0].mismatch),
        (Some(other.public()), Some(hotkey.public()))
    );
}

#[cfg(unix)]
#[test]
fn thousand_wallets_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let json = key().to_json();
    let public = key().to_public_json();
    for number in 0..1000 {
        let wallet = Wallets::new(dir.path()).wallet(name(&format!("w{number:03}")));
        fs::create_dir_all(wallet.hotkeys_directory()).unwrap();
        fs::write(wallet.coldkey_path(), "$NACL").unwrap();
        fs::write(wallet.coldkeypub_path(), &public).unwrap();
        fs::write(wallet.hotkey_path(&name("default")), &*json).unwrap();
    }
    let before = thread_cpu_time();
    assert_eq!(Wallets::new(dir.path()).list().unwrap().len(), 1000);
    let cpu_time = thread_cpu_time().saturating_sub(before);
    // This limit is far above the time to read the files, and far below the time to open the
    // encrypted keys; the benchmark measures the exact time.
    assert!(cpu_time < Duration::from_secs(2), "{cpu_time:?}");
}

/// Returns the processor time used by this thread so far, independent of other load on the machine.
#[cfg(unix)]
fn thread_cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
