//! Wallets on disk: what is written, what is refused, and what survives a disk that fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test helper panics as a test does")]

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use taonet_wallet::{
    CryptoType, Encryption, Keyfile, KeyfileError, Keypair, Mnemonic, Name, Overwrite, Password, SecretState,
    StoredKey, WalletError, Wallets, WordCount, expand_home,
};

fn key() -> Keyfile {
    Keyfile::from_mnemonic(&Mnemonic::generate(WordCount::Twelve).unwrap(), CryptoType::Sr25519)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Every file below a directory, by its path from there.
fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let entry_name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).iter().map(|below| format!("{entry_name}/{below}")));
        } else {
            found.insert(entry_name);
        }
    }
    found
}

#[test]
fn keys_are_written_for_their_owner_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let wallets = Wallets::new(dir.path().join("deep/wallets"));
    assert_eq!(wallets.list().unwrap(), []);
    let wallet = wallets.wallet(name("alice"));
    let (cold, hot) = (key(), key());
    wallet.write_coldkey(&cold, None, Overwrite::Refuse).unwrap();
    wallet.write_hotkey(&name("default"), &hot, None, Overwrite::Refuse).unwrap();
    assert_eq!(
        files(wallets.root()).into_iter().collect::<Vec<_>>(),
        ["alice/coldkey", "alice/coldkeypub.txt", "alice/hotkeys/default", "alice/hotkeys/defaultpub.txt"]
    );
    assert_eq!(wallet.coldkey().unwrap().open(None).unwrap().to_json(), cold.to_json());
    assert_eq!(wallet.coldkeypub().unwrap(), cold.public());
    assert_eq!(wallet.hotkeypub(&name("default")).unwrap(), hot.public());
    assert_eq!(Keypair::from_keyfile(wallet.hotkey_path(&name("default"))).unwrap().public(), hot.public());
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

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
}

/// With the real cost in time and memory, which is why this is one test.
#[test]
fn encrypted_keys_open_with_their_password_only_and_change_it() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let (cold, password) = (key(), Password::new("testing-Passw0rd!".to_owned()));
    wallet.write_coldkey(&cold, Some(&password), Overwrite::Refuse).unwrap();
    let stored = wallet.coldkey().unwrap();
    assert_eq!(stored.encryption(), Some(Encryption::Nacl));
    let refusal = |result: Result<(), WalletError>| match result {
        Err(WalletError::Keyfile { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(stored.change_password(None, None)), KeyfileError::Encrypted(Encryption::Nacl));
    let wrong = Password::new("testing-Passw0rd".to_owned());
    assert_eq!(refusal(stored.change_password(Some(&wrong), None)), KeyfileError::WrongPassword);
    stored.change_password(Some(&password), None).unwrap();
    assert_eq!(wallet.coldkey().unwrap().open(None).unwrap().to_json(), cold.to_json());
    assert_eq!(files(dir.path()).len(), 2, "no trace of the old form");
}

#[test]
fn no_key_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let keys = [key(), key(), key()];
    wallet.write_hotkey(&name("h"), &keys[0], None, Overwrite::Refuse).unwrap();
    let before = fs::read(wallet.hotkey_path(&name("h"))).unwrap();
    let refused = wallet.write_hotkey(&name("h"), &keys[1], None, Overwrite::Refuse);
    assert!(matches!(refused, Err(WalletError::Exists(path)) if path.ends_with("alice/hotkeys/h")));
    assert_eq!(fs::read(wallet.hotkey_path(&name("h"))).unwrap(), before);

    for (number, key) in [(1, &keys[1]), (2, &keys[2])] {
        let written = wallet.write_hotkey(&name("h"), key, None, Overwrite::KeepBackup).unwrap();
        let backup = wallet.hotkeys_directory().join(format!("h.{number}.bak"));
        assert_eq!(written.backups[0], backup);
        assert_eq!(written.files, [wallet.hotkey_path(&name("h")), wallet.hotkeypub_path(&name("h"))]);
        let kept = StoredKey::read(backup).unwrap().open(None).unwrap();
        assert_eq!(kept.to_json(), keys[number - 1].to_json());
        assert_eq!(wallet.hotkeypub(&name("h")).unwrap(), key.public());
    }
    // Backups are no hotkeys.
    assert_eq!(wallet.list().unwrap().hotkeys.len(), 1);
}

#[test]
fn a_public_file_is_no_obstacle_to_its_own_key() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = Wallets::new(dir.path()).wallet(name("alice"));
    let (cold, other) = (key(), key());
    wallet.write_coldkeypub(cold.public(), Overwrite::Refuse).unwrap();
    assert!(matches!(wallet.write_coldkeypub(other.public(), Overwrite::Refuse), Err(WalletError::Exists(_))));
    assert!(matches!(wallet.write_coldkey(&other, None, Overwrite::Refuse), Err(WalletError::Exists(_))));
    assert_eq!(files(dir.path()).len(), 1);
    let written = wallet.write_coldkey(&cold, None, Overwrite::Refuse).unwrap();
    assert_eq!((written.files.len(), written.backups.len()), (1, 0));
}

#[test]
fn names_stay_in_their_directory() {
    let long = "a".repeat(201);
    for text in ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "/", "a\0", "a\n", "keypub.txt", "key.1.bak", &long] {
        assert!(text.parse::<Name>().is_err(), "{text:?}");
    }
    for text in ["default", "My Wallet", "schlüssel", "a.b", "0"] {
        assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
    }
}

#[test]
fn home_is_expanded_at_the_beginning_only() {
    let home = Some(Path::new("/home/u"));
    for (path, expected) in [
        ("~", "/home/u"),
        ("~/.bittensor/wallets", "/home/u/.bittensor/wallets"),
        ("~other/x", "~other/x"),
        ("/a/~/b", "/a/~/b"),
    ] {
        assert_eq!(expand_home(path, home), Path::new(expected));
    }
    assert_eq!(expand_home("~/x", None), Path::new("~/x"));
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_links() {
    use std::os::unix::fs::symlink;

    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    fs::write(&target, "untouched").unwrap();
    let wallets = Wallets::new(dir.path());
    let link = |result: Result<_, WalletError>| assert!(matches!(result, Err(WalletError::Link(_))), "{result:?}");

    symlink(elsewhere.path(), dir.path().join("linked")).unwrap();
    link(wallets.wallet(name("linked")).write_coldkey(&key(), None, Overwrite::KeepBackup));

    let alice = wallets.wallet(name("alice"));
    fs::create_dir(alice.directory()).unwrap();
    symlink(elsewhere.path(), alice.hotkeys_directory()).unwrap();
    link(alice.write_hotkey(&name("h"), &key(), None, Overwrite::KeepBackup));

    for file in [alice.coldkey_path(), alice.coldkeypub_path()] {
        for points_to in [&target, &elsewhere.path().join("nowhere")] {
            symlink(points_to, &file).unwrap();
            link(alice.write_coldkey(&key(), None, Overwrite::KeepBackup));
            fs::remove_file(&file).unwrap();
        }
    }
    fs::write(alice.coldkey_path(), &*key().to_json()).unwrap();
    symlink(alice.coldkey_path(), dir.path().join("link")).unwrap();
    let stored = StoredKey::read(dir.path().join("link")).unwrap();
    link(stored.change_password(None, None).map(|()| panic!("written")));

    assert_eq!(files(elsewhere.path()).into_iter().collect::<Vec<_>>(), ["target"]);
    assert_eq!(fs::read_to_string(target).unwrap(), "untouched");
}

#[test]
fn a_list_leaves_gaps_where_files_are_broken() {
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
    assert_eq!((listed[0].coldkey, listed[0].secret), (None, SecretState::Encrypted(Encryption::Nacl)));
    let hotkeys: Vec<_> = listed[0].hotkeys.iter().map(|hotkey| (hotkey.name.as_str(), hotkey.hotkey)).collect();
    assert_eq!(hotkeys, [("plain", Some(plain.public())), ("sealed", None)]);
}

#[cfg(unix)]
#[test]
fn a_thousand_wallets_are_listed_at_once() {
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
    let before = busy();
    assert_eq!(Wallets::new(dir.path()).list().unwrap().len(), 1000);
    let taken = busy().saturating_sub(before);
    assert!(taken < Duration::from_millis(100), "{taken:?}");
}

/// What this thread has used of a core so far: other work on the machine is not what is measured.
#[cfg(unix)]
fn busy() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The variable that tells the test below that it runs on the small disk that it made, and where.
#[cfg(target_os = "linux")]
const SMALL_DISK: &str = "TAONET_TEST_SMALL_DISK";

/// Runs itself again in a namespace of its own, on a disk of 64 KiB: nothing outside sees the disk, and it goes with
/// the process.
#[cfg(target_os = "linux")]
#[test]
fn full_and_read_only_disks_leave_the_old_key() {
    use std::process::Command;

    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        return on_small_disk(Path::new(&disk));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(r#"mount -t tmpfs -o size=64k,mode=700 none "$0" || exit 77; exec "$@""#);
    command.arg(dir.path()).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "full_and_read_only_disks_leave_the_old_key", "--nocapture"]).env(SMALL_DISK, dir.path());
    match command.output() {
        Ok(output) if output.status.success() => {
            let shown = String::from_utf8_lossy(&output.stdout);
            assert!(shown.contains("small disk: all held"), "{shown}");
        }
        Ok(output) if output.status.code() == Some(101) => {
            panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        }
        other => eprintln!(
            "NOT TESTED: full and read-only disks. `unshare --user --map-root-user --mount` and a tmpfs are needed, \
             and this system gives none: {other:?}"
        ),
    }
}

#[cfg(target_os = "linux")]
#[allow(clippy::print_stdout, reason = "the outer test looks for it")]
fn on_small_disk(disk: &Path) {
    use std::process::Command;

    let wallet = Wallets::new(disk).wallet(name("alice"));
    let (old, new) = (key(), key());
    wallet.write_coldkey(&old, None, Overwrite::Refuse).unwrap();
    let before = files(disk);
    let unchanged = |what: &str| {
        assert_eq!(wallet.coldkey().unwrap().open(None).unwrap().to_json(), old.to_json(), "{what}");
        assert_eq!(wallet.coldkeypub().unwrap(), old.public(), "{what}");
        assert_eq!(files(disk), before, "{what}");
    };
    let refused = |result: Result<(), WalletError>, kind: ErrorKind| match result {
        Err(WalletError::Write { source, .. }) => assert_eq!(source.kind(), kind),
        other => panic!("{other:?}"),
    };
    let writes = |kind: ErrorKind| {
        refused(wallet.write_coldkey(&new, None, Overwrite::KeepBackup).map(drop), kind);
        refused(wallet.coldkey().unwrap().change_password(None, None), kind);
        refused(wallet.write_hotkey(&name("h"), &new, None, Overwrite::Refuse).map(drop), kind);
    };

    let ballast = disk.join("ballast");
    fs::create_dir(wallet.hotkeys_directory()).unwrap();
    let full = fs::write(&ballast, vec![0; 128 * 1024]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let held = fs::read(&ballast).unwrap();
    assert!(!held.is_empty());
    let before_full = files(disk);
    writes(ErrorKind::StorageFull);
    assert_eq!(files(disk), before_full);
    // Room for the secret, and none for the public file beside it.
    fs::OpenOptions::new().write(true).open(&ballast).unwrap().set_len(held.len() as u64 - 4096).unwrap();
    refused(wallet.write_coldkey(&new, None, Overwrite::KeepBackup).map(drop), ErrorKind::StorageFull);
    refused(wallet.write_hotkey(&name("h"), &new, None, Overwrite::Refuse).map(drop), ErrorKind::StorageFull);
    assert_eq!(files(disk), before_full);
    wallet.coldkey().unwrap().change_password(None, None).unwrap();
    fs::remove_file(&ballast).unwrap();
    unchanged("full disk");

    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status().unwrap();
    assert!(remounted.success());
    writes(ErrorKind::ReadOnlyFilesystem);
    unchanged("read-only disk");
    println!("small disk: all held");
}
