use std::fmt;
use std::str::FromStr;

/// Environment variables that select the network, in order of precedence.
pub const NETWORK_VARIABLES: [&str; 3] =
    ["BT_CHAIN_ENDPOINT", "BT_NETWORK", "BITTENSOR_SUBTENSOR_ENDPOINT"];

/// Environment variable of a node that is used when those of the network fail.
pub const FALLBACK_VARIABLE: &str = "BITTENSOR_SUBTENSOR_FALLBACK";

/// Returns the network that the environment selects: the value of the first of
/// [`NETWORK_VARIABLES`] that is not blank. `variable` returns the value of a variable.
pub fn selected_network(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let values = NETWORK_VARIABLES.iter().filter_map(|name| variable(name));
    values.map(|value| value.trim().to_owned()).find(|value| !value.is_empty())
}

/// The chain network that the environment selects; see [`selected_network`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The main network.
    Finney,
    /// The public test network.
    Test,
    /// A chain on this machine, selected by the word `local`: its services have local defaults. A
    /// loopback endpoint is not enough: many validators run a node of the main network on their own
    /// machine.
    Local,
    /// Any other endpoint.
    Other(String),
}

impl Network {
    /// Whether services default to addresses on this machine, and the embedded recogniser is
    /// allowed. Whether development keys are allowed depends on the connected chain.
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Local)
    }
}

impl FromStr for Network {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "finney" => Self::Finney,
            "test" => Self::Test,
            "local" => Self::Local,
            endpoint => Self::Other(endpoint.to_owned()),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finney => "finney",
            Self::Test => "test",
            Self::Local => "local",
            Self::Other(endpoint) => return f.write_str(&without_credentials(endpoint)),
        })
    }
}

/// Removes user name and password from an endpoint URL. URLs without them, and other text, are
/// returned as they are.
pub(crate) fn without_credentials(endpoint: &str) -> String {
    let Ok(mut url) = url::Url::parse(endpoint) else { return endpoint.to_owned() };
    if url.username().is_empty() && url.password().is_none() {
        return endpoint.to_owned();
    }
    // Both setters fail only for URLs that cannot contain credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_named_local_is_local() {
        for (endpoint, local) in [
            ("local", true),
            ("ws://127.0.0.1:9944", false),
            ("ws://localhost:9944", false),
            ("finney", false),
        ] {
            let Ok(network) = endpoint.parse::<Network>();
            assert_eq!(network.is_local(), local, "{endpoint}");
        }
    }

    #[test]
    fn only_credentials_are_removed_from_urls() {
        for (endpoint, expected) in [
            ("ftp://example", "ftp://example"),
            ("ws://127.0.0.1:9944", "ws://127.0.0.1:9944"),
            ("ws://alice:secret@example:9944", "ws://example:9944/"),
            ("ws://alice@example/path", "ws://example/path"),
            ("abc def", "abc def"),
        ] {
            assert_eq!(without_credentials(endpoint), expected);
        }
    }

    #[test]
    fn first_variable_with_value_selects_network() {
        let all = NETWORK_VARIABLES;
        for (set, network) in [
            (&[(all[0], "ws://a:1"), (all[1], "test"), (all[2], "local")][..], Some("ws://a:1")),
            (&[(all[0], " "), (all[1], " test "), (all[2], "local")], Some("test")),
            (&[(all[2], "local")], Some("local")),
            (&[(all[1], "")], None),
        ] {
            let variable = |name: &str| {
                set.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned())
            };
            assert_eq!(selected_network(variable).as_deref(), network, "{set:?}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let Ok(network) = "wss://me:hunter2@node.example:443/x".parse::<Network>();
        assert_eq!(network.to_string(), "wss://node.example/x");
    }
}
