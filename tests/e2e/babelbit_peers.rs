//! Babelbit's other side in Python, with the clients and keys that operators have: it plays the services that our runner
//! calls, and the reference's runner against our services.

mod arena;
mod clients;
mod scoring;
mod servers;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::support::{Daemon, local_bb, repository};

const SCRIPT: &str = "babelbit";

/// What plays Babelbit's other side; see [`Peer::find`].
pub(crate) fn peer() -> Option<Peer> {
    Peer::find("babelbit")
}

/// What Python's runner tells of a service.
#[track_caller]
pub(crate) fn ask(peer: &Peer, question: &Value) -> Value {
    peer.ask(peer.script(SCRIPT).arg("runner"), question)
}

/// A service in Python, which ends when it is dropped.
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

    /// What it said at its start.
    pub(crate) fn hello(&self, field: &str) -> &Value {
        &self.hello[field]
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        self.hello["url"].as_str().unwrap()
    }

    /// Ends it; what it saw, none of which was against the protocol.
    #[track_caller]
    pub(crate) fn report(mut self) -> Value {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        let report: Value = serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error} in: {text}"));
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

/// Our engine with one short challenge.
fn engine() -> Daemon {
    Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")))
}

/// Our miner with the key `//Bob`.
fn miner(profile: &str) -> Daemon {
    Daemon::start(local_bb().args(["miner", "--profile", profile, "--key-uri", "//Bob"]))
}
