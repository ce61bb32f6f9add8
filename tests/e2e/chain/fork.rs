use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::{ALICE, BABELBIT, Chain};
use crate::support::{Daemon, document, refusal, tao};

fn record(url: &str, netuid: &str, file: &Path, extra_args: &[&str]) -> Output {
    let mut command = tao();
    command
        .args(["localnet", "record", url, "--netuid", netuid, "--output"])
        .arg(file)
        .args(extra_args);
    command.output().unwrap()
}

fn fork(file: &Path, extra_args: &[&str]) -> std::process::Command {
    let mut command = tao();
    command.args(["localnet", "--block-time", "manual", "--fork"]).arg(file).args(extra_args);
    command
}

fn run_json(url: &str, arguments: &[&str]) -> Value {
    document(&tao().args(arguments).args(["--json", "--network", url]).output().unwrap())
}

/// Removes the block's hash: the number is that of the recorded block, but a fork has a genesis
/// block of its own.
fn without_hash(mut document: Value) -> Value {
    document["block"].as_object_mut().unwrap().remove("hash");
    document
}

#[test]
fn recorded_subnet_is_forked_offline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("subnet.jsonl");
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "add", "100", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    chain.mine_to_epoch(BABELBIT);
    chain.run_json(&["weights", "set", "--netuid", BABELBIT, "0:1"]);
    let recorded = document(&record(chain.url(), BABELBIT, &file, &["--json"]));
    let block = recorded["block"]["number"].to_string();
    assert_eq!((&recorded["netuids"], &recorded["file"]), (&json!([59]), &json!(file)));
    let reasons = recorded["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| left["reason"].as_str().unwrap());
    assert!(
        reasons.clone().all(|reason| reason.contains("neither subnets nor accounts")),
        "{recorded}"
    );
    let metagraph = chain.run_json(&["metagraph", BABELBIT, "--full", "--block", &block]);
    let free = chain.free(&coldkey);
    assert!(
        metagraph["neurons"].as_array().unwrap().iter().any(|neuron| neuron["hotkey"] == hotkey),
        "{metagraph}"
    );
    drop(chain);

    let data = folder.path().join("data");
    let data = ["--data", data.to_str().unwrap()];
    let daemon = Daemon::start(&mut fork(&file, &data));
    let url = daemon.url().to_owned();
    assert_eq!(
        without_hash(run_json(&url, &["metagraph", BABELBIT, "--full"])),
        without_hash(metagraph)
    );
    let balances = run_json(&url, &["balance", &coldkey, ALICE]);
    assert_eq!(balances["accounts"][0]["free_rao"], free, "{balances}");
    assert_eq!(balances["accounts"][1]["free_rao"], 1_000_000_000_000_000_u64, "{balances}");
    let mined = run_json(&url, &["localnet", "mine", "2"])["block"]["number"].as_u64().unwrap();
    assert_eq!(mined.to_string(), (block.parse::<u64>().unwrap() + 2).to_string());
    assert!(daemon.terminate().success());
    // It resumes with and without the recording.
    for arguments in [&[][..], &["--fork", file.to_str().unwrap()]] {
        let daemon = Daemon::start(tao().arg("localnet").args(arguments).args(data));
        let status = run_json(daemon.url(), &["localnet", "status"]);
        assert_eq!(
            (&status["block"]["number"], &status["clock"]),
            (&json!(mined), &json!("manual"))
        );
        assert!(daemon.terminate().success());
    }
}

#[test]
fn invalid_recording_or_fork_is_refused_with_hint() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let chain = Chain::start();
    let error = refusal(&record(chain.url(), "77", &file("none"), &[]), 1);
    assert!(error.contains("netuid 77: there is no such subnet in block"), "{error}");
    assert!(!file("none").exists());
    let error = refusal(&record("nowhere", BABELBIT, &file("none"), &[]), 2);
    assert!(error.contains("URL: unknown network nowhere"), "{error}");
    let error = refusal(&record("ws://127.0.0.1:9", BABELBIT, &file("none"), &[]), 3);
    assert!(error.contains("ws://127.0.0.1:9"), "{error}");
    let error = refusal(&record(chain.url(), BABELBIT, &file("none"), &["--block", "4000000"]), 1);
    assert!(error.contains("4000000"), "{error}");
    document(&record(chain.url(), BABELBIT, &file("subnet"), &["--json"]));
    let error = refusal(&record(chain.url(), BABELBIT, &file("subnet"), &[]), 1);
    assert!(error.contains("already exists") && error.contains("choose another name"), "{error}");

    let recording = std::fs::read_to_string(file("subnet")).unwrap();
    std::fs::write(file("cut"), &recording[..recording.len() / 2]).unwrap();
    std::fs::write(file("other"), "a text\n").unwrap();
    let first = recording.split_inclusive('\n').next().unwrap();
    std::fs::write(file("newer"), first.replace("\"version\":1", "\"version\":2")).unwrap();
    for (name, text) in [
        ("absent", "cannot read the recording"),
        ("other", "hint: create one with tao localnet record"),
        ("cut", "truncated or corrupt: line"),
        ("newer", "has format version 2, expected 1"),
    ] {
        let error = refusal(&fork(&file(name), &["--memory", "--port", "0"]).output().unwrap(), 1);
        assert!(error.contains(text), "{error}");
    }
    // Another chain is in the directory.
    let data = file("data");
    let data = ["--data", data.to_str().unwrap()];
    assert!(
        Daemon::start(tao().args(["localnet", "--block-time", "manual"]).args(data))
            .terminate()
            .success()
    );
    let error = refusal(&fork(&file("subnet"), &["--port", "0"]).args(data).output().unwrap(), 1);
    assert!(
        error.contains("--fork is for a new chain") && error.contains("tao localnet reset"),
        "{error}"
    );
}
