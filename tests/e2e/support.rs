//! What the tests share: the two programs, servers that end with their test, files of a run.

mod run_files;
mod terminal;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

pub(crate) use run_files::RunFiles;
pub(crate) use terminal::Terminal;

/// `tao`, with none of the settings that the tester's environment may hold.
pub(crate) fn tao() -> Command {
    program(env!("CARGO_BIN_EXE_tao"))
}

/// As [`tao`], for `bb`.
pub(crate) fn bb() -> Command {
    program(env!("CARGO_BIN_EXE_bb"))
}

/// A line for the shell, to which `tao` and `bb` are installed programs.
pub(crate) fn shell(line: &str) -> Command {
    let mut shell = program("sh");
    let programs = Path::new(env!("CARGO_BIN_EXE_tao")).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    shell.args(["-c", line]);
    shell.env("PATH", std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&others))).unwrap());
    shell
}

/// As [`bb`], on a network of this machine.
pub(crate) fn local_bb() -> Command {
    let mut bb = bb();
    bb.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").env("BB_DEV_MODE", "1");
    bb
}

fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_setting = ["BB_", "BT_", "BABELBIT_", "BITTENSOR_", "DATABASE_URL", "RUST_LOG", "S3_"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        // The models are where scripts/models put them.
        if is_setting && text != "BB_MODELS_DIR" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// An address of this machine that was free a moment ago.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The one JSON document that a command printed, and nothing besides.
#[track_caller]
pub(crate) fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}: {}", output.status, stderr(output));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} in: {}", String::from_utf8_lossy(&output.stdout)))
}

/// What a command that refused its work said; nothing of it may stand on standard output.
#[track_caller]
pub(crate) fn refusal(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let text = stderr(output);
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// What a command wrote on standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails where the sentence model is not on this machine: a test must not fetch it.
pub(crate) fn require_models() {
    static STATE: OnceLock<String> = OnceLock::new();
    let state = STATE.get_or_init(|| {
        let list = document(&tao().args(["models", "list", "--json"]).output().unwrap());
        let models = list["models"].as_array().unwrap();
        let model = models.iter().find(|model| model["model"] == "all-MiniLM-L6-v2").unwrap();
        model["state"].as_str().unwrap().to_owned()
    });
    assert_eq!(state, "present", "all-MiniLM-L6-v2 is not on this machine: run scripts/models");
}

/// A server in a process of its own, killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    url: String,
    log: File,
}

impl Daemon {
    /// Starts a server on a free port and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_at(command, "127.0.0.1:0")
    }

    /// As [`Self::start`], at an address.
    pub(crate) fn start_at(command: &mut Command, listen: &str) -> Self {
        let log = tempfile::tempfile().unwrap();
        let mut child = command
            .args(["--listen", listen, "--json"])
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut daemon = Self { child, url: String::new(), log };
        // The stream ends with the process: a server that fails to start does not block the test.
        let announcement = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next();
        let Some(Ok(announcement)) = announcement else { panic!("{command:?} did not start: {}", daemon.log()) };
        announcement["url"].as_str().unwrap().clone_into(&mut daemon.url);
        daemon
    }

    /// Where it listens, e.g. `http://127.0.0.1:4711`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it has written on standard error.
    pub(crate) fn log(&mut self) -> String {
        let mut text = String::new();
        self.log.rewind().unwrap();
        self.log.read_to_string(&mut text).unwrap();
        text
    }

    /// How much it has written on standard error.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log.metadata().unwrap().len()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a service manager does, and waits.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        terminate(&self.child);
        self.child.wait().unwrap()
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    // Every shell has `kill`; the standard library has SIGKILL only.
    let command = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
