//! Tests on failing disks: full, read-only, and directories without read permission.

#![allow(clippy::print_stdout, reason = "the outer tests look for what the inner ones print")]

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use taonet_wallet::{Keyfile, Overwrite, SecretState, Wallet, WalletError, Wallets};

use crate::{files, key, name};

/// The environment variable with the disk's path, which makes the test run as a subprocess.
const DISK_VARIABLE: &str = "TAONET_TEST_DISK";
const PASSED_MESSAGE: &str = "all held on this disk";

/// A wallet on the disk under test, with the files expected after a failure.
struct Fixture<'a> {
    disk: &'a Path,
    wallet: Wallet,
    old: Keyfile,
    new: Keyfile,
    before: BTreeSet<String>,
}

impl<'a> Fixture<'a> {
    fn new(disk: &'a Path) -> Self {
        let wallet = Wallets::new(disk).wallet(name("alice"));
        let (old, new) = (key(), key());
        wallet.write_coldkey(&old, None, Overwrite::Refuse).unwrap();
        fs::create_dir(wallet.hotkeys_directory()).unwrap();
        Self { disk, wallet, old, new, before: files(disk) }
    }

    #[track_caller]
    fn assert_unchanged(&self) {
        assert_eq!(
            self.wallet.coldkey().unwrap().open(None).unwrap().to_json(),
            self.old.to_json()
        );
        assert_eq!(self.wallet.coldkeypub().unwrap(), self.old.public());
        assert_eq!(files(self.disk), self.before);
    }

    #[track_caller]
    fn assert_overwriting_is_refused(&self, kind: ErrorKind) {
        assert_refused(
            self.wallet.write_coldkey(&self.new, None, Overwrite::KeepBackup).map(drop),
            kind,
        );
        assert_refused(
            self.wallet.write_hotkey(&name("h"), &self.new, None, Overwrite::Refuse).map(drop),
            kind,
        );
    }

    #[track_caller]
    fn assert_all_writes_refused(&self, kind: ErrorKind) {
        self.assert_overwriting_is_refused(kind);
        assert_refused(self.wallet.coldkey().unwrap().change_password(None, None), kind);
    }
}

#[track_caller]
fn assert_refused(result: Result<(), WalletError>, kind: ErrorKind) {
    match result {
        Err(WalletError::Write { source, .. }) => assert_eq!(source.kind(), kind),
        other => panic!("{other:?}"),
    }
}

/// Runs the test of this name again in a subprocess, started by `command`.
fn rerun_on_disk(test: &str, disk: &Path, command: &mut Command) -> std::io::Result<Output> {
    let test = format!("disks::{test}");
    command
        .arg(disk)
        .arg(env::current_exe()?)
        .args(["--exact", &test, "--nocapture"])
        .env(DISK_VARIABLE, disk)
        .output()
}

#[track_caller]
fn assert_old_key_kept(output: &Output) {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && stdout.contains(PASSED_MESSAGE),
        "{}: {stdout}{stderr}",
        output.status
    );
}

/// Uses a disk of 64 KiB in a separate mount namespace, which is removed with the process. On
/// systems without permission for that, only the next test runs.
#[test]
fn old_key_survives_full_and_read_only_disks() {
    const NO_DISK: i32 = 77;

    if let Some(disk) = env::var_os(DISK_VARIABLE) {
        return on_small_disk(Path::new(&disk));
    }
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    let dir = tempfile::tempdir().unwrap();
    let mut command = namespace();
    command.args([
        "sh",
        "-c",
        r#"mount -t tmpfs -o size=64k,mode=700 none "$0" || exit 77; exec "$@""#,
    ]);
    let is_permitted = namespace().arg("true").output().is_ok_and(|output| output.status.success());
    let output = is_permitted.then(|| {
        rerun_on_disk("old_key_survives_full_and_read_only_disks", dir.path(), &mut command)
    });
    match output.transpose().unwrap() {
        Some(output) if output.status.code() != Some(NO_DISK) => assert_old_key_kept(&output),
        _ => {
            // Bypasses the test harness, which captures the output of passing tests.
            let _ = writeln!(
                std::io::stderr(),
                "NOT TESTED on a disk of its own: this system permits no user namespaces, or no tmpfs in them. Files \
                 that may not grow and directories that may not be written are tested all the same"
            );
        }
    }
}

fn on_small_disk(disk: &Path) {
    let fixture = Fixture::new(disk);
    let ballast = disk.join("ballast");
    let error = fs::write(&ballast, vec![0; 128 * 1024]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let contents = fs::read(&ballast).unwrap();
    assert!(!contents.is_empty());
    let before_full = files(disk);
    fixture.assert_all_writes_refused(ErrorKind::StorageFull);
    assert_eq!(files(disk), before_full);
    // With space for the secret, but not for the public file beside it.
    OpenOptions::new()
        .write(true)
        .open(&ballast)
        .unwrap()
        .set_len(contents.len() as u64 - 4096)
        .unwrap();
    fixture.assert_overwriting_is_refused(ErrorKind::StorageFull);
    assert_eq!(files(disk), before_full);
    fixture.wallet.coldkey().unwrap().change_password(None, None).unwrap();
    fs::remove_file(&ballast).unwrap();
    fixture.assert_unchanged();

    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status().unwrap();
    assert!(remounted.success());
    fixture.assert_all_writes_refused(ErrorKind::ReadOnlyFilesystem);
    fixture.assert_unchanged();
    println!("{PASSED_MESSAGE}");
}

/// Uses files that may not grow and directories without write permission, in a subprocess, since
/// the file size limit is per process. Needs no privileges.
#[test]
fn old_key_survives_file_size_limit() {
    if let Some(disk) = env::var_os(DISK_VARIABLE) {
        return assert_writes_refused_within_limits(Path::new(&disk));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    // A process that exceeds the limit gets a signal first, which would kill it.
    command.args(["-c", r#"trap "" XFSZ; exec "$@""#]);
    assert_old_key_kept(
        &rerun_on_disk("old_key_survives_file_size_limit", dir.path(), &mut command).unwrap(),
    );
}

fn assert_writes_refused_within_limits(disk: &Path) {
    let fixture = Fixture::new(disk);
    let unlimited = getrlimit(Resource::Fsize);
    for bytes in [0, 100] {
        let limited = rustix::process::Rlimit { current: Some(bytes), ..unlimited };
        setrlimit(Resource::Fsize, limited).unwrap();
        fixture.assert_all_writes_refused(ErrorKind::FileTooLarge);
        fixture.assert_unchanged();
    }
    setrlimit(Resource::Fsize, unlimited).unwrap();

    drop_root_permissions();
    for mode in [0o500, 0o700] {
        for directory in [fixture.wallet.directory(), fixture.wallet.hotkeys_directory()] {
            fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
        }
        if mode == 0o500 {
            fixture.assert_all_writes_refused(ErrorKind::PermissionDenied);
            fixture.assert_unchanged();
        }
    }
    println!("{PASSED_MESSAGE}");
}

/// Drops root's permissions on other users' files, for this thread.
fn drop_root_permissions() {
    let mut capability_sets = capabilities(None).unwrap();
    capability_sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
    set_capabilities(None, capability_sets).unwrap();
}

/// A directory without read permission cannot be synced: the error must occur before the key is in
/// place, not after.
#[test]
fn unsyncable_directory_is_not_written_to() {
    drop_root_permissions();
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(dir.path());
    let hotkeys = fixture.wallet.hotkeys_directory();
    fs::set_permissions(&hotkeys, Permissions::from_mode(0o300)).unwrap();
    let result = fixture.wallet.write_hotkey(&name("h"), &fixture.new, None, Overwrite::Refuse);
    fs::set_permissions(&hotkeys, Permissions::from_mode(0o700)).unwrap();
    assert_refused(result.map(drop), ErrorKind::PermissionDenied);
    fixture.assert_unchanged();
}

#[test]
fn unreadable_key_is_not_reported_as_absent() {
    drop_root_permissions();
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(dir.path());
    let wallets = Wallets::new(dir.path());
    fixture.wallet.write_hotkey(&name("h"), &fixture.new, None, Overwrite::Refuse).unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(&fixture.wallet.coldkey_path(), 0);
    set(&fixture.wallet.hotkey_path(&name("h")), 0);
    let listed = wallets.list().unwrap();
    assert_eq!(
        (listed[0].secret, listed[0].coldkey),
        (SecretState::Unreadable, Some(fixture.old.public()))
    );
    assert_eq!(listed[0].hotkeys[0].secret, SecretState::Unreadable);

    set(&fixture.wallet.directory(), 0);
    let listed = wallets.list().unwrap();
    set(&fixture.wallet.directory(), 0o700);
    assert_eq!(
        (listed.len(), listed[0].secret, listed[0].coldkey),
        (1, SecretState::Unreadable, None)
    );
}
