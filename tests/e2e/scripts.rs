//! The scripts that install what is missing, with programs that only say how they were called.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{repository, stderr};

/// Runs `script` after `scripts/lib.sh`, as a user with this id, where nothing is installed but `programs`.
fn run(script: &str, user: &str, programs: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "id", &format!("echo {user}"));
    for name in programs {
        program(folder.path(), name, &format!("echo {name} $*"));
    }
    let lib = repository("scripts/lib.sh");
    let script = format!("set -eu; . '{}'; {script}", lib.display());
    Command::new("/bin/bash").args(["-c", &script]).env("PATH", folder.path()).output().unwrap()
}

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

const INSTALL: &str = "apt-get install --yes --no-install-recommends espeak-ng";

#[test]
fn root_installs_what_is_missing() {
    let output = run("install_packages espeak-ng", "0", &["apt-get"]);
    assert!(output.status.success());
    assert_eq!(stderr(&output), format!("installing: {INSTALL}\napt-get update -qq\n{INSTALL}\n"));
}

#[test]
fn others_are_asked_for_a_password_after_hearing_why() {
    let output = run("has_terminal() { true; }; install_packages espeak-ng", "1000", &["apt-get", "sudo"]);
    assert!(output.status.success());
    assert_eq!(stderr(&output), format!("installing: sudo {INSTALL}\nsudo apt-get update -qq\nsudo {INSTALL}\n"));
}

#[test]
fn who_cannot_be_asked_is_told_the_command() {
    let terminal = "has_terminal() { true; }; install_packages espeak-ng";
    for (script, programs) in [("install_packages espeak-ng", &["apt-get", "sudo"][..]), (terminal, &["apt-get"])] {
        let output = run(script, "1000", programs);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stderr(&output), format!("error: missing: espeak-ng. As root: {INSTALL}\n"));
    }
    let output = run("install_packages espeak-ng", "0", &[]);
    assert_eq!(stderr(&output), "error: please install: espeak-ng\n");
}

#[test]
fn postgres_is_installed_only_where_it_is_missing() {
    let output = run("require_postgres", "0", &["initdb"]);
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    let missing = "has_postgres() { false; }; require_postgres";
    let output = run(missing, "0", &["apt-get"]);
    assert!(
        stderr(&output).contains("apt-get install --yes --no-install-recommends postgresql\n"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("there is no command initdb"), "{}", stderr(&output));
}
