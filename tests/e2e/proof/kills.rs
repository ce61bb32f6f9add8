//! A validator that is killed at random times. A proxy between validator and miner records
//! every delivered proof; the validator's scores must agree with that wire log.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tempfile::TempDir;

use super::{BOB, compile, miner, miner_report, validator};
use crate::kill::random_seed;
use crate::support::{Daemon, kill_count};

/// Time without open requests after which all requests of a killed validator count as ended.
const SETTLE_TIME: Duration = Duration::from_millis(250);

/// A request on the wire.
#[derive(Debug)]
struct Exchange {
    /// Number of the validator's process.
    round: usize,
    nonce: String,
    /// Size of the proof in bytes, once the response has arrived.
    delivered: Option<u64>,
}

/// Log of the messages between validator and miner.
struct WireLog {
    miner: String,
    client: reqwest::Client,
    round: AtomicUsize,
    open: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

/// Counts an open request until it is dropped: at its end, or when the validator has ended.
struct OpenRequest(Arc<WireLog>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Forwards a request to the miner.
async fn forward(State(wire): State<Arc<WireLog>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    wire.open.fetch_add(1, Ordering::SeqCst);
    let _open = OpenRequest(Arc::clone(&wire));
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let query: Value = serde_json::from_slice(&body).unwrap();
    let nonce = query["query_input"]["nonce"].as_str().unwrap().to_owned();
    let position = {
        let mut exchanges = wire.exchanges.lock().unwrap();
        exchanges.push(Exchange {
            round: wire.round.load(Ordering::SeqCst),
            nonce,
            delivered: None,
        });
        exchanges.len() - 1
    };
    let mut headers = head.headers;
    headers.remove("host");
    headers.remove("content-length");
    let request = wire
        .client
        .request(head.method, format!("{}{}", wire.miner, head.uri))
        .headers(headers)
        .body(body);
    let response = request.send().await.unwrap();
    let status = response.status();
    let bytes = response.bytes().await.unwrap();
    if status.is_success() {
        let response: Value = serde_json::from_slice(&bytes).unwrap();
        let proof = response["query_output"].as_str().unwrap().len() / 2;
        wire.exchanges.lock().unwrap()[position].delivered = Some(proof as u64);
    }
    Response::builder().status(status).body(Body::from(bytes)).unwrap()
}

impl WireLog {
    /// Sizes of the proofs delivered to one process of the validator, in order.
    fn delivered(&self, round: usize) -> Vec<u64> {
        let exchanges = self.exchanges.lock().unwrap();
        exchanges
            .iter()
            .filter(|exchange| exchange.round == round)
            .filter_map(|exchange| exchange.delivered)
            .collect()
    }

    /// Waits until no request has been open for [`SETTLE_TIME`].
    fn settle(&self) {
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < SETTLE_TIME {
            if self.open.load(Ordering::SeqCst) > 0 {
                quiet_since = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A miner's outcomes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RecordedOutcomes {
    verified: u64,
    bytes: u64,
    failed: u64,
}

/// Returns the outcomes on disk: those of the snapshot, and the complete lines of the journal after
/// it.
fn read_records(state: &Path) -> RecordedOutcomes {
    let snapshot = std::fs::read(state.join("scores.json")).map_or(Value::Null, |text| {
        // Replaced atomically, so never truncated.
        serde_json::from_slice(&text).unwrap()
    });
    let tally = &snapshot["board"]["tallies"][BOB];
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let mut actual = RecordedOutcomes {
        verified: count(&tally["verified"]),
        bytes: count(&tally["bytes"]),
        failed: 0,
    };
    actual.failed +=
        tally["faults"].as_object().map_or(0, |faults| faults.values().map(count).sum());
    let mut number = count(&snapshot["number"]);
    assert_eq!(number, actual.verified + actual.failed, "every event of the snapshot counts once");
    let journal = std::fs::read_to_string(state.join("scores.journal")).unwrap_or_default();
    for line in journal.rsplit_once('\n').map_or("", |(complete, _)| complete).lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        if count(&entry["number"]) <= number {
            continue;
        }
        number += 1;
        assert_eq!(count(&entry["number"]), number);
        match entry["event"]["outcome"].get("verified") {
            Some(verified) => {
                actual.verified += 1;
                actual.bytes += count(&verified["bytes"]);
            }
            None => actual.failed += 1,
        }
    }
    actual
}

/// Each process of the validator records what was delivered to it, in order, once: all, or all but
/// the last proof, which may be in verification when the kill comes. `TAONET_TEST_SEED` repeats the
/// times of the kills.
#[test]
fn kills_lose_and_duplicate_no_outcome() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "groth16");
    let (circuits, state) = (folder.path().join("circuits"), folder.path().join("state"));
    let daemon = Daemon::start(miner("//Bob", &circuits).args(["--concurrency", "4"]));
    let wire = Arc::new(WireLog {
        miner: daemon.url().to_owned(),
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        round: AtomicUsize::new(0),
        open: AtomicUsize::new(0),
        exchanges: Mutex::default(),
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let peer = format!("{BOB}@{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(forward).with_state(Arc::clone(&wire));
    runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });

    let mut random = StdRng::seed_from_u64(random_seed());
    let (mut before, mut unrecorded_count) = (RecordedOutcomes::default(), 0);
    let runs = kill_count() as usize;
    let mut kills_at_start: Vec<bool> = (0..runs).map(|round| round % 2 == 0).collect();
    kills_at_start.shuffle(&mut random);
    for (round, kills_at_start) in kills_at_start.into_iter().enumerate() {
        wire.round.store(round, Ordering::SeqCst);
        let mut command = validator("//Alice", &circuits, &state);
        // One request at a time, so that the order on the wire is the order of the records.
        command.args([
            "--peer",
            &peer,
            "--interval",
            "0.001",
            "--max-concurrency",
            "1",
            "--metrics",
            "127.0.0.1:0",
        ]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pause = if kills_at_start {
            // At any moment of the start, when the scores are read and rewritten.
            random.random_range(0..300)
        } else {
            let (expected_count, deadline) =
                (random.random_range(2..=6), Instant::now() + Duration::from_mins(1));
            while wire.delivered(round).len() < expected_count {
                assert!(
                    Instant::now() < deadline,
                    "round {round}: fewer than {expected_count} proofs are delivered"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
            random.random_range(0..150)
        };
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        wire.settle();
        let (delivered, after) = (wire.delivered(round), read_records(&state));
        assert_eq!(after.failed, 0, "round {round}");
        let count = (after.verified - before.verified) as usize;
        assert!(
            count == delivered.len() || count + 1 == delivered.len(),
            "round {round}: {count} recorded, {} delivered",
            delivered.len()
        );
        assert_eq!(
            after.bytes - before.bytes,
            delivered[..count].iter().sum::<u64>(),
            "round {round}"
        );
        unrecorded_count += delivered.len() - count;
        before = after;
    }
    let exchanges = wire.exchanges.lock().unwrap();
    let delivered = exchanges.iter().filter(|exchange| exchange.delivered.is_some()).count();
    let mut nonces: Vec<&str> = exchanges.iter().map(|exchange| exchange.nonce.as_str()).collect();
    let nonce_count = nonces.len();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), nonce_count, "no request is sent twice");
    assert!(delivered > runs, "{delivered} proofs in {runs} runs");
    assert_eq!(before.verified as usize, delivered - unrecorded_count);
    drop(exchanges);
    // The next validator begins with these scores.
    let direct = format!("{BOB}@{}", daemon.url().trim_start_matches("http://"));
    let actual = miner_report(&mut validator("//Alice", &circuits, &state), &direct, "1");
    assert_eq!(actual["verified"].as_u64(), Some(before.verified + 1));
    assert_eq!(actual["faults"], serde_json::json!({}));
}
