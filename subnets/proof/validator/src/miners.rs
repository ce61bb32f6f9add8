use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use taonet_neuron::AddressPolicy;
use taonet_primitives::{Hotkey, Uid};
use taonet_validator::api::MetagraphSnapshot;
use taonet_wire::Peer;

/// A miner that receives requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MinerEntry {
    /// Uid of the miner, if it is registered.
    pub uid: Option<Uid>,
    /// Hotkey and address of the miner.
    pub peer: Peer,
    /// Protocol for requests to the miner.
    pub wire: Wire,
}

/// Protocol between validator and miner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Signed requests over HTTP.
    #[default]
    Http,
    /// The published QUIC protocol, on UDP.
    Quic,
}

impl MinerEntry {
    /// Returns the miner's hotkey.
    pub const fn hotkey(&self) -> &Hotkey {
        self.peer.hotkey()
    }
}

/// Returns the miners of a metagraph: neurons without a validator permit whose announced address the policy permits.
/// `targets` limits them to some uids; `me` is never included. All of them are called over `wire`, because the chain
/// does not record the protocol: every miner announces protocol number 4. Over QUIC, only those with an IPv4 address can
/// be called.
pub fn registered_miners(
    snapshot: &MetagraphSnapshot,
    me: &Hotkey,
    targets: &[Uid],
    policy: &AddressPolicy,
    wire: Wire,
) -> Vec<MinerEntry> {
    let neurons = (0_u16..).zip(snapshot.hotkeys.iter().zip(&snapshot.axons));
    let miner = |(uid, (hotkey, axon)): (u16, (&String, &taonet_validator::api::AxonSnapshot))| {
        let hotkey: Hotkey = hotkey.parse().ok().filter(|hotkey| hotkey != me)?;
        let has_permit = snapshot.validator_permit.get(usize::from(uid)).copied().unwrap_or_default();
        let is_target = targets.is_empty() || targets.contains(&Uid(uid));
        let ip: IpAddr = axon.ip.parse().ok()?;
        let address = Some(SocketAddr::new(ip, axon.port)).filter(|_| !has_permit && is_target)?;
        let peer = policy.peer(hotkey, address).ok()?;
        let is_callable = wire == Wire::Http || peer.host().parse::<Ipv4Addr>().is_ok();
        is_callable.then_some(MinerEntry { uid: Some(Uid(uid)), peer, wire })
    };
    neurons.filter_map(miner).collect()
}

#[cfg(test)]
mod tests {
    use taonet_validator::api::AxonSnapshot;

    use super::*;

    #[test]
    fn miners_have_a_public_address_and_no_permit() {
        let key = |byte| Hotkey::from_bytes([byte; 32]);
        let axon = |ip: &str, port| AxonSnapshot { ip: ip.to_owned(), port };
        let snapshot = MetagraphSnapshot {
            block: 1,
            hotkeys: (1..=6).map(|byte| key(byte).to_string()).collect(),
            last_update: vec![0; 6],
            axons: vec![
                axon("8.8.8.8", 1),
                axon("8.8.8.8", 2),
                axon("10.0.0.1", 3),
                axon("8.8.8.8", 0),
                axon("0.0.0.0", 5),
                axon("8.8.4.4", 6),
            ],
            validator_permit: vec![true, false, false, false, false, false],
            stake: vec![0; 6],
        };
        let uids = |targets: &[Uid], me| {
            let found = registered_miners(&snapshot, &key(me), targets, &AddressPolicy::default(), Wire::Quic);
            assert!(found.iter().all(|miner| miner.wire == Wire::Quic));
            found.iter().filter_map(|miner| miner.uid).map(|uid| uid.0).collect::<Vec<_>>()
        };
        assert_eq!(uids(&[], 99), [1, 5]);
        assert_eq!(uids(&[], 2), [5], "the validator itself is excluded");
        assert_eq!(uids(&[Uid(5), Uid(0)], 99), [5]);
        let mut over_ipv6 = snapshot.clone();
        over_ipv6.axons[1] = axon("2606:4700:4700::1111", 2);
        for (wire, expected) in [(Wire::Http, 2), (Wire::Quic, 1)] {
            let found = registered_miners(&over_ipv6, &key(99), &[], &AddressPolicy::default(), wire);
            assert_eq!(found.len(), expected, "{wire:?}: {found:?}");
        }
    }
}
