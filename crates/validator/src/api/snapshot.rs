//! The message that lists a subnet's neurons.

use std::net::{AddrParseError, IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use taonet_chain::Metagraph;
use taonet_neuron::{Neuron, Neurons};
use taonet_primitives::{BlockNumber, Hotkey, Rao, Uid};

/// Snapshot of a subnet's neurons from `POST /v1/metagraph/snapshot`; neuron `i` has uid `i`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetagraphSnapshot {
    /// The height of the block at which the snapshot was taken.
    block: u32,
    /// Hotkeys of the neurons.
    hotkeys: Vec<String>,
    /// Block at which each neuron last set weights.
    last_update: Vec<u32>,
    /// Announced endpoint of each neuron.
    axons: Vec<AxonSnapshot>,
    /// Whether each neuron has a validator permit. The reference's gateway omits this field.
    #[serde(default)]
    validator_permit: Vec<bool>,
    /// Stake of each neuron in rao. The reference's gateway omits this field.
    #[serde(default)]
    stake: Vec<u64>,
}

/// Announced endpoint of a neuron. If the neuron announced none, the address is `0.0.0.0` or empty,
/// and the port is 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AxonSnapshot {
    /// IP address of the endpoint.
    #[serde(default, deserialize_with = "text_or_nothing")]
    ip: String,
    /// TCP port of the endpoint.
    #[serde(default, deserialize_with = "port_or_nothing")]
    port: u16,
}

/// Deserialises a string; returns an empty one for any other type, so that one neuron's malformed
/// address does not fail the whole snapshot.
fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        _ => String::new(),
    })
}

/// Deserialises a port; returns 0 for a malformed one.
fn port_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64().and_then(|port| port.try_into().ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .unwrap_or_default())
}

impl AxonSnapshot {
    fn of(address: Option<SocketAddr>) -> Self {
        match address {
            Some(address) => Self { ip: address.ip().to_string(), port: address.port() },
            None => Self { ip: "0.0.0.0".to_owned(), port: 0 },
        }
    }

    /// Returns the announced address; `None` if the neuron announced none.
    fn address(&self) -> Result<Option<SocketAddr>, AddrParseError> {
        let ip = self.ip.trim();
        if matches!(ip, "" | "0" | "None") || self.port == 0 {
            return Ok(None);
        }
        let address = SocketAddr::new(ip.parse::<IpAddr>()?, self.port);
        Ok((!address.ip().is_unspecified()).then_some(address))
    }
}

impl From<&Metagraph> for MetagraphSnapshot {
    fn from(metagraph: &Metagraph) -> Self {
        let neurons = &metagraph.neurons;
        Self {
            block: metagraph.block.number.get(),
            hotkeys: neurons.iter().map(|neuron| neuron.hotkey.to_string()).collect(),
            last_update: neurons.iter().map(|neuron| neuron.last_update.get()).collect(),
            axons: neurons
                .iter()
                .map(|neuron| AxonSnapshot::of(neuron.axon.map(|axon| axon.address)))
                .collect(),
            validator_permit: neurons.iter().map(|neuron| neuron.validator_permit).collect(),
            stake: neurons.iter().map(|neuron| neuron.total_stake.get()).collect(),
        }
    }
}

impl From<MetagraphSnapshot> for Neurons {
    /// Parses a snapshot. A neuron with a malformed hotkey is left out, and one with a malformed
    /// address has none, so that one malformed entry does not hide the other neurons. A list of
    /// permits or stakes with another length than that of hotkeys is ignored, since its entries
    /// could belong to other neurons.
    fn from(snapshot: MetagraphSnapshot) -> Self {
        let registered = snapshot.hotkeys.len();
        let permits = Some(snapshot.validator_permit).filter(|permits| permits.len() == registered);
        let stakes = Some(snapshot.stake).filter(|stakes| stakes.len() == registered);
        let (mut list, mut malformed) = (Vec::with_capacity(registered), 0);
        for (uid, hotkey) in (0..=u16::MAX).zip(snapshot.hotkeys) {
            let index = usize::from(uid);
            let address = snapshot.axons.get(index).map_or(Ok(None), AxonSnapshot::address);
            let Ok(parsed) = hotkey.parse::<Hotkey>() else {
                tracing::debug!(uid, hotkey, "malformed hotkey");
                malformed += usize::from(address != Ok(None));
                continue;
            };
            let address = address.unwrap_or_else(|error| {
                tracing::debug!(uid, %error, "malformed axon address");
                malformed += 1;
                None
            });
            list.push(Neuron {
                uid: Uid(uid),
                hotkey: parsed,
                address,
                validator_permit: permits.as_ref().and_then(|permits| permits.get(index).copied()),
                stake: stakes.as_ref().and_then(|stakes| stakes.get(index).copied()).map(Rao::new),
                last_update: snapshot.last_update.get(index).copied().map(BlockNumber::new),
            });
        }
        Self { block: BlockNumber::new(snapshot.block), registered, malformed, list }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(index: usize) -> Hotkey {
        Hotkey::from_bytes([index as u8; 32])
    }

    /// Returns the message of neurons with these axons, as the reference's gateway sends it.
    fn message(axons: &Value) -> Value {
        let count = axons.as_array().unwrap().len();
        let hotkeys: Vec<_> = (0..count).map(|index| key(index).to_string()).collect();
        json!({ "block": 7, "hotkeys": hotkeys, "last_update": vec![0; count], "axons": axons })
    }

    fn parse(message: Value) -> Neurons {
        serde_json::from_value::<MetagraphSnapshot>(message).unwrap().into()
    }

    /// Returns the uids and addresses of the neurons with an address.
    fn addresses(neurons: &Neurons) -> Vec<(u16, String)> {
        let addressed = |neuron: &Neuron| Some((neuron.uid.0, neuron.address?.to_string()));
        neurons.list.iter().filter_map(addressed).collect()
    }

    #[test]
    fn neurons_without_an_axon_have_no_address() {
        let neurons = parse(message(&json!([
            { "ip": "", "port": 8092 }, { "ip": "0.0.0.0", "port": 8092 }, { "ip": "0", "port": 8092 },
            { "ip": "None", "port": 8092 }, { "ip": null, "port": 8092 }, { "ip": 0, "port": 8092 },
            { "ip": "::", "port": 8092 }, { "ip": "8.8.8.8", "port": 0 }, { "ip": "8.8.8.8", "port": -1 },
            { "ip": "8.8.8.8", "port": 70_000 }, { "ip": "8.8.8.8", "port": "x" }, {},
            { "ip": " 8.8.4.4 ", "port": 8092 }, { "ip": "2606:4700::1111", "port": "80" },
        ])));
        let expected = [(12, "8.8.4.4:8092".to_owned()), (13, "[2606:4700::1111]:80".to_owned())];
        assert_eq!(addresses(&neurons), expected);
        assert_eq!((neurons.registered, neurons.list.len(), neurons.malformed), (14, 14, 0));
    }

    #[test]
    fn malformed_entries_do_not_hide_other_neurons() {
        let mut message = message(&json!([
            { "ip": "8.8.8.8", "port": 1 }, { "ip": "metadata.internal", "port": 2 }, { "ip": "8.8.8.8:9", "port": 3 },
            {}, { "ip": "10.0.0.1", "port": 5 },
        ]));
        (message["hotkeys"][0], message["hotkeys"][3]) = (json!("5nonsense"), json!("5x"));
        message["hotkeys"].as_array_mut().unwrap().push(json!("5more"));
        let neurons = parse(message);
        assert_eq!(addresses(&neurons), [(4, "10.0.0.1:5".to_owned())]);
        // Uid 0 has a malformed hotkey, 1 and 2 malformed addresses; 3 and 5 have no axon.
        assert_eq!((neurons.registered, neurons.malformed), (6, 3));
        assert_eq!(neurons.list.iter().map(|neuron| neuron.uid.0).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!((neurons.uid_of(&key(4)), neurons.uid_of(&key(3))), (Some(Uid(4)), None));
        assert_eq!((neurons.hotkey_of(Uid(1)), neurons.hotkey_of(Uid(5))), (Some(key(1)), None));
    }

    #[test]
    fn permits_and_stakes_are_optional() {
        let mut message = message(&json!([{}, {}]));
        let reported = |neurons: &Neurons| {
            neurons
                .list
                .iter()
                .map(|neuron| (neuron.validator_permit, neuron.stake))
                .collect::<Vec<_>>()
        };
        assert_eq!(reported(&parse(message.clone())), [(None, None); 2]);
        message["validator_permit"] = json!([true, false]);
        message["stake"] = json!([5, 0]);
        let expected = [(Some(true), Some(Rao::new(5))), (Some(false), Some(Rao::new(0)))];
        assert_eq!(reported(&parse(message.clone())), expected);
        message["validator_permit"] = json!([true]);
        assert_eq!(reported(&parse(message)), expected.map(|(_, stake)| (None, stake)));
    }
}
