//! Interoperability of axon and client with bittensor 10 (axon and dendrite) and bittensor 11
//! (`http_auth`).

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, DendriteScheme, Peer as Neuron, Signer, SynapseClass};

use crate::axon::{BOB, address, neuron, run_client};
use crate::peers::Peer;
use crate::support::{document, stderr};

/// A Python server, killed on drop.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(peer: &Peer, script: &str) -> Self {
        let mut command = peer.script(script);
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        // The SDK can log on standard output first.
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        while !line.starts_with('{') {
            line.clear();
            if lines.read_line(&mut line).unwrap() == 0 {
                let mut text = String::new();
                let _ = child.stderr.take().unwrap().read_to_string(&mut text);
                panic!("{script} did not start: {text}");
            }
        }
        let announcement: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(announcement["hotkey"], BOB);
        Self { child, port: announcement["port"].as_u64().unwrap().try_into().unwrap() }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a body with headers signed for a possibly different one; returns the status.
fn post(url: &str, headers: http::HeaderMap, body: &str) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = reqwest::Client::new().post(url).headers(headers).body(body.to_owned());
    runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
}

fn bob(port: u16, hotkey: &str) -> Neuron {
    Neuron::new(Keypair::from_uri(hotkey).unwrap().hotkey(), "127.0.0.1", port).unwrap()
}

#[test]
fn python_dendrite_calls_axon() {
    let Some(peer) = Peer::find("sdk10") else { return };
    let daemon = neuron("dendrite", &[]);
    let port = address(&daemon).rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let results =
        peer.query(peer.script("sdk10.py").arg("call"), &json!({ "port": port, "hotkey": BOB }));
    assert_eq!(results["ping"], json!([200, "Success"]));
    assert_eq!(results["echo"], json!([200, "Success"]));
    assert_eq!((&results["answer"], &results["seen"]), (&json!("hello τ"), &json!(true)));
    assert_eq!(results["stream"], json!(["a b c", 200]));
    assert_eq!(results["unknown"][0], 404);
    for tampered in [
        "receiver",
        "forged_prompt",
        "forged_nonce",
        "forged_uuid",
        "forged_signature",
        "no_signature",
    ] {
        assert_eq!(results[tampered][0], 401, "{tampered}: {results}");
    }
    assert_eq!(results["no_signature"][1], "Not Verified with error: Missing Signature");
}

#[test]
fn client_calls_python_axon() {
    let Some(peer) = Peer::find("sdk10") else { return };
    let server = Server::start(&peer, "sdk10.py");
    let ping = document(&run_client("ping", &server.address(), "dendrite", &["-n", "3", "--json"]));
    assert_eq!(ping["outcomes"], json!({ "Success": 3 }), "{ping}");
    let data = r#"{"prompt": "hello τ \"quoted\""}"#;
    let response =
        document(&run_client("call", &server.address(), "dendrite", &["--data", data, "--json"]));
    assert_eq!((&response["status"], &response["message"]), (&json!(200), &json!("Success")));
    assert_eq!(response["body"]["answer"], "hello τ \"quoted\"");
    // The same class, described on the command line.
    let described_class =
        ["--synapse", "StreamSynapse", "--stream", "--data", r#"{"prompt": "a b c"}"#];
    let stream_output = run_client("call", &server.address(), "dendrite", &described_class);
    assert!(stream_output.status.success(), "{}", stderr(&stream_output));
    assert_eq!(String::from_utf8(stream_output.stdout).unwrap().trim_end(), "a b c");

    let unknown =
        run_client("call", &server.address(), "dendrite", &["--synapse", "Unknown", "--json"]);
    let unknown: Value = serde_json::from_slice(&unknown.stdout).unwrap();
    assert_eq!((&unknown["outcome"], &unknown["status"]), (&json!("NotImplemented"), &json!(404)));

    // Requests altered after signing are rejected.
    let class = SynapseClass::new("EchoSynapse").hash(["prompt"]).required("prompt", json!(""));
    let scheme = DendriteScheme::new().class(class);
    let signer = Signer::new(Keypair::from_uri("//Alice").unwrap(), "127.0.0.1", scheme);
    let url = format!("http://{}/EchoSynapse", server.address());
    let (method, body) = (http::Method::POST, r#"{"prompt": "x"}"#);
    let signed = |receiver: &str| {
        let peer = bob(server.port, receiver);
        let second = Duration::from_secs(1);
        signer
            .headers(&peer, &method, "/EchoSynapse", "EchoSynapse", second, body.as_bytes())
            .unwrap()
    };
    assert_eq!(post(&url, signed("//Bob"), body), 200);
    assert_eq!(post(&url, signed("//Bob"), r#"{"prompt": "y"}"#), 500, "another body");
    assert_eq!(post(&url, signed("//Charlie"), body), 401, "another receiver");
    let mut altered_headers = signed("//Bob");
    altered_headers.insert("bt_header_dendrite_nonce", "1".parse().unwrap());
    assert_eq!(post(&url, altered_headers, body), 401, "another nonce");
    let signed_headers = signed("//Bob");
    assert_eq!(post(&url, signed_headers.clone(), body), 200);
    assert_eq!(post(&url, signed_headers, body), 401, "a replay");
}

#[test]
fn requests_of_python_http_auth_are_accepted() {
    let Some(peer) = Peer::find("sdk11") else { return };
    let daemon = neuron("btauth", &[]);
    let port = address(&daemon).rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let results = peer
        .query(peer.script("http_auth.py").arg("call"), &json!({ "port": port, "hotkey": BOB }));
    assert_eq!(results["good"], json!([200, r#"{"a": 1}"#]));
    assert_eq!(results["get"][0], 200);
    assert_eq!(results["ed25519"][0], 200);
    assert_eq!(results["replay"], json!([200, [401, "ReplayedRequest"]]));
    for (tampered, name) in [
        ("body", "BadSignature"),
        ("path", "BadSignature"),
        ("signature", "BadSignature"),
        ("receiver", "WrongReceiver"),
        ("no_receiver", "WrongReceiver"),
        ("stale", "StaleRequest"),
    ] {
        assert_eq!(results[tampered], json!([401, name]), "{tampered}");
    }
}

#[test]
fn signed_requests_pass_python_http_auth() {
    let Some(peer) = Peer::find("sdk11") else { return };
    let server = Server::start(&peer, "http_auth.py");
    let extra_args = ["--path", "/any?thing=%20", "--data", r#"{"a":1}"#, "--json"];
    let response = document(&run_client("call", &server.address(), "btauth", &extra_args));
    assert_eq!(response["body"]["body"], r#"{"a":1}"#);
    let ping = document(&run_client("ping", &server.address(), "btauth", &["-n", "3", "--json"]));
    assert_eq!(ping["outcomes"], json!({ "Success": 3 }), "{ping}");

    let signer =
        Signer::new(Keypair::from_uri("//Alice").unwrap(), "127.0.0.1", BtauthScheme::new());
    let url = |path: &str| format!("http://{}{path}", server.address());
    let (method, body) = (http::Method::POST, "body");
    let signed = |receiver: &str| {
        signer
            .headers(
                &bob(server.port, receiver),
                &method,
                "/a",
                "",
                Duration::ZERO,
                body.as_bytes(),
            )
            .unwrap()
    };
    let signed_headers = signed("//Bob");
    assert_eq!(post(&url("/a"), signed_headers.clone(), body), 200);
    assert_eq!(post(&url("/a"), signed_headers, body), 401, "a replay");
    assert_eq!(post(&url("/a"), signed("//Bob"), "bodY"), 401, "another body");
    assert_eq!(post(&url("/b"), signed("//Bob"), body), 401, "another path");
    assert_eq!(post(&url("/a"), signed("//Charlie"), body), 401, "another receiver");
    let mut altered_headers = signed("//Bob");
    altered_headers
        .insert("x-bittensor-signature", format!("0x{}", "11".repeat(64)).parse().unwrap());
    assert_eq!(post(&url("/a"), altered_headers, body), 401, "another signature");
}
