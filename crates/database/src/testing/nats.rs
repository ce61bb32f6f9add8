//! NATS servers for tests.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A NATS server with JetStream, which keeps its port across restarts.
pub struct Nats {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Nats {
    /// Creates a server without starting it. If NATS is not installed, prints a notice and returns `None`; panics if
    /// `CI` is `true`.
    pub fn new() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        let Some(program) = folders.map(|folder| folder.join("nats-server")).find(|program| program.is_file()) else {
            let message = "nats-server is not installed (Debian: apt-get install nats-server)";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
            println!("\n!!! SKIPPED: {message} !!!\n");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Some(Self { program, folder: tempfile::tempdir().unwrap(), port, server: None })
    }

    pub fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--addr", "127.0.0.1", "--jetstream", "--port", &self.port.to_string(), "--store_dir"]);
        command.arg(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.server = Some(command.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_mins(1), "NATS does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Deletes everything that the server stored. The server must be stopped.
    pub fn lose_everything(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}
