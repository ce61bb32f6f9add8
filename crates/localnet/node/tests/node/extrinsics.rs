//! Refused extrinsics, each with the error code and message of the real chain's node.

use codec::Decode;
use serde_json::{Value, json};
use sp_core::H256;
use taonet_localnet::NodeHandle;
use taonet_localnet_runtime::RuntimeCall;
use taonet_localnet_runtime::runtime::OriginCaller;

use crate::support::{Signing, account_key, hex, node, remark, rpc, signed, transfer, try_rpc};

async fn submit_error(node: &NodeHandle, bytes: &[u8]) -> (i64, String, Value) {
    let error = try_rpc(node, "author_submitExtrinsic", json!([hex(bytes)])).await.unwrap_err();
    (
        error["code"].as_i64().unwrap(),
        error["message"].as_str().unwrap().to_owned(),
        error["data"].clone(),
    )
}

#[tokio::test]
async fn invalid_extrinsics_are_refused_without_effect() {
    let (node, other_node) = (node().await, node().await);
    // Consumes nonce 0, so that it is stale below.
    let first = signed(&node, "Alice", 0, &remark("first"));
    for node in [&node, &other_node] {
        node.submit(first.clone()).await.unwrap();
        node.mine(1).await.unwrap();
    }
    let valid_signing = Signing::new(node.genesis(), 1);
    let signed_with = |change: fn(&mut Signing)| {
        let mut signing = valid_signing.clone();
        change(&mut signing);
        signing.sign("Alice", &remark("x"))
    };
    let extrinsic = valid_signing.sign("Alice", &remark("x"));
    let mut bad_signature = extrinsic.clone();
    bad_signature[50] ^= 1;
    let mut wrong_length = extrinsic.clone();
    wrong_length[0] ^= 4;
    let mut unknown_version = extrinsic.clone();
    unknown_version[2] = 0x8f;
    let unknown_call = [&extrinsic[..extrinsic.len() - 4], &[250, 250, 1, 1]].concat();
    let unsigned = [&[0x04][..], &codec::Encode::encode(&remark("bare"))].concat();
    let unsigned = codec::Encode::encode(&unsigned);
    let cases: Vec<(&str, Vec<u8>, i64, Option<&str>)> = vec![
        ("bad signature", bad_signature, 1010, Some("Transaction has a bad signature")),
        (
            "other genesis",
            signed_with(|s| s.genesis = H256::repeat_byte(9)),
            1010,
            Some("Transaction has a bad signature"),
        ),
        (
            "other version",
            signed_with(|s| s.spec_version = 1),
            1010,
            Some("Transaction has a bad signature"),
        ),
        ("old nonce", signed_with(|s| s.nonce = 0), 1010, Some("Transaction is outdated")),
        (
            "era of another block",
            signed_with(|s| s.era = vec![0x15, 0x00]),
            1010,
            Some("Transaction has a bad signature"),
        ),
        (
            "poor sender",
            Signing::new(node.genesis(), 0).sign("Nobody", &transfer("Dave", 1)),
            1010,
            Some("Inability to pay some fees (e.g. account balance too low)"),
        ),
        ("truncated", extrinsic[..extrinsic.len() - 1].to_vec(), 1001, None),
        ("trailing byte", [extrinsic.clone(), vec![0]].concat(), 1001, None),
        ("wrong length", wrong_length, 1001, None),
        ("unknown version", unknown_version, 1001, None),
        ("unknown call", unknown_call, 1001, None),
        ("empty", vec![], 1001, None),
        ("zeros", vec![0; 64], 1001, None),
    ];
    for (name, bytes, code, data) in cases {
        let (actual_code, message, text) = submit_error(&node, &bytes).await;
        assert_eq!(actual_code, code, "{name}: {message} {text}");
        match data {
            Some(data) => {
                assert_eq!(message, "Invalid Transaction", "{name}");
                assert_eq!(text, data, "{name}");
            }
            None => {
                assert!(message.starts_with("Extrinsic has invalid format"), "{name}: {message}");
            }
        }
        // Extrinsics that were refused as invalid are banned for a while; undecodable bytes get the
        // same error again.
        let (second_code, message, _) = submit_error(&node, &bytes).await;
        assert_eq!(second_code, if code == 1010 { 1012 } else { code }, "{name}: {message}");
    }
    let (code, _, data) = submit_error(&node, &unsigned).await;
    assert_eq!((code, data), (1010, json!("Transaction call is not expected")));
    assert_eq!(rpc(&node, "author_pendingExtrinsics", json!([])).await, json!([]));
    // The chain continues as if it had received none of these extrinsics: the same state root, the
    // same block.
    assert_eq!(node.mine(1).await.unwrap(), other_node.mine(1).await.unwrap());
    other_node.stop().await;
    // The valid extrinsic is still valid.
    node.submit(extrinsic).await.unwrap();
    node.mine(1).await.unwrap();
    assert_eq!(
        rpc(&node, "chain_getBlock", json!([])).await["block"]["extrinsics"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    node.stop().await;
}

#[tokio::test]
async fn duplicate_bytes_or_nonce_is_refused() {
    let node = node().await;
    let extrinsic = signed(&node, "Alice", 0, &remark("one"));
    node.submit(extrinsic.clone()).await.unwrap();
    let (code, message, data) = submit_error(&node, &extrinsic).await;
    assert_eq!((code, message.as_str()), (1013, "Transaction Already Imported"));
    assert_eq!(data, json!(hex(&sp_io::hashing::blake2_256(&extrinsic))));
    let (code, message, _) = submit_error(&node, &signed(&node, "Alice", 0, &remark("two"))).await;
    assert_eq!(code, 1014);
    assert!(message.starts_with("Priority is too low"), "{message}");
    let mut invalid = signed(&node, "Bob", 0, &remark("bad"));
    invalid[50] ^= 1;
    assert_eq!(submit_error(&node, &invalid).await.0, 1010);
    assert_eq!(submit_error(&node, &invalid).await.0, 1012);
    // Once the extrinsic is in a block, the same bytes are banned, as on the real chain.
    node.mine(1).await.unwrap();
    assert_eq!(submit_error(&node, &extrinsic).await.0, 1012);
    node.stop().await;
}

/// The timestamp pallet panics on a second timestamp, after the fee was paid and the transfer
/// executed. Both are rolled back, and the block equals that of a chain without the extrinsic.
#[tokio::test]
async fn panicking_call_leaves_no_changes() {
    let (node, untouched) = (node().await, node().await);
    let set_time = RuntimeCall::decode(&mut &[2, 0, 0][..]).unwrap();
    let as_origin = Box::new(OriginCaller::system(frame_system::RawOrigin::None));
    let as_inherent = RuntimeCall::Utility(pallet_utility::Call::dispatch_as {
        as_origin,
        call: Box::new(set_time),
    });
    let panicking_call = RuntimeCall::Sudo(pallet_sudo::Call::sudo { call: Box::new(as_inherent) });
    let calls = vec![transfer("Dave", 1_000_000), panicking_call];
    let batch = RuntimeCall::Utility(pallet_utility::Call::batch_all { calls });
    node.submit(signed(&node, "Alice", 0, &batch)).await.unwrap();
    let good = signed(&node, "Bob", 0, &transfer("Dave", 5));
    for node in [&node, &untouched] {
        node.submit(good.clone()).await.unwrap();
    }
    assert_eq!(node.mine(1).await.unwrap(), untouched.mine(1).await.unwrap());
    assert_eq!(rpc(&node, "author_pendingExtrinsics", json!([])).await, json!([]));
    let alice = node.storage(&account_key("Alice")).unwrap().unwrap();
    assert_eq!(alice[..4], [0; 4], "the nonce was incremented");
    // Without the panicking call, the same batch changes the state.
    let batch_call = RuntimeCall::Utility(pallet_utility::Call::batch_all {
        calls: vec![transfer("Dave", 1_000_000)],
    });
    node.submit(signed(&node, "Alice", 0, &batch_call)).await.unwrap();
    assert_ne!(node.mine(1).await.unwrap(), untouched.mine(1).await.unwrap());
    node.stop().await;
    untouched.stop().await;
}

#[tokio::test]
async fn deeply_nested_calls_are_refused() {
    let node = node().await;
    // Nested Utility.batch_all calls, encoded by hand: encoding them must not recurse either.
    let mut call = codec::Encode::encode(&remark("deep"));
    let batch = RuntimeCall::Utility(pallet_utility::Call::batch_all { calls: vec![remark("x")] });
    let start = &codec::Encode::encode(&batch)[..3];
    for _ in 0..3_000 {
        call = [start, &call].concat();
    }
    let head = [&[0x84, 0][..], &[1; 32], &[1], &[2; 64], &[0, 0, 0, 0]].concat();
    let bytes = codec::Encode::encode(&[head, call].concat());
    assert_eq!(submit_error(&node, &bytes).await.0, 1001);
    // The node may return a fee or an error, but must survive.
    let _ = try_rpc(&node, "payment_queryInfo", json!([hex(&bytes)])).await;
    node.mine(1).await.unwrap();
    node.stop().await;
}

/// The runtime is compiled in: even the sudo key cannot replace it.
#[tokio::test]
async fn runtime_cannot_be_replaced() {
    let node = node().await;
    let set_code = || RuntimeCall::System(frame_system::Call::set_code { code: vec![1, 2, 3] });
    let unchecked =
        || RuntimeCall::System(frame_system::Call::set_code_without_checks { code: vec![1, 2, 3] });
    let storage = || {
        RuntimeCall::System(frame_system::Call::set_storage {
            items: vec![(b":code".to_vec(), vec![1])],
        })
    };
    let sudo = |call| RuntimeCall::Sudo(pallet_sudo::Call::sudo { call: Box::new(call) });
    let batch = |call| {
        RuntimeCall::Utility(pallet_utility::Call::batch_all { calls: vec![remark("x"), call] })
    };
    let mut nonce = 0;
    for call in [set_code, unchecked, storage] {
        for wrapped in
            [call(), sudo(call()), sudo(batch(call())), batch(sudo(call())), sudo(sudo(call()))]
        {
            let extrinsic = signed(&node, "Alice", nonce, &wrapped);
            if node.submit(extrinsic).await.is_ok() {
                nonce += 1;
            }
        }
    }
    node.mine(1).await.unwrap();
    assert_eq!(node.storage(b":code").unwrap(), None, "the code was set");
    node.mine(2).await.unwrap();
    assert_eq!(
        rpc(&node, "state_getRuntimeVersion", json!([])).await["specName"],
        "node-subtensor"
    );
    node.stop().await;
}

/// Through Sudo, System's calls set and remove storage, except what the chain needs.
#[tokio::test]
async fn sudo_sets_and_removes_storage() {
    use frame_system::Call as System;

    let node = node().await;
    let sudo = |call| {
        RuntimeCall::Sudo(pallet_sudo::Call::sudo { call: Box::new(RuntimeCall::System(call)) })
    };
    let keys = [1, 2, 3].map(|number| format!("item {number}").into_bytes());
    let set =
        System::set_storage { items: keys.iter().map(|key| (key.clone(), vec![7])).collect() };
    let kill_storage = System::kill_storage { keys: vec![keys[0].clone()] };
    let kill_prefix = System::kill_prefix { prefix: b"item ".to_vec(), subkeys: 10 };
    let calls = [(set, [true; 3]), (kill_storage, [false, true, true]), (kill_prefix, [false; 3])];
    for (nonce, (call, expected)) in (0..).zip(calls) {
        node.submit(signed(&node, "Alice", nonce, &sudo(call))).await.unwrap();
        node.mine(1).await.unwrap();
        assert_eq!(keys.clone().map(|key| node.storage(&key).unwrap().is_some()), expected);
    }
    let kill_code = System::kill_storage { keys: vec![b":code".to_vec()] };
    let kill_all = System::kill_prefix { prefix: Vec::new(), subkeys: 10 };
    for call in [kill_code, kill_all] {
        let (code, _, data) = submit_error(&node, &signed(&node, "Alice", 3, &sudo(call))).await;
        assert_eq!((code, data), (1010, json!("Transaction call is not expected")));
    }
    node.stop().await;
}

#[tokio::test]
async fn mortal_extrinsic_expires_with_its_era() {
    let node = node().await;
    let birth_block = node.mine(8).await.unwrap();
    let mut signing = Signing::new(node.genesis(), 1);
    // An era of period 4 and phase 0 that begins at block 8.
    signing.era = vec![0x01, 0x00];
    signing.era_block = birth_block.hash;
    // The extrinsic waits for nonce 0 until after the end of its era.
    node.submit(signing.sign("Alice", &remark("mortal"))).await.unwrap();
    assert_eq!(
        rpc(&node, "author_pendingExtrinsics", json!([])).await.as_array().unwrap().len(),
        1
    );
    node.mine(8).await.unwrap();
    assert_eq!(rpc(&node, "author_pendingExtrinsics", json!([])).await, json!([]));
    node.stop().await;
}
