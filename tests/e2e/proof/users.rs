//! Users of a validator's API: sliced models proven by several miners, and miners that are killed
//! during a request.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use taonet_wallet::Keypair;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{compile_facts, first_input, miner, miner_report, proof, text, validator};
use crate::support::{Daemon, document, free_address, refusal, repository};

/// Maximum time of a proof, on a busy machine.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(5);

/// Compiles a shipped model into slices in the directory `circuits`; returns the model's ID.
fn compile_slices(folder: &Path, model: &str, slices: &str) -> String {
    let models = repository("models").join(model);
    let (onnx, sample, sliced) =
        (models.join("model.onnx"), models.join("sample.json"), folder.join("circuits/sliced"));
    let arguments = [
        "compile",
        text(&onnx),
        "--sample",
        text(&sample),
        "--slices",
        slices,
        "-o",
        text(&sliced),
    ];
    let range: &[&str] =
        if model == "diabetes-regression" { &["--input-low", "-256"] } else { &[] };
    let compiled = document(&proof(&[&arguments[..], range].concat()));
    assert_eq!(document(&proof(&["inspect", text(&sliced)]))["id"], compiled["id"]);
    compiled["id"].as_str().unwrap().to_owned()
}

/// A miner's process, and its hotkey.
struct Miner {
    hotkey: String,
    daemon: Daemon,
}

impl Miner {
    fn start(key: &str, folder: &Path) -> Self {
        let hotkey = Keypair::from_uri(key).unwrap().hotkey().to_string();
        Self { hotkey, daemon: Daemon::start(&mut miner(key, &folder.join("circuits"))) }
    }

    fn address(&self) -> &str {
        self.daemon.url().trim_start_matches("http://")
    }
}

/// A validator that serves users and sends no benchmarks. Killed on drop.
struct ApiValidator {
    child: Child,
    url: String,
    key: String,
    client: Client,
    runtime: Runtime,
}

impl ApiValidator {
    fn start(folder: &Path, miners: &[Miner], options: &[&str]) -> Self {
        let (state, keys, address) =
            (folder.join("state"), folder.join("keys.json"), free_address());
        let key =
            document(&proof(&["api-key", "add", "ada", "--api-keys", text(&keys)]))["key"].clone();
        assert_eq!(
            document(&proof(&["api-key", "list", "--api-keys", text(&keys)]))["names"],
            json!(["ada"])
        );
        let mut command = validator("//Alice", &folder.join("circuits"), &state);
        for miner in miners {
            command.args(["--peer", &format!("{}@{}", miner.hotkey, miner.address())]);
        }
        command.args(["--metrics", "127.0.0.1:0", "--disable-benchmark"]).args(options);
        let error = refusal(&command.output().unwrap(), 1);
        assert!(error.contains("--disable-benchmark requires --api or --relay-url"), "{error}");
        command.args(["--api", &address, "--api-keys", text(&keys)]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let certificate = state.join("api-certificate.pem");
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        while !certificate.exists() || std::net::TcpStream::connect(&address).is_err() {
            assert!(
                Instant::now() < deadline && child.try_wait().unwrap().is_none(),
                "the API does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let certificate = Certificate::from_pem(&fs::read(&certificate).unwrap()).unwrap();
        let client = Client::builder()
            .tls_certs_only([certificate])
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .unwrap();
        let (url, key) = (format!("https://{address}"), key.as_str().unwrap().to_owned());
        Self { child, url, key, client, runtime: Runtime::new().unwrap() }
    }

    /// Submits an input and returns the ID of the proof.
    fn submit(&self, model: &str, input: &Value) -> String {
        self.post(&json!({ "circuit": model, "input": input }))
    }

    fn post(&self, body: &Value) -> String {
        let request =
            self.client.post(format!("{}/v1/proofs", self.url)).bearer_auth(&self.key).json(body);
        let accepted: Value =
            self.runtime.block_on(async { request.send().await.unwrap().json().await.unwrap() });
        accepted["id"].as_str().unwrap_or_else(|| panic!("{accepted}")).to_owned()
    }

    /// Follows a proof to its end: calls `on_event` with each progress event as it arrives, and
    /// returns all of them and the status.
    fn follow(&self, id: &str, mut on_event: impl FnMut(&Value)) -> (Vec<Value>, String) {
        let request =
            self.client.get(format!("{}/v1/proofs/{id}/events", self.url)).bearer_auth(&self.key);
        self.runtime.block_on(async {
            let mut response = request.send().await.unwrap();
            let (mut buffer, mut events) = (Vec::new(), Vec::new());
            while let Some(chunk) = response.chunk().await.unwrap() {
                buffer.extend_from_slice(&chunk);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let Some(data) = line.strip_prefix(b"data: ") else { continue };
                    let event: Value = serde_json::from_slice(data).unwrap();
                    if let Some(status) = event["status"].as_str() {
                        return (events, status.to_owned());
                    }
                    on_event(&event);
                    events.push(event);
                }
            }
            panic!("the events end without a status: {events:?}")
        })
    }

    /// Downloads the bundle of a proof.
    fn bundle(&self, id: &str, path: &Path) -> Value {
        let request =
            self.client.get(format!("{}/v1/proofs/{id}/bundle", self.url)).bearer_auth(&self.key);
        let bundle =
            self.runtime.block_on(async { request.send().await.unwrap().bytes().await.unwrap() });
        fs::write(path, &bundle).unwrap();
        serde_json::from_slice(&bundle).unwrap()
    }
}

impl Drop for ApiValidator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hotkeys of the miners that proved the slices of a bundle, in order.
fn provers(bundle: &Value) -> Vec<&str> {
    bundle["slices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slice| slice["miner"].as_str().unwrap())
        .collect()
}

/// Slice and miner of each event of a kind.
fn slices_and_miners<'a>(events: &'a [Value], kind: &str) -> Vec<(usize, &'a str)> {
    let kind_events = events.iter().filter(|event| event["event"] == kind);
    kind_events
        .map(|event| (event["slice"].as_u64().unwrap() as usize, event["miner"].as_str().unwrap()))
        .collect()
}

/// A user's request over TLS: slices by two miners, a bundle that verifies after validator and
/// miners have ended.
#[test]
fn users_get_bundles_of_sliced_models() {
    let folder = TempDir::new().unwrap();
    let model = compile_slices(folder.path(), "diabetes-regression", "2");
    let miners = ["//Bob", "//Charlie"].map(|key| Miner::start(key, folder.path()));
    let api = ApiValidator::start(folder.path(), &miners, &["--api-miners-pct", "50"]);
    let id = api.submit(&model, &first_input("diabetes-regression"));
    assert_eq!(api.follow(&id, |_| ()).1, "done");
    let bundle = folder.path().join("bundle.json");
    let valid_bundle = api.bundle(&id, &bundle);
    drop(api);
    for miner in miners {
        assert!(miner.daemon.terminate().success());
    }
    let input = folder.path().join("input.json");
    fs::write(&input, first_input("diabetes-regression").to_string()).unwrap();
    let verify = ["verify", text(&bundle), "--circuit", &model, "--input", text(&input)];
    let verification = document(&proof(&verify));
    assert_eq!(verification["slices"].as_array().unwrap().len(), 2);
    // Each miner proved a slice, so neither is the miner of the whole bundle.
    let [first, second] = provers(&valid_bundle)[..] else { panic!("{valid_bundle}") };
    assert_ne!(first, second);
    let error = refusal(&proof(&[&verify[..], &["--miner", first]].concat()), 1);
    assert!(error.contains(&format!("the proof is by miner {second}")), "{error}");
    let mut tampered = valid_bundle.clone();
    tampered["slices"][1] = valid_bundle["slices"][0].clone();
    fs::write(&bundle, tampered.to_string()).unwrap();
    refusal(&proof(&["verify", text(&bundle)]), 1);
}

/// A language model in a market: benchmarks, and the answer to a prompt, which a miner proves.
#[test]
fn users_get_proven_answers_of_language_models() {
    let folder = TempDir::new().unwrap();
    let compiled = compile_facts(&folder.path().join("circuits/facts"));
    let circuit = compiled["id"].as_str().unwrap();
    let miners = [Miner::start("//Bob", folder.path())];
    // Benchmark requests have random tokens.
    let (peer, state) =
        (format!("{}@{}", miners[0].hotkey, miners[0].address()), folder.path().join("benchmarks"));
    let actual = miner_report(
        &mut validator("//Alice", &folder.path().join("circuits"), &state),
        &peer,
        "2",
    );
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(2), &json!({})));
    let api = ApiValidator::start(folder.path(), &miners, &[]);
    let prompt = "Three plus four is";
    let id = api.post(&json!({ "circuit": circuit, "prompt": prompt }));
    assert_eq!(api.follow(&id, |_| ()).1, "done");
    let bundle = folder.path().join("bundle.json");
    api.bundle(&id, &bundle);
    // No miner receives the tokens of a prompt that is unlike the sample.
    let unlike = api.post(&json!({ "circuit": circuit, "prompt": "Q9 !! xK" }));
    let (events, status) = api.follow(&unlike, |_| ());
    assert_eq!((events.len(), status.as_str()), (0, "failed"), "{events:?}");
    drop(api);
    let verification =
        document(&proof(&["verify", text(&bundle), "--circuit", circuit, "--prompt", prompt]));
    assert_eq!(
        (&verification["text"]["answer"], &verification["miner"]),
        (&json!(" seven."), &json!(miners[0].hotkey))
    );
}

/// The LeNet in three slices by three miners, two of which are killed with SIGKILL, each while it
/// holds a slice. Other miners prove these slices, and the linked slices verify. A restarted
/// miner receives slices again.
#[test]
fn slices_of_killed_miners_are_proven_by_others() {
    let folder = TempDir::new().unwrap();
    let model = compile_slices(folder.path(), "digits-lenet", "3");
    let input = first_input("digits-lenet");
    let mut miners =
        ["//Bob", "//Charlie", "//Dave"].map(|key| Miner::start(key, folder.path())).into_iter();
    let api = ApiValidator::start(folder.path(), miners.as_slice(), &[]);
    let verify = |id: &str| {
        let path = folder.path().join(format!("{id}.json"));
        let bundle = api.bundle(id, &path);
        let verification = document(&proof(&["verify", text(&path), "--circuit", &model]));
        assert_eq!((provers(&verification), provers(&bundle).len()), (provers(&bundle), 3));
        bundle
    };
    let start = Instant::now();
    let bundle = loop {
        let id = api.submit(&model, &input);
        let (events, status) = api.follow(&id, |_| ());
        assert_eq!(status, "done", "{events:?}");
        let bundle = verify(&id);
        // On a busy machine, an answer can be overdue, so that the slice is also sent to a miner of
        // another one.
        if slices_and_miners(&events, "overdue").is_empty() {
            break bundle;
        }
        assert!(start.elapsed() < REQUEST_TIMEOUT, "an answer is always overdue: {events:?}");
    };
    let mut distinct = provers(&bundle);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "each miner proves a slice");

    let mut killed: Vec<(String, String)> = Vec::new();
    for _ in 0..2 {
        let victim = miners.next().unwrap();
        let (hotkey, address) = (victim.hotkey.clone(), victim.address().to_owned());
        // The process receives its slice, but cannot answer before it is killed.
        victim.daemon.pause();
        let mut victim = Some(victim);
        let id = api.submit(&model, &input);
        let (events, status) = api.follow(&id, |event| {
            if event["event"] == "asked" && event["miner"] == hotkey.as_str() {
                // Time for the request to arrive. Dropping a daemon kills it with SIGKILL.
                std::thread::sleep(Duration::from_millis(300));
                victim = None;
            }
        });
        assert_eq!(status, "done", "{events:?}");
        killed.push((hotkey, address));
        let is_dead = |miner: &str| killed.iter().any(|(hotkey, _)| hotkey == miner);
        let failed = slices_and_miners(&events, "failed");
        assert!(failed.iter().any(|(_, miner)| *miner == killed.last().unwrap().0), "{events:?}");
        assert!(failed.iter().all(|(_, miner)| is_dead(miner)), "{events:?}");
        assert!(
            events
                .iter()
                .all(|event| event["event"] != "failed" || event["fault"] == "unreachable"),
            "{events:?}"
        );
        let bundle = verify(&id);
        assert!(provers(&bundle).iter().all(|miner| !is_dead(miner)), "{events:?}");
    }

    // With a new process at its address, the first miner proves slices again after its backoff.
    let (hotkey, address) = &killed[0];
    let mut restarted = miner("//Bob", &folder.path().join("circuits"));
    let _restarted = Daemon::start_at(restarted.args(["--quic-port", "0"]), address);
    let start = Instant::now();
    loop {
        let id = api.submit(&model, &input);
        assert_eq!(api.follow(&id, |_| ()).1, "done");
        if provers(&verify(&id)).contains(&hotkey.as_str()) {
            return;
        }
        assert!(start.elapsed() < REQUEST_TIMEOUT, "the restarted miner receives no slice");
    }
}
