//! Drand pulses, which are submitted unsigned, without an account.

use codec::Encode;
use serde_json::json;
use taonet_localnet::{Node, NodeHandle};
use taonet_localnet_runtime::commitments::{self, CommitmentInfo, Data};
use taonet_localnet_runtime::drand::pulse_extrinsic;
use taonet_localnet_runtime::types::{MechId, NetUid};
use taonet_localnet_runtime::{Runtime, RuntimeCall, admin_utils, subtensor};

use crate::support::{account, config, hex, node, rpc, signed, storage_key, try_rpc};

/// The signature of quicknet's round 1 000.
const SIGNATURE: &str = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";

/// The Unix time of quicknet's round 1 000, in milliseconds.
const PUBLISHED: u64 = 1_692_806_364_000;

const BABELBIT: NetUid = NetUid(59);

/// Returns data that bittensor-drand encrypted to round 1 000.
fn timelocked<Bytes: TryFrom<Vec<u8>>>(name: &str) -> Bytes {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../vectors/timelock/timelocked.json");
    let vectors: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let bytes = hex::decode(vectors["data"][name].as_str().unwrap()).unwrap();
    bytes.try_into().unwrap_or_else(|_| panic!("{name} is too long"))
}

/// Returns the extrinsic that submits the signature of round 1 000 as that of a round.
fn submission(round: u64) -> Vec<u8> {
    pulse_extrinsic(round, hex::decode(SIGNATURE).unwrap().try_into().unwrap())
}

#[tokio::test]
async fn pulse_is_stored_once() {
    let node = node().await;
    try_rpc(&node, "author_submitExtrinsic", json!([hex(&submission(1_000))])).await.unwrap();
    node.mine(1).await.unwrap();
    let last_round_key = hex(&storage_key("Drand", "LastStoredRound"));
    assert_eq!(
        rpc(&node, "state_getStorage", json!([last_round_key])).await,
        json!(hex(&1_000_u64.encode()))
    );

    for round in [1_000, 999] {
        let error = try_rpc(&node, "author_submitExtrinsic", json!([hex(&submission(round))]))
            .await
            .unwrap_err();
        assert_eq!(
            (&error["code"], &error["data"]),
            (&json!(1010), &json!("Transaction is outdated")),
            "{round}"
        );
    }

    // A signature of another round enters a block, where it is ignored.
    node.submit(submission(1_001)).await.unwrap();
    node.mine(1).await.unwrap();
    assert_eq!(
        rpc(&node, "state_getStorage", json!([last_round_key])).await,
        json!(hex(&1_000_u64.encode()))
    );
}

/// Returns the value of a storage map under these encoded and hashed keys.
fn storage_value(node: &NodeHandle, pallet: &str, item: &str, keys: &[u8]) -> Option<Vec<u8>> {
    node.storage(&[&storage_key(pallet, item), keys].concat()).unwrap()
}

/// The subnet's owner commits weights and a text to a round. The chain reveals both once it has the
/// pulse: the text in the next block, the weights in the next epoch.
#[tokio::test]
async fn pulse_reveals_weights_and_commitments() {
    let mut config = config();
    // The pulse is published a second after the chain begins.
    config.start = Some(PUBLISHED - 1_000);
    let node = Node::start(config).await.unwrap();
    let (netuid, mecid, reveal_round) = (BABELBIT, MechId(0), 1_000);
    let enable = admin_utils::Call::<Runtime>::sudo_set_commit_reveal_weights_enabled {
        netuid,
        enabled: true,
    };
    let enable = RuntimeCall::Sudo(pallet_sudo::Call::sudo { call: Box::new(enable.into()) });
    node.submit(signed(&node, "Alice", 0, &enable)).await.unwrap();
    node.mine(1).await.unwrap();

    let commit = timelocked("weights of the owner");
    let commit = subtensor::Call::<Runtime>::commit_timelocked_mechanism_weights {
        netuid,
        mecid,
        commit,
        reveal_round,
        commit_reveal_version: 4,
    };
    let text = Data::TimelockEncrypted { encrypted: timelocked("text"), reveal_round };
    let info = Box::new(CommitmentInfo { fields: vec![text].try_into().unwrap() });
    let text = commitments::Call::<Runtime>::set_commitment { netuid, info };
    node.submit(signed(&node, "Alice_hk", 0, &commit.into())).await.unwrap();
    node.submit(signed(&node, "Alice_hk", 1, &text.into())).await.unwrap();
    node.mine(1).await.unwrap();
    let netuid = BABELBIT.0.encode();
    let hotkey = account("Alice_hk").encode();
    let commitment_key = [&netuid[..], &sp_io::hashing::twox_64(&hotkey), &hotkey].concat();
    let weights_key = [&netuid[..], &0_u16.encode()].concat();
    let revealed = |node: &NodeHandle| {
        storage_value(node, "Commitments", "RevealedCommitments", &commitment_key)
    };
    let weights_row =
        |node: &NodeHandle| storage_value(node, "SubtensorModule", "Weights", &weights_key);
    assert!(storage_value(&node, "Commitments", "CommitmentOf", &commitment_key).is_some());

    try_rpc(&node, "author_submitExtrinsic", json!([hex(&submission(1_000))])).await.unwrap();
    node.mine(1).await.unwrap();
    assert_eq!((revealed(&node), weights_row(&node)), (None, None));
    node.mine(1).await.unwrap();
    let block = u64::from(node.head().number());
    assert_eq!(revealed(&node), Some(vec![(b"speech at 16 kHz".to_vec(), block)].encode()));
    assert_eq!(storage_value(&node, "Commitments", "CommitmentOf", &commitment_key), None);
    assert_eq!(weights_row(&node), None, "the reveal window has not begun");
    rpc(&node, "dev_epoch", json!([59])).await;
    assert_eq!(weights_row(&node), Some(vec![(0_u16, 65_535_u16)].encode()));
    node.stop().await;
}
