//! Interoperability with the Python side of Babelbit: its services with our runner, and the
//! reference's runner with our services.

mod arena;
mod clients;
mod scoring;
mod servers;
mod texts;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::support::{Daemon, local_bb, repository};

const SCRIPT: &str = "babelbit";

/// Returns the Python environment of Babelbit's peers; see [`Peer::find`].
pub(crate) fn peer() -> Option<Peer> {
    Peer::find("babelbit")
}

/// Returns the Python runner's report on a service.
#[track_caller]
pub(crate) fn query_peer(peer: &Peer, question: &Value) -> Value {
    peer.query(peer.script(SCRIPT).arg("runner"), question)
}

/// A Python service, killed on drop.
pub(crate) struct Service {
    child: Child,
    stdout: BufReader<ChildStdout>,
    hello: Value,
}

impl Service {
    pub(crate) fn start(peer: &Peer, role: &str, settings: &Value) -> Self {
        let mut command = peer.script(SCRIPT);
        command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{settings}").unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Ok(hello) = serde_json::from_str(&line) else {
            let mut text = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut text);
            panic!("{role} did not start: {line}{text}");
        };
        Self { child, stdout, hello }
    }

    /// Startup message.
    pub(crate) fn hello(&self, field: &str) -> &Value {
        &self.hello[field]
    }

    /// URL of the service.
    pub(crate) fn url(&self) -> &str {
        self.hello["url"].as_str().unwrap()
    }

    /// Stops the service and returns its log; fails on protocol violations.
    #[track_caller]
    pub(crate) fn report(mut self) -> Value {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        let report: Value =
            serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error} in: {text}"));
        assert_eq!(report["problems"], json!([]));
        report
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `bb engine` with one short challenge.
fn engine() -> Daemon {
    Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")))
}

/// `bb miner` with the key `//Bob`.
fn miner(profile: &str) -> Daemon {
    Daemon::start(local_bb().args(["miner", "--profile", profile, "--key-uri", "//Bob"]))
}
