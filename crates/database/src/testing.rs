//! PostgreSQL and NATS servers for tests, and faulty connections to them.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

mod nats;
mod proxy;

pub use nats::Nats;
pub use proxy::{FaultyProxy, ProxyFault};

/// Prints that a test is skipped; panics if `CI` is `true`.
fn skip(message: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    // The harness captures what tests print, but not what they write to standard error.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {message}");
}

/// A PostgreSQL server in a temporary directory, reached through a Unix socket.
pub struct Postgres {
    folder: TempDir,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server. If PostgreSQL is not installed, prints a notice and returns `None`; panics
    /// if `CI` is `true`.
    pub fn start() -> Option<Self> {
        if postgres_program("initdb").is_none() {
            skip("PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        if let Some(user) = other_user() {
            assert!(Command::new("chown").arg(user).arg(folder.path()).status().unwrap().success());
        }
        let mut postgres = Self { folder, server: None };
        let output = postgres_command("initdb")
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(postgres.data())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        postgres.run();
        Some(postgres)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the server and waits until it accepts queries; its socket opens shortly before.
    pub fn run(&mut self) {
        let server = postgres_command("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(self.folder.path())
            .arg("-D")
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.server = Some(server);
        let (state, start) = (self.data().join("postmaster.pid"), Instant::now());
        // The last line has the server's state, as read by pg_ctl.
        let is_ready =
            || std::fs::read_to_string(&state).is_ok_and(|text| text.trim_end().ends_with("ready"));
        while !is_ready() {
            assert!(start.elapsed() < Duration::from_mins(1), "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server immediately, as in a power failure.
    pub fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // On SIGQUIT, unlike SIGKILL, the server also terminates its child processes.
        let kill = Command::new("sh").args(["-c", &format!("kill -QUIT {}", server.id())]).status();
        assert!(kill.unwrap().success());
        server.wait().unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// Returns the URL of the server's default database.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Creates an empty database; returns its URL.
    pub fn create(&self, name: &str) -> String {
        let mut command = postgres_command("createdb");
        command.arg("--host").arg(self.folder.path()).args(["--username=postgres", name]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.url_of(name)
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Finds a PostgreSQL program in PATH, or in Debian's location.
fn postgres_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders =
        std::env::split_paths(&path).chain(versions.map(|version| version.path().join("bin")));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Returns the user that runs PostgreSQL if this process is root, which PostgreSQL refuses; `None`
/// otherwise.
fn other_user() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().unwrap();
    let is_root = String::from_utf8_lossy(&id.stdout).trim() == "0";
    let has_user =
        || Command::new("id").arg("postgres").output().is_ok_and(|output| output.status.success());
    is_root.then(|| if has_user() { "postgres" } else { "nobody" })
}

/// Returns a command of a PostgreSQL program, which runs as a user that PostgreSQL accepts.
fn postgres_command(name: &str) -> Command {
    let program = postgres_program(name).unwrap();
    match other_user() {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={user}")).args(["--clear-groups", "--"]).arg(program);
            command.current_dir("/");
            command
        }
        None => Command::new(program),
    }
}
