//! `tao update` and `--auto-update`, with releases that are not signed with the project's key.
//! Installations are tested by the crate `taonet-update`, with a separate key.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;

use crate::proof::{compile, miner};
use crate::support::{Daemon, document, free_address, refusal, stderr, tao};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn update(arguments: &[&str]) -> Output {
    tao().arg("update").args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Creates a directory of releases with this latest version.
fn releases(version: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("latest.json"), json!({ "version": version }).to_string())
        .unwrap();
    folder
}

/// Adds a list of programs with a signature in the form of minisign, by a key whose private part is
/// discarded.
fn add_release(folder: &Path, version: &str) {
    let release = folder.join(version);
    fs::create_dir(&release).unwrap();
    fs::write(release.join("SHA256SUMS"), format!("{}  tao-{version}\n", "0".repeat(64))).unwrap();
    let signature = "untrusted comment: signature from minisign secret key
RUTUZxctjR8Y5P2RwUsvMzQbZ+Z+HnRInCMV1+KLAYNpUnIvv1HQ4gbDoKunS7XY7x4SjGeC7ri7xc4Xjpjz845DuMrSXOV3dQc=
trusted comment: taonet 0.2.0
zqKu3uuLHCvWJ4Fg1Jh+oakLuVpJii1vuisjkmkujpk7OMmN2KKaIlUyaMpMkUNQg7Hz26v40EtjfxYU6zX8BQ==
";
    fs::write(release.join("SHA256SUMS.minisig"), signature).unwrap();
}

#[test]
fn update_check_prints_the_latest_release() {
    let folder = releases(VERSION);
    let output = update(&["--check", "--from", text(folder.path())]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("tao {VERSION} is the latest release\n")
    );
    let actual = document(&update(&["--from", text(folder.path()), "--json"]));
    assert_eq!(actual, json!({ "version": VERSION, "status": "current" }));
    let mut from_environment = tao();
    from_environment.args(["update", "--json"]).env("TAO_UPDATE_URL", folder.path());
    assert_eq!(document(&from_environment.output().unwrap()), actual);
}

#[test]
fn failed_update_check_names_reason() {
    let error = refusal(&update(&["--check"]), 2);
    assert!(
        error.contains("no release server is set")
            && error.contains("hint: name one with --from URL"),
        "{error}"
    );
    let error = refusal(&update(&["--check", "--from", "ftp://releases.example"]), 2);
    assert!(error.contains("neither an http or https URL nor a directory"), "{error}");
    let error = refusal(&update(&["--check", "--from", &format!("http://{}", free_address())]), 3);
    assert!(error.contains("cannot read http://127.0.0.1:"), "{error}");
    let old = releases("0.0.1");
    let error = refusal(&update(&["--check", "--from", text(old.path())]), 1);
    assert!(error.contains("the latest release 0.0.1 is older than this program"), "{error}");
    let empty = TempDir::new().unwrap();
    let error = refusal(&update(&["--check", "--from", text(empty.path())]), 1);
    assert!(error.contains("latest.json"), "{error}");
    let malformed = releases("../1.0.0");
    let error = refusal(&update(&["--check", "--from", text(malformed.path())]), 1);
    assert!(error.contains("latest.json is malformed"), "{error}");
}

#[test]
fn releases_signed_with_another_key_are_refused() {
    let folder = releases("999.0.0");
    add_release(folder.path(), "999.0.0");
    for arguments in [&["--check"][..], &[]] {
        let error = refusal(&update(&[&["--from", text(folder.path())], arguments].concat()), 4);
        assert!(error.contains("999.0.0/SHA256SUMS is not signed with the release key"), "{error}");
        assert_eq!(error.matches("hint: ").count(), 1, "{error}");
    }
}

/// A miner keeps serving when a release is refused.
#[test]
fn daemon_survives_release_signed_with_another_key() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let releases = releases("999.0.0");
    add_release(releases.path(), "999.0.0");
    let mut command = miner("//Bob", &circuits);
    let daemon =
        Daemon::start(command.args(["--quic-port", "0", "--auto-update", text(releases.path())]));
    let start = std::time::Instant::now();
    while !daemon.log().contains("is not signed with the release key") {
        assert!(start.elapsed().as_secs() < 300, "{}", daemon.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(daemon.terminate().success());
}

/// The updated daemon cannot start, since the new program takes other arguments or finds a fault.
#[test]
fn failed_update_restores_previous_program() {
    let common = ["--circuit-cache-dir", "missing", "--key-uri", "//Bob"];
    for (daemon, argument, reason) in [
        ("miner", "--no-such-option", "unexpected argument"),
        ("miner", "--loopback", "cannot read or write missing"),
        ("validator", "--disable-benchmark", "--disable-benchmark requires"),
    ] {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("tao");
        fs::write(&program, "the new program").unwrap();
        // It prints its arguments.
        std::os::unix::fs::symlink("/bin/echo", folder.path().join("tao.previous")).unwrap();
        let arguments = [&["proof", daemon], &common[..], &[argument]].concat();
        let mut command = tao();
        command.args(&arguments).current_dir(folder.path()).env("TAONET_UPDATE_TRIAL", &program);
        let output = command.output().unwrap();
        assert!(
            output.status.success() && stderr(&output).contains(reason),
            "{argument}: {}",
            stderr(&output)
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", arguments.join(" ")));
        assert_eq!(fs::read_to_string(folder.path().join(".tao.rejected")).unwrap(), VERSION);
        assert_eq!(fs::read_link(&program).unwrap(), Path::new("/bin/echo"));
    }
}

#[test]
fn links_to_the_program_run_their_commands() {
    let folder = TempDir::new().unwrap();
    let version = |name: &str, arguments: &[&str]| {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tao"), &link).unwrap();
        let output = Command::new(link).args(arguments).output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(version("bb", &["--version"]), format!("bb {VERSION}\n"));
    assert!(version("sn2-miner", &["-h"]).contains("Usage: tao proof miner [OPTIONS]"));
    assert!(version("sn2-validator", &["-h"]).contains("Usage: tao proof validator [OPTIONS]"));
    assert_eq!(version("another-name", &["--version"]), format!("tao {VERSION}\n"));
}
