//! A circuit whose verification key is that of another network, and networks that take too much
//! memory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_proof_backends::stark::Stark;
use taonet_proof_backends::{Backend as _, Keys};
use taonet_proof_core::metadata::{CircuitMetadata, FILE, NETWORK, VERIFICATION_KEY};
use taonet_proof_core::network::{Network, Operation};
use taonet_proof_core::{Binding, Digest};
use tempfile::TempDir;

use super::{BOB, compile, first_input, miner, miner_report, proof, text, validator};
use crate::support::{Daemon, document, program, refusal, repository, tao};

/// Error for the circuit.
const REFUSAL: &str = "the verification key does not match the network";

/// Writes a circuit with the network of `honest` and the key of a network that always outputs 4242,
/// and a bundle that verifies with that key.
fn write_circuit_with_foreign_key(honest: &Path, target: &Path, bundle: &Path) -> Digest {
    let bytes = fs::read(honest.join(NETWORK)).unwrap();
    let mut network = Network::from_bytes(&bytes).unwrap();
    let Operation::Dense { weights, bias } = &mut network.layers.last_mut().unwrap().operation
    else {
        panic!("a dense layer")
    };
    weights.fill(0);
    *bias = vec![4242];
    let other = Arc::new(network.lower().unwrap());
    let key = Stark.setup(&other).unwrap().verification;
    let mut metadata = CircuitMetadata::from_json(&fs::read(honest.join(FILE)).unwrap()).unwrap();
    metadata.files.insert(VERIFICATION_KEY.to_owned(), Digest::of(&key));
    fs::create_dir(target).unwrap();
    fs::write(target.join(NETWORK), &bytes).unwrap();
    fs::write(target.join(VERIFICATION_KEY), &key).unwrap();
    fs::write(target.join(FILE), metadata.to_json().unwrap()).unwrap();

    let circuit = metadata.id().unwrap();
    let inputs: Vec<i64> = serde_json::from_value(first_input("diabetes-regression")).unwrap();
    let (nonce, verification_key) = (Digest::of(b"a request"), Digest::of(&key));
    let binding = Binding { nonce, miner: BOB.parse().unwrap(), circuit, verification_key };
    let keys = Keys { proving: Vec::new(), verification: key.clone() };
    let proven = Stark.prover(other, &keys).unwrap().prove(&inputs, &binding).unwrap();
    let document = json!({
        "version": 2,
        "circuit": metadata,
        "nonce": nonce,
        "miner": BOB,
        "inputs": inputs,
        "outputs": proven.outputs,
        "network": hex::encode(bytes),
        "verification_key": hex::encode(key),
        "proof": hex::encode(proven.proof),
    });
    fs::write(bundle, document.to_string()).unwrap();
    circuit
}

/// No command, miner or validator accepts it, and an honest miner loses nothing.
#[test]
fn circuit_with_another_networks_key_is_refused_everywhere() {
    let folder = TempDir::new().unwrap();
    let honest = compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let (target, bundle) = (circuits.join("false"), folder.path().join("bundle.json"));
    let id = write_circuit_with_foreign_key(&honest, &target, &bundle).to_string();
    let assert_refused = |arguments: &[&str], expected: &str| {
        let error = refusal(&proof(arguments), 1);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    };
    assert_refused(&["inspect", text(&target)], REFUSAL);
    assert_refused(&["catalogue", text(&circuits)], REFUSAL);
    for circuit in [&id, text(&target)] {
        assert_refused(&["verify", text(&bundle), "--circuit", circuit], REFUSAL);
    }
    assert_refused(&["verify", text(&bundle)], REFUSAL);
    // Without the network, as bundles of earlier versions.
    let mut old: Value = serde_json::from_slice(&fs::read(&bundle).unwrap()).unwrap();
    old["version"] = json!(1);
    old.as_object_mut().unwrap().remove("network");
    fs::write(&bundle, old.to_string()).unwrap();
    assert_refused(&["verify", text(&bundle), "--circuit", &id], "the bundle has no network");
    assert_refused(&["verify", text(&bundle), "--circuit", text(&target)], REFUSAL);

    let state = folder.path().join("state");
    let mut alone = validator("//Alice", &target, &state);
    alone.args(["--peer", &format!("{BOB}@127.0.0.1:9"), "--requests", "1"]);
    for mut daemon in [miner("//Bob", &target), alone] {
        let error = refusal(&daemon.output().unwrap(), 1);
        assert!(error.contains(REFUSAL), "{error}");
    }
    let daemon = Daemon::start(&mut miner("//Bob", &circuits));
    let peer = format!("{BOB}@{}", daemon.url().trim_start_matches("http://"));
    let actual = miner_report(&mut validator("//Alice", &circuits, &state), &peer, "5");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(5), &json!({})));
    assert!(daemon.terminate().success());
}

/// A catalogue does not choose what is proven.
#[test]
fn catalogue_without_identities_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut daemon = miner("//Bob", folder.path());
    let output = daemon.args(["--catalogue", "http://127.0.0.1:9/circuits.json"]).output().unwrap();
    let error = refusal(&output, 2);
    assert!(
        error.contains(
            "hint: pass the identities of the circuits to fetch with --additional-circuits"
        ),
        "{error}"
    );
}

/// Bundles of earlier versions are verified against the circuit's directory.
#[test]
fn old_bundle_is_verified_against_circuit_directory() {
    let folder = TempDir::new().unwrap();
    let circuit = compile(folder.path(), "diabetes-regression", "stark");
    let (input, bundle) = (folder.path().join("input.json"), folder.path().join("bundle.json"));
    fs::write(&input, first_input("diabetes-regression").to_string()).unwrap();
    document(&proof(&[
        "prove",
        text(&circuit),
        "--input",
        text(&input),
        "--miner",
        BOB,
        "-o",
        text(&bundle),
    ]));
    let mut old: Value = serde_json::from_slice(&fs::read(&bundle).unwrap()).unwrap();
    old["version"] = json!(1);
    old.as_object_mut().unwrap().remove("network");
    fs::write(&bundle, old.to_string()).unwrap();
    document(&proof(&["verify", text(&bundle), "--circuit", text(&circuit)]));
    let error = refusal(&proof(&["verify", text(&bundle), "--circuit", "nowhere"]), 1);
    assert!(
        error.contains("neither an identity of 64 hexadecimal digits nor a directory"),
        "{error}"
    );
}

/// A later command does not compare the key again, but verifies the proof.
#[test]
fn verify_caches_result_of_key_comparison() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    let verify = |bundle: &Path| {
        let mut command = tao();
        command.args(["proof", "verify", text(bundle), "--json"]).env("XDG_CACHE_HOME", &cache);
        command.output().unwrap()
    };
    let good = repository("vectors/proof/stark-3-bundle-2.json");
    let verified = document(&verify(&good));
    let stored_files = || -> Vec<String> {
        let entries = fs::read_dir(cache.join("taonet/checked-circuits")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let files = stored_files();
    assert!(
        files.len() == 1 && files[0].starts_with(verified["circuit"].as_str().unwrap()),
        "{files:?}"
    );
    assert_eq!(document(&verify(&good)), verified);
    let tampered = folder.path().join("bad.json");
    let mut changed: Value = serde_json::from_slice(&fs::read(&good).unwrap()).unwrap();
    changed["outputs"][0] = json!(changed["outputs"][0].as_i64().unwrap() + 1);
    fs::write(&tampered, changed.to_string()).unwrap();
    assert!(refusal(&verify(&tampered), 1).contains("the proof does not verify"));
    // A directory that others can write to is ignored.
    let directory = cache.join("taonet/checked-circuits");
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    let other = repository("vectors/proof/stark-4-bundle-2.json");
    document(&verify(&other));
    assert_eq!(stored_files(), files);
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    document(&verify(&other));
    assert_eq!(stored_files().len(), 2);
}

/// The network file has 25 bytes, and describes 2.4 billion values to compare.
#[test]
fn network_that_takes_too_much_memory_is_refused() {
    let folder = TempDir::new().unwrap();
    let circuit = folder.path().join("circuit");
    fs::create_dir(&circuit).unwrap();
    let network: &[u8] = include_bytes!("../../../fuzz/seeds/proof_networks/window.bin");
    let tensor = |side: u32| {
        let shape = json!({ "channels": 1, "height": side, "width": side });
        json!({ "shape": shape, "range": { "low": 0, "high": 1 }, "scale": 0 })
    };
    let metadata = json!({
        "version": 1,
        "name": "window",
        "backend": "stark",
        "input": tensor(512),
        "output": tensor(385),
        "multiply_adds": 0,
        "constraints": 0,
        "files": { NETWORK: Digest::of(network), VERIFICATION_KEY: Digest::of(b"x") },
    });
    fs::write(circuit.join(NETWORK), network).unwrap();
    fs::write(circuit.join(VERIFICATION_KEY), b"x").unwrap();
    fs::write(circuit.join(FILE), metadata.to_string()).unwrap();
    // Address space for the program itself, not for the circuit.
    let mut command = program("bash");
    let tao = env!("CARGO_BIN_EXE_tao");
    command.args([
        "-c",
        "ulimit -v 1000000; exec \"$0\" proof inspect \"$1\"",
        tao,
        text(&circuit),
    ]);
    let start = Instant::now();
    let error = refusal(&command.output().unwrap(), 1);
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
    assert!(error.contains("more than the limit of 134217728 bytes for 0 parameters"), "{error}");
}
