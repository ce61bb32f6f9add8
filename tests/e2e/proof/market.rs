//! The market of the demonstration.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_testing::skip;
use tempfile::TempDir;

use super::{proof, text};
use crate::support::{document, program};

/// Like [`proof`], in a network namespace without active interfaces. If the system does not permit
/// namespaces, uses the normal network, or fails in CI.
fn without_network(arguments: &[&str]) -> Output {
    // The second variant is for root in a container without user namespaces.
    let variants: [&[&str]; 2] = [&["--user", "--map-root-user", "--net"], &["--net"]];
    let works = |isolated: &&&[&str]| {
        let tried =
            Command::new("unshare").args(**isolated).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(isolated) = variants.iter().find(works) else {
        let message = "NOT TESTED without a network: unshare --net does not work here, neither as this user nor as root";
        skip(message);
        return proof(arguments);
    };
    let mut command = program("unshare");
    command
        .args(*isolated)
        .args([env!("CARGO_BIN_EXE_tao"), "proof"])
        .args(arguments)
        .arg("--json");
    command.output().unwrap()
}

/// The user's bundle shows the answer of the language model, which an honest miner proved.
fn assert_answer_is_proven<'a>(answer: &Value, hotkey_of: impl Fn(&str) -> &'a Value) {
    assert_eq!(
        (&answer["name"], &answer["text"]["answer"]),
        (&json!("facts-lm"), &json!(" Austin.")),
        "{answer}"
    );
    let [bundle, circuit, miner] =
        ["bundle", "circuit", "miner"].map(|field| answer[field].as_str().unwrap());
    let prompt = answer["text"]["prompt"].as_str().unwrap();
    let verification =
        document(&proof(&["verify", bundle, "--circuit", circuit, "--prompt", prompt]));
    assert_eq!(
        (&verification["text"], &verification["miner"]),
        (&answer["text"], hotkey_of(miner))
    );
}

#[test]
fn honest_miners_earn_and_cheaters_are_reported() {
    let folder = TempDir::new().unwrap();
    let keep = folder.path().join("market");
    let began = Instant::now();
    let demo = document(&proof(&["demo", "--once", "--keep", text(&keep)]));
    assert!(began.elapsed() < Duration::from_mins(5), "{:?}", began.elapsed());
    let miner = |name: &str| {
        demo["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap()
    };
    for (name, fault) in [
        ("wrong-output", "wrong_output"),
        ("replay", "replayed_proof"),
        ("other-circuit", "other_circuit"),
        ("copy", "copied_proof"),
    ] {
        let cheater = miner(name);
        for field in ["score", "weight", "incentive"] {
            assert_eq!(cheater[field].as_f64(), Some(0.0), "{name}: {field}");
        }
        for field in ["weight_submitted", "weight_on_chain", "emission"] {
            assert_eq!(cheater[field], 0, "{name}: {field}");
        }
        let faults = cheater["faults"].as_object().unwrap();
        assert_eq!(faults.keys().collect::<Vec<_>>(), [fault], "{name}: {faults:?}");
        assert_ne!(cheater["reason"], "");
    }
    for name in ["honest", "honest-2", "slow"] {
        let honest = miner(name);
        assert_eq!(honest["faults"], json!({}), "{name}");
        assert!(honest["score"].as_f64().unwrap() > 0.0, "{name}");
        assert!(honest["weight_on_chain"].as_u64().unwrap() > 0, "{name}");
        assert!(honest["emission"].as_u64().unwrap() > 0, "{name}");
    }
    assert!(miner("slow")["weight"].as_f64() < miner("honest")["weight"].as_f64(), "{demo}");
    // The user has a proof of each circuit, from an honest miner, of a digit that the model
    // recognises.
    let user = demo["user"].as_array().unwrap();
    assert_eq!(
        user.iter().map(|proof| &proof["backend"]).collect::<Vec<_>>(),
        ["stark", "groth16"]
    );
    for proof in user {
        assert!(
            ["honest", "honest-2", "slow"].contains(&proof["miner"].as_str().unwrap()),
            "{proof}"
        );
        assert_eq!(proof["digit"], proof["label"], "{proof}");
        // Each failure leads to another request, and so does an overdue proof.
        let failures = proof["failures"].as_array().unwrap().len() as u64;
        assert!(proof["asked"].as_u64().unwrap() > failures, "{proof}");
        let bundle = proof["bundle"].as_str().unwrap();
        let circuit = proof["circuit"].as_str().unwrap();
        let verification = document(&self::proof(&["verify", bundle, "--circuit", circuit]));
        assert_eq!(verification["miner"], miner(proof["miner"].as_str().unwrap())["hotkey"]);
    }
    assert_answer_is_proven(&demo["language_model"], |name| &miner(name)["hotkey"]);
    // Another process verifies the proofs after the validator is gone, without a network.
    let bundle = PathBuf::from(miner("honest")["bundle"].as_str().unwrap());
    let verification = document(&without_network(&["verify", text(&bundle)]));
    assert_eq!(verification["miner"], miner("honest")["hotkey"]);
}
