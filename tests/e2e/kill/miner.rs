//! Miners are killed while a runner plays: only their in-flight requests fail.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, Peer, Signer};

use super::{Network, PROFILES, engine, random_seed};
use crate::support::{Daemon, RunFiles, document, kill_count, stderr};

/// Index in [`PROFILES`] of the miner that is not killed.
const UNKILLED_MINER: usize = 1;

/// A request that was accepted once.
struct AcceptedRequest {
    url: String,
    headers: http::HeaderMap,
    body: String,
}

impl AcceptedRequest {
    /// Waits until a request is accepted: a miner with a new replay log rejects requests from
    /// before its start.
    fn new(miner: &Daemon, key: &str) -> Self {
        let start = Instant::now();
        loop {
            let request = Self::signed(miner, key);
            match request.send() {
                200 => return request,
                status => {
                    assert!(status == 401 && start.elapsed() < Duration::from_mins(2), "{status}");
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn signed(miner: &Daemon, key: &str) -> Self {
        let signer =
            Signer::new(Keypair::from_uri("//Dave").unwrap(), "127.0.0.1", BabelbitScheme::axon());
        let peer = Peer::new(Keypair::from_uri(key).unwrap().hotkey(), "127.0.0.1", 1).unwrap();
        let body = json!({
            "kind": "init", "challenge_uid": "c", "utterance_id": "c:0", "language": "en", "sample_rate_hz": 24_000,
            "frame_rate_hz": 12.5, "frame_samples": 1_920, "dtype": "float32le", "channels": 1,
        })
        .to_string();
        // With the longest possible freshness window.
        let (name, timeout) = ("BBAudioMinerInitPayload", Duration::from_mins(1));
        let headers = signer
            .headers(&peer, &http::Method::POST, "/v1/predict", name, timeout, body.as_bytes())
            .unwrap();
        Self { url: format!("{}/v1/predict", miner.url()), headers, body }
    }

    fn send(&self) -> u16 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = reqwest::Client::new()
            .post(&self.url)
            .headers(self.headers.clone())
            .body(self.body.clone());
        runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
    }
}

/// Starts a runner whose output is captured.
fn start(network: &Network, engine: &Daemon, name: &str) -> Child {
    let mut runner = network.runner(engine, &network.directory(name));
    runner.env("BABELBIT_CACHE_DIR", network.directory("cache"));
    runner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a runner to finish, and returns its report.
fn finish(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    let report = document(&output);
    assert_eq!(report["outcome"], "finished", "{report}");
    report
}

/// Returns a miner's own results for an utterance; scores also depend on the other miners through
/// the duplication penalty.
fn reply(utterance: &Value) -> [&Value; 3] {
    [&utterance["index"], &utterance["transcript"], &utterance["accuracy"]]
}

#[test]
fn killed_miners_lose_only_requests_in_flight() {
    let mut random = StdRng::seed_from_u64(random_seed());
    let mut network = Network::of(&PROFILES, true);
    let keys = PROFILES.map(|profile| format!("//miner//{profile}"));
    let accepted: Vec<_> = network
        .miners
        .iter()
        .zip(&keys)
        .map(|(miner, key)| AcceptedRequest::new(miner, key))
        .collect();
    let engine = engine();
    let undisturbed = finish(start(&network, &engine, "reference"));
    let reference = RunFiles::read(&network.directory("reference"));

    let (mut kills, mut rounds, mut failed) = (0, 0, 0);
    while kills < kill_count() {
        let name = format!("killed-{rounds}");
        rounds += 1;
        let mut child = start(&network, &engine, &name);
        while kills < kill_count() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(random.random_range(0..300)));
            let index = if random.random() { 0 } else { 2 };
            kills += 1;
            let log = network.restart(index);
            assert!(!log.contains("panicked"), "{log}");
            assert_eq!(
                accepted[index].send(),
                401,
                "a request from before the kill is accepted again"
            );
        }
        let report = finish(child);
        for (index, (ours, theirs)) in miners(&report).zip(miners(&undisturbed)).enumerate() {
            assert_eq!(utterances(ours).len(), utterances(theirs).len());
            for (one, other) in utterances(ours).iter().zip(utterances(theirs)) {
                // A complete reply can also have a scoring error.
                if index == UNKILLED_MINER || one["error"] == other["error"] {
                    assert_eq!(reply(one), reply(other), "{name}: miner {index}: {one}");
                } else {
                    failed += 1;
                    assert_eq!(
                        (&one["index"], &one["score"]),
                        (&other["index"], &json!(0.0)),
                        "{one}"
                    );
                    assert_eq!(ours["completed"], false, "{one}");
                }
            }
        }
        // The killed miners count, too.
        assert_eq!(
            RunFiles::read(&network.directory(&name)).json("challenge_status/ferry__main.json")["miner_count"],
            3
        );
    }
    println!("{kills} kills in {rounds} rounds; {failed} utterances failed");

    finish(start(&network, &engine, "after"));
    RunFiles::read(&network.directory("after")).assert_equal(&reference, &"after all kills");
}

fn miners(report: &Value) -> impl Iterator<Item = &Value> {
    report["miners"].as_array().unwrap().iter()
}

fn utterances(miner: &Value) -> &[Value] {
    miner["utterances"].as_array().unwrap()
}
