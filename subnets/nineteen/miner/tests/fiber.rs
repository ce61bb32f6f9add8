//! Tests of both sides of the transport against a Python implementation of fiber's protocol, based
//! on `cryptography` and `substrate-interface`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use futures::StreamExt as _;
use serde_json::{Value, json};
use taonet_http::testing::listen;
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_miner::{Backend, Deadlines, Miner, MinerConfig, miner_router};
use taonet_nineteen_transport::{
    FiberClient, FiberRules, HandshakeError, MinerHandshake, RsaKey, Trust, signed_requests,
};
use taonet_testing::{peer_directory, query_program};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, Peer, SystemClock};

/// Returns a command for the script of the peer; `None` if it is not installed.
fn python() -> Option<Command> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = peer_directory("fiber")?;
    let mut command = Command::new(environment.join("bin/python"));
    command
        .arg(directory.join("tests/peers/fiber.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Some(command)
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

/// Starts a miner whose backend echoes the payload; returns the port.
async fn miner() -> u16 {
    let chat = |Json(payload): Json<Value>| async move {
        let chunk = json!({"choices": [{"delta": {"content": payload.to_string()}, "logprobs": {"content": []}}]});
        format!("data: {chunk}\n\ndata: [DONE]\n\n")
    };
    let backend = listen(Router::new().route("/chat/completions", post(chat))).await.port();
    let backend =
        Backend::new(&format!("http://127.0.0.1:{backend}").parse().unwrap(), None).unwrap();
    let served = vec!["chat@60000=org/Model".parse().unwrap()];
    let config = MinerConfig {
        task_type: TaskType::Text,
        served,
        concurrency: 4,
        deadlines: Deadlines::default(),
    };
    let bob = key("//Bob");
    let signed = signed_requests(bob.hotkey(), FiberRules::Strict).build();
    let handshake = MinerHandshake::new(bob, RsaKey::generate().unwrap(), FiberRules::Strict);
    listen(miner_router(Miner::new(config, backend, None), handshake, signed)).await.port()
}

#[tokio::test(flavor = "multi_thread")]
async fn python_validator_calls_our_miner() {
    let Some(mut python) = python() else { return };
    let request = json!({"port": miner().await, "hotkey": key("//Bob").hotkey(), "model": "chat"});
    let results = tokio::task::spawn_blocking(move || query_program(python.arg("call"), &request));
    let results = results.await.unwrap();
    assert_eq!((&results["bits"], &results["fresh"]), (&json!(2048), &json!(true)));
    assert_eq!(results["before"], 400);
    assert_eq!(
        results["exchange"],
        json!([200, r#"{"status":"Symmetric key exchanged successfully"}"#])
    );
    assert_eq!(results["capacity"], json!([200, r#"{"miner_type":"text","chat":60000.0}"#]));
    assert_eq!(results["chat"][0], 200);
    let event = results["chat"][1].as_str().unwrap().strip_prefix("data: ").unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    let payload: Value =
        serde_json::from_str(event["choices"][0]["delta"]["content"].as_str().unwrap()).unwrap();
    let messages = json!([{"role": "user", "content": "\u{e9}"}]);
    assert_eq!(
        payload,
        json!({"model": "org/Model", "messages": messages, "stream": true, "logprobs": true})
    );
    assert_eq!(results["replay"], json!([200, [401, "Oi, that nonce is not valid!"]]));
    for (tampered, status) in [
        ("stale", 401),
        ("other_signer", 401),
        ("other_miner", 401),
        ("other_key", 400),
        ("unknown_key", 400),
    ] {
        assert_eq!(results[tampered], status, "{tampered}");
    }
}

/// A Python miner process, killed on drop.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_validator_calls_a_python_miner() {
    let Some(mut python) = python() else { return };
    let mut server = Server(python.arg("serve").spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let announcement: Value = serde_json::from_str(&line).unwrap();
    let port = announcement["port"].as_u64().unwrap().try_into().unwrap();
    let peer = Peer::new(key("//Bob").hotkey(), "127.0.0.1", port).unwrap();
    let client = |trust| {
        FiberClient::new(key("//Alice"), trust, ClientConfig::default(), Arc::new(SystemClock))
            .unwrap()
    };
    let error = client(Trust::Signed).handshake(&peer).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Unsigned), "fiber signs no key: {error}");
    let client = client(Trust::Any);
    let session = client.handshake(&peer).await.unwrap();
    let payload =
        json!({"a": "h\u{e9}llo \u{2603}", "l": [1, 2.5, null]}).as_object().unwrap().clone();
    let answer =
        client.send(&session, "/capacity", payload, Duration::from_secs(30)).await.unwrap();
    assert_eq!(answer.status, 200);
    let body: Vec<u8> = answer.map(Result::unwrap).collect::<Vec<_>>().await.concat();
    let received: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&received["miner"], &received["uuid"]),
        (&json!(key("//Bob").hotkey()), &json!(session.id()))
    );
    assert_eq!(received["type"], "application/octet-stream");
    let plain = received["plain"].as_str().unwrap();
    assert!(
        plain.starts_with(r#"{"a": "h\u00e9llo \u2603", "l": [1, 2.5, null], "nonce": ""#),
        "{plain}"
    );
    // A chat arrives as it is streamed, and a status before its body.
    let chat = |model: &str| {
        let payload = json!({"model": model, "messages": [{"role": "user", "content": "h\u{e9}llo streamed world"}]});
        client.send(
            &session,
            "/chat/completions",
            payload.as_object().unwrap().clone(),
            Duration::from_secs(30),
        )
    };
    let mut answer = chat("chat").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let first = answer.next().await.unwrap().unwrap();
    let start = Instant::now();
    let remaining: Vec<u8> = answer.map(Result::unwrap).collect::<Vec<_>>().await.concat();
    assert!(
        start.elapsed() > Duration::from_millis(500),
        "the rest was sent 3 s after the first word"
    );
    let text = String::from_utf8([&first[..], &remaining].concat()).unwrap();
    let events: Vec<_> =
        text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    let [words @ .., "[DONE]"] = events.as_slice() else { panic!("{events:?}") };
    let words = words.iter().map(|event| serde_json::from_str::<Value>(event).unwrap());
    let words: Vec<_> =
        words.map(|event| event["choices"][0]["delta"]["content"].clone()).collect();
    assert_eq!(words, ["h\u{e9}llo", "streamed", "world"]);
    assert_eq!(chat("busy").await.unwrap().status, 429);
}
