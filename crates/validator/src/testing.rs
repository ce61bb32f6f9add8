//! An in-process development chain, and services that use it.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test helpers"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use serde_json::Value;
use taonet_chain::{Call, Chain as _, Client, Follow, calls};
use taonet_http::{ServeLimits, serve};
use taonet_ledger::{Ledger, Submitter};
use taonet_localnet::{Clock, Node, NodeConfig, NodeHandle};
use taonet_primitives::{MechId, NetUid, Rao, Uid};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use url::Url;

use crate::subtensor_gateway::{Gateway, GatewaySettings};

pub const NETUID: NetUid = NetUid(59);
/// The client's timeouts are fractions of the block time: with faster blocks, busy machines would
/// exceed them.
const BLOCK_TIME: Duration = Duration::from_secs(1);
/// Pause before a block is produced ahead of time for a call.
const BLOCK_DELAY: Duration = Duration::from_millis(50);
const STAKE: Rao = Rao::new(1_000_000_000_000);

pub fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

/// A development chain with miners and a validator that has a permit.
pub struct LocalChain {
    pub node: NodeHandle,
    pub client: Arc<Client>,
    pub validator: Keypair,
    pub miners: Vec<Keypair>,
}

impl LocalChain {
    pub async fn start(miners: u16) -> Self {
        let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[]).unwrap());
        config.clock = Some(Clock::Every(BLOCK_TIME));
        let node = Node::start(config).await.unwrap();
        let client = Arc::new(Client::connect(&node.url().parse().unwrap()).await.unwrap());
        let miners = (0..miners).map(|index| key(&format!("//miner//{index}"))).collect();
        let chain = Self { node, client, validator: key("//validator"), miners };
        let (coldkey, hotkey) = (key("//Alice"), chain.validator.hotkey());
        chain.send(calls::burned_register(NETUID, hotkey), &coldkey).await;
        chain.send(calls::add_stake(hotkey, NETUID, STAKE), &coldkey).await;
        for miner in &chain.miners {
            chain.send(calls::burned_register(NETUID, miner.hotkey()), &coldkey).await;
        }
        chain.node.mine_to_epoch(NETUID.0).await.unwrap();
        chain
    }

    pub async fn send(&self, call: Call, signer: &Keypair) {
        let mut submission = self.client.send(&call, signer, Follow::default());
        let outcome = loop {
            tokio::select! {
                outcome = &mut submission => break outcome.unwrap(),
                () = tokio::time::sleep(BLOCK_DELAY) => drop(self.node.mine(1).await.unwrap()),
            }
        };
        assert!(outcome.is_success(), "{}: {outcome:?}", call.name());
    }

    /// Calls a root-only extrinsic through sudo.
    pub async fn sudo(&self, pallet: &str, name: &str, args: Value) {
        let call = self.client.call(pallet, name, &args).await.unwrap();
        self.send(calls::sudo(call), &key("//Alice")).await;
    }

    pub async fn uid(&self, keypair: &Keypair) -> Uid {
        self.client.uid(NETUID, &keypair.hotkey(), taonet_chain::At::Head).await.unwrap().unwrap()
    }

    /// Returns the validator's weights on the chain.
    pub async fn weights(&self) -> Vec<(Uid, u16)> {
        let uid = self.uid(&self.validator).await;
        self.client.weights_of(NETUID, MechId(0), uid, taonet_chain::At::Head).await.unwrap()
    }

    /// Creates a gateway that submits for the validator, with its ledger in `directory`.
    pub async fn gateway(&self, directory: &Path) -> Gateway {
        let gateway = Gateway::new(GatewaySettings::new(NETUID, self.validator.hotkey()));
        let ledger = Ledger::open(directory).await.unwrap();
        let submitter =
            Submitter::new(ledger, Arc::clone(&self.client) as _, self.validator.clone())
                .await
                .unwrap();
        gateway.connect(Arc::clone(&self.client) as _, submitter);
        gateway
    }
}

/// Serves a router on a loopback port until the test ends.
pub async fn listen(router: Router) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(
        async move { serve(listener, router, &Shutdown::new(), ServeLimits::default()).await },
    );
    url
}

/// Sends a request to a router; returns the status and the JSON body of the response.
pub async fn send_request(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response =
        router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 22).await.unwrap();
    let json =
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body:?}"));
    (status, json)
}

/// Sends a JSON POST request to a router; returns the status and the JSON body of the response.
pub async fn post(router: &Router, path: &str, body: &Value) -> (u16, Value) {
    send_request(
        router,
        Method::POST,
        path,
        &[("content-type", "application/json")],
        &body.to_string(),
    )
    .await
}

/// Starts a listener that accepts connections and never responds, until the test ends.
pub async fn silent_server() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.push(stream);
        }
    });
    url
}

/// Returns a loopback address without a listener. The system does not give its port to a concurrent
/// test.
pub fn unused_address() -> Url {
    "http://127.0.0.1:9".parse().unwrap()
}
