//! Helpers shared by the tests that start a node.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

pub(crate) mod proxy;

use std::time::Duration;

use taonet_chain::{Client, Network};
use taonet_localnet::{Clock, Node, NodeConfig, NodeHandle};
use taonet_wallet::Keypair;

/// Starts a fresh chain in memory.
pub(crate) async fn localnet(clock: Clock) -> NodeHandle {
    let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[]).unwrap());
    config.clock = Some(clock);
    Node::start(config).await.unwrap()
}

/// Connects a client to nodes at these addresses.
pub(crate) async fn client(addresses: &[String]) -> Client {
    let network: Network = addresses.join(",").parse().unwrap();
    Client::connect(&network).await.unwrap()
}

pub(crate) fn key(name: &str) -> Keypair {
    Keypair::from_uri(&format!("//{name}")).unwrap()
}

pub(crate) const BLOCK_TIME: Duration = Duration::from_millis(250);
