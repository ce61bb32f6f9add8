//! Tests of scripts/release-sign, with copies of the files that it reads.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use taonet_update::{Check, ReleaseKey, TARGET};
use tempfile::TempDir;

use crate::installation::{Installation, updater};
use crate::releases::program;
use crate::{has, repository};

/// Creates a repository with this version and the public key of a new key pair.
fn project(version: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("scripts")).unwrap();
    fs::create_dir_all(folder.path().join("crates/update")).unwrap();
    for script in ["scripts/lib.sh", "scripts/release-sign"] {
        fs::copy(repository(script), folder.path().join(script)).unwrap();
    }
    fs::write(
        folder.path().join("Cargo.toml"),
        format!("[workspace.package]\nversion = \"{version}\"\n"),
    )
    .unwrap();
    make_keys(folder.path(), "crates/update/release.pub", "secret.key");
    folder
}

fn make_keys(folder: &Path, public: &str, secret: &str) {
    let mut minisign = Command::new("minisign");
    minisign.args(["-G", "-W", "-f", "-p", public, "-s", secret]).current_dir(folder);
    assert!(minisign.output().unwrap().status.success());
}

fn sign(project: &Path, secret: &str, programs: &[&str]) -> Output {
    let mut command = Command::new(project.join("scripts/release-sign"));
    command.args([secret, "releases"]).args(programs).current_dir(project).output().unwrap()
}

#[tokio::test]
async fn signed_directory_is_a_valid_release_source() {
    if !has("minisign") {
        return;
    }
    let project = project("0.2.0");
    let target = TARGET.unwrap();
    fs::write(project.path().join("tao"), program("0.2.0")).unwrap();
    let programs = format!("{target}=tao");
    let output = sign(project.path(), "secret.key", &[&programs]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = fs::read_to_string(project.path().join("crates/update/release.pub")).unwrap();
    let releases = project.path().join("releases");
    let installation = Installation::new();
    let source = releases.to_str().unwrap().parse().unwrap();
    let updater = updater(source, ReleaseKey::parse(&key).unwrap(), installation.program());
    let Check::Newer(release) = updater.check().await.unwrap() else { panic!("it is not newer") };
    updater.install(&release, |_| {}).await.unwrap();
    assert_eq!(fs::read_to_string(installation.program()).unwrap(), program("0.2.0"));
    // A published release is never changed.
    let again = sign(project.path(), "secret.key", &[&programs]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("never changed"));
}

/// The files of scripts/release, and nothing else, are in the signed list.
#[test]
fn packages_are_in_the_signed_list() {
    if !has("minisign") {
        return;
    }
    let project = project("0.2.0");
    let write = |name: &str| fs::write(project.path().join(name), name).unwrap();
    fs::create_dir(project.path().join("dist")).unwrap();
    let files = [
        "dist/taonet_0.2.0_arm64.deb",
        "dist/tao-0.2.0-aarch64-unknown-linux-gnu",
        "dist/SHA256SUMS",
    ];
    for file in files {
        write(file);
    }
    let output = sign(project.path(), "secret.key", &files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = fs::read_to_string(project.path().join("releases/0.2.0/SHA256SUMS")).unwrap();
    let names: Vec<_> = list.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(names, ["tao-0.2.0-aarch64-unknown-linux-gnu", "taonet_0.2.0_arm64.deb"]);
    assert_eq!(fs::read_dir(project.path().join("releases/0.2.0")).unwrap().count(), 4);
}

#[test]
fn uninstallable_release_is_not_published() {
    if !has("minisign") {
        return;
    }
    let project = project("0.2.0");
    fs::write(project.path().join("tao"), program("0.2.0")).unwrap();
    fs::write(project.path().join("taonet_0.2.0_amd64.deb"), "a package").unwrap();
    make_keys(project.path(), "other.pub", "other.key");
    for (secret, program, expected) in [
        ("other.key", "x86_64-unknown-linux-gnu=tao", "is not the secret key of"),
        ("secret.key", "x86_64-pc-windows-msvc=tao", "unsupported target"),
        ("missing.key", "x86_64-unknown-linux-gnu=tao", "cannot read the secret key"),
        ("secret.key", "x86_64-unknown-linux-gnu=missing", "missing"),
        ("secret.key", "taonet_0.1.0_amd64.deb", "is not of version 0.2.0"),
        ("secret.key", "taonet_0.2.0_amd64.deb", "there is no program"),
    ] {
        let output = sign(project.path(), secret, &[program]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(expected), "{expected}: {text}");
        let release_count =
            fs::read_dir(project.path().join("releases")).map(Iterator::count).unwrap_or_default();
        assert_eq!(release_count, 0, "{expected}");
    }
}
