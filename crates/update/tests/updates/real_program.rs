//! A compiled program that replaces itself while it runs: examples/self_updating.rs, in several
//! versions.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Lines};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::releases::{Keys, Releases, program};

/// Returns the compiled example with this version as its last line. Loaders ignore bytes after an
/// executable's last section.
fn compile(version: &str) -> Vec<u8> {
    let tests = std::env::current_exe().unwrap();
    let example =
        tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/self_updating");
    let hint = "cargo test builds it, cargo test --test updates does not: cargo build --example self_updating";
    let mut content =
        fs::read(&example).unwrap_or_else(|error| panic!("{}: {error}: {hint}", example.display()));
    content.extend(format!("\n{version}").bytes());
    content
}

/// A running daemon and its output, killed on drop.
struct Daemon {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The process may have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a daemon that updates itself every 50 ms.
fn start(releases: &Releases, directory: &Path) -> Daemon {
    let (installed, key) = (directory.join("tao"), directory.join("key.pub"));
    fs::write(&key, releases.keys.public()).unwrap();
    fs::write(&installed, compile("0.1.0")).unwrap();
    fs::set_permissions(&installed, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&installed);
    command.arg(releases.path()).arg(&key).stdout(Stdio::piped());
    let mut child = loop {
        match command.spawn() {
            // Another test's thread forked while the file was open for writing.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            spawned => break spawned.unwrap(),
        }
    };
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Daemon { child, lines }
}

/// One process runs several releases in turn. It does not install a truncated program or one with a
/// wrong version.
#[test]
fn running_program_replaces_itself() {
    let releases = Releases { folder: TempDir::new().unwrap(), keys: Keys::new(1) };
    releases.publish("0.1.0", &compile("0.1.0"));
    let directory = TempDir::new().unwrap();
    let installed = directory.path().join("tao");
    let mut daemon = start(&releases, directory.path());
    let id = daemon.child.id();
    assert_eq!(daemon.line(), format!("running 0.1.0 as {id}"));

    releases.publish("0.2.0", &compile("0.2.0"));
    assert_eq!(daemon.line(), format!("running 0.2.0 as {id}"));
    assert!(fs::read(&installed).unwrap() == compile("0.2.0"), "the new program is installed");
    assert!(
        fs::read(directory.path().join("tao.previous")).unwrap() == compile("0.1.0"),
        "the old program is kept"
    );

    // Three signed but faulty releases: a truncated program, and a program and a script that report
    // a different version.
    let newer = compile("0.3.0");
    for (version, content) in [
        ("0.3.0", newer[..newer.len() / 2].to_vec()),
        ("0.3.1", compile("0.2.0")),
        ("0.3.2", program("0.3.0").into_bytes()),
    ] {
        releases.publish(version, &content);
        // After several checks, the daemon still runs and the installed program is unchanged.
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(daemon.child.try_wait().unwrap().is_none(), "{version}");
        assert!(fs::read(&installed).unwrap() == compile("0.2.0"), "{version}");
    }
    releases.publish("0.4.0", &compile("0.4.0"));
    assert_eq!(daemon.line(), format!("running 0.4.0 as {id}"));
    assert!(Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap().success());
    assert_eq!(daemon.line(), "stopped 0.4.0");
    assert!(daemon.child.wait().unwrap().success());
}

/// The same process runs the previous program again, and does not retry the rejected release.
#[test]
fn release_that_is_not_ready_is_rolled_back() {
    let releases = Releases { folder: TempDir::new().unwrap(), keys: Keys::new(1) };
    releases.publish("0.1.0", &compile("0.1.0"));
    let directory = TempDir::new().unwrap();
    let mut daemon = start(&releases, directory.path());
    let id = daemon.child.id();
    assert_eq!(daemon.line(), format!("running 0.1.0 as {id}"));
    for version in ["0.2.0-hangs", "0.3.0-fails", "0.4.0-panics"] {
        releases.publish(version, &compile(version));
        assert_eq!(daemon.line(), format!("running {version} as {id}"));
        assert_eq!(daemon.line(), format!("running 0.1.0 as {id}"));
        assert!(fs::read(directory.path().join("tao")).unwrap() == compile("0.1.0"), "{version}");
        assert_eq!(fs::read_to_string(directory.path().join(".tao.rejected")).unwrap(), version);
    }
    // Several checks later, the daemon still runs, without another attempt.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(daemon.child.try_wait().unwrap().is_none());
    releases.publish("0.5.0", &compile("0.5.0"));
    assert_eq!(daemon.line(), format!("running 0.5.0 as {id}"));
    // Its trial, of 10 s, has ended.
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert!(daemon.child.try_wait().unwrap().is_none());
    assert!(fs::read(directory.path().join("tao")).unwrap() == compile("0.5.0"));
    assert!(!directory.path().join(".tao.rejected").exists());
}
