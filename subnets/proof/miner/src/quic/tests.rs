//! QUIC server tests with the published crate's client.

mod half_open;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use btlightning::{
    CallbackSigner, LightningClient, LightningClientConfig, QuicAxonInfo, QuicRequest, QuicResponse,
};
use taonet_proof_backends::Statement;
use taonet_proof_circuits::{Catalogue, CircuitDirectory, ShippedModel};
use taonet_proof_core::messages::{
    ProofSystem, QUERY_ZK_PROOF, QueryZkProof, QueryZkProofResponse, SLICE_PROOF,
    SliceProofResponse,
};
use taonet_proof_core::query::{ProofAnswer, ProofQuery, SliceQuery};
use taonet_proof_core::{Binding, Digest};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::{Behaviour, MinerSettings};

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

/// Maximum message size of the reference's client, in bytes.
const REFERENCE_MESSAGE: usize = 128 << 20;

struct TestMiner {
    axon: QuicAxonInfo,
    catalogue: Catalogue,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    endpoint: Endpoint,
    _folder: tempfile::TempDir,
}

/// Starts an honest miner of one model in two slices.
fn start(concurrency: usize, permits: Option<Permits>) -> TestMiner {
    start_with(concurrency, permits, Behaviour::Honest)
}

fn start_with(concurrency: usize, permits: Option<Permits>, behaviour: Behaviour) -> TestMiner {
    start_within(concurrency, permits, behaviour, None)
}

fn start_within(
    concurrency: usize,
    permits: Option<Permits>,
    behaviour: Behaviour,
    limits: Option<Limits>,
) -> TestMiner {
    let folder = tempfile::tempdir().unwrap();
    let compiled = ShippedModel::DiabetesRegression.compile_slices("stark", 2).unwrap();
    compiled.write(&folder.path().join("regression")).unwrap();
    let catalogue = Catalogue::open(Path::new(folder.path())).unwrap();
    let bob = key("//Bob");
    let settings = MinerSettings { concurrency, behaviour, ..MinerSettings::new(bob.hotkey()) };
    let miner = Miner::load(&catalogue, settings).unwrap();
    let settings = QuicSettings { listen: "127.0.0.1:0".parse().unwrap(), permits };
    let limits = limits.unwrap_or_else(|| Limits::for_inputs(miner.largest_input()));
    let server =
        QuicServer::bind_with(&miner, &bob, Duration::from_mins(3), settings, limits).unwrap();
    let (address, endpoint) = (server.address().unwrap(), server.endpoint.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.serve_until(async move { drop(stopped.await) }));
    let axon =
        QuicAxonInfo::new(bob.hotkey().to_string(), address.ip().to_string(), address.port(), 4);
    TestMiner { axon, catalogue, stop, server, endpoint, _folder: folder }
}

/// Creates the published client with the validators' configuration.
async fn client(uri: &str) -> LightningClient {
    let config = LightningClientConfig::builder().max_frame_payload_bytes(REFERENCE_MESSAGE);
    let config = config.max_stream_payload_bytes(REFERENCE_MESSAGE).build().unwrap();
    let signing = key(uri);
    let mut client = LightningClient::with_config(signing.hotkey().to_string(), config).unwrap();
    client.set_signer(Box::new(CallbackSigner::new(move |text: &[u8]| {
        Ok(signing.sign(text).as_bytes().to_vec())
    })));
    client.create_endpoint().await.unwrap();
    client
}

impl TestMiner {
    fn circuit(&self, slice: usize) -> &CircuitDirectory {
        let (_, model) = self.catalogue.models().next().unwrap();
        self.catalogue.get(&model.slices[slice]).unwrap()
    }

    fn query(&self, nonce: &[u8]) -> ProofQuery {
        let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
        ProofQuery { circuit: self.circuit(0).id(), nonce: Digest::of(nonce), inputs }
    }

    async fn send_request(&self, client: &LightningClient, request: QuicRequest) -> QuicResponse {
        client
            .query_axon_with_timeout(self.axon.clone(), request, Duration::from_mins(1))
            .await
            .unwrap()
    }

    fn is_valid(&self, query: &ProofQuery, answer: &ProofAnswer) -> bool {
        let circuit = self.circuit(0);
        let (proof, outputs) = answer.read(circuit.metadata().output.scale).unwrap();
        let binding = Binding {
            nonce: query.nonce,
            miner: key("//Bob").hotkey(),
            circuit: query.circuit,
            verification_key: circuit.metadata().verification_key().unwrap(),
        };
        let statement = Statement { binding, inputs: query.inputs.clone(), outputs };
        circuit.verifier().unwrap().verify(&statement, &proof).is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn published_client_gets_proofs_of_circuits_and_slices() {
    let miner = start(1, None);
    let alice = client("//Alice").await;
    let query = miner.query(b"1");
    let request = QuicRequest::from_typed(QUERY_ZK_PROOF, &query.to_message()).unwrap();
    let response = miner.send_request(&alice, request).await.into_result().unwrap();
    let answer: QueryZkProofResponse = response.deserialize_data().unwrap();
    assert!(answer.witness.is_empty() && !answer.busy);
    assert!(miner.is_valid(&query, &ProofAnswer::from_message(answer)));

    let (model, _) = miner.catalogue.models().next().unwrap();
    let slice = SliceQuery { model: *model, slice: 0, query: miner.query(b"2") };
    let request =
        QuicRequest::from_typed(SLICE_PROOF, &slice.to_message(ProofSystem::Stark)).unwrap();
    let response = miner.send_request(&alice, request).await.into_result().unwrap();
    let answer: SliceProofResponse = response.deserialize_data().unwrap();
    assert!(miner.is_valid(&slice.query, &ProofAnswer::from_slice_message(answer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_texts_of_the_protocol() {
    let miner = start(1, None);
    let alice = client("//Alice").await;
    let valid_message = miner.query(b"1").to_message();
    let error = async |synapse: &str, message: &QueryZkProof| {
        let response =
            miner.send_request(&alice, QuicRequest::from_typed(synapse, message).unwrap()).await;
        assert!(!response.success);
        response.error.unwrap()
    };
    let unknown_circuit = QueryZkProof { model_id: Some("0".repeat(64)), ..valid_message.clone() };
    assert_eq!(error(QUERY_ZK_PROOF, &unknown_circuit).await, "request processing failed");
    assert_eq!(error(QUERY_ZK_PROOF, &QueryZkProof::default()).await, "request processing failed");
    assert_eq!(error(SLICE_PROOF, &valid_message).await, "request processing failed");
    for unsupported in
        ["proof-of-everything", "proof-of-weights", "competition", "QueryForCapacities"]
    {
        assert_eq!(error(unsupported, &valid_message).await, "unrecognized synapse type");
    }

    // Another hotkey at the same address.
    let other_hotkey =
        QuicAxonInfo { hotkey: key("//Charlie").hotkey().to_string(), ..miner.axon.clone() };
    let request = QuicRequest::from_typed(QUERY_ZK_PROOF, &valid_message).unwrap();
    let stranger = client("//Dave").await;
    let error = stranger.query_axon(other_hotkey, request).await.unwrap_err();
    assert!(error.to_string().starts_with("handshake error:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_hotkeys_with_a_permit_connect() {
    let permits: Permits = Arc::new(|| HashSet::from([key("//Alice").hotkey()]));
    let miner = start(1, Some(permits));
    let query = QuicRequest::from_typed(QUERY_ZK_PROOF, &miner.query(b"1").to_message()).unwrap();
    let eve = client("//Eve").await;
    let error = eve.query_axon(miner.axon.clone(), query.clone()).await.unwrap_err();
    assert!(error.to_string().starts_with("handshake error:"), "{error}");
    assert!(miner.send_request(&client("//Alice").await, query).await.success);
}

/// A permit that is revoked has an effect on open connections.
#[tokio::test(flavor = "multi_thread")]
async fn permits_are_required_for_each_request() {
    let is_permitted = Arc::new(AtomicBool::new(true));
    let current_permit = Arc::clone(&is_permitted);
    let permits: Permits = Arc::new(move || {
        current_permit
            .load(Ordering::SeqCst)
            .then(|| key("//Alice").hotkey())
            .into_iter()
            .collect::<HashSet<Hotkey>>()
    });
    let miner = start(1, Some(permits));
    let alice = client("//Alice").await;
    let request =
        || QuicRequest::from_typed(QUERY_ZK_PROOF, &miner.query(b"1").to_message()).unwrap();
    for has_permit in [true, false, true] {
        is_permitted.store(has_permit, Ordering::SeqCst);
        let response = miner.send_request(&alice, request()).await;
        let expected = (!has_permit).then_some("authentication failed");
        assert_eq!((response.success, response.error.as_deref()), (has_permit, expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_miner_reports_busy() {
    let miner = start(1, None);
    let alice = client("//Alice").await;
    let request =
        || QuicRequest::from_typed(QUERY_ZK_PROOF, &miner.query(b"1").to_message()).unwrap();
    miner.send_request(&alice, request()).await.into_result().unwrap();
    let answers = send_at_once(&miner, &alice, &request).await;
    let busy = answers.iter().filter(|answer| answer.busy).count();
    let proven = answers.iter().filter(|answer| !answer.query_output.is_empty()).count();
    assert!(
        busy > 0 && proven > 0 && busy + proven == answers.len(),
        "{busy} busy, {proven} proven"
    );
}

async fn send_at_once(
    miner: &TestMiner,
    client: &LightningClient,
    request: &impl Fn() -> QuicRequest,
) -> [QueryZkProofResponse; 3] {
    let send = async || {
        miner
            .send_request(client, request())
            .await
            .into_result()
            .unwrap()
            .deserialize_data()
            .unwrap()
    };
    let (first, second, third) = tokio::join!(send(), send(), send());
    [first, second, third]
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_in_progress_are_answered_at_shutdown() {
    let miner = start_with(2, None, Behaviour::Slow(Duration::from_secs(4)));
    let alice = client("//Alice").await;
    let (query, axon) = (miner.query(b"1"), miner.axon.clone());
    // Connecting takes a while; afterwards, a request arrives soon.
    let unknown_request = QuicRequest::from_typed("none", &query.to_message()).unwrap();
    assert!(!miner.send_request(&alice, unknown_request).await.success);
    let request = QuicRequest::from_typed(QUERY_ZK_PROOF, &query.to_message()).unwrap();
    let response_future = async {
        alice.query_axon_with_timeout(axon, request, Duration::from_mins(1)).await.unwrap()
    };
    let stopped = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        miner.stop.send(()).unwrap();
    };
    let (response, ()) = tokio::join!(response_future, stopped);
    let answer: QueryZkProofResponse = response.into_result().unwrap().deserialize_data().unwrap();
    assert!(!answer.query_output.is_empty() && !answer.busy, "the proof in progress is complete");
    miner.server.await.unwrap();
    let late_request = alice.query_axon(
        miner.axon,
        QuicRequest::from_typed(QUERY_ZK_PROOF, &query.to_message()).unwrap(),
    );
    assert!(late_request.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_message_is_refused_and_server_keeps_running() {
    let miner = start(1, None);
    let alice = client("//Alice").await;
    let mut query = miner.query(b"1");
    query.inputs = vec![i64::MAX; 400_000];
    let request = QuicRequest::from_typed(QUERY_ZK_PROOF, &query.to_message()).unwrap();
    let answer =
        alice.query_axon_with_timeout(miner.axon.clone(), request, Duration::from_secs(20)).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.success));
    let request = QuicRequest::from_typed(QUERY_ZK_PROOF, &miner.query(b"2").to_message()).unwrap();
    assert!(miner.send_request(&client("//Charlie").await, request).await.success);
}

#[test]
fn limits_bound_the_total_bytes_in_flight() {
    for inputs in [0, 10, 784, 3_072, 1 << 20, 1 << 22, usize::MAX] {
        let limits = Limits::for_inputs(inputs);
        assert!(
            limits.max_message_bytes
                >= inputs.saturating_mul(MAX_INTEGER_BYTES).min(MAX_IN_FLIGHT_BYTES),
            "{inputs}: all fit"
        );
        let total_bytes =
            limits.validators * limits.max_streams as usize * limits.max_message_bytes;
        assert!(total_bytes <= MAX_IN_FLIGHT_BYTES, "{inputs}: {total_bytes} bytes");
        assert!(limits.validators_per_address > 0, "{inputs}");
    }
    let shipped = Limits::for_inputs(784);
    assert_eq!(
        (shipped.max_message_bytes, shipped.validators, shipped.max_streams),
        (64 << 10, 64, 128)
    );
    let large_limits = Limits::for_inputs(1 << 20);
    assert_eq!(
        (large_limits.max_message_bytes, large_limits.validators, large_limits.max_streams),
        ((21 << 20) + 4096, 24, 1)
    );
}
