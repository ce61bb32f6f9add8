//! QUIC server tests with the published crate's client.

use std::path::Path;

use btlightning::{LightningClient, LightningClientConfig, QuicAxonInfo, QuicRequest, QuicResponse};
use taonet_proof_backends::Statement;
use taonet_proof_circuits::{Catalogue, CircuitDirectory, ShippedModel};
use taonet_proof_core::messages::ProofSystem;
use taonet_proof_core::query::ProofAnswer;
use taonet_proof_core::{Binding, Digest};
use tokio::sync::oneshot;

use super::*;
use crate::MinerSettings;

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

struct Running {
    axon: QuicAxonInfo,
    catalogue: Catalogue,
    _stop: oneshot::Sender<()>,
    _place: tempfile::TempDir,
}

/// Starts a miner of one model in two slices.
async fn start(concurrency: usize, permits: Option<Permits>) -> Running {
    let place = tempfile::tempdir().unwrap();
    let compiled = ShippedModel::DiabetesRegression.compile_slices("stark", 2).unwrap();
    compiled.write(&place.path().join("regression")).unwrap();
    let catalogue = Catalogue::open(Path::new(place.path())).unwrap();
    let bob = key("//Bob");
    let settings = MinerSettings { concurrency, ..MinerSettings::new(bob.hotkey()) };
    let miner = Miner::load(&catalogue, settings).unwrap();
    let settings =
        QuicSettings { listen: "127.0.0.1:0".parse().unwrap(), permits, permit_refresh: Duration::from_mins(10) };
    let server = QuicServer::bind(miner, &bob, Duration::from_mins(3), settings).await.unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.serve_until(async move { drop(stopped.await) }));
    let axon = QuicAxonInfo::new(bob.hotkey().to_string(), address.ip().to_string(), address.port(), 4);
    Running { axon, catalogue, _stop: stop, _place: place }
}

/// Creates the published client with the validators' configuration.
async fn client(uri: &str) -> LightningClient {
    let config = LightningClientConfig::builder().max_frame_payload_bytes(LARGEST_MESSAGE);
    let config = config.max_stream_payload_bytes(LARGEST_MESSAGE).build().unwrap();
    let signing = key(uri);
    let mut client = LightningClient::with_config(signing.hotkey().to_string(), config).unwrap();
    client.set_signer(Box::new(CallbackSigner::new(move |text: &[u8]| Ok(signing.sign(text).as_bytes().to_vec()))));
    client.create_endpoint().await.unwrap();
    client
}

impl Running {
    fn circuit(&self, slice: usize) -> &CircuitDirectory {
        let (_, model) = self.catalogue.models().next().unwrap();
        self.catalogue.get(&model.slices[slice]).unwrap()
    }

    fn query(&self, nonce: &[u8]) -> ProofQuery {
        let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
        ProofQuery { circuit: self.circuit(0).id(), nonce: Digest::of(nonce), inputs }
    }

    async fn ask(&self, client: &LightningClient, request: QuicRequest) -> QuicResponse {
        client.query_axon_with_timeout(self.axon.clone(), request, Duration::from_mins(1)).await.unwrap()
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
async fn the_published_client_gets_proofs_of_circuits_and_slices() {
    let miner = start(1, None).await;
    let alice = client("//Alice").await;
    let query = miner.query(b"1");
    let request = QuicRequest::from_typed(QUERY_ZK_PROOF, &query.to_message()).unwrap();
    let response = miner.ask(&alice, request).await.into_result().unwrap();
    let answer: QueryZkProofResponse = response.deserialize_data().unwrap();
    assert!(answer.witness.is_empty() && !answer.busy);
    assert!(miner.is_valid(&query, &ProofAnswer::from_message(answer)));

    let (model, _) = miner.catalogue.models().next().unwrap();
    let slice = SliceQuery { model: *model, slice: 0, query: miner.query(b"2") };
    let request = QuicRequest::from_typed(SLICE_PROOF, &slice.to_message(ProofSystem::Stark)).unwrap();
    let response = miner.ask(&alice, request).await.into_result().unwrap();
    let answer: SliceProofResponse = response.deserialize_data().unwrap();
    assert!(miner.is_valid(&slice.query, &ProofAnswer::from_slice_message(answer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_protocols_texts() {
    let miner = start(1, None).await;
    let alice = client("//Alice").await;
    let good = miner.query(b"1").to_message();
    let error = async |synapse: &str, message: &QueryZkProof| {
        let response = miner.ask(&alice, QuicRequest::from_typed(synapse, message).unwrap()).await;
        assert!(!response.success);
        response.error.unwrap()
    };
    let unknown = QueryZkProof { model_id: Some("0".repeat(64)), ..good.clone() };
    assert_eq!(error(QUERY_ZK_PROOF, &unknown).await, "request processing failed");
    assert_eq!(error(QUERY_ZK_PROOF, &QueryZkProof::default()).await, "request processing failed");
    assert_eq!(error(SLICE_PROOF, &good).await, "request processing failed");
    assert_eq!(error("proof-of-everything", &good).await, "unrecognized synapse type");

    // Another hotkey at the same address.
    let other = QuicAxonInfo { hotkey: key("//Charlie").hotkey().to_string(), ..miner.axon.clone() };
    let request = QuicRequest::from_typed(QUERY_ZK_PROOF, &good).unwrap();
    let stranger = client("//Dave").await;
    let error = stranger.query_axon(other, request).await.unwrap_err();
    assert!(error.to_string().starts_with("handshake error:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_hotkeys_with_a_permit_connect() {
    let permits: Permits = Arc::new(|| HashSet::from([key("//Alice").hotkey()]));
    let miner = start(1, Some(permits)).await;
    let query = QuicRequest::from_typed(QUERY_ZK_PROOF, &miner.query(b"1").to_message()).unwrap();
    // Permits are read when the server starts to accept.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let eve = client("//Eve").await;
    let error = eve.query_axon(miner.axon.clone(), query.clone()).await.unwrap_err();
    assert!(error.to_string().starts_with("handshake error:"), "{error}");
    assert!(miner.ask(&client("//Alice").await, query).await.success);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_miner_says_so() {
    let miner = start(1, None).await;
    let alice = client("//Alice").await;
    let request = || QuicRequest::from_typed(QUERY_ZK_PROOF, &miner.query(b"1").to_message()).unwrap();
    miner.ask(&alice, request()).await.into_result().unwrap();
    let several = at_once(&miner, &alice, &request).await;
    let busy = several.iter().filter(|answer| answer.busy).count();
    let proven = several.iter().filter(|answer| !answer.query_output.is_empty()).count();
    assert!(busy > 0 && proven > 0 && busy + proven == several.len(), "{busy} busy, {proven} proven");
}

async fn at_once(
    miner: &Running,
    client: &LightningClient,
    request: &impl Fn() -> QuicRequest,
) -> [QueryZkProofResponse; 3] {
    let ask = async || miner.ask(client, request()).await.into_result().unwrap().deserialize_data().unwrap();
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    [first, second, third]
}
