use taonet_primitives::{Hotkey, Uid};
use taonet_wire::{Peer, PeerError};

use crate::{AddressPolicy, MinerAddress, Neuron, Neurons};

/// A miner at the address where it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinerEntry {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Address of the miner.
    pub address: MinerAddress,
    /// Display name, if the operator listed the miner with one.
    pub name: Option<String>,
}

impl MinerEntry {
    /// Returns the peer for signed requests.
    ///
    /// # Errors
    /// [`PeerError`] when requests to the miner's host cannot be signed.
    pub fn peer(&self) -> Result<Peer, PeerError> {
        self.address.peer(self.hotkey)
    }
}

/// Selects the miners that a validator calls from the neurons of its subnet. By default, these are
/// all neurons at public addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MinerDirectory {
    /// Decides at which addresses miners are called.
    pub policy: AddressPolicy,
    /// Hotkey of the validator itself, which is never selected.
    pub own_hotkey: Option<Hotkey>,
    /// Whether neurons with a validator permit are excluded.
    pub excludes_permits: bool,
    /// Uids to which the selection is limited; empty for no limit.
    pub targets: Vec<Uid>,
}

/// Selection of a [`MinerDirectory`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectedMiners {
    /// The selected miners, in the order of their uids.
    pub miners: Vec<MinerEntry>,
    /// Number of eligible neurons whose address the policy forbids.
    pub forbidden: usize,
}

impl MinerDirectory {
    /// Creates a directory of all neurons whose address `policy` permits.
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Selects the miners among the neurons of a subnet.
    pub fn select(&self, neurons: &Neurons) -> SelectedMiners {
        let mut selected = SelectedMiners::default();
        for neuron in neurons.list.iter().filter(|neuron| self.is_eligible(neuron)) {
            let Neuron { uid, hotkey, address: Some(address), .. } = *neuron else { continue };
            match self.policy.resolve(&address.to_string()) {
                Ok(address) => {
                    selected.miners.push(MinerEntry { uid, hotkey, address, name: None });
                }
                Err(error) => {
                    tracing::debug!(%uid, %error, "miner skipped: address not allowed");
                    selected.forbidden += 1;
                }
            }
        }
        selected
    }

    /// Whether a neuron is called if its address is permitted.
    pub fn is_eligible(&self, neuron: &Neuron) -> bool {
        self.own_hotkey != Some(neuron.hotkey)
            && !(self.excludes_permits && neuron.validator_permit == Some(true))
            && (self.targets.is_empty() || self.targets.contains(&neuron.uid))
    }
}

#[cfg(test)]
mod tests {
    use taonet_primitives::BlockNumber;

    use super::*;

    /// Address policies of the table, in the order of its columns.
    fn policies() -> [AddressPolicy; 3] {
        let local = AddressPolicy {
            local_miner_ip: Some("192.0.2.1".to_owned()),
            ..AddressPolicy::default()
        };
        [AddressPolicy::default(), AddressPolicy::private(), local]
    }

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    /// Returns neurons with the hotkeys 0, 1, …; those at even uids have a permit.
    fn neurons(addresses: &[Option<&str>]) -> Neurons {
        let neuron = |(uid, address): (u8, Option<&str>)| Neuron {
            validator_permit: Some(uid % 2 == 0),
            ..Neuron::new(
                Uid(uid.into()),
                key(uid),
                address.map(|address| address.parse().unwrap()),
            )
        };
        Neurons::new(
            BlockNumber::new(7),
            (0..).zip(addresses.iter().copied()).map(neuron).collect(),
        )
    }

    /// Columns: published address · URL called by default · with private addresses · on a
    /// development chain whose miners publish 192.0.2.1
    #[test]
    fn address_policy_permits_or_refuses_published_addresses() {
        let (public, loopback) = ("http://8.8.8.8:7/", "http://127.0.0.1:7/");
        for (published, urls) in [
            ("8.8.8.8:7", [Some(public); 3]),
            ("8.8.8.8:80", [Some("http://8.8.8.8/"); 3]),
            ("[2606:4700::1111]:7", [Some("http://[2606:4700::1111]:7/"); 3]),
            ("10.0.0.1:7", [None, Some("http://10.0.0.1:7/"), None]),
            ("192.168.1.1:7", [None, Some("http://192.168.1.1:7/"), None]),
            ("100.64.0.1:7", [None, Some("http://100.64.0.1:7/"), None]),
            ("169.254.169.254:7", [None, Some("http://169.254.169.254:7/"), None]),
            ("224.0.0.1:7", [None, Some("http://224.0.0.1:7/"), None]),
            ("[fd00::1]:7", [None, Some("http://[fd00::1]:7/"), None]),
            ("[fe80::1]:7", [None, Some("http://[fe80::1]:7/"), None]),
            ("127.0.0.1:7", [None, Some(loopback), None]),
            ("[::1]:7", [None, Some("http://[::1]:7/"), None]),
            ("[::ffff:127.0.0.1]:7", [None, Some("http://[::ffff:7f00:1]:7/"), None]),
            ("0.0.0.0:7", [None, Some("http://0.0.0.0:7/"), None]),
            ("0.0.0.1:7", [None, Some(loopback), None]),
            ("192.0.2.1:7", [None, Some("http://192.0.2.1:7/"), Some(loopback)]),
            ("192.0.2.2:7", [None, Some("http://192.0.2.2:7/"), None]),
            ("8.8.8.8:0", [None; 3]),
        ] {
            for (policy, url) in policies().into_iter().zip(urls) {
                let selected = MinerDirectory::new(policy).select(&neurons(&[Some(published)]));
                let selected_url =
                    selected.miners.first().map(|miner| miner.address.url().as_str());
                assert_eq!(
                    (selected_url, selected.forbidden),
                    (url, usize::from(url.is_none())),
                    "{published}"
                );
            }
        }
    }

    /// Columns: own hotkey · whether permits are excluded · targets · selected uids · number of
    /// forbidden addresses
    #[test]
    fn eligible_neurons_are_selected_in_the_order_of_their_uids() {
        let neurons = neurons(&[
            Some("8.8.8.8:1"),
            Some("8.8.8.8:2"),
            None,
            Some("10.0.0.1:3"),
            Some("8.8.4.4:4"),
        ]);
        for (own_hotkey, excludes_permits, targets, uids, forbidden) in [
            (None, false, vec![], vec![0, 1, 4], 1),
            (Some(key(9)), false, vec![], vec![0, 1, 4], 1),
            (Some(key(1)), false, vec![], vec![0, 4], 1),
            (Some(key(3)), false, vec![], vec![0, 1, 4], 0),
            (None, true, vec![], vec![1], 1),
            (None, false, vec![4, 0, 2], vec![0, 4], 0),
            (Some(key(0)), true, vec![0, 1, 4], vec![1], 0),
            (None, true, vec![4], vec![], 0),
        ] {
            let targets = targets.into_iter().map(Uid).collect();
            let directory = MinerDirectory {
                own_hotkey,
                excludes_permits,
                targets,
                ..MinerDirectory::default()
            };
            let selected = directory.select(&neurons);
            assert_eq!(
                selected.miners.iter().map(|miner| miner.uid.0).collect::<Vec<_>>(),
                uids,
                "{directory:?}"
            );
            assert_eq!(selected.forbidden, forbidden, "{directory:?}");
        }
    }

    #[test]
    fn unreported_permits_exclude_no_neuron() {
        let mut neurons = neurons(&[Some("8.8.8.8:1")]);
        neurons.list[0].validator_permit = None;
        let directory = MinerDirectory { excludes_permits: true, ..MinerDirectory::default() };
        assert_eq!(directory.select(&neurons).miners.len(), 1);
    }

    #[test]
    fn peer_has_the_hotkey_and_the_called_address() {
        let selected = MinerDirectory::default()
            .select(&neurons(&[Some("8.8.8.8:7"), Some("[2606:4700::1111]:80")]));
        let peers: Vec<_> = selected.miners.iter().map(|miner| miner.peer().unwrap()).collect();
        let expected = [Peer::new(key(0), "8.8.8.8", 7), Peer::new(key(1), "2606:4700::1111", 80)];
        assert_eq!(peers, expected.map(Result::unwrap));
    }
}
