use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taonet_proof_backends::Statement;
use taonet_proof_circuits::{
    Backends, Catalogue, CircuitDirectory, CompileOptions, Compiled, ShippedModel, compile,
};
use taonet_proof_core::quantise::Sample;
use taonet_proof_core::{Binding, Digest};
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, Peer, Signer};
use tower::ServiceExt as _;

use super::*;
use crate::{Behaviour, MinerSettings};

const PATH: &str = "/query-zk-proof";

struct TestMiner {
    router: Router,
    circuit: Arc<CircuitDirectory>,
    _folder: tempfile::TempDir,
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn load(
    folder: &Path,
    change: impl FnOnce(MinerSettings) -> MinerSettings,
) -> (Miner, Arc<CircuitDirectory>) {
    load_compiled(folder, &ShippedModel::DiabetesRegression.compile("stark").unwrap(), change)
}

fn load_compiled(
    folder: &Path,
    compiled: &Compiled,
    change: impl FnOnce(MinerSettings) -> MinerSettings,
) -> (Miner, Arc<CircuitDirectory>) {
    CircuitDirectory::create(&folder.join("circuit"), compiled).unwrap();
    let catalogue = Catalogue::open(folder).unwrap();
    let circuit = Arc::clone(catalogue.circuits().next().unwrap());
    (Miner::load(&catalogue, change(MinerSettings::new(key("//Bob").hotkey()))).unwrap(), circuit)
}

fn start(change: impl FnOnce(MinerSettings) -> MinerSettings) -> TestMiner {
    let folder = tempfile::tempdir().unwrap();
    let (miner, circuit) = load(folder.path(), change);
    let signed = signed_requests(key("//Bob").hotkey(), Duration::from_mins(3)).build();
    TestMiner { router: router(miner, signed), circuit, _folder: folder }
}

fn signed(body: &str) -> HeaderMap {
    let signer = Signer::new(key("//Alice"), "127.0.0.1", BtauthScheme::new());
    let peer = Peer::new(key("//Bob").hotkey(), "127.0.0.1", 8091).unwrap();
    signer
        .headers(&peer, &Method::POST, PATH, "", Duration::from_secs(10), body.as_bytes())
        .unwrap()
}

impl TestMiner {
    async fn send(&self, headers: HeaderMap, body: String) -> (StatusCode, Value) {
        let mut request = Request::post(PATH).body(Body::from(body)).unwrap();
        *request.headers_mut() = headers;
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn send_signed(&self, body: &Value) -> (StatusCode, Value) {
        let body = body.to_string();
        self.send(signed(&body), body).await
    }

    fn query(&self, nonce: &[u8]) -> ProofQuery {
        let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
        ProofQuery { circuit: self.circuit.id(), nonce: Digest::of(nonce), inputs }
    }

    /// Requests a proof and returns whether it verifies.
    async fn is_proven(&self, query: &ProofQuery) -> bool {
        let (status, answer) =
            self.send_signed(&serde_json::to_value(query.to_message()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let answer: ProofAnswer = serde_json::from_value(answer).unwrap();
        assert_eq!(answer.witness, "");
        let metadata = self.circuit.metadata();
        let (proof, outputs) = answer.read(metadata.output.scale).unwrap();
        let binding = Binding {
            nonce: query.nonce,
            miner: key("//Bob").hotkey(),
            circuit: query.circuit,
            verification_key: metadata.verification_key().unwrap(),
        };
        let statement = Statement { binding, inputs: query.inputs.clone(), outputs };
        self.circuit.verifier().unwrap().verify(&statement, &proof).is_ok()
    }
}

#[tokio::test]
async fn signed_requests_are_proven_for_their_nonce() {
    let miner = start(|settings| settings);
    assert!(miner.is_proven(&miner.query(b"1")).await);
    assert!(miner.is_proven(&miner.query(b"2")).await);
}

/// A circuit with a damaged proving key does not stop the miner, unless it is the only one.
#[test]
fn broken_provers_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let model = ShippedModel::DiabetesRegression;
    let create = |name: &str| {
        let compiled = model.compile(name).unwrap();
        (
            CircuitDirectory::create(&folder.path().join(name), &compiled).unwrap(),
            Catalogue::open(folder.path()).unwrap(),
        )
    };
    let (broken, broken_catalogue) = create("groth16");
    let (working, full_catalogue) = create("stark");
    // The keys were checked when the circuits were opened.
    std::fs::write(broken.path().join("proving_key.bin"), b"").unwrap();
    let settings = || MinerSettings::new(key("//Bob").hotkey());
    assert!(Miner::load(&broken_catalogue, settings()).is_err());
    let served: Vec<Digest> =
        Miner::load(&full_catalogue, settings()).unwrap().circuits().copied().collect();
    assert_eq!(served, [working.id()]);
}

#[tokio::test]
async fn unsigned_and_malformed_requests_are_refused() {
    let miner = start(|settings| settings);
    let valid_message = serde_json::to_value(miner.query(b"1").to_message()).unwrap();
    let (status, _) = miner.send(HeaderMap::new(), valid_message.to_string()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let with_change = |pointer: &str, value: Value| {
        let mut message = valid_message.clone();
        *message.pointer_mut(pointer).unwrap() = value;
        message
    };
    for (message, expected) in [
        (json!("text"), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        (with_change("/model_id", json!("0".repeat(64))), StatusCode::NOT_FOUND),
        (with_change("/model_id", json!("../../etc/passwd")), StatusCode::UNPROCESSABLE_ENTITY),
        (with_change("/query_input/nonce", json!(7)), StatusCode::UNPROCESSABLE_ENTITY),
        (with_change("/query_input/input_data", json!([1, 2])), StatusCode::UNPROCESSABLE_ENTITY),
        (
            with_change("/query_input/input_data/0", json!(1_000_000)),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (with_change("/query_input/input_data/0", json!(null)), StatusCode::UNPROCESSABLE_ENTITY),
        (with_change("/query_input/input_data/0", json!(0.5)), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (status, answer) = miner.send_signed(&message).await;
        assert_eq!(status, expected, "{message:.200}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    assert!(miner.is_proven(&miner.query(b"1")).await, "the miner still answers");
}

/// Compiles digits-mlp for pictures that have a sixteenth of the brightness.
fn digits_for_dim_images() -> Compiled {
    let model = ShippedModel::DigitsMlp;
    let bright_images = model.sample().unwrap().inputs;
    let dim_images =
        bright_images.iter().map(|image| image.iter().map(|pixel| pixel / 16).collect());
    let options = CompileOptions {
        name: model.name().to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: model.quantise_options(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let sample = Sample { inputs: dim_images.collect(), ..Sample::default() };
    compile(model.onnx(), &sample, &options).unwrap()
}

/// A proof would be valid, but its outputs could be far from those of the model.
#[tokio::test]
async fn saturating_inputs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (miner, circuit) =
        load_compiled(folder.path(), &digits_for_dim_images(), |settings| settings);
    let bright_image = ShippedModel::DigitsMlp.sample().unwrap().inputs[0].clone();
    let black_image = vec![0; bright_image.len()];
    let query = |inputs| ProofQuery { circuit: circuit.id(), nonce: Digest::of(b"n"), inputs };
    let refusal = miner.answer(&query(bright_image.clone())).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unprovable(_)), "{refusal}");
    let signed_layer = signed_requests(key("//Bob").hotkey(), Duration::from_mins(3)).build();
    let router = router(miner, signed_layer);
    let test_miner = TestMiner { router, circuit: Arc::clone(&circuit), _folder: folder };
    let message = |inputs| serde_json::to_value(query(inputs).to_message()).unwrap();
    let (status, answer) = test_miner.send_signed(&message(bright_image)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let expected = "values are beyond the range of the model's sample and saturate: Relu '";
    assert!(answer["error"].as_str().unwrap().starts_with(expected), "{answer}");
    assert_eq!(test_miner.send_signed(&message(black_image)).await.0, StatusCode::OK);
}

/// Messages of the reference that have no equivalent here.
#[tokio::test]
async fn unsupported_messages_are_refused() {
    let miner = start(|settings| settings);
    for path in ["/proof-of-weights", "/competition", "/QueryForCapacities"] {
        let request = Request::post(path).body(Body::from("{}")).unwrap();
        let response = miner.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"error":"unrecognized synapse type"}"#, "{path}");
    }
}

#[tokio::test]
async fn full_miner_refuses_immediately_and_slow_proof_times_out() {
    let folder = tempfile::tempdir().unwrap();
    let (miner, circuit) =
        load(folder.path(), |settings| MinerSettings { concurrency: 1, ..settings });
    let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
    let query = ProofQuery { circuit: circuit.id(), nonce: Digest::of(b"n"), inputs };
    let (first, second) = tokio::join!(miner.answer(&query), miner.answer(&query));
    assert!(first.is_ok());
    assert!(matches!(second, Err(Refusal::Full)));

    let folder = tempfile::tempdir().unwrap();
    let (short_timeout_miner, _) =
        load(folder.path(), |settings| MinerSettings { timeout: Duration::ZERO, ..settings });
    assert!(matches!(short_timeout_miner.answer(&query).await, Err(Refusal::Timeout(_))));
}

#[tokio::test]
async fn answers_of_dishonest_miners_do_not_verify() {
    let wrong_output_miner =
        start(|settings| MinerSettings { behaviour: Behaviour::WrongOutput, ..settings });
    assert!(!wrong_output_miner.is_proven(&wrong_output_miner.query(b"1")).await);
    let replaying_miner =
        start(|settings| MinerSettings { behaviour: Behaviour::Replay, ..settings });
    assert!(replaying_miner.is_proven(&replaying_miner.query(b"1")).await);
    assert!(!replaying_miner.is_proven(&replaying_miner.query(b"2")).await);
    let folder = tempfile::tempdir().unwrap();
    let hotkey = key("//Charlie").hotkey();
    let (other, _) = load(folder.path(), |_| MinerSettings::new(hotkey));
    let copying_miner =
        start(|settings| MinerSettings { behaviour: Behaviour::Copy(other), ..settings });
    assert!(!copying_miner.is_proven(&copying_miner.query(b"1")).await);
}
