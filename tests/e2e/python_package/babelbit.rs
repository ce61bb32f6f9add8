//! The example miner for Babelbit, which docs/miner.md describes.

use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, Peer, Signer};
use tokio::runtime::Runtime;

use super::{Environment, Running};
use crate::support::{bb, document, free_address};
use crate::test_miner::guide;

/// The example miner, and a validator that calls it.
struct ExampleMiner {
    url: String,
    peer: Peer,
    validator: Signer,
    runtime: Runtime,
    _process: Running,
}

impl ExampleMiner {
    /// Starts the miner; returns `None` if the package is not built.
    fn start() -> Option<Self> {
        let environment = Environment::find()?;
        let address = free_address();
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut miner = environment.example("babelbit_miner.py");
        // The web server logs every request.
        miner.args([port, "//Bob"]).stderr(Stdio::null());
        let process = Running(miner.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the miner did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        let miner = Keypair::from_uri("//Bob").unwrap().hotkey();
        let validator = Keypair::from_uri("//Alice").unwrap();
        Some(Self {
            url: format!("http://{address}"),
            peer: Peer::new(miner, host, port.parse().unwrap()).unwrap(),
            validator: Signer::new(validator, host, BabelbitScheme::axon()),
            runtime: Runtime::new().unwrap(),
            _process: process,
        })
    }

    /// Sends a signed request and returns the response.
    fn call(&self, request: &Value) -> Value {
        let body = request.to_string();
        let (route, timeout) = ("/v1/predict", Duration::from_secs(10));
        let message = "BBAudioMinerPredictPayload";
        let headers = self
            .validator
            .headers(&self.peer, &Method::POST, route, message, timeout, body.as_bytes())
            .unwrap();
        let request = reqwest::Client::new().post(format!("{}{route}", self.url));
        self.runtime.block_on(async {
            let response = request.headers(headers).body(body).send().await.unwrap();
            assert_eq!(response.status(), 200);
            response.json().await.unwrap()
        })
    }
}

#[test]
fn example_miner_passes_all_rules() {
    let Some(miner) = ExampleMiner::start() else { return };
    let hotkey = miner.peer.hotkey().to_string();
    let mut tester = bb();
    tester.args(["test-miner", &miner.url, "--miner-hotkey", &hotkey, "--rules-only", "--json"]);
    let report = document(&tester.output().unwrap());
    let rules = report["rules"].as_array().unwrap();
    assert!(rules.len() > 20 && rules.iter().all(|rule| rule["verdict"] == "passed"), "{report:#}");
}

#[test]
fn example_miner_sends_the_responses_of_the_guide() {
    let Some(miner) = ExampleMiner::start() else { return };
    let messages = guide::messages();
    let [init, opened, _, frame, silent, last, delayed, drain, end] = &messages[..] else {
        panic!("the guide has {} messages", messages.len())
    };
    let response = miner.call(&init.document());
    let session = response["session_id"].clone();
    let in_session = |message: &guide::Message| {
        let mut document = message.document();
        document["session_id"] = session.clone();
        document
    };
    assert_eq!(response, in_session(opened));
    // The guide's utterance has 25 frames.
    for number in 1..25 {
        let response = miner.call(&in_session(frame));
        assert!(number > 1 || response == in_session(silent), "{response:.200}");
    }
    assert!(miner.call(&in_session(last)) == in_session(delayed));
    assert!(miner.call(&in_session(drain)) == in_session(end));
}
