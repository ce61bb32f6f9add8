use std::fmt;
use std::str::FromStr;

/// The chain's network, as `BITTENSOR_SUBTENSOR_ENDPOINT` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The main network.
    Finney,
    /// The public test network.
    Test,
    /// A chain on this machine: `local`, or an endpoint on a loopback address.
    Local,
    /// Any other endpoint.
    Other(String),
}

impl Network {
    /// Whether development keys and the embedded recogniser may be used.
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
            endpoint if is_loopback(endpoint) => Self::Local,
            endpoint => Self::Other(endpoint.to_owned()),
        })
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = url::Url::parse(endpoint) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finney => "finney",
            Self::Test => "test",
            Self::Local => "local",
            Self::Other(endpoint) => endpoint,
        })
    }
}
