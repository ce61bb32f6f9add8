//! Clients that never complete a request, or never read a response, cannot block other clients of any daemon.

mod attack;
mod daemons;

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Daemon, tao};
use attack::{P99, Served, connect};
use daemons::{DAEMONS, address, streaming_axon};

/// Raises this process's limit on open files.
fn allow_files() {
    let mut limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|files| files >= 4_096), "this test opens 2000 connections: {limit:?}");
    limit.current = limit.maximum.or(Some(1 << 16));
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Subcommands with a listen address, according to their help.
fn serving(words: &[String], found: &mut BTreeSet<String>) {
    let help = tao().args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    if help.contains(" --listen ") || help.contains(" --metrics ") {
        found.insert(["tao"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" "));
    }
    let Some((_, commands)) = help.split_once("\nCommands:\n") else { return };
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        let name = line.strip_prefix("  ").and_then(|line| line.split(' ').next()).filter(|name| !name.is_empty());
        if let Some(name) = name.filter(|name| *name != "help") {
            serving(&[words, &[name.to_owned()]].concat(), found);
        }
    }
}

#[test]
fn every_command_that_serves_is_tested() {
    let mut found = BTreeSet::new();
    serving(&[], &mut found);
    // `tao localnet` without a subcommand serves, too.
    found.remove("tao localnet");
    assert_eq!(found, DAEMONS.map(|(name, _)| name.to_owned()).into());
}

#[test]
fn every_daemon_responds_despite_half_open_connections() {
    allow_files();
    for (name, start) in DAEMONS {
        let folder = tempfile::tempdir().unwrap();
        let started = start(folder.path());
        for served in &started.served {
            served.holds_within(P99, name);
        }
    }
}

/// A server whose limit on open files is below its connection limit also recovers. New connections then wait in the
/// system's backlog, which takes longer.
#[test]
fn few_files() {
    allow_files();
    let command = format!("ulimit -n 200; exec {} \"$@\"", env!("CARGO_BIN_EXE_bb"));
    let mut limited = Command::new("sh");
    limited.args(["-c", &command, "bb", "miner", "--profile", "parrot", "--key-uri", "//Bob"]);
    limited.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").env("BB_DEV_MODE", "1").stdin(Stdio::null());
    let miner = Daemon::start(&mut limited);
    let served = Served { address: address(&miner), page: ("/healthz", 200), waits: None };
    served.holds_within(Duration::from_secs(2), "bb miner with few files");
}

/// Ten requests on one connection, whose responses exceed the system's buffers. The server cuts off a client that reads
/// none of them.
#[test]
fn responses_that_nobody_reads_are_cut_off() {
    /// Twice the server's write timeout.
    const WITHIN: Duration = Duration::from_mins(1);
    let (_axon, served, streams) = streaming_axon();
    let body = "a streamed word ".repeat(60_000).leak().as_bytes();
    let request = served.post(&streams, body, body.len());
    let once = || String::from_utf8(request(0)).unwrap().replace("connection: close\r\n", "");
    let began = Instant::now();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..3 {
            let requests: String = (0..10).map(|_| once()).collect();
            let mut client = connect(Ipv4Addr::LOCALHOST.into(), served.address).await.unwrap();
            clients.spawn(async move { timeout(WITHIN, client.write_all(requests.as_bytes())).await });
        }
        while let Some(sent) = clients.join_next().await {
            let error = sent.unwrap().expect("the server keeps the connection").unwrap_err();
            assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
        }
    });
    assert!(began.elapsed() > Duration::from_secs(20), "refused at once: {:?}", began.elapsed());
}
