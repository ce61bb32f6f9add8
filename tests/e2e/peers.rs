//! Peers of the interoperability tests: packages for Python and Node.js, installed by
//! `scripts/peers`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use taonet_testing::peer_directory;

use crate::support::repository;

/// The installed packages of one peer: a Python environment, or a directory of Node.js packages.
pub(crate) struct Peer {
    name: &'static str,
    directory: PathBuf,
}

impl Peer {
    /// Finds a peer by its name in tests/peers. If it is not installed, the test is skipped with a
    /// message, or fails if `CI` is set.
    pub(crate) fn find(name: &'static str) -> Option<Self> {
        Some(Self { name, directory: peer_directory(name)? })
    }

    /// Returns a Python command for a script in tests/e2e/peers, with a clean environment.
    pub(crate) fn script(&self, file: &str) -> Command {
        let mut command = Command::new(self.directory.join("bin/python"));
        command.arg(repository("tests/e2e/peers").join(file));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BT_"))
        {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1");
        command
    }

    /// Directory of a Python peer's programs.
    pub(crate) fn programs(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// Directory of a Python peer's packages.
    pub(crate) fn packages(&self) -> PathBuf {
        let python =
            std::fs::read_dir(self.directory.join("lib")).unwrap().next().unwrap().unwrap();
        python.path().join("site-packages")
    }

    /// Returns a Node.js command for a script in tests/e2e/browser, which loads its packages from
    /// the peer's directory.
    pub(crate) fn browser_script(&self, file: &str) -> Command {
        let mut command = Command::new("node");
        command
            .arg(repository("tests/e2e/browser").join(file))
            .arg(&self.directory)
            .env("NO_COLOR", "1");
        command
    }

    /// Returns a Node.js command for a script in tests/e2e/peers, which loads its packages from the
    /// peer's directory.
    pub(crate) fn node_script(&self, file: &str) -> Command {
        let mut command = Command::new("node");
        command
            .arg(repository("tests/e2e/peers").join(file))
            .arg(&self.directory)
            .env("NO_COLOR", "1");
        command
    }

    /// Passes a document to a script on standard input and parses the last line of its output.
    pub(crate) fn query(&self, command: &mut Command, question: &Value) -> Value {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {}: {stdout}{stderr}", self.name, output.status);
        serde_json::from_str(stdout.trim().lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{}: {error} in: {stdout}{stderr}", self.name))
    }
}
