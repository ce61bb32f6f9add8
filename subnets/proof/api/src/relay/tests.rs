use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use serde_json::{Value, json};
use taonet_proof_circuits::{ModelBundle, ShippedModel};
use taonet_proof_core::Digest;
use taonet_proof_miner::Behaviour;
use taonet_wallet::verify;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::frame::{Frame, FrameKind, encode};
use super::*;
use crate::testing::TestValidator;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A relay's side of a connection.
struct Server {
    socket: WebSocketStream<TcpStream>,
}

impl Server {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = timeout(TIMEOUT, listener.accept()).await.unwrap().unwrap();
        Self { socket: accept_async(stream).await.unwrap() }
    }

    /// Accepts a connection, and checks the signature of a challenge.
    async fn accept_authenticated(listener: &TcpListener) -> Self {
        let mut server = Self::accept(listener).await;
        let challenge: [u8; 24] = rand::random();
        server
            .send(encode(
                FrameKind::AuthChallenge,
                0,
                &json!({ "challenge": BASE64.encode(challenge) }),
            ))
            .await;
        let (kind, _, response) = server.next().await;
        assert_eq!(kind, FrameKind::AuthResponse);
        let alice = alice().hotkey();
        assert_eq!(response["ss58"], json!(alice));
        let signature =
            hex::encode(BASE64.decode(response["signature"].as_str().unwrap()).unwrap());
        assert!(verify(&alice, &challenge, &signature.parse().unwrap()));
        server.send(encode(FrameKind::AuthSuccess, 0, &json!({}))).await;
        server
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::Binary(bytes.into())).await.unwrap();
    }

    async fn send_request(
        &mut self,
        kind: FrameKind,
        id: u32,
        payload: &Value,
    ) -> (FrameKind, u32, Value) {
        self.send(encode(kind, id, payload)).await;
        self.next().await
    }

    async fn submit(&mut self, id: u32, meta: &Value, tensor: &[u8]) {
        let meta = meta.to_string().into_bytes();
        let length = u32::try_from(meta.len()).unwrap().to_be_bytes();
        let mut bytes = vec![FrameKind::Submit as u8];
        bytes.extend([&id.to_be_bytes()[..], &length, &meta, tensor].concat());
        self.send(bytes).await;
    }

    async fn next(&mut self) -> (FrameKind, u32, Value) {
        loop {
            if let Message::Binary(bytes) =
                timeout(TIMEOUT, self.socket.next()).await.unwrap().unwrap().unwrap()
            {
                let frame = Frame::decode(&bytes).unwrap();
                return (frame.kind, frame.id, frame.json().unwrap());
            }
        }
    }
}

fn alice() -> Keypair {
    Keypair::from_uri("//Alice").unwrap()
}

/// Starts a validator with one miner, and a relay to which it connects.
async fn start(behaviour: Behaviour) -> (TestValidator, TcpListener) {
    let fixture = TestValidator::start(behaviour).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let relay =
        Relay::new(&url, Arc::new(alice()), Arc::clone(&fixture.examiner), &fixture.stop).unwrap();
    let stop = fixture.stop.clone();
    fixture.stop.spawn("relay", async move { relay.run(&stop).await });
    (fixture, listener)
}

fn inputs() -> Vec<i64> {
    ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone()
}

fn tensor(inputs: &[i64], scale: i32) -> Vec<u8> {
    let data =
        inputs.iter().map(|&integer| (integer as f64 / f64::from(scale).exp2()) as f32).collect();
    let tensor = tensor::Tensor { data, shape: vec![1, inputs.len() as u64] };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tensor.encode_to_vec()).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_are_proven() {
    let (fixture, listener) = start(Behaviour::Honest).await;
    let mut relay = Server::accept_authenticated(&listener).await;
    let scale =
        fixture.examiner.served().find(|model| model.id == fixture.model).unwrap().input.scale;
    for (id, circuit, slices, tensor) in
        [(1, fixture.circuit, 1, None), (2, fixture.model, 2, Some(tensor(&inputs(), scale)))]
    {
        let meta = match &tensor {
            Some(_) => json!({ "circuit_id": circuit, "prove_pct": 0.5 }),
            None => json!({ "circuit_id": circuit, "inputs": { "input_data": [inputs()] } }),
        };
        relay.submit(id, &meta, &tensor.unwrap_or_default()).await;
        let (kind, reply_id, start_reply) = relay.next().await;
        assert_eq!((kind, reply_id), (FrameKind::SubmitResult, id), "{start_reply}");
        let run_id = &start_reply["run_uid"];
        let expected = json!({ "run_uid": run_id, "status": "started", "total_slices": slices, "total_tiles": slices });
        assert_eq!(start_reply, expected);
        let (kind, reply_id, batch_result) = relay.next().await;
        assert_eq!((kind, reply_id), (FrameKind::BatchDone, 0));
        assert_eq!(
            batch_result,
            json!({ "run_uid": run_id, "circuit_id": circuit, "status": "completed" })
        );
        let status_request = json!({ "run_uid": run_id });
        let (kind, _, status) =
            relay.send_request(FrameKind::StatusRequest, 7, &status_request).await;
        assert_eq!((kind, &status["status"]), (FrameKind::StatusResult, &json!("complete")));
        assert_eq!(status["output"].as_array().unwrap().len(), 1, "{status}");
        let (kind, _, second_status) =
            relay.send_request(FrameKind::StatusRequest, 8, &status_request).await;
        assert_eq!(
            (kind, second_status),
            (FrameKind::Error, json!({ "code": 11, "message": "run not found" }))
        );
    }
}

/// A message of 20 MiB is refused, and the connection stays open.
#[tokio::test(flavor = "multi_thread")]
async fn large_message_keeps_the_connection_open() {
    let (fixture, listener) = start(Behaviour::Honest).await;
    let mut relay = Server::accept_authenticated(&listener).await;
    relay.submit(1, &json!({ "circuit_id": fixture.circuit }), &vec![7; 20 << 20]).await;
    let (kind, id, refusal) = relay.next().await;
    assert_eq!((kind, id, &refusal["code"]), (FrameKind::Error, 1, &json!(-32_602)), "{refusal}");
    assert!(refusal["message"].as_str().unwrap().starts_with("tensor: "), "{refusal}");
    let (kind, ..) =
        relay.send_request(FrameKind::StatusRequest, 2, &json!({ "run_uid": "none" })).await;
    assert_eq!(kind, FrameKind::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_verify_offline() {
    let (fixture, listener) = start(Behaviour::Honest).await;
    let mut relay = Server::accept_authenticated(&listener).await;
    let request = json!({ "circuit_id": fixture.circuit, "inputs": [inputs()] });
    let (kind, id, result) = relay.send_request(FrameKind::ProofRequest, 5, &request).await;
    assert_eq!(
        (kind, id, &result["success"]),
        (FrameKind::ProofResult, 5, &json!(true)),
        "{result}"
    );
    let bundle: ModelBundle = serde_json::from_value(result["bundle"].clone()).unwrap();
    bundle.verify().unwrap();
    assert_eq!(result["proof"], json!(bundle.proofs()[0].proof));
    assert_eq!(result["public_signals"].as_array().unwrap().len(), inputs().len() + 1);
}

/// No row of the sample has the lowest values of all measurements together.
#[tokio::test(flavor = "multi_thread")]
async fn saturating_inputs_are_refused() {
    let (fixture, listener) = start(Behaviour::Honest).await;
    let mut relay = Server::accept_authenticated(&listener).await;
    let saturating_inputs = vec![-256; inputs().len()];
    for circuit in [fixture.circuit, fixture.model] {
        let request = json!({ "circuit_id": circuit, "inputs": [saturating_inputs] });
        let (_, _, result) = relay.send_request(FrameKind::ProofRequest, 1, &request).await;
        assert_eq!(result["success"], json!(false), "{result}");
        let expected = "values are beyond the range of the model's sample and saturate: ";
        assert!(result["error"].as_str().unwrap().starts_with(expected), "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_proofs_and_invalid_requests_have_reasons() {
    let (fixture, listener) = start(Behaviour::WrongOutput).await;
    let mut relay = Server::accept_authenticated(&listener).await;
    let request = json!({ "circuit_id": fixture.circuit, "inputs": [inputs()] });
    let (_, _, result) = relay.send_request(FrameKind::ProofRequest, 1, &request).await;
    assert_eq!(result, json!({ "success": false, "error": "no miner proved slice 0" }));

    relay.submit(2, &json!({ "circuit_id": fixture.model, "inputs": [inputs()] }), &[]).await;
    let (_, _, start_reply) = relay.next().await;
    let (kind, _, batch_result) = relay.next().await;
    assert_eq!(
        (kind, &batch_result["status"], &batch_result["failed_slices"]),
        (FrameKind::BatchDone, &json!("partial"), &json!(2))
    );
    let (_, _, status) = relay
        .send_request(FrameKind::StatusRequest, 3, &json!({ "run_uid": start_reply["run_uid"] }))
        .await;
    assert_eq!(
        (&status["status"], &status["failed_slices"]),
        (&json!("partial"), &json!(2)),
        "{status}"
    );

    let unknown_circuit = Digest::of(b"");
    let (kind, _, result) = relay
        .send_request(FrameKind::ProofRequest, 4, &json!({ "circuit_id": unknown_circuit }))
        .await;
    let reason = format!("circuit {unknown_circuit} is not served");
    assert_eq!(
        (kind, result),
        (FrameKind::ProofResult, json!({ "success": false, "error": reason }))
    );
    for (payload, expected_message) in [
        (json!({ "circuit_id": fixture.circuit, "inputs": [1] }), "input"),
        (json!({ "circuit_id": fixture.circuit }), "expected a list of integers"),
        (json!({ "inputs": [1] }), "circuit_id"),
        (json!(1), "Invalid payload"),
    ] {
        let (kind, id, error) = relay.send_request(FrameKind::ProofRequest, 5, &payload).await;
        assert_eq!((kind, id, &error["code"]), (FrameKind::Error, 5, &json!(-32_602)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(expected_message), "{error}");
    }
    relay.submit(6, &json!({ "circuit_id": fixture.circuit }), b"no tensor").await;
    assert_eq!(relay.next().await.2["code"], -32_602);
    relay.send(vec![FrameKind::Submit as u8, 0, 0, 0, 7, 0, 0, 1, 0]).await;
    assert_eq!(relay.next().await.1, 7);
    // Unknown and short messages, and requests without a reply, do not end the connection.
    relay.send(vec![9, 0, 0, 0, 0]).await;
    relay.send(vec![1]).await;
    relay.send(encode(FrameKind::StatusRequest, 0, &json!({ "run_uid": "x" }))).await;
    assert_eq!(
        relay.send_request(FrameKind::StatusRequest, 9, &json!({ "run_uid": "x" })).await.1,
        9
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn client_reconnects_with_its_results_unless_superseded() {
    let (fixture, listener) = start(Behaviour::Honest).await;
    let mut relay = Server::accept_authenticated(&listener).await;
    relay.submit(1, &json!({ "circuit_id": fixture.circuit, "inputs": [inputs()] }), &[]).await;
    let (_, _, start_reply) = relay.next().await;
    drop(relay);
    let mut relay = Server::accept_authenticated(&listener).await;
    let status_request = json!({ "run_uid": start_reply["run_uid"] });
    let status = timeout(TIMEOUT, async {
        loop {
            let (kind, _, status) =
                relay.send_request(FrameKind::StatusRequest, 2, &status_request).await;
            if kind == FrameKind::StatusResult && status["status"] != "processing" {
                return status;
            }
        }
    });
    assert_eq!(status.await.unwrap()["status"], "complete");
    let close_frame = CloseFrame { code: 4_000.into(), reason: "superseded".into() };
    relay.socket.close(Some(close_frame)).await.unwrap();
    assert!(
        timeout(Duration::from_secs(3), listener.accept()).await.is_err(),
        "a superseded client reconnects"
    );
}

/// A relay cannot obtain a signature of an extrinsic, or of the hash of a long one.
#[tokio::test(flavor = "multi_thread")]
async fn challenges_that_could_be_extrinsics_are_not_signed() {
    let (_fixture, listener) = start(Behaviour::Honest).await;
    for bytes in [0, 15, 32, 65, 200] {
        let mut server = Server::accept(&listener).await;
        let challenge = BASE64.encode(vec![7; bytes]);
        server.send(encode(FrameKind::AuthChallenge, 0, &json!({ "challenge": challenge }))).await;
        let next = timeout(TIMEOUT, server.socket.next()).await.unwrap();
        assert!(!matches!(next, Some(Ok(Message::Binary(_)))), "{bytes} bytes are signed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_relays_may_send_challenges_of_any_short_length() {
    let fixture = TestValidator::start(Behaviour::Honest).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let relay = Relay::new(&url, Arc::new(alice()), Arc::clone(&fixture.examiner), &fixture.stop)
        .unwrap()
        .with_trusted(true);
    let stop = fixture.stop.clone();
    fixture.stop.spawn("relay", async move { relay.run(&stop).await });
    let mut server = Server::accept(&listener).await;
    server
        .send(encode(FrameKind::AuthChallenge, 0, &json!({ "challenge": BASE64.encode([7; 32]) })))
        .await;
    assert_eq!(server.next().await.0, FrameKind::AuthResponse);
}

#[test]
fn relay_url_must_be_wss_or_loopback() {
    let fixture = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let fixture = fixture.block_on(TestValidator::start(Behaviour::Honest));
    let create_relay = |url: &str| {
        Relay::new(url, Arc::new(alice()), Arc::clone(&fixture.examiner), &fixture.stop).map(drop)
    };
    for url in
        ["wss://relay.example:8443", "ws://127.0.0.1:1", "ws://localhost:1/x", "ws://[::1]:1"]
    {
        create_relay(url).unwrap();
    }
    for url in [
        "ws://relay.example",
        "https://relay.example",
        "relay.example",
        "wss://",
        "",
        "ws://8.8.8.8",
    ] {
        assert!(create_relay(url).is_err(), "{url}");
    }
}
