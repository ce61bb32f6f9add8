//! Clients that never complete a request, or never read a response, keep nobody else out, of any daemon.

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
use attack::{IMPATIENT, P99, Served, connect};
use daemons::{DAEMONS, address, predicts, streaming_axon};

/// As many open files as this process may have.
fn allow_files() {
    let mut limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|files| files >= 4_096), "this test opens 2000 connections: {limit:?}");
    limit.current = limit.maximum.or(Some(1 << 16));
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// The commands below these words that listen somewhere, by their help.
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
    // `tao localnet` alone starts one, too.
    found.remove("tao localnet");
    assert_eq!(found, DAEMONS.map(|(name, _)| name.to_owned()).into());
}

#[test]
fn every_daemon_answers_while_it_is_held() {
    allow_files();
    for (name, start) in DAEMONS {
        let folder = tempfile::tempdir().unwrap();
        let started = start(folder.path());
        for served in &started.served {
            served.holds_within(P99, IMPATIENT, name);
        }
    }
}

/// A server that may open fewer files than it has places makes room, too. The system's queue of connections stands before
/// its places then: what comes takes longer, and is answered.
#[test]
fn few_files() {
    allow_files();
    let command = format!("ulimit -n 200; exec {} \"$@\"", env!("CARGO_BIN_EXE_bb"));
    let mut limited = Command::new("sh");
    limited.args(["-c", &command, "bb", "miner", "--profile", "parrot", "--key-uri", "//Bob"]);
    limited.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").env("BB_DEV_MODE", "1").stdin(Stdio::null());
    let miner = Daemon::start(&mut limited);
    let served = Served { address: address(&miner), page: ("/healthz", 200), waits: Some(predicts(&miner)) };
    // None reconnects immediately: the system's queue would stay full, and it drops further connections then.
    served.holds_within(Duration::from_secs(2), 0, "bb miner with few files");
}

/// Ten requests on one connection, whose responses are more than the system keeps: a client that reads nothing is cut off.
#[test]
fn responses_that_nobody_reads_are_cut_off() {
    /// Twice the server's deadline.
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
