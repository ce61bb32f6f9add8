use taonet_wallet::Keypair;

use super::*;
use crate::{Chain as _, Follow, SignOptions, Until, calls};

fn alice() -> Keypair {
    Keypair::from_uri("//Alice").unwrap()
}

fn call() -> Call {
    calls::transfer_keep_alive(alice().coldkey().into(), Rao::new(5))
}

async fn signed(chain: &MockChain, nonce: u32) -> SignedExtrinsic {
    chain.sign(&call(), &alice(), SignOptions { nonce, ..SignOptions::default() }).await.unwrap()
}

#[tokio::test]
async fn resubmitted_extrinsic_is_included_once() {
    let chain = MockChain::default();
    let extrinsic = signed(&chain, 0).await;
    let first = chain.submit(&extrinsic, Follow::default()).await;
    assert!(first.is_success(), "{first:?}");
    chain.mine(3);
    assert_eq!(chain.submit(&extrinsic, Follow::default()).await, first);
    assert_eq!((chain.submitted().len(), chain.included().len()), (2, 1));
}

#[tokio::test]
async fn second_extrinsic_with_same_nonce_is_superseded() {
    let chain = MockChain::default();
    let (first, second) = (signed(&chain, 0).await, signed(&chain, 0).await);
    assert_ne!(first.bytes, second.bytes);
    assert!(chain.submit(&first, Follow::default()).await.is_success());
    assert_eq!(chain.submit(&second, Follow::default()).await, Outcome::Superseded);
}

#[tokio::test]
async fn extrinsic_with_lost_response_is_found_by_lookup() {
    let chain = MockChain::default();
    chain.script([Script::LoseRequest, Script::LoseResponse]);
    let extrinsic = signed(&chain, 0).await;
    for expected in [0, 1] {
        assert!(matches!(chain.submit(&extrinsic, Follow::default()).await, Outcome::Unknown(_)));
        assert_eq!(chain.included().len(), expected);
    }
    let head = chain.head().await.unwrap().number;
    let actual = chain.lookup(extrinsic.hash, extrinsic.birth.number, head).await.unwrap().unwrap();
    assert!(actual.is_success());
    assert!(chain.lookup(extrinsic.hash, extrinsic.birth.number, head.plus(1)).await.is_err());
}

#[tokio::test]
async fn extrinsic_expires_after_its_era() {
    let chain = MockChain::default();
    let extrinsic = signed(&chain, 0).await;
    chain.mine(127);
    let last_block = BlockNumber::new(127);
    assert_eq!(chain.submit(&extrinsic, Follow::default()).await, Outcome::Expired { last_block });
}

#[tokio::test]
async fn finality_lag_delays_finalization() {
    let chain = MockChain::default();
    chain.set_finality_lag(2);
    let outcome = chain.send(&call(), &alice(), Follow::default()).await.unwrap();
    assert!(matches!(outcome, Outcome::Included(_)));
    let follow = Follow { until: Until::Finalized, ..Follow::default() };
    let outcome = chain.send(&call(), &alice(), follow).await.unwrap();
    assert!(matches!(outcome, Outcome::Finalized(_)));
    assert_eq!(chain.finalized_head().await.unwrap().number, BlockNumber::new(2));
}

#[tokio::test]
async fn outcomes_and_extrinsics_are_stored_as_json() {
    let chain = MockChain::default();
    let extrinsic = signed(&chain, 0).await;
    let text = serde_json::to_string(&extrinsic).unwrap();
    assert_eq!(serde_json::from_str::<SignedExtrinsic>(&text).unwrap(), extrinsic);
    let error = DispatchError::Module { pallet: "A".into(), name: "B".into(), docs: "c".into() };
    chain.script([Script::Fail(error)]);
    let outcome = chain.submit(&extrinsic, Follow::default()).await;
    assert!(outcome.is_settled() && !outcome.is_success());
    let text = serde_json::to_string(&outcome).unwrap();
    assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
}

#[tokio::test]
async fn reverted_blocks_are_rebuilt_with_other_hashes() {
    let chain = MockChain::default();
    chain.mine(5);
    chain.set_finality_lag(3);
    let extrinsic = signed(&chain, 0).await;
    assert!(matches!(chain.submit(&extrinsic, Follow::default()).await, Outcome::Included(_)));
    let before = chain.head().await.unwrap();
    chain.revert(1);
    assert!(chain.included().is_empty());
    chain.mine(1);
    let after = chain.head().await.unwrap();
    assert_eq!(after.number, before.number);
    assert_ne!(after.hash, before.hash);
    assert!(matches!(chain.events(before.into()).await, Err(ChainError::NoSuchBlock(_))));
    chain.include_reverted();
    assert_eq!(chain.included(), [extrinsic]);
    // Finalized blocks are not reverted.
    chain.revert(100);
    assert_eq!(chain.head().await.unwrap(), chain.finalized_head().await.unwrap());
}
