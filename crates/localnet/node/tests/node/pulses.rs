//! Drand pulses, which are submitted unsigned, without an account.

use codec::Encode;
use serde_json::json;
use sp_core::Pair;
use sp_runtime::{BoundedVec, MultiSigner};
use taonet_localnet_runtime::drand::{Call, Pulse, PulsesPayload};
use taonet_localnet_runtime::{Runtime, RuntimeCall};

use crate::support::{ask, get, hex, node, pair, storage_key};

/// The signature of quicknet's round 1 000.
const SIGNATURE: &str =
    "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";

/// Returns the extrinsic with which a key without an account submits a pulse.
fn submission(round: u64) -> Vec<u8> {
    let signature = hex::decode(SIGNATURE).unwrap();
    let randomness = BoundedVec::truncate_from(sp_io::hashing::sha2_256(&signature).into());
    let pulse = Pulse { round, randomness, signature: BoundedVec::truncate_from(signature) };
    let pair = pair("Nobody");
    let public = MultiSigner::Sr25519(pair.public());
    let pulses_payload = PulsesPayload { block_number: 0, pulses: vec![pulse], public };
    let signature = Some(pair.sign(&pulses_payload.encode()).into());
    let call = RuntimeCall::from(Call::<Runtime>::write_pulse { pulses_payload, signature });
    [&[0x04][..], &call.encode()].concat().encode()
}

#[tokio::test]
async fn a_pulse_is_stored_once() {
    let node = node().await;
    ask(&node, "author_submitExtrinsic", json!([hex(&submission(1_000))])).await.unwrap();
    node.mine(1).await.unwrap();
    let last = hex(&storage_key("Drand", "LastStoredRound"));
    assert_eq!(get(&node, "state_getStorage", json!([last])).await, json!(hex(&1_000_u64.encode())));

    for round in [1_000, 999] {
        let error = ask(&node, "author_submitExtrinsic", json!([hex(&submission(round))])).await.unwrap_err();
        assert_eq!((&error["code"], &error["data"]), (&json!(1010), &json!("Transaction is outdated")), "{round}");
    }

    // A signature of another round enters a block, where it is ignored.
    node.submit(submission(1_001)).await.unwrap();
    node.mine(1).await.unwrap();
    assert_eq!(get(&node, "state_getStorage", json!([last])).await, json!(hex(&1_000_u64.encode())));
}
