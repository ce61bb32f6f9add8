//! Helpers of the crate's tests.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_chain::testing::{self, MockChain, metagraph, weight_rules};
use taonet_chain::{Axon, Metagraph, WeightRules};
use taonet_http::{ServeLimits, serve};
use taonet_neuron::{AddressPolicy, MinerEntry};
use taonet_primitives::{BlockNumber, Hotkey, NetUid, Rao, Uid};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, DendriteScheme, SignedClient, Signer, SynapseClass};
use tokio::net::TcpListener;

use crate::Protocol;

/// A request to add two numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SumRequest {
    pub(crate) a: i64,
    pub(crate) b: i64,
    pub(crate) sum: Option<i64>,
}

impl SumRequest {
    /// A request.
    pub(crate) const ONE_AND_TWO: Self = Self { a: 1, b: 2, sum: None };
    /// The right response to it.
    pub(crate) const THREE: &'static str = r#"{"a": 1, "b": 2, "sum": 3}"#;
}

impl Protocol for SumRequest {
    fn class() -> SynapseClass {
        SynapseClass::new("Sum").hash(["a", "b"]).required("a", json!(0)).required("b", json!(0))
    }
}

pub(crate) fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

/// Returns a miner that listens on a loopback port.
pub(crate) fn entry(uid: u16, hotkey: Hotkey, port: u16) -> MinerEntry {
    let address = AddressPolicy::private().resolve(&format!("127.0.0.1:{port}")).unwrap();
    MinerEntry { uid: Uid(uid), hotkey, address, name: None }
}

/// Serves a router on a loopback port until the test ends.
pub(crate) async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        async move { serve(listener, router, &Shutdown::new(), ServeLimits::default()).await },
    );
    address
}

/// Returns a client that signs requests of the kind `Sum`, and of the given further classes.
pub(crate) fn client(keypair: Keypair, classes: &[&str]) -> SignedClient {
    let scheme = DendriteScheme::new().class(SumRequest::class());
    let scheme = classes.iter().fold(scheme, |scheme, name| scheme.class(SynapseClass::new(*name)));
    SignedClient::new(Signer::new(keypair, "127.0.0.1", scheme), ClientConfig::default()).unwrap()
}

/// Netuid of the chain's subnet.
pub(crate) const NETUID: NetUid = NetUid(7);

/// Returns a neuron with a validator permit and, if it has a port, an axon on loopback.
pub(crate) fn neuron(uid: u16, uri: &str, port: Option<u16>) -> taonet_chain::Neuron {
    let axon = |port| Axon {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        protocol: 4,
        version: 1,
        block: BlockNumber::new(0),
    };
    taonet_chain::Neuron {
        validator_permit: true,
        axon: port.map(axon),
        total_stake: Rao::new(1),
        ..testing::neuron(Uid(uid), key(uri).hotkey(), key(uri).public().coldkey())
    }
}

/// Returns a chain at a block, whose subnet has these neurons.
pub(crate) fn chain(block: u32, neurons: Vec<taonet_chain::Neuron>) -> MockChain {
    let chain = MockChain::default();
    chain.set_weight_rules(
        NETUID,
        WeightRules { rate_limit_blocks: 0, ..weight_rules(1_000, None) },
    );
    chain.set_metagraph(Metagraph { neurons, ..metagraph(NETUID, &key("//owner")) });
    chain.mine(block);
    chain
}
