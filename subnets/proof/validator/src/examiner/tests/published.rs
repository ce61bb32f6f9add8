//! Requests to the server of the published crate `btlightning`, which the reference's miners run.

use std::collections::HashSet;

use btlightning::{
    CallbackSigner, LightningServer, LightningServerConfig, ValidatorPermitResolver,
    typed_async_handler,
};
use taonet_proof_circuits::ModelBundle;
use taonet_proof_core::messages::{QUERY_ZK_PROOF, QueryZkProof, SLICE_PROOF, SliceProofRequest};
use taonet_proof_core::query::{ProofQuery, SliceQuery};

use super::*;

/// Validator permits of some hotkeys.
struct PermittedHotkeys(HashSet<String>);

impl ValidatorPermitResolver for PermittedHotkeys {
    fn resolve_permitted_validators(&self) -> btlightning::Result<HashSet<String>> {
        Ok(self.0.clone())
    }
}

/// An honest miner behind the published server.
struct PublishedServer {
    server: Arc<LightningServer>,
    entry: ProofMiner,
}

impl PublishedServer {
    /// Starts a server that requires a validator permit if `permitted` names a key.
    async fn start(market: &TestMarket, uri: &str, permitted: Option<&str>) -> Self {
        let config = LightningServerConfig::builder()
            .require_validator_permit(permitted.is_some())
            .build()
            .unwrap();
        let (signing, host) = (key(uri), "127.0.0.1".to_owned());
        let mut server =
            LightningServer::with_config(signing.hotkey().to_string(), host, 0, config).unwrap();
        server.set_miner_signer(Box::new(CallbackSigner::new(move |text: &[u8]| {
            Ok(signing.sign(text).as_bytes().to_vec())
        })));
        if let Some(validator) = permitted {
            let validators = HashSet::from([key(validator).hotkey().to_string()]);
            server.set_validator_permit_resolver(Box::new(PermittedHotkeys(validators)));
        }
        let miner = market.load(uri, Behaviour::Honest);
        let proving = miner.clone();
        let complete = typed_async_handler(move |message: QueryZkProof| {
            let miner = proving.clone();
            async move {
                let query =
                    ProofQuery::from_message(&message).map_err(|error| error.to_string())?;
                let answer = miner.answer(&query).await.map_err(|refusal| refusal.to_string())?;
                answer.to_message().map_err(|error| error.to_string())
            }
        });
        let slice = typed_async_handler(move |message: SliceProofRequest| {
            let miner = miner.clone();
            async move {
                let query =
                    SliceQuery::from_message(&message).map_err(|error| error.to_string())?;
                let answer =
                    miner.answer_slice(&query).await.map_err(|refusal| refusal.to_string())?;
                answer.to_slice_message().map_err(|error| error.to_string())
            }
        });
        server.register_async_synapse_handler(QUERY_ZK_PROOF.to_owned(), complete).await.unwrap();
        server.register_async_synapse_handler(SLICE_PROOF.to_owned(), slice).await.unwrap();
        server.start().await.unwrap();
        let entry = ProofMiner {
            wire: Wire::Quic,
            ..miner_entry(uri, server.local_addr().unwrap().port())
        };
        let server = Arc::new(server);
        let serving = Arc::clone(&server);
        tokio::spawn(async move { serving.serve_forever().await });
        Self { server, entry }
    }

    /// Returns the identity of Alice's connection, which is the only one.
    async fn connection(&self) -> String {
        let stats = self.server.get_connection_stats().await.unwrap();
        assert_eq!(stats["total_connections"], "1", "{stats:?}");
        stats[&format!("connection_{}", key("//Alice").hotkey())].clone()
    }
}

async fn is_verified(examiner: &Examiner, miner: &ProofMiner) -> bool {
    matches!(examiner.examine(miner).await, Some(Outcome::Verified { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn published_server_proves_circuits_and_slices() {
    let market = TestMarket::sliced();
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    let bob = PublishedServer::start(&market, "//Bob", None).await;
    examiner.follow_miners(std::slice::from_ref(&bob.entry)).await;
    assert!(is_verified(&examiner, &bob.entry).await);

    let (model, _) = market.catalogue.models().next().unwrap();
    let inputs = ShippedModel::DigitsLenet.sample().unwrap().inputs[0].clone();
    let bundle = examiner.deliver(model, &inputs, record_progress().1).await.unwrap();
    bundle.verify().unwrap();
    assert!(matches!(&bundle, ModelBundle::Sliced(sliced) if sliced.slices.len() == 3));
    assert!(bundle.proofs().iter().all(|proof| proof.miner == *bob.entry.hotkey()));
    assert_eq!(score_store.read(|board| board.tallies()[bob.entry.hotkey()].verified), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_server_requires_a_permit() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, _) = market.examiner(LONG_TIMEOUT).await;
    let bob = PublishedServer::start(&market, "//Bob", Some("//Alice")).await;
    assert!(is_verified(&examiner, &bob.entry).await);
    let charlie = PublishedServer::start(&market, "//Charlie", Some("//Dave")).await;
    assert_eq!(examiner.examine(&charlie.entry).await, Some(failed_outcome(Fault::Refused)));
    let stats = charlie.server.get_connection_stats().await.unwrap();
    assert_eq!(stats["total_connections"], "0", "{stats:?}");
}

/// Anyone can announce the address of another miner. The published server closes a validator's
/// older connection when it opens another, so both hotkeys share one.
#[tokio::test(flavor = "multi_thread")]
async fn hotkeys_at_the_address_of_a_published_server_share_its_connection() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, _) = market.examiner(LONG_TIMEOUT).await;
    let bob = PublishedServer::start(&market, "//Bob", None).await;
    let charlie =
        ProofMiner { wire: Wire::Quic, ..miner_entry("//Charlie", bob.entry.peer.port()) };
    assert!(is_verified(&examiner, &bob.entry).await);
    bob.connection().await;
    assert_eq!(examiner.examine(&charlie).await, Some(failed_outcome(Fault::Refused)));
    let shared = bob.connection().await;
    for _ in 0..2 {
        assert!(is_verified(&examiner, &bob.entry).await);
    }
    assert_eq!(bob.connection().await, shared, "no further handshake");
}

/// Another process with the validator's hotkey connects, and the published server closes the older
/// connection.
#[tokio::test(flavor = "multi_thread")]
async fn connection_closed_by_a_newer_one_is_reopened() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    let bob = PublishedServer::start(&market, "//Bob", None).await;
    assert!(is_verified(&examiner, &bob.entry).await);
    let first = bob.connection().await;
    let other = QuicClient::bind(&key("//Alice")).unwrap();
    other.follow(std::slice::from_ref(&bob.entry)).await;
    let second = bob.connection().await;
    assert_ne!(second, first, "the other process has replaced the connection");
    // The close takes a moment to arrive.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(is_verified(&examiner, &bob.entry).await);
    assert_ne!(bob.connection().await, second);
    assert_eq!(score_store.events(), 2, "the closed connection was not counted as a failure");
}
