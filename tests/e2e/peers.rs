//! Python peers, installed by `scripts/peers`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::repository;

/// A Python environment with one peer.
pub(crate) struct Peer {
    name: &'static str,
    python: PathBuf,
}

impl Peer {
    /// Finds a peer by its name in tests/peers. If it is not installed, the test is skipped with a message, or fails
    /// if `CI` is set.
    pub(crate) fn find(name: &'static str) -> Option<Self> {
        let environment = directory().join(name);
        let wanted = std::fs::read(repository("tests/peers").join(name).with_extension("txt")).unwrap();
        // Marker file that scripts/peers writes last.
        if std::fs::read(environment.join("installed.txt")).is_ok_and(|installed| installed == wanted) {
            return Some(Self { name, python: environment.join("bin/python") });
        }
        let message = format!(
            "NOT TESTED against the peer {name}: {} has no Python environment with the packages of tests/peers/{name}.txt. \
             Run scripts/peers, or ./test, which does so",
            environment.display()
        );
        let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        assert!(!is_ci, "{message}");
        // Bypasses the test harness, which captures the output of passing tests.
        let _ = writeln!(std::io::stderr(), "{message}");
        None
    }

    /// A Python command for a script in tests/e2e/peers, with a clean environment.
    pub(crate) fn script(&self, file: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(repository("tests/e2e/peers").join(file));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BT_")) {
            command.env_remove(name);
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1");
        command
    }

    /// Passes a document to a script on standard input and parses the last line of its output.
    pub(crate) fn ask(&self, command: &mut Command, question: &Value) -> Value {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {}: {stdout}{stderr}", self.name, output.status);
        serde_json::from_str(stdout.trim().lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{}: {error} in: {stdout}{stderr}", self.name))
    }
}

/// The same directory as `peers_dir` in scripts/lib.sh.
fn directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let default = || {
        let home = variable("HOME").unwrap_or_default();
        let cache = variable("XDG_CACHE_HOME").map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from);
        cache.join("taonet/peers")
    };
    variable("TAONET_PEERS_DIR").map_or_else(default, PathBuf::from)
}
