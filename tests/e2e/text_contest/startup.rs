//! Startup of a miner: it binds its port before it loads its model.

use std::fs::OpenOptions;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::axon;
use crate::support::{free_address, local_bb, refusal, status};

#[test]
fn port_in_use_is_reported_before_model_is_loaded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for model in [
        &["--contest", "text", "--model", "missing.model"][..],
        &["--contest", "text", "--lm", "no-such-model"],
        &["--contest", "text", "--backend-url", "http://127.0.0.1:9/v1"],
        &["--stt", "whisper"],
    ] {
        let output = local_bb()
            .arg("miner")
            .args(model)
            .args(["--key-uri", "//Bob", "--listen", &address])
            .output();
        let error = refusal(&output.unwrap(), 1);
        assert!(error.contains(&format!("cannot listen on {address}")), "{model:?}: {error}");
    }
}

#[test]
fn miner_is_unhealthy_while_loading_its_model() {
    let folder = tempfile::tempdir().unwrap();
    // The miner waits until the test opens its model.
    let pipe = folder.path().join("pipe.model");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let address = free_address();
    let mut miner = local_bb();
    miner
        .args(["miner", "--contest", "text", "--key-uri", "//Bob", "--listen", &address, "--model"])
        .arg(&pipe);
    let miner = miner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(start.elapsed() < Duration::from_mins(1), "the port is not bound");
        std::thread::sleep(Duration::from_millis(20));
    }
    for path in ["/healthz", "/health"] {
        assert_eq!(status(&format!("http://{address}{path}")), 503);
        let health: Value = serde_json::from_str(&axon::get(&address, path)).unwrap();
        assert_eq!(
            health,
            json!({ "status": "warming up", "model": "not_loaded", "model_loaded": false })
        );
    }
    let response = axon::post(&address, "/predict", "{}");
    assert!(
        response.starts_with("HTTP/1.1 503") && response.contains("the miner is loading its model"),
        "{response}"
    );
    // The miner reads an empty file.
    drop(OpenOptions::new().write(true).open(&pipe).unwrap());
    assert!(refusal(&miner.wait_with_output().unwrap(), 1).contains("not an n-gram model"));
}
