//! Miners announced in the metagraph.

use std::net::{IpAddr, SocketAddr};

use taonet_neuron::AddressPolicy;
use taonet_primitives::{Hotkey, Uid};
use taonet_validator::api::{AxonSnapshot, MetagraphSnapshot};

use crate::miners::MinerEntry;

/// Miners of a metagraph, and the number of skipped neurons.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    /// Permitted miners, sorted by uid.
    pub(super) miners: Vec<MinerEntry>,
    /// Number of neurons at forbidden addresses.
    pub(super) refused: usize,
    /// Number of neurons with a malformed hotkey or address.
    pub(super) malformed: usize,
}

/// Returns the miners with axons at addresses permitted by `policy`, and counts the others.
pub(super) fn announced(snapshot: &MetagraphSnapshot, policy: &AddressPolicy) -> Announced {
    let mut found = Announced::default();
    for ((hotkey, axon), uid) in snapshot.hotkeys.iter().zip(&snapshot.axons).zip(0_u16..) {
        let Some(address) = address(axon) else { continue };
        let Ok(hotkey) = hotkey.parse::<Hotkey>() else {
            tracing::debug!(uid, hotkey, "malformed hotkey");
            found.malformed += 1;
            continue;
        };
        match policy.resolve(&address) {
            Ok(address) => found.miners.push(MinerEntry { uid: Uid(uid), hotkey, address, name: None }),
            Err(error) => {
                tracing::debug!(uid, %error, "miner skipped: address not allowed");
                if error.is_forbidden() {
                    found.refused += 1;
                } else {
                    found.malformed += 1;
                }
            }
        }
    }
    found
}

/// Returns the `ip:port` of a neuron's axon; `None` if the neuron serves no axon.
fn address(axon: &AxonSnapshot) -> Option<String> {
    let ip = axon.ip.trim();
    if matches!(ip, "" | "0.0.0.0" | "0" | "None" | "::") || axon.port == 0 {
        return None;
    }
    Some(match ip.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, axon.port).to_string(),
        Err(_) => format!("{ip}:{}", axon.port),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn snapshot(axons: &Value) -> MetagraphSnapshot {
        let count = axons.as_array().unwrap().len();
        let hotkeys: Vec<_> = (0..count).map(|index| Hotkey::from_bytes([index as u8; 32]).to_string()).collect();
        serde_json::from_value(json!({ "block": 7, "hotkeys": hotkeys, "last_update": vec![0; count], "axons": axons }))
            .unwrap()
    }

    #[test]
    fn neurons_without_an_address_are_no_miners() {
        let axons = json!([
            { "ip": "", "port": 8092 }, { "ip": "0.0.0.0", "port": 8092 }, { "ip": "0", "port": 8092 },
            { "ip": "None", "port": 8092 }, { "ip": null, "port": 8092 }, { "ip": 0, "port": 8092 },
            { "ip": "8.8.8.8", "port": 0 }, { "ip": "8.8.8.8", "port": -1 }, { "ip": "8.8.8.8", "port": 70_000 },
            { "ip": "8.8.8.8", "port": "x" }, {}, { "ip": "8.8.4.4", "port": 8092 }, { "ip": "2606:4700::1111", "port": "80" },
        ]);
        let found = announced(&snapshot(&axons), &AddressPolicy::default());
        let miners: Vec<_> = found.miners.iter().map(|miner| (miner.uid.0, miner.address.url().as_str())).collect();
        assert_eq!(miners, [(11, "http://8.8.4.4:8092/"), (12, "http://[2606:4700::1111]/")]);
        assert_eq!((found.refused, found.malformed), (0, 0));
    }

    #[test]
    fn private_addresses_are_left_out_and_counted_unless_in_development() {
        let axons = json!([
            { "ip": "127.0.0.1", "port": 1 }, { "ip": "10.0.0.1", "port": 1 }, { "ip": "169.254.169.254", "port": 80 },
            { "ip": "metadata.internal", "port": 80 }, { "ip": "8.8.8.8", "port": 1 }, { "ip": "no host", "port": 1 },
        ]);
        let found = announced(&snapshot(&axons), &AddressPolicy::default());
        assert_eq!((found.miners.len(), found.refused, found.malformed), (1, 4, 1));
        let development = AddressPolicy::private();
        let found = announced(&snapshot(&axons), &development);
        assert_eq!((found.miners.len(), found.refused, found.malformed), (5, 0, 1));
    }

    #[test]
    fn the_address_that_stands_for_this_machine_becomes_loopback() {
        let axons = json!([{ "ip": "192.0.2.1", "port": 8101 }]);
        let local_miner_ip = Some("192.0.2.1".to_owned());
        let policy = AddressPolicy { local_miner_ip, ..AddressPolicy::private() };
        let found = announced(&snapshot(&axons), &policy);
        assert_eq!(found.miners[0].address.url().as_str(), "http://127.0.0.1:8101/");
    }

    #[test]
    fn lists_of_different_lengths_and_hotkeys_that_are_none_cost_only_themselves() {
        let axons = json!([{ "ip": "8.8.8.8", "port": 1 }, { "ip": "8.8.8.8", "port": 2 }]);
        let mut snapshot = snapshot(&axons);
        snapshot.hotkeys[0] = "5nonsense".into();
        snapshot.hotkeys.push("5more".into());
        let found = announced(&snapshot, &AddressPolicy::default());
        assert_eq!((found.miners.len(), found.malformed), (1, 1));
        assert_eq!(found.miners[0].uid, Uid(1));
    }
}
