//! Tests of automatic updates.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use taonet_service::Shutdown;
use taonet_update::{AutoUpdate, restart};

use crate::installation::{Installation, updater};
use crate::releases::{Keys, Releases, program};
use crate::server::{Server, ServerBehaviour};

/// Creates automatic updates of a daemon in this process, with short intervals.
fn auto_update(server: &Server, releases: &Releases, installation: &Installation) -> AutoUpdate {
    let updater = updater(server.source(), releases.keys.key(), installation.program());
    AutoUpdate::new(updater).every(Duration::from_millis(20))
}

/// Polls until a condition holds; panics after 30 s.
async fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "the condition does not hold after 30 s"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn new_release_is_installed_and_stops_the_daemon() {
    let (releases, installation) = (Releases::of("0.1.0"), Installation::new());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Honest).await;
    let shutdown = Shutdown::new();
    let pending = auto_update(&server, &releases, &installation).spawn(&shutdown).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!shutdown.is_requested(), "the installed version is the latest");
    releases.publish("0.2.0", program("0.2.0").as_bytes());
    shutdown.finished().await.unwrap();
    assert_eq!(pending.program().await, Some(installation.program()));
    assert_eq!(fs::read_to_string(installation.program()).unwrap(), program("0.2.0"));
}

#[tokio::test]
async fn shutdown_cancels_update_checks() {
    let (releases, installation) = (Releases::of("0.2.0"), Installation::new());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Stalls(5)).await;
    let shutdown = Shutdown::new();
    let pending = auto_update(&server, &releases, &installation).spawn(&shutdown).unwrap();
    wait_until(|| !server.offsets().is_empty()).await;
    shutdown.request();
    shutdown.finished().await.unwrap();
    assert_eq!(pending.program().await, None);
}

#[tokio::test]
async fn broken_release_is_downloaded_once_and_daemon_continues() {
    let (releases, installation) = (Releases::of("0.2.0"), Installation::new());
    releases.publish("0.2.0", b"#!/bin/sh\nexit 1\n");
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Honest).await;
    let shutdown = Shutdown::new();
    let pending = auto_update(&server, &releases, &installation).spawn(&shutdown).unwrap();
    wait_until(|| !server.offsets().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.offsets(), [0]);
    assert!(!shutdown.is_requested());
    // The fixed release has a different digest, so the daemon installs it.
    releases.publish("0.2.1", program("0.2.1").as_bytes());
    shutdown.finished().await.unwrap();
    assert_eq!(pending.program().await, Some(installation.program()));
}

const SOURCE: &str = "TAONET_TEST_RELEASES";
const PROGRAM: &str = "TAONET_TEST_PROGRAM";
const SIGNAL: &str = "TAONET_TEST_SIGNAL";

/// Runs a daemon for the tests below, which start it as a separate process. In a normal test run it
/// does nothing.
#[tokio::test]
async fn daemon_process_entry() {
    let (Ok(source), Ok(program)) = (std::env::var(SOURCE), std::env::var(PROGRAM)) else { return };
    let shutdown = Shutdown::on_signals().unwrap();
    if std::env::var_os(SIGNAL).is_some() {
        let stop = shutdown.clone();
        shutdown.spawn("draining", async move {
            stop.requested().await;
            let own_id = std::process::id().to_string();
            assert!(Command::new("kill").args(["-TERM", &own_id]).status().unwrap().success());
            tokio::time::sleep(Duration::from_millis(200)).await;
        });
    }
    let updater = updater(source.parse().unwrap(), Keys::new(1).key(), PathBuf::from(program));
    let pending = AutoUpdate::new(updater).spawn(&shutdown).unwrap();
    shutdown.finished().await.unwrap();
    match pending.program().await {
        Some(program) => {
            panic!("{}", restart(&program, ["sn2-miner", "--port", "7"].map(Into::into)))
        }
        None => println!("stopped without a restart"),
    }
}

/// Starts [`daemon_process_entry`] as a separate process.
fn start(releases: &Releases, installation: &Installation, signal: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["auto::daemon_process_entry", "--exact", "--nocapture"]);
    command.env(SOURCE, releases.path()).env(PROGRAM, installation.program());
    if signal {
        command.env(SIGNAL, "1");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_for_exit(daemon: Child) -> (u32, Output, String) {
    let id = daemon.id();
    let output = daemon.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (id, output, text)
}

#[test]
fn new_program_runs_in_the_same_process_with_the_same_arguments() {
    let (releases, installation) = (Releases::of("0.2.0"), Installation::new());
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo tao 0.2.0 || echo \"new: $$ $*\"\n";
    releases.publish("0.2.0", script.as_bytes());
    let (id, output, text) = wait_for_exit(start(&releases, &installation, false));
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("new: {id} --port 7\n")), "{text}");
}

/// The new program must not start after the operator has stopped the daemon.
#[test]
fn signal_during_shutdown_prevents_the_restart() {
    let (releases, installation) = (Releases::of("0.2.0"), Installation::new());
    let (_, output, text) = wait_for_exit(start(&releases, &installation, true));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("stopped without a restart"), "{text}");
    assert_eq!(fs::read_to_string(installation.program()).unwrap(), program("0.2.0"));
}
