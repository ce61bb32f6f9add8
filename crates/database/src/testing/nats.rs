//! NATS servers for tests.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A NATS server with JetStream, which keeps its port across restarts.
pub struct Nats {
    program: PathBuf,
    folder: TempDir,
    log_folder: TempDir,
    /// The port that the server chose at its first start.
    port: Option<u16>,
    server: Option<Child>,
}

impl Nats {
    /// Starts a server. If NATS is not installed, prints a notice and returns `None`; panics if
    /// `CI` is `true`.
    pub fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        let Some(program) =
            folders.map(|folder| folder.join("nats-server")).find(|program| program.is_file())
        else {
            super::skip("nats-server is not installed (Debian: apt-get install nats-server)");
            return None;
        };
        let [folder, log_folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut nats = Self { program, folder, log_folder, port: None, server: None };
        nats.start_server();
        Some(nats)
    }

    /// Starts the server and waits until it is ready.
    pub fn start_server(&mut self) {
        let start = Instant::now();
        // Retries: another process may hold the port since the last stop.
        while !self.try_start_server() {
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "NATS does not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts the server and waits until it is ready; returns false if it exits.
    fn try_start_server(&mut self) -> bool {
        // The server itself chooses a free port: one chosen here could be another server's when it
        // starts.
        let port = self.port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let mut command = Command::new(&self.program);
        command
            .args(["--addr", "127.0.0.1", "--jetstream", "--port", &port, "--store_dir"])
            .arg(self.folder.path());
        let log = File::create(self.log_folder.path().join("log")).unwrap();
        self.server = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let start = Instant::now();
        while !self.log().contains("Server is ready") {
            if self.server.as_mut().is_some_and(|server| server.try_wait().unwrap().is_some()) {
                self.server = None;
                return false;
            }
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "NATS does not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = self.log();
        let (_, port_line) =
            log.split_once("Listening for client connections on 127.0.0.1:").unwrap();
        self.port = Some(port_line.lines().next().unwrap().parse().unwrap());
        true
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_folder.path().join("log")).unwrap()
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Deletes everything that the server stored. The server must be stopped.
    pub fn delete_all_data(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap()
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}
