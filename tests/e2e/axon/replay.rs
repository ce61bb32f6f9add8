//! Replayed requests to a daemon that was restarted in between.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use super::{address, message, neuron, run_client};
use crate::support::{Daemon, local_bb, stderr};

/// Starts a daemon with this replay log.
type StartDaemon = fn(&str) -> Daemon;

/// Status and body of the response to raw bytes.
fn send(daemon: &Daemon, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address(daemon)).unwrap();
    stream.write_all(bytes).unwrap();
    let response = String::from_utf8(message(&mut stream)).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Raw bytes of a call by //Alice to //Bob.
fn capture_request(scheme: &str, extra_args: &[&str]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let bytes = message(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
        bytes
    });
    let output = run_client("call", &address, scheme, extra_args);
    assert!(output.status.success(), "{}", stderr(&output));
    thread.join().unwrap()
}

#[test]
fn replayed_request_is_refused_after_a_restart() {
    let axon: StartDaemon = |log| neuron("btauth", &["--replay-log", log]);
    let miner: StartDaemon = |log| {
        let arguments = ["miner", "--profile", "silent", "--key-uri", "//Bob", "--replay-log", log];
        Daemon::start(local_bb().args(arguments))
    };
    let body = r#"{"kind": "init", "challenge_uid": "c", "utterance_id": "c:0", "language": null,
        "sample_rate_hz": 24000, "frame_rate_hz": 12.5, "frame_samples": 1920, "dtype": "float32le", "channels": 1}"#;
    let to_miner = ["--path", "/v1/predict", "--data", body];
    for (start, scheme, call) in [(axon, "btauth", &[][..]), (miner, "babelbit", &to_miner)] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("replay.log").display().to_string();
        let daemon = start(&log);
        // A new log rejects only requests signed before its start.
        let request = capture_request(scheme, call);
        assert_eq!(send(&daemon, &request).0, 200, "{scheme}");
        assert_eq!(send(&daemon, &request).0, 401, "{scheme}");
        // Killed.
        drop(daemon);
        let daemon = start(&log);
        assert_eq!(send(&daemon, &request).0, 401, "{scheme}");
        let fresh = capture_request(scheme, call);
        assert_eq!(send(&daemon, &fresh).0, 200, "{scheme}");
        assert_eq!(daemon.terminate().code(), Some(0));
        let daemon = start(&log);
        for request in [request, fresh] {
            let (status, response) = send(&daemon, &request);
            assert_eq!(status, 401, "{scheme}: {response}");
        }
    }
}

#[test]
fn only_first_start_logs_replay_refusal_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("replay.log").display().to_string();
    let start = || neuron("btauth", &["--replay-log", &log, "-v"]);
    let daemon = start();
    let text = daemon.log();
    let line = text
        .lines()
        .find(|line| line.contains("replay log is new or incomplete"))
        .unwrap_or_default();
    assert!(
        line.contains("INFO") && line.contains("until=20") && line.contains("remaining="),
        "{text}"
    );
    assert_eq!(daemon.terminate().code(), Some(0));
    let restarted = start();
    assert!(!restarted.log().contains("replay log is new or incomplete"), "{}", restarted.log());
}
