//! Clients that never complete a request, or never read a response, cannot block other clients of
//! any daemon.

mod attack;
mod daemons;
mod quic;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::axon::get;
use crate::support::{Daemon, assert_metrics_described, bb_path, is_exhaustive, repository};
use attack::{Listener, MAX_P99, connect};
use daemons::{DAEMONS, address, streaming_axon};

/// Raises this process's limit on open files.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|files| files >= 4_096),
        "this test opens 2000 connections: {limit:?}"
    );
    limit.current = limit.maximum.or(Some(1 << 16));
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Options with an address or a port at which no service listens.
const REMOTE_ADDRESS_OPTIONS: [&str; 8] = [
    "tao axon serve --external-ip",
    "tao axon serve --external-port",
    "tao babelbit runner --external-ip",
    "tao babelbit register-axon",
    "tao bench-miner --local-miner-ip",
    "tao doctor --listen",
    "tao serve-axon",
    "--hotkey-ss58",
];
/// Options for the address of another option in another form.
const ALTERNATIVES: [&str; 2] = ["tao localnet start --port", "tao proof miner --axon-port"];

/// Whether an option of this help text may be for a listen address.
fn is_address(text: &str) -> bool {
    let (value, _) = text.trim_start_matches([' ', '[', '=']).split_once('>').unwrap_or_default();
    let default = text
        .split_once("[default: ")
        .map(|(_, default)| default.split([']', ' ']).next().unwrap_or_default());
    ["<ADDRESS", "<LISTEN", "<PORT", "<IP"].contains(&value)
        || default.is_some_and(|default| default.parse::<SocketAddr>().is_ok())
        || text.to_lowercase().contains("listen address")
}

/// Options of a help text, each with the rest of its text.
fn options(help: &str) -> Vec<(&str, String)> {
    let mut options: Vec<(&str, String)> = Vec::new();
    for line in help.lines() {
        let trimmed = line.trim_start();
        let indented = line.len() - trimmed.len();
        let long =
            trimmed.split_once("--").filter(|(short, _)| short.is_empty() || short.ends_with(", "));
        if let Some((short, remaining)) = long.filter(|_| (2..=6).contains(&indented)) {
            let name = trimmed[short.len()..].split([' ', '[', '=']).next().unwrap();
            options.push((name, remaining[name.len() - 2..].to_owned()));
        } else if let Some((_, text)) = options.last_mut().filter(|_| indented > 6) {
            text.push(' ');
            text.push_str(trimmed);
        }
    }
    options
}

/// Returns the options for listen addresses, with their commands, according to the recorded help of
/// all commands. A unit test compares the recorded help with the program's.
fn listen_options() -> BTreeSet<String> {
    let mut listening = BTreeSet::new();
    for entry in std::fs::read_dir(repository("crates/cli/src/tests/snapshots")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "snap") {
            continue;
        }
        let help = std::fs::read_to_string(path).unwrap();
        let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
        let words: Vec<&str> = usage
            .split(' ')
            .take_while(|word| word.starts_with(|first: char| first.is_ascii_lowercase()))
            .collect();
        // `bb` is `tao babelbit`.
        let (program, words) = words.split_first().unwrap();
        let program = if *program == "bb" { "tao babelbit" } else { *program };
        let command = [&[program][..], words].concat().join(" ");
        let options = options(&help).into_iter().filter(|(_, text)| is_address(text));
        listening.extend(options.map(|(name, _)| format!("{command} {name}")));
    }
    listening
}

#[test]
fn every_listen_address_is_tested() {
    let mut untested = listen_options();
    untested.retain(|option| {
        let is_excluded = REMOTE_ADDRESS_OPTIONS
            .iter()
            .any(|excluded| option.starts_with(excluded) || option.ends_with(excluded));
        // `tao localnet` without a subcommand is `tao localnet start`.
        !is_excluded
            && !ALTERNATIVES.contains(&option.as_str())
            && !option.starts_with("tao localnet --")
    });
    let tested = DAEMONS.iter().flat_map(|(name, options, _)| {
        options.iter().map(move |option| format!("{name} {option}"))
    });
    assert_eq!(untested, tested.collect::<BTreeSet<_>>());
}

#[test]
fn listen_options_are_parsed_from_help() {
    let help = "Usage\n\nOptions:\n      --api <ADDRESS>\n          Listen address\n\n  -q, --quiet\n          Less\n\n  \
                -o, --out <FILE>  A file, not --this\n      --web <WEB>\n          The page\n\n          [default: \
                127.0.0.1:80]\n      --also[=<PORT>]\n          One\n";
    let actual: Vec<_> =
        options(help).into_iter().map(|(name, text)| (name, is_address(&text))).collect();
    let expected =
        [("--api", true), ("--quiet", false), ("--out", false), ("--web", true), ("--also", true)];
    assert_eq!(actual, expected);
}

#[test]
fn every_daemon_responds_despite_half_open_connections() {
    raise_file_limit();
    for (name, options, start) in DAEMONS {
        let folder = tempfile::tempdir().unwrap();
        let started = start(folder.path());
        let listener_count = started.listeners.len() + usize::from(started.quic.is_some());
        assert!(
            listener_count == 0 || listener_count >= options.len(),
            "{name}: attack all of {options:?}"
        );
        for listener in &started.listeners {
            let is_metrics = listener.page.0 == "/metrics";
            // One function serves the metrics of every command: `./test` attacks them where they
            // are all that a daemon serves.
            if is_exhaustive() || !is_metrics || started.listeners.len() == 1 {
                listener.assert_responds_within(MAX_P99, name);
            }
            if is_metrics {
                assert_metrics_described(&get(&listener.address.to_string(), "/metrics"), name);
            }
        }
        if let Some(address) = started.quic {
            quic::assert_responds_within(MAX_P99, address);
        }
    }
}

/// An incomplete request head is closed after ten seconds, even if there is room for more
/// connections.
#[test]
fn incomplete_request_heads_time_out_after_ten_seconds() {
    for name in ["tao axon serve", "tao localnet start"] {
        let (.., start) = DAEMONS.into_iter().find(|(daemon, ..)| *daemon == name).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let started = start(folder.path());
        let address = started.listeners[0].address;
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            // The server counts from the connection, so nothing may delay the test between the two.
            let start_time = Instant::now();
            let mut client = connect(Ipv4Addr::LOCALHOST.into(), address).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
            let mut remaining = Vec::new();
            // The connection may end with a reset.
            let ended = timeout(Duration::from_secs(30), client.read_to_end(&mut remaining)).await;
            let elapsed = start_time.elapsed();
            assert!(ended.is_ok() && elapsed > Duration::from_secs(9), "{name}: {elapsed:?}");
        });
    }
}

/// A server whose limit on open files is below its connection limit also recovers. New connections
/// then wait in the system's backlog, which takes longer.
#[test]
fn server_with_few_file_descriptors_recovers_from_half_open_connections() {
    raise_file_limit();
    let command = format!("ulimit -n 200; exec {} \"$@\"", bb_path().display());
    let mut limited = Command::new("sh");
    limited.args(["-c", &command, "bb", "miner", "--profile", "parrot", "--key-uri", "//Bob"]);
    limited
        .env("BITTENSOR_SUBTENSOR_ENDPOINT", "local")
        .env("BB_DEV_MODE", "1")
        .stdin(Stdio::null());
    let miner = Daemon::start(&mut limited);
    let listener =
        Listener { address: address(&miner), page: ("/healthz", 200), body_route: None, tls: None };
    listener.assert_responds_within(Duration::from_secs(4), "bb miner with few files");
}

/// Requests on one connection until the responses exceed the system's buffers. The server cuts off
/// a client that reads none of them.
#[test]
fn unread_responses_time_out() {
    /// Four times the server's write timeout: before it starts, the system's buffers must be full.
    const CUT_OFF_TIMEOUT: Duration = Duration::from_mins(2);
    let (_axon, listener, streams) = streaming_axon();
    let body = "a streamed word ".repeat(60_000).leak().as_bytes();
    let request = listener.post(&streams, body, body.len());
    let start = Instant::now();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..3 {
            let mut client = connect(Ipv4Addr::LOCALHOST.into(), listener.address).await.unwrap();
            let request = request.clone();
            let requests = async move {
                loop {
                    // Signed when sent, since the axon refuses older signatures.
                    let keep_alive_request =
                        String::from_utf8(request(0)).unwrap().replace("connection: close\r\n", "");
                    if let Err(error) = client.write_all(keep_alive_request.as_bytes()).await {
                        return error;
                    }
                }
            };
            clients.spawn(timeout(CUT_OFF_TIMEOUT, requests));
        }
        while let Some(sent) = clients.join_next().await {
            let error = sent.unwrap().expect("the server keeps the connection");
            assert!(
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
                "{error}"
            );
        }
    });
    assert!(start.elapsed() > Duration::from_secs(20), "refused at once: {:?}", start.elapsed());
}
