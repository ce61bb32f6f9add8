//! A daemon that updates itself, as `tao proof miner --auto-update` does. The update tests run it.
//!
//! Usage: `self_updating DIRECTORY_OF_RELEASES PUBLIC_KEY_FILE`, or `self_updating --version`. Its
//! version is the last line of its own file, so a copy with a different last line is a program of a
//! different version. The versions `-hangs`, `-fails` and `-panics` do so before they are ready.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure is the test's"
)]

use std::time::Duration;

use taonet_http::Readiness;
use taonet_service::Shutdown;
use taonet_update::{AutoUpdate, ReleaseKey, Trial, Updater, restart};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let program = std::env::current_exe().unwrap();
    let file = std::fs::read(&program).unwrap();
    let version =
        String::from_utf8(file.rsplit(|&byte| byte == b'\n').next().unwrap().to_vec()).unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [releases, key] = arguments.as_slice() else {
        println!("tao {version}");
        return;
    };
    let trial = Trial::begin(&version, std::env::args_os(), Duration::from_secs(10));
    let key = ReleaseKey::parse(&std::fs::read_to_string(key).unwrap()).unwrap();
    let updater =
        Updater::new(releases.parse().unwrap(), key, version.parse().unwrap(), program).unwrap();
    let shutdown = Shutdown::on_signals().unwrap();
    // Tests wait for this line: from here on, SIGTERM shuts the daemon down.
    println!("running {version} as {}", std::process::id());
    match version.split_once('-') {
        Some((_, "hangs")) => std::thread::sleep(Duration::from_mins(10)),
        Some((_, "fails")) => trial.failed("as its version says"),
        Some((_, "panics")) => panic!("as its version says"),
        _ => {}
    }
    let readiness = Readiness::starting();
    trial.watch_daemon(readiness.clone(), shutdown.clone());
    readiness.set_ready();
    let pending =
        AutoUpdate::new(updater).every(Duration::from_millis(50)).spawn(&shutdown).unwrap();
    shutdown.finished().await.unwrap();
    if let Some(program) = pending.program().await {
        panic!("{}", restart(&program, std::env::args_os()));
    }
    println!("stopped {version}");
}
