//! Random bytes as runtime call arguments, and large batches.

use codec::{Decode, Encode};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use subxt::Metadata;
use taonet_localnet::RpcLimits;
use tokio::task::JoinSet;

use crate::support::{account, hex, node, post, rpc, try_rpc, unhex};

/// The number of random inputs per method, in addition to the fixed ones.
const INPUTS_PER_METHOD: usize = 8;

/// Returns the runtime API methods in the metadata, by their `state_call` names.
fn methods(metadata: &Metadata) -> Vec<String> {
    let trait_methods = |api: subxt::metadata::RuntimeApiMetadata<'_>| {
        let name = api.name().to_owned();
        api.methods().map(|method| format!("{name}_{}", method.name())).collect::<Vec<_>>()
    };
    metadata.runtime_api_traits().flat_map(trait_methods).collect()
}

/// Random, truncated and overlong arguments yield a result or an error, and the node survives.
#[tokio::test]
async fn runtime_methods_survive_arbitrary_arguments() {
    let node = node().await;
    let encoded = unhex(
        &rpc(&node, "state_call", json!(["Metadata_metadata_at_version", "0x0f000000"])).await,
    );
    let metadata = Option::<Vec<u8>>::decode(&mut encoded.as_slice()).unwrap().unwrap();
    let methods = methods(&Metadata::decode_from(&metadata).unwrap());
    assert!(methods.len() > 40 && methods.iter().any(|name| name == "Core_version"), "{methods:?}");
    // Typical arguments: a subnet, a neuron or a mechanism, an account, lists.
    let account = account("Alice");
    let well_formed = (1u16, 0u16, account.clone(), vec![account; 3], vec![59u16; 3]).encode();
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    let (mut results, mut errors) = (0, 0);
    for method in methods {
        let mut arguments = vec![Vec::new(), vec![0; 200], vec![0xff; 200], well_formed.clone()];
        arguments.extend([1, 2, 3, 4, 33, 35, 36, 37].map(|length| well_formed[..length].to_vec()));
        arguments
            .extend((0..INPUTS_PER_METHOD).map(|_| bytes.new_tree(&mut runner).unwrap().current()));
        for argument in arguments {
            match try_rpc(&node, "state_call", json!([method, hex(&argument)])).await {
                Ok(result) => results += usize::from(result.is_string()),
                Err(error) => {
                    let message = error["message"].as_str().unwrap();
                    assert_eq!(error["code"], 4003, "{method} {}: {error}", hex(&argument));
                    assert!(
                        !message.contains("is not found"),
                        "{method} is in the metadata: {message}"
                    );
                    errors += 1;
                }
            }
        }
    }
    assert!(results > 100 && errors > 100, "{results} results, {errors} errors");
    assert_eq!(node.mine(1).await.unwrap().number(), 1);
    node.stop().await;
}

/// Several clients send batches of the maximum size at the same time. A batch is refused if it
/// exceeds the maximum size, or if its responses exceed the response limit.
#[tokio::test]
async fn batches_are_served_up_to_their_limit() {
    let node = node().await;
    let address = node.address();
    let limit = RpcLimits::default().batch as usize;
    let send = async |method: &str, count: usize| {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": []});
        let (_, body) = post(address, json!(vec![request; count]).to_string().as_bytes()).await;
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let mut batches = JoinSet::new();
    for _ in 0..16 {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "chain_getHeader", "params": []});
        let body = json!(vec![request; limit]).to_string();
        batches.spawn(async move { post(address, body.as_bytes()).await });
    }
    while let Some(response) = batches.join_next().await {
        let (_, body) = response.unwrap();
        let responses: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(responses.len(), limit);
        assert!(responses.iter().all(|response| response["result"]["number"] == "0x0"));
    }
    assert_eq!(send("state_getMetadata", limit).await["error"]["code"], -32011);
    assert_eq!(send("system_health", limit + 1).await["error"]["code"], -32010);
    assert_eq!(node.mine(1).await.unwrap().number(), 1);
    node.stop().await;
}
