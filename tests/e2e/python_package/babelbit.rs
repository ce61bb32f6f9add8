//! The example miner for Babelbit, which docs/miner.md describes.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{KillOnDrop, python};
use crate::support::{MinerClient, bb, document, free_address, repository, stderr};
use crate::test_miner::guide;

/// The example miner.
struct ExampleMiner {
    url: String,
    _process: KillOnDrop,
}

impl ExampleMiner {
    /// Starts the miner; returns `None` if the package or the web server is missing.
    fn start() -> Option<Self> {
        let address = free_address();
        let process = KillOnDrop(command(&address)?.stderr(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "the miner did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self { url: format!("http://{address}"), _process: process })
    }

    fn client(&self) -> MinerClient {
        MinerClient::new(&self.url, "//Bob", "//Alice")
    }
}

/// Returns the command that starts the miner.
fn command(address: &str) -> Option<Command> {
    let port = address.rsplit_once(':').unwrap().1;
    let mut miner = python()?;
    miner.arg(repository("python/examples/babelbit_miner.py")).args([port, "//Bob"]);
    Some(miner)
}

#[test]
fn guide_states_the_length_of_the_example_miner() {
    let [miner, guide] = ["python/examples/babelbit_miner.py", "docs/miner.md"]
        .map(|path| std::fs::read_to_string(repository(path)).unwrap());
    let lines = miner.lines().count();
    assert!(lines <= 60, "{lines}");
    assert!(guide.contains(&format!("does so in {lines} lines of Python")), "{lines}");
}

#[test]
fn example_miner_prints_its_address() {
    let address = free_address();
    let Some(mut miner) = command(&address) else { return };
    let mut process = KillOnDrop(miner.stderr(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(process.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The process does not end by itself: without this line, the test would wait until its timeout.
    let line = lines.take(10).find(|line| line.contains("running on")).unwrap();
    assert!(line.contains(&format!("http://{address} ")), "{line}");
}

#[test]
fn example_miner_without_arguments_prints_its_usage() {
    let Some(mut python) = python() else { return };
    let output = python.arg(repository("python/examples/babelbit_miner.py")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the following arguments are required: port, key"));
}

#[test]
fn example_miner_passes_all_rules() {
    let Some(miner) = ExampleMiner::start() else { return };
    let hotkey = miner.client().hotkey();
    let mut tester = bb();
    tester.args(["test-miner", &miner.url, "--miner-hotkey", &hotkey, "--rules-only", "--json"]);
    let report = document(&tester.output().unwrap());
    let rules = report["rules"].as_array().unwrap();
    assert!(rules.len() > 20 && rules.iter().all(|rule| rule["verdict"] == "passed"), "{report:#}");
}

#[test]
fn example_miner_sends_the_responses_of_the_guide() {
    let Some(miner) = ExampleMiner::start() else { return };
    let (client, messages) = (miner.client(), guide::messages());
    let [init, opened, _, frame, silent, last, delayed, drain, end] = &messages[..] else {
        panic!("the guide has {} messages", messages.len())
    };
    let response = client.expect_accepted(&init.document());
    let session = response["session_id"].clone();
    let in_session = |message: &guide::Message| {
        let mut document = message.document();
        document["session_id"] = session.clone();
        document
    };
    assert_eq!(response, in_session(opened));
    // The guide's utterance has 25 frames.
    for number in 1..25 {
        let response = client.expect_accepted(&in_session(frame));
        assert!(number > 1 || response == in_session(silent), "{response}");
    }
    assert!(client.expect_accepted(&in_session(last)) == in_session(delayed));
    assert!(client.expect_accepted(&in_session(drain)) == in_session(end));
}

#[test]
fn example_miner_refuses_malformed_requests() {
    let Some(miner) = ExampleMiner::start() else { return };
    let (client, messages) = (miner.client(), guide::messages());
    let (init, mut frame) = (messages[0].document(), messages[3].document());
    for channels in [json!(0), json!(-1), json!(9), json!("1"), Value::Null] {
        let mut malformed = init.clone();
        malformed["channels"] = channels.clone();
        assert_eq!(client.call(&malformed).0, 400, "{channels}");
    }
    for timeout in ["nan", "inf", "-1", "soon"] {
        assert_eq!(client.call_with(init.to_string(), timeout).0, 400, "{timeout}");
    }
    for body in ["[".repeat(200_000), "[]".to_owned(), "1".to_owned()] {
        assert_eq!(client.call_with(body, "10.0").0, 400);
    }
    frame["session_id"] = client.expect_accepted(&init)["session_id"].clone();
    for audio in ["!!!", "AAAA!AAA", "AAA"] {
        frame["audio_b64"] = json!(audio);
        assert_eq!(client.call(&frame).0, 400, "{audio}");
    }
}
