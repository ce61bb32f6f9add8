//! Target neuron and request options.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use taonet_cli_base::duration::parse_seconds;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_primitives::Hotkey;
use taonet_wire::{ClientConfig, Peer, SignedClient, SynapseClass};

use super::SchemeName;

/// Arguments that select the target neuron and the signature scheme
#[derive(Debug, Args)]
pub(super) struct PeerArgs {
    /// Address of the neuron: HOST:PORT
    #[arg(value_name = "PEER")]
    address: Address,
    /// Hotkey of the neuron; requests are signed for this receiver
    #[arg(long, value_name = "HOTKEY")]
    hotkey: Hotkey,
    /// Signature scheme of the requests
    #[arg(long, value_enum, default_value = "btauth")]
    pub(super) scheme: SchemeName,
    /// Request timeout, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "12", value_parser = parse_seconds)]
    pub(super) timeout: Duration,
}

impl PeerArgs {
    pub(super) fn peer(&self) -> anyhow::Result<Peer> {
        let Address { host, port } = &self.address;
        Peer::new(self.hotkey, host, *port)
            .map_err(|error| ClassifiedError::usage(error.to_string()))
    }

    /// Builds a client with the echo neuron's synapses and `synapse`.
    pub(super) fn client(
        &self,
        key: &KeyArgs,
        synapse: Option<SynapseClass>,
    ) -> anyhow::Result<SignedClient> {
        let keypair = key.load(None)?;
        Ok(SignedClient::new(self.scheme.signer(keypair, synapse), ClientConfig::default())?)
    }
}

#[derive(Debug, Clone)]
struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host_and_port = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let parts = host_and_port
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) =
            parts.ok_or_else(|| "expected HOST:PORT, e.g. 127.0.0.1:8091".to_owned())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Ok(Self { host: bracketed.unwrap_or(host).to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_addresses_are_parsed() {
        for (text, host, port) in [
            ("127.0.0.1:8091", "127.0.0.1", 8091),
            ("http://miner.example:80/", "miner.example", 80),
            ("[::1]:9", "::1", 9),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
        }
        for text in ["", "127.0.0.1", "miner:", "miner:65536", "miner:x"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
