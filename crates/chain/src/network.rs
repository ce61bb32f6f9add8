use std::fmt;
use std::str::FromStr;

use taonet_primitives::BlockHash;
use url::Url;

/// The chain to connect to: one or more nodes, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    nodes: Vec<NodeUrl>,
    genesis: Option<BlockHash>,
}

/// Why a text does not parse as a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The text is neither a known name nor an address.
    #[error(
        "unknown network {0}; hint: use finney, test, archive, local, or the URL of a node, such as \
         ws://127.0.0.1:9944"
    )]
    Unknown(String),
    /// The address is malformed, or not a WebSocket address.
    #[error("malformed node URL, expected ws://HOST:PORT or wss://HOST:PORT")]
    Address,
}

/// The genesis hash of the main network.
const FINNEY_GENESIS: &str = "0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03";

/// The named networks, as tuples of name, URL, and whether it is the main network.
const NAMED_NETWORKS: [(&str, &str, bool); 4] = [
    ("finney", "wss://entrypoint-finney.opentensor.ai:443", true),
    ("test", "wss://test.finney.opentensor.ai:443", false),
    ("archive", "wss://archive.chain.opentensor.ai:443", true),
    ("local", "ws://127.0.0.1:9944", false),
];

impl Network {
    /// Returns the nodes, in order of preference.
    pub fn nodes(&self) -> &[NodeUrl] {
        &self.nodes
    }

    /// Returns the genesis hash that the nodes must have; `None` if it is not known in advance.
    pub fn genesis(&self) -> Option<BlockHash> {
        self.genesis
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Parses names and addresses, separated by commas: `finney`, `ws://127.0.0.1:9944`,
    /// `ws://10.0.0.5:9944,finney`.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (mut nodes, mut genesis) = (Vec::new(), None);
        for entry in text.split(',').map(str::trim) {
            match NAMED_NETWORKS.iter().find(|(name, ..)| *name == entry) {
                Some((_, address, is_main)) => {
                    nodes.push(address.parse()?);
                    if *is_main {
                        genesis = FINNEY_GENESIS.parse().ok();
                    }
                }
                None if entry.contains("://") => nodes.push(entry.parse()?),
                None => return Err(NetworkError::Unknown(entry.to_owned())),
            }
        }
        Ok(Self { nodes, genesis })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            node.fmt(f)?;
        }
        Ok(())
    }
}

/// The WebSocket URL of a node. `Display` omits the parts that may contain credentials: user,
/// password, path and query.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeUrl(Url);

impl NodeUrl {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for NodeUrl {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let url = Url::parse(text).map_err(|_| NetworkError::Address)?;
        let is_websocket = matches!(url.scheme(), "ws" | "wss")
            && url.host_str().is_some_and(|host| !host.is_empty());
        if is_websocket { Ok(Self(url)) } else { Err(NetworkError::Address) }
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        // Providers put an account's API key into the path or query.
        if self.0.path() != "/" || self.0.query().is_some() {
            f.write_str("/…")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_parsed() {
        for (text, expected) in [
            ("local", "ws://127.0.0.1:9944"),
            ("finney", "wss://entrypoint-finney.opentensor.ai"),
            ("ws://[::1]:9944, test", "ws://[::1]:9944,wss://test.finney.opentensor.ai"),
            ("wss://user:secret@host:1/v1/KEY?key=SECRET", "wss://host:1/…"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), expected, "{text}");
            assert!(!format!("{network:?}").to_lowercase().contains("secret"));
        }
        assert!("archive".parse::<Network>().unwrap().genesis().is_some());
        assert_eq!("local".parse::<Network>().unwrap().genesis(), None);
    }

    #[test]
    fn malformed_networks_are_rejected() {
        for text in ["", "main", "127.0.0.1:9944", "local,", "Finney"] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Unknown(_))), "{text:?}");
        }
        for text in ["http://x", "ws://", "://x", "ws://:99999"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Address), "{text:?}");
        }
    }
}
