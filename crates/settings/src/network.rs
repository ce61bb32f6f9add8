use std::fmt;
use std::str::FromStr;

/// The chain network configured by `BITTENSOR_SUBTENSOR_ENDPOINT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The main network.
    Finney,
    /// The public test network.
    Test,
    /// A development chain, selected by the word `local`. A loopback endpoint is not enough: many validators run a node
    /// of the main network on their own machine.
    Local,
    /// Any other endpoint.
    Other(String),
}

impl Network {
    /// Whether development keys and the embedded recogniser are allowed.
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

/// Removes user name and password from an endpoint URL.
pub(crate) fn without_credentials(endpoint: &str) -> String {
    let Ok(mut url) = url::Url::parse(endpoint) else { return endpoint.to_owned() };
    // Both setters fail only for URLs that cannot contain credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_local_is_local() {
        for (endpoint, local) in
            [("local", true), ("ws://127.0.0.1:9944", false), ("ws://localhost:9944", false), ("finney", false)]
        {
            let Ok(network) = endpoint.parse::<Network>();
            assert_eq!(network.is_local(), local, "{endpoint}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let Ok(network) = "wss://me:hunter2@node.example:443/x".parse::<Network>();
        assert_eq!(network.to_string(), "wss://node.example/x");
    }
}
