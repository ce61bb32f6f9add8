//! `tao proof`: circuits from models, proofs, a miner and a validator, the market of the demonstration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Daemon, document, refusal, repository, tao};

const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

fn proof(arguments: &[&str]) -> Output {
    tao().arg("proof").args(arguments).arg("--json").output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Compiles a shipped model into a folder; gives the circuit's directory.
pub(crate) fn compile(folder: &Path, model: &str, backend: &str) -> PathBuf {
    let models = repository("models").join(model);
    let (onnx, sample, circuit) = (models.join("model.onnx"), models.join("sample.json"), folder.join("circuits/one"));
    let output = ["-o", text(&circuit), "--sample", text(&sample), "--backend", backend];
    let range: &[&str] = if model == "diabetes-regression" { &["--input-low", "-256"] } else { &[] };
    document(&proof(&[&["compile", text(&onnx)][..], &output, range].concat()));
    circuit
}

/// A miner without a chain.
pub(crate) fn miner(key: &str, circuits: &Path) -> Command {
    let mut command = tao();
    command.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
    command.args(["proof", "miner", "--loopback", "--key-uri", key, "--circuit-cache-dir", text(circuits)]);
    command
}

/// A validator without a chain.
pub(crate) fn validator(key: &str, circuits: &Path, state: &Path) -> Command {
    let mut command = tao();
    command.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args(["proof", "validator", "--loopback", "--key-uri", key]);
    command.args(["--circuit-cache-dir", text(circuits), "--state", text(state)]);
    command
}

/// The first input of a model's sample.
fn first_input(model: &str) -> Value {
    let sample = std::fs::read(repository("models").join(model).join("sample.json")).unwrap();
    serde_json::from_slice::<Value>(&sample).unwrap()["inputs"][0].clone()
}

fn prove_and_verify(model: &str, backend: &str) {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), model, backend);
    let inspected = document(&proof(&["inspect", text(&circuit)]));
    assert_eq!(inspected["metadata"]["backend"], backend);
    let (input, bundle) = (folder.path().join("input.json"), folder.path().join("proof.json"));
    std::fs::write(&input, json!({ "input_data": [first_input(model)] }).to_string()).unwrap();
    let proven =
        document(&proof(&["prove", text(&circuit), "--input", text(&input), "--miner", BOB, "-o", text(&bundle)]));
    assert_eq!(proven["circuit"], inspected["id"]);
    // With nothing but the bundle.
    std::fs::remove_dir_all(&circuit).unwrap();
    let id = inspected["id"].as_str().unwrap();
    let verified = document(&proof(&["verify", text(&bundle), "--circuit", id]));
    assert_eq!(verified, proven);
    assert_eq!(verified["miner"], BOB);
    refusal(&proof(&["verify", text(&bundle), "--circuit", &"0".repeat(64)]), 1);
    let good: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    for (field, value) in [
        ("/nonce", json!("1".repeat(64))),
        ("/miner", json!("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY")),
        ("/outputs/0", json!(good["outputs"][0].as_i64().unwrap() + 1)),
        ("/inputs/0", json!(good["inputs"][0].as_i64().unwrap() + 1)),
        ("/circuit/name", json!("another")),
        ("/proof", json!("00")),
        ("/proof", json!("zz")),
        ("/version", json!(99)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(field).unwrap() = value;
        std::fs::write(&bundle, bad.to_string()).unwrap();
        refusal(&proof(&["verify", text(&bundle)]), 1);
    }
    std::fs::write(&bundle, &good.to_string()[..100]).unwrap();
    refusal(&proof(&["verify", text(&bundle)]), 1);
}

#[test]
fn proofs_verify_with_nothing_but_their_bundle() {
    prove_and_verify("digits-mlp", "stark");
    prove_and_verify("diabetes-regression", "groth16");
}

#[test]
fn bad_models_inputs_and_circuits_are_refused() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "stark");
    let (input, bundle) = (folder.path().join("input.json"), folder.path().join("proof.json"));
    for content in ["[1, 2]", "[1.5]", "{}", "nothing", "[null]", "[[99999, 0, 0, 0, 0, 0, 0, 0, 0, 0]]"] {
        std::fs::write(&input, content).unwrap();
        let arguments = ["prove", text(&circuit), "--input", text(&input), "--miner", BOB, "-o", text(&bundle)];
        refusal(&proof(&arguments), 1);
        assert!(!bundle.exists(), "{content}");
    }
    let sample = repository("models/diabetes-regression/sample.json");
    std::fs::write(&input, b"\x08\x07not a model").unwrap();
    let elsewhere = folder.path().join("elsewhere");
    refusal(&proof(&["compile", text(&input), "--sample", text(&sample), "-o", text(&elsewhere)]), 1);
    assert!(!elsewhere.exists());
    let network = circuit.join("network.bin");
    let mut bytes = std::fs::read(&network).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&network, bytes).unwrap();
    assert!(refusal(&proof(&["inspect", text(&circuit)]), 1).contains("SHA-256"));
    refusal(&proof(&["inspect", text(folder.path())]), 1);
}

#[test]
fn contributors_stand_in_the_transcript() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "groth16");
    let before = document(&proof(&["setup", text(&circuit)]));
    let after = document(&proof(&["setup", text(&circuit), "--contributor", "Ada"]));
    assert_ne!(after["circuit"], before["circuit"]);
    assert_eq!(after["transcript"]["contributions"][0]["contributor"], "Ada");
    document(&proof(&["inspect", text(&circuit)]));
}

/// What a validator without a chain says of one miner after some requests.
fn examined(validator: &mut Command, peer: &str, requests: &str) -> Value {
    let output = validator.args(["--peer", peer, "--requests", requests, "--json"]).output().unwrap();
    document(&output)["miners"][0].clone()
}

#[test]
fn a_validator_verifies_what_a_miner_proves() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let daemon = Daemon::start(&mut miner("//Bob", &circuits));
    let address = daemon.url().trim_start_matches("http://").to_owned();
    let (state, bundles) = (folder.path().join("state"), folder.path().join("bundles"));
    let mut first = validator("//Alice", &circuits, &state);
    let found = examined(first.args(["--bundles", text(&bundles)]), &format!("{BOB}@{address}"), "3");
    assert_eq!((&found["hotkey"], &found["verified"], &found["faults"]), (&json!(BOB), &json!(3), &json!({})));
    let bundle = bundles.join(format!("{BOB}.json"));
    assert_eq!(document(&proof(&["verify", text(&bundle)]))["miner"], BOB);
    // The miner's own path, and that to nowhere.
    let probe = |target: &str| {
        let mut command = miner("//Bob", &circuits);
        command.args(["--self-probe", "--probe-target", target, "--json"]).output().unwrap()
    };
    let found = document(&probe(&address));
    assert_eq!((&found["works"], &found["steps"][1]["status"]), (&json!(true), &json!(422)));
    refusal(&probe(&crate::support::free_address()), 3);
    // Scores outlive the validator.
    let found = examined(&mut validator("//Alice", &circuits, &state), &format!("{BOB}@{address}"), "2");
    assert_eq!(found["verified"], 5);
    assert!(daemon.terminate().success());
    let found = examined(&mut validator("//Alice", &circuits, &state), &format!("{BOB}@{address}"), "1");
    assert_eq!((&found["verified"], &found["faults"]), (&json!(5), &json!({ "unreachable": 1 })));
}

#[test]
fn a_miner_that_the_validator_does_not_name_proves_nothing() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let charlie = Daemon::start(&mut miner("//Charlie", &circuits));
    let address = charlie.url().trim_start_matches("http://").to_owned();
    let state = folder.path().join("state");
    // Charlie refuses what is signed for Bob.
    let found = examined(&mut validator("//Alice", &circuits, &state), &format!("{BOB}@{address}"), "1");
    assert_eq!(found["faults"], json!({ "refused": 1 }));
}

#[test]
fn miners_answer_over_quic() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let daemon = Daemon::start(miner("//Bob", &circuits).args(["--quic-port", &port.to_string()]));
    let state = folder.path().join("state");
    let peer = format!("{BOB}@quic://127.0.0.1:{port}");
    let found = examined(&mut validator("//Alice", &circuits, &state), &peer, "3");
    assert_eq!((&found["verified"], &found["faults"]), (&json!(3), &json!({})));
    assert!(daemon.terminate().success());
}

/// A user's request over TLS: slices by two miners, a bundle that verifies when validator and miners are gone.
#[test]
fn users_get_bundles_of_sliced_models() {
    let folder = TempDir::new().unwrap();
    let models = repository("models/diabetes-regression");
    let (onnx, sample) = (models.join("model.onnx"), models.join("sample.json"));
    let (circuits, state) = (folder.path().join("circuits"), folder.path().join("state"));
    let sliced = circuits.join("sliced");
    let arguments = ["compile", text(&onnx), "--sample", text(&sample), "--input-low", "-256", "-o", text(&sliced)];
    let compiled = document(&proof(&[&arguments[..], &["--slices", "2"]].concat()));
    let model = compiled["id"].as_str().unwrap().to_owned();
    assert_eq!(document(&proof(&["inspect", text(&sliced)]))["id"], compiled["id"]);

    let (bob, charlie) =
        (Daemon::start(&mut miner("//Bob", &circuits)), Daemon::start(&mut miner("//Charlie", &circuits)));
    let charlies = taonet_wallet::Keypair::from_uri("//Charlie").unwrap().hotkey();
    let at = |daemon: &Daemon| daemon.url().trim_start_matches("http://").to_owned();
    let keys = folder.path().join("keys.json");
    let key = document(&proof(&["api-key", "add", "ada", "--api-keys", text(&keys)]))["key"].clone();
    let key = key.as_str().unwrap();
    assert_eq!(document(&proof(&["api-key", "list", "--api-keys", text(&keys)]))["names"], json!(["ada"]));
    let address = crate::support::free_address();
    let mut command = validator("//Alice", &circuits, &state);
    command.args(["--peer", &format!("{BOB}@{}", at(&bob)), "--peer", &format!("{charlies}@{}", at(&charlie))]);
    command.args(["--api", &address, "--api-keys", text(&keys), "--metrics", "127.0.0.1:0", "--interval", "1"]);
    let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let certificate = state.join("api-certificate.pem");
    let deadline = Instant::now() + Duration::from_mins(1);
    while !certificate.exists() || std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the API does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let certificate = reqwest::Certificate::from_pem(&std::fs::read(&certificate).unwrap()).unwrap();
    let bundle = folder.path().join("bundle.json");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().tls_certs_only([certificate]).no_proxy().build().unwrap();
        let get = async |path: String| {
            let request = client.get(format!("https://{address}{path}")).bearer_auth(key);
            request.send().await.unwrap().text().await.unwrap()
        };
        let body = json!({ "circuit": model, "input": first_input("diabetes-regression") });
        // The list of miners may take a moment.
        loop {
            let request = client.post(format!("https://{address}/v1/proofs")).bearer_auth(key).json(&body);
            let accepted: Value = request.send().await.unwrap().json().await.unwrap();
            let id = accepted["id"].as_str().unwrap().to_owned();
            let events = get(format!("/v1/proofs/{id}/events")).await;
            if events.contains("\"status\":\"done\"") {
                std::fs::write(&bundle, get(format!("/v1/proofs/{id}/bundle")).await).unwrap();
                return;
            }
            assert!(Instant::now() < deadline, "{events}");
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(bob.terminate().success() && charlie.terminate().success());
    let verified = document(&proof(&["verify", text(&bundle), "--circuit", &model]));
    assert_eq!(verified["slices"].as_array().unwrap().len(), 2);
    let mut good: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    let first = good["slices"][0].clone();
    good["slices"][1] = first;
    std::fs::write(&bundle, good.to_string()).unwrap();
    refusal(&proof(&["verify", text(&bundle)]), 1);
}

/// A validator that is killed at random moments counts each outcome once: what its journal says when it is gone is what the
/// next one begins with.
#[test]
fn kills_lose_and_double_no_outcome() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let daemon = Daemon::start(miner("//Bob", &circuits).args(["--concurrency", "4"]));
    let peer = format!("{BOB}@{}", daemon.url().trim_start_matches("http://"));
    let state = folder.path().join("state");
    let mut counted = 0;
    for round in 0..50_u64 {
        let mut command = validator("//Alice", &circuits, &state);
        command.args(["--peer", &peer, "--interval", "0.001", "--metrics", "127.0.0.1:0"]);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + round * 37 % 400));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = outcomes(&state);
        assert!(now >= counted, "round {round}: {now} outcomes, {counted} before");
        counted = now;
    }
    assert!(counted > 5, "{counted} outcomes in 50 runs");
    let found = examined(&mut validator("//Alice", &circuits, &state), &peer, "1");
    let faults: u64 = found["faults"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(found["verified"].as_u64().unwrap() + faults, counted + 1);
}

/// Outcomes that are on disk: those of the snapshot, and the whole lines of the journal after it.
fn outcomes(state: &Path) -> u64 {
    let snapshot = std::fs::read(state.join("scores.json")).unwrap_or_default();
    let covered = serde_json::from_slice::<Value>(&snapshot).ok().and_then(|snapshot| snapshot["number"].as_u64());
    let journal = std::fs::read_to_string(state.join("scores.journal")).unwrap_or_default();
    let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let numbers = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap());
    numbers.max().unwrap_or_default().max(covered.unwrap_or_default())
}

#[test]
fn honest_miners_earn_and_liars_have_a_reason() {
    let folder = TempDir::new().unwrap();
    let keep = folder.path().join("market");
    let began = Instant::now();
    let demo = document(&proof(&["demo", "--once", "--keep", text(&keep)]));
    assert!(began.elapsed() < Duration::from_mins(2), "{:?}", began.elapsed());
    let miner = |name: &str| demo["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap();
    for (name, fault) in [
        ("wrong-output", "wrong_output"),
        ("replay", "replayed_proof"),
        ("other-circuit", "other_circuit"),
        ("copy", "copied_proof"),
    ] {
        let liar = miner(name);
        for field in ["score", "weight", "incentive"] {
            assert_eq!(liar[field].as_f64(), Some(0.0), "{name}: {field}");
        }
        for field in ["weight_submitted", "weight_on_chain", "emission"] {
            assert_eq!(liar[field], 0, "{name}: {field}");
        }
        let faults = liar["faults"].as_object().unwrap();
        assert_eq!(faults.keys().collect::<Vec<_>>(), [fault], "{name}: {faults:?}");
        assert_ne!(liar["reason"], "");
    }
    for name in ["honest", "honest-2", "slow"] {
        let honest = miner(name);
        assert_eq!(honest["faults"], json!({}), "{name}");
        assert!(honest["score"].as_f64().unwrap() > 0.0, "{name}");
        assert!(honest["weight_on_chain"].as_u64().unwrap() > 0, "{name}");
        assert!(honest["emission"].as_u64().unwrap() > 0, "{name}");
    }
    assert!(miner("slow")["weight"].as_f64() < miner("honest")["weight"].as_f64(), "{demo}");
    // Another process verifies the proofs after the validator is gone.
    let bundle = PathBuf::from(miner("honest")["bundle"].as_str().unwrap());
    let verified = document(&proof(&["verify", text(&bundle)]));
    assert_eq!(verified["miner"], miner("honest")["hotkey"]);
}
