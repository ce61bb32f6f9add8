//! Leaders whose responses are falsified.

use jsonrpsee::core::client::{ClientT as _, Subscription, SubscriptionClientT as _};
use jsonrpsee::server::{Server, ServerHandle};
use jsonrpsee::{RpcModule, rpc_params};
use serde_json::{Value, json};
use taonet_localnet::{Node, NodeHandle};

use super::{follower_config, wait_for_leader_error, wait_until_caught_up};
use crate::support::{config, node};
use crate::watch::client;

/// The methods with which a follower reads its leader.
const READ_METHODS: [&str; 7] = [
    "system_name",
    "system_nodeRoles",
    "state_getRuntimeVersion",
    "state_getKeysPaged",
    "state_queryStorageAt",
    "chain_getHeader",
    "chain_getBlockHash",
];

/// Falsifies the parameters of a request, and the response to it.
struct Falsification {
    change_params: fn(&str, &mut Vec<Value>),
    change_response: fn(&str, &[Value], &mut Value),
}

/// Serves falsified responses of a node; returns the URL.
async fn serve_falsified(
    node: &NodeHandle,
    falsification: &'static Falsification,
) -> (String, ServerHandle) {
    let mut module = RpcModule::new(client(node).await);
    for method in READ_METHODS.into_iter().chain(["chain_getBlock"]) {
        let result = module.register_async_method(method, move |params, client, _| async move {
            let mut params: Vec<Value> = params.parse().unwrap_or_default();
            (falsification.change_params)(method, &mut params);
            let mut response: Value = client.request(method, params.as_slice()).await.unwrap();
            (falsification.change_response)(method, &params, &mut response);
            response
        });
        result.unwrap();
    }
    let names = ("chain_subscribeNewHeads", "chain_newHead", "chain_unsubscribeNewHeads");
    let result = module.register_subscription(
        names.0,
        names.1,
        names.2,
        |_, pending, client, _| async move {
            let mut heads: Subscription<Value> = client
                .subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads")
                .await
                .unwrap();
            let sink = pending.accept().await.unwrap();
            while let Some(Ok(head)) = heads.next().await {
                if sink.send(serde_json::value::to_raw_value(&head).unwrap()).await.is_err() {
                    break;
                }
            }
        },
    );
    result.unwrap();
    let server = Server::builder().build("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", server.local_addr().unwrap());
    (url, server.start(module))
}

const ZERO: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// Falsifies the state root of the newest block, and thereby its hash.
static OTHER_STATE: Falsification = Falsification {
    change_params: |method, params| {
        if method == "chain_getBlock" {
            params.clear();
        }
    },
    change_response: |method, params, response| match method {
        "chain_getHeader" if params.is_empty() => response["stateRoot"] = json!(ZERO),
        "chain_getBlock" => response["block"]["header"]["stateRoot"] = json!(ZERO),
        _ => {}
    },
};

/// Falsifies the headers of blocks, but not their hashes.
static OTHER_HEADER: Falsification = Falsification {
    change_params: |_, _| {},
    change_response: |method, _, response| {
        if method == "chain_getBlock" {
            response["block"]["header"]["stateRoot"] = json!(ZERO);
        }
    },
};

/// Removes the extrinsics of blocks.
static NO_EXTRINSICS: Falsification = Falsification {
    change_params: |_, _| {},
    change_response: |method, _, response| {
        if method == "chain_getBlock" {
            response["block"]["extrinsics"] = json!([]);
        }
    },
};

static OTHER_VALUES: Falsification = Falsification {
    change_params: |_, _| {},
    change_response: |method, _, response| {
        if method == "state_queryStorageAt" {
            response[0]["changes"][0][1] = json!("0x1234");
        }
    },
};

/// Repeats the first page of keys.
static SAME_KEYS: Falsification = Falsification {
    change_params: |method, params| {
        if method == "state_getKeysPaged" {
            params[2] = Value::Null;
        }
    },
    change_response: |_, _, _| {},
};

static OTHER_SOFTWARE: Falsification = Falsification {
    change_params: |_, _| {},
    change_response: |method, _, response| {
        if method == "system_name" {
            *response = json!("Subtensor");
        }
    },
};

#[tokio::test]
async fn falsified_leader_data_is_refused() {
    let leader = node().await;
    leader.mine(2).await.unwrap();
    for (falsification, expected) in [
        (&OTHER_STATE, format!("its state root is {ZERO}")),
        (&OTHER_HEADER, "has the hash".to_owned()),
        (&NO_EXTRINSICS, "cannot execute block".to_owned()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = follower_config(&leader);
        config.directory = Some(directory.path().to_owned());
        let follower = Node::start(config.clone()).await.unwrap();
        wait_until_caught_up(&follower, &leader).await;
        let head = follower.head();
        follower.stop().await;
        let newest = leader.mine(1).await.unwrap();
        let (url, server) = serve_falsified(&leader, falsification).await;
        config.follow = Some(url);
        let follower = Node::start(config.clone()).await.unwrap();
        let error = wait_for_leader_error(&follower).await;
        assert!(error.contains(&expected), "{expected}: {error}");
        assert!(
            expected == "has the hash" || error.contains(&format!("block {}", newest.number())),
            "{error}"
        );
        assert_eq!(follower.head(), head, "{expected}");
        assert!(!follower.is_following());
        follower.stop().await;
        server.stop().unwrap();
        // The follower continues with the real leader.
        config.follow = Some(leader.url());
        let follower = Node::start(config).await.unwrap();
        wait_until_caught_up(&follower, &leader).await;
        follower.stop().await;
    }
    for (falsification, expected) in [
        (&OTHER_VALUES, "its state root"),
        (&SAME_KEYS, "the keys are not in ascending order"),
        (&OTHER_SOFTWARE, "the node at"),
    ] {
        let (url, server) = serve_falsified(&leader, falsification).await;
        let mut config = config();
        config.follow = Some(url);
        let error = Node::start(config).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        server.stop().unwrap();
    }
    leader.stop().await;
}
