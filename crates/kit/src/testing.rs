//! Helpers of the crate's tests.

use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_neuron::{AddressPolicy, MinerEntry};
use taonet_primitives::{Hotkey, Uid};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, DendriteScheme, SignedClient, Signer, SynapseClass};

use crate::Protocol;

/// A request to add two numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) a: i64,
    pub(crate) b: i64,
    pub(crate) sum: Option<i64>,
}

impl Protocol for Sum {
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

/// Returns a client that signs requests of the kind `Sum`, and of the given further classes.
pub(crate) fn client(keypair: Keypair, classes: &[&str]) -> SignedClient {
    let scheme = DendriteScheme::new().class(Sum::class());
    let scheme = classes.iter().fold(scheme, |scheme, name| scheme.class(SynapseClass::new(*name)));
    SignedClient::new(Signer::new(keypair, "127.0.0.1", scheme), ClientConfig::default()).unwrap()
}
