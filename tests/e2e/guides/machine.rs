//! A machine for the proof guide: wallets, a circuit, a chain and a release server without
//! releases.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::{NamedTempFile, TempDir, TempPath};

use crate::proof::compile;
use crate::support::{Daemon, free_address, program, stderr, tao, terminate};

/// A directory for commands, and a chain.
pub(super) struct GuideMachine {
    folder: TempDir,
    chain: Daemon,
}

impl GuideMachine {
    /// Creates a machine with these wallets, each with TAO.
    pub(super) fn new(wallets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chain = Daemon::start(tao().args(["localnet", "--memory", "--block-time", "50ms"]));
        let machine = Self { folder, chain };
        compile(machine.directory(), "diabetes-regression", "stark");
        let programs = machine.directory().join("target/release");
        fs::create_dir_all(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_tao"), programs.join("tao")).unwrap();
        machine.run("tao subnets start 2 --key-uri //Alice --yes");
        for wallet in wallets {
            let files = format!(
                "--coldkey-mnemonic-file {wallet}-cold.txt --hotkey-mnemonic-file {wallet}-hot.txt"
            );
            machine.run(&format!(
                "tao wallet create --wallet-name {wallet} --no-use-password {files}"
            ));
            machine.run(&format!("tao wallet faucet --wallet-name {wallet} --amount 5000"));
        }
        let releases = machine.directory().join("releases");
        fs::create_dir(&releases).unwrap();
        let latest = json!({ "version": env!("CARGO_PKG_VERSION") });
        fs::write(releases.join("latest.json"), latest.to_string()).unwrap();
        machine
    }

    /// Directory of the machine.
    pub(super) fn directory(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a program of this machine with arguments; the first word is `tao`, or a link to it
    /// in target/release.
    pub(super) fn command(&self, words: &[String]) -> Command {
        let directory = self.directory();
        let path = directory.join("target/release").join(words[0].rsplit('/').next().unwrap());
        let mut command = program(path.to_str().unwrap());
        let wallets = directory.join("wallets");
        command
            .args(&words[1..])
            .env("BT_CHAIN_ENDPOINT", self.chain.url())
            .env("BT_WALLET_PATH", &wallets);
        command
            .env("BITTENSOR_WALLET_PATH", &wallets)
            .env("SN2_CIRCUIT_CACHE_DIR", directory.join("circuits"));
        command.env("XDG_STATE_HOME", directory.join("state")).current_dir(directory);
        command
    }

    /// Returns the words of a line, with this machine's chain, releases and free ports in place of
    /// the public ones.
    pub(super) fn words(&self, line: &str) -> Vec<String> {
        let releases = self.directory().join("releases");
        let line = line
            .replace("https://releases.example/taonet", releases.to_str().unwrap())
            .replace(
                "--subtensor.network finney",
                &format!("--subtensor.network {}", self.chain.url()),
            )
            .replace("--axon-port 8091", "--axon-port 0")
            .replace("--listen 0.0.0.0:8091", "--listen 127.0.0.1:0")
            .replace("0.0.0.0:8443", &free_address())
            .replace("0.0.0.0:9090", "127.0.0.1:0");
        shlex::split(&line).unwrap()
    }

    /// Runs a command of ours and returns its standard output.
    pub(super) fn run(&self, line: &str) -> String {
        let output = self.command(&self.words(line)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {text}{}", stderr(&output));
        text
    }

    /// Runs a command of the system and returns its standard output.
    pub(super) fn run_shell(&self, line: &str) -> String {
        let mut shell = program("sh");
        // Our servers are on this machine.
        shell.args(["-c", line]).env("no_proxy", "*").current_dir(self.directory());
        let output = shell.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {text}{}", stderr(&output));
        text
    }

    /// Starts a validator, waits until it has read the chain, and stops it.
    pub(super) fn run_validator(&self, words: &[String]) {
        self.start_validator(words, "metagraph read").stop();
    }

    /// Starts a validator and waits until it logs `ready`.
    pub(super) fn start_validator(&self, words: &[String], ready: &str) -> Process {
        let mut command = self.command(words);
        if !words.iter().any(|word| word == "--metrics") {
            command.args(["--metrics", "127.0.0.1:0"]);
        }
        let mut validator = Process::start(command.arg("-v"), self.directory());
        validator.wait_until(|process| process.log().contains(ready));
        validator
    }
}

/// A process that listens on no address which it prints, killed on drop.
pub(super) struct Process {
    child: Child,
    log: TempPath,
}

impl Process {
    /// Starts a program whose log is a file in a directory.
    pub(super) fn start(command: &mut Command, directory: &Path) -> Self {
        let (output, log) = NamedTempFile::new_in(directory).unwrap().into_parts();
        Self { child: command.stdout(Stdio::null()).stderr(output).spawn().unwrap(), log }
    }

    /// Waits until a condition holds; fails if the process ends before.
    #[track_caller]
    pub(super) fn wait_until(&mut self, is_reached: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_reached(self) {
            let is_running = self.child.try_wait().unwrap().is_none();
            assert!(is_running && start.elapsed() < Duration::from_mins(5), "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends SIGTERM and waits for the exit.
    pub(super) fn stop(mut self) {
        terminate(&self.child);
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process can already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
